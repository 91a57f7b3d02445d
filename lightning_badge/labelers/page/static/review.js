// Review: what was labeled, by class, annotator, disagreement, contradiction or flag; corrections.

import { ClassPad } from "./class_pad.js";
import { $, count, counted, guessText, labelText, make } from "./elements.js";
import { announce } from "./notices.js";
import { showSample, thumbnail } from "./sample_view.js";

const PAGE = 60;
const WAYS = [
  ["all", "everything"], ["class", "one class"], ["annotator", "one person"],
  ["disagreement", "where people disagree"], ["contradiction", "where the model disagrees"], ["flagged", "what is flagged"],
];

export class Review {
  #host;
  #pad;
  #rows = []; // as the server sent them, with `now`: the label after a correction
  #selected = new Set(); // numbers of rows
  #at = 0; // row with the focus
  #offset = 0;
  #total = 0;
  #corrections = []; // of this visit: lists of {row, before}, latest last
  #counts = {}; // of the last reply
  #page = { classes: [] };

  /** @param host functions: read(name, body), correct(item, status, label), close(); annotator: name */
  constructor(host) {
    this.#host = host;
    this.#pad = new ClassPad($("review-pad"), { choose: (label) => this.#correct(label), add: () => {} });
    $("review-by").append(...WAYS.map(([value, text]) => make("option", { value }, text)));
    $("review-by").addEventListener("change", () => this.#load(0, true));
    $("review-value").addEventListener("change", () => this.#load(0));
    $("review-before").addEventListener("click", () => this.#load(this.#offset - PAGE));
    $("review-after").addEventListener("click", () => this.#load(this.#offset + PAGE));
    $("review-all").addEventListener("click", () => this.#selectAll());
    $("review-undo").addEventListener("click", () => this.undo());
    $("review-details").addEventListener("click", () => this.#details());
    $("review-close").addEventListener("click", () => host.close());
  }

  get isOpen() {
    return !$("review-view").hidden;
  }

  async open(page) {
    this.#page = page;
    this.#corrections = [];
    this.#pad.draw({ ...page, acceptChanges: false });
    $("label-view").hidden = true;
    $("review-view").hidden = false;
    $("review-title").focus();
    await this.#load(0, true);
  }

  close() {
    $("review-view").hidden = true;
    $("label-view").hidden = false;
  }

  async #load(offset, isNewWay = false) {
    const by = $("review-by").value;
    if (isNewWay) this.#offerValues(by);
    const chosen = $("review-value").value;
    const value = by === "class" ? Number(chosen) : by === "annotator" ? chosen : null;
    const start = Math.max(0, offset);
    let reply = { total: 0, rows: [] };
    if (!$("review-value-label").hidden && chosen === "") return this.#take(reply, 0);
    try {
      reply = await this.#host.read("review", { by, value, offset: start, count: PAGE });
    } catch (error) {
      $("review-total").textContent = `Not read: ${error.message}`;
      return undefined;
    }
    if (by !== $("review-by").value) return undefined; // another way was chosen meanwhile
    this.#counts = reply;
    this.#offerValues(by, chosen);
    return this.#take(reply, start);
  }

  #take({ total, rows }, offset) {
    this.#rows = rows;
    this.#total = total;
    this.#offset = offset;
    this.#selected.clear();
    this.#at = 0;
    this.#draw();
  }

  /** Offers the classes or people that there are, and says how many samples each way shows. */
  #offerValues(by, chosen = "") {
    const { classes = {}, annotators = {}, disagreements, contradictions, flagged } = this.#counts;
    const amounts = { disagreement: disagreements, contradiction: contradictions, flagged };
    [...$("review-by").options].forEach((option, number) => {
      const amount = amounts[option.value];
      option.textContent = amount === undefined ? WAYS[number][1] : `${WAYS[number][1]} (${count(amount)})`;
    });
    $("review-value-label").hidden = by !== "class" && by !== "annotator";
    const found = Object.entries(by === "class" ? classes : by === "annotator" ? annotators : {});
    const name = (key) => (by === "class" ? this.#page.classes[key] : key);
    const options = found.map(([key, amount]) => make("option", { value: key }, `${name(key)} (${count(amount)})`));
    $("review-value").replaceChildren(...options);
    if (found.some(([key]) => key === chosen)) $("review-value").value = chosen;
  }

  #draw() {
    const last = this.#offset + this.#rows.length;
    const range = this.#total > this.#rows.length ? `${count(this.#offset + 1)} to ${count(last)} of ` : "";
    $("review-total").textContent = `${range}${counted(this.#total, "sample")}`;
    $("review-before").disabled = this.#offset === 0;
    $("review-after").disabled = last >= this.#total;
    const none = make("li", { className: "nothing", role: "presentation" }, "Nothing here.");
    $("review-rows").replaceChildren(...(this.#rows.length ? this.#rows.map((row, number) => this.#card(row, number)) : [none]));
    $("review-rows").scrollTop = 0;
    this.#refresh();
    announce(`${counted(this.#total, "sample")} to review`);
  }

  #card(row, number) {
    const card = make("li", { role: "option" }, thumbnail(row.item), make("span", { className: "label" }), make("span", { className: "by" }));
    if (row.guess && $("review-by").value === "contradiction") {
      card.append(make("span", { className: "model" }, `model: ${guessText(row.guess, this.#page.classes)}`));
    }
    for (const flag of row.flags) card.append(make("span", { className: "comment" }, `${flag.annotator}: ${flag.comment}`));
    card.addEventListener("click", () => this.#toggle(number));
    card.addEventListener("dblclick", () => this.#details());
    card.addEventListener("focus", () => (this.#at = number));
    return card;
  }

  /** Brings cards, buttons and counts up to date with labels and selection. */
  #refresh() {
    [...$("review-rows").children].forEach((card, number) => {
      const row = this.#rows[number];
      if (!row) return;
      const label = row.now === undefined ? row.label : row.now;
      card.querySelector(".label").textContent = labelText(label, this.#page.classes);
      card.querySelector(".by").textContent = row.now === undefined ? this.#saidBy(row) : "corrected by you";
      card.classList.toggle("corrected", row.now !== undefined);
      card.setAttribute("aria-selected", this.#selected.has(number));
      card.tabIndex = number === this.#at ? 0 : -1;
    });
    const amount = this.#selected.size;
    $("review-selected").textContent = amount ? `${counted(amount, "sample")} selected: choose the right class` : "Select samples, then choose the right class";
    $("review-undo").disabled = !this.#corrections.length;
    for (const name of ["all", "details"]) $(`review-${name}`).disabled = !this.#rows.length;
  }

  /** Who labeled a sample, and what each said if they disagree. */
  #saidBy({ answers, label }) {
    const latest = new Map(answers.map((answer) => [answer.annotator, answer])); // the last one counts
    const votes = [...latest.values()].filter((answer) => answer.status !== "undo");
    const texts = votes.map((vote) => (vote.status === "label" ? labelText(vote.label, this.#page.classes) : "skipped"));
    if (new Set(texts).size < 2) return votes.map((vote) => vote.annotator).join(", ") || (label === null ? "" : "from the data");
    return votes.map((vote, at) => `${vote.annotator}: ${texts[at]}`).join(", ");
  }

  #toggle(number) {
    this.#at = number;
    if (!this.#selected.delete(number)) this.#selected.add(number);
    if (this.#page.multilabel && this.#selected.size === 1) this.#startFrom(this.#rows[[...this.#selected][0]]);
    this.#refresh();
  }

  /** A correction of several classes starts from those that the sample has. */
  #startFrom(row) {
    const label = row.now ?? row.label;
    this.#pad.reset({ chosen: Array.isArray(label) ? [...label.keys()].filter((number) => label[number]) : [] });
  }

  #selectAll() {
    const isAll = this.#selected.size === this.#rows.length;
    this.#selected = new Set(isAll ? [] : this.#rows.keys());
    this.#refresh();
  }

  /** Gives the selected samples, or that with the focus, another label. */
  #correct(label) {
    const numbers = this.#selected.size ? [...this.#selected] : this.#isOnCard ? [this.#at] : [];
    const rows = numbers.map((number) => this.#rows[number]).filter(Boolean);
    if (!rows.length) return announce("Select a sample first");
    this.#corrections.push(rows.map((row) => ({ row, before: row.now })));
    for (const row of rows) {
      row.now = label;
      this.#host.correct(row.item, "label", label);
    }
    announce(`${counted(rows.length, "sample")} corrected to ${labelText(label, this.#page.classes)}`);
    this.#selected.clear();
    this.#pad.reset();
    this.#refresh();
    if (document.activeElement === this.#pad.searchBox) $("review-rows").children[this.#at]?.focus();
    return undefined;
  }

  /** Takes the last correction back: an earlier label of one's own comes into force again. */
  undo() {
    for (const { row, before } of this.#corrections.pop() ?? []) {
      const mine = row.answers.findLast((answer) => answer.annotator === this.#host.annotator());
      if (before !== undefined) this.#host.correct(row.item, "label", before);
      else this.#host.correct(row.item, mine?.status ?? "undo", mine?.label ?? null);
      row.now = before;
    }
    this.#refresh();
  }

  #details() {
    const row = this.#rows[this.#at];
    if (!row) return;
    const place = $("details-sample");
    place.dataset.key = row.item.key;
    $("details-heading").textContent = `Sample ${row.item.id}`;
    showSample(place, { ...row.item });
    const said = row.answers.map((answer) =>
      make("li", {}, `${answer.annotator}: ${answer.status === "label" ? labelText(answer.label, this.#page.classes) : answer.status}`, answer.at ? make("small", {}, ` ${new Date(answer.at).toLocaleString()}`) : null));
    const flags = row.flags.map((flag) => make("li", {}, `${flag.annotator}: ${flag.comment}`));
    const guess = row.guess ? make("p", {}, `The model's guess: ${guessText(row.guess, this.#page.classes)}.`) : null;
    $("details-text").replaceChildren(...[make("h3", {}, "Answers"), make("ul", {}, ...said), guess,
      flags.length ? make("h3", {}, "Flags") : null, flags.length ? make("ul", {}, ...flags) : null].filter(Boolean));
    $("details-dialog").showModal();
  }

  /** Takes a key; returns whether it meant something here. */
  key(event) {
    const isTyping = this.#pad.isSearch && this.#pad.searchBox?.value !== "";
    if (!isTyping) {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.#columns(), ArrowUp: -this.#columns() }[event.key];
      if (step !== undefined && document.activeElement !== this.#pad.searchBox) return this.#move(step);
      if (event.key === " ") return this.#toggle(this.#at) ?? true;
      if (event.key === "Backspace") return this.undo() ?? true;
      if (event.key === "Escape") return this.#host.close() ?? true;
      if (event.key === "Enter" && this.#isOnCard && !this.#page.multilabel) return this.#details() ?? true;
      const needsSelection = this.#pad.isSearch || this.#page.multilabel;
      if (event.key.length === 1 && this.#isOnCard && needsSelection && !this.#selected.size) this.#toggle(this.#at);
    }
    return this.#pad.key(event);
  }

  get #isOnCard() {
    return document.activeElement?.parentElement === $("review-rows");
  }

  #columns() {
    const cards = [...$("review-rows").children];
    return Math.max(1, cards.filter((card) => card.offsetTop === cards[0].offsetTop).length);
  }

  #move(step) {
    const cards = $("review-rows").children;
    if (!this.#rows.length) return true;
    this.#at = this.#isOnCard ? Math.max(0, Math.min(cards.length - 1, this.#at + step)) : this.#at;
    this.#refresh();
    cards[this.#at].focus();
    return true;
  }
}
