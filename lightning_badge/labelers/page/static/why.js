// Why this sample: its rank and gain, the model's guess, and the nearest labeled samples.

import { $, count, guessText, labelText, make } from "./elements.js";
import { thumbnail } from "./sample_view.js";

export class Why {
  #read;
  #classes = [];
  #item = null;

  /** @param read function: (name, body) -> promise of the reply */
  constructor(read) {
    this.#read = read;
  }

  get isOpen() {
    return !$("why").hidden;
  }

  /** Opens or closes the panel for a sample. */
  toggle(item, classes) {
    this.#classes = classes;
    $("why").hidden = !$("why").hidden;
    this.show(item);
  }

  close() {
    $("why").hidden = true;
  }

  /** Another sample is on screen. */
  async show(item) {
    this.#item = item;
    if (!this.isOpen) return;
    const place = $("why");
    place.replaceChildren(make("h2", {}, "Why this sample"));
    if (!item) return;
    let reply;
    try {
      reply = await this.#read("why", { key: item.key });
    } catch (error) {
      reply = { error: error.message };
    }
    if (this.#item === item) place.replaceChildren(make("h2", {}, "Why this sample"), ...this.#rows(item, reply));
  }

  #rows(item, { rank, gain, guess, nearest, error }) {
    if (error) return [make("p", { className: "error" }, `Not known: ${error}`)];
    const rows = [];
    if (rank === null || rank === undefined) {
      rows.push(make("p", {}, "Drawn at random, to measure how good the model is. It is not ranked."));
    } else {
      rows.push(make("p", {}, `Rank ${count(rank)} of the ordering of round ${item.round}: the model learns most from the samples that come first.`));
    }
    const facts = make("dl", {});
    if (gain !== null && gain !== undefined) facts.append(make("dt", {}, "Gain"), make("dd", {}, gain.toPrecision(3)));
    if (guess) {
      facts.append(make("dt", {}, "The model's guess"));
      facts.append(make("dd", {}, guessText(guess, this.#classes)));
    }
    if (facts.children.length) rows.push(facts);
    if (nearest?.length) {
      rows.push(make("h3", {}, "Nearest labeled samples"));
      const near = nearest.map((one) => make("li", {}, thumbnail(one.item), make("span", {}, labelText(one.label, this.#classes))));
      rows.push(make("ul", { className: "nearest" }, ...near));
    } else {
      rows.push(make("p", {}, "No labeled sample to compare with yet."));
    }
    return rows;
  }
}
