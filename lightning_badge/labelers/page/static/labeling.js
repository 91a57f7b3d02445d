// The sample on screen, and what a labeler does with it: answer, skip, undo.

import { requestId } from "./calls.js";
import { $, guessText, labelText, make } from "./elements.js";
import { Held } from "./held.js";
import { announce, emptyText, Pace } from "./notices.js";
import { prefetch } from "./pictures.js";
import { showSample, spoken } from "./sample_view.js";
import { Zoom } from "./zoom.js";

const HISTORY = "lightning_badge_history"; // in sessionStorage: undo goes on after a reload

export class Labeling {
  zoom = new Zoom($("stage"));
  pace = new Pace();
  held;
  #outbox;
  #pad;
  #on;
  #page = { classes: [], run: null };
  #shown = null; // the item on screen
  #shownAt = null; // when it could be seen; null before
  #hiddenFor = 0; // milliseconds in which the page was hidden meanwhile
  #hiddenAt = null;

  /** @param on functions: sent(), shown(item); author() is who answers, round() the current one */
  constructor(outbox, pad, on) {
    this.#outbox = outbox;
    this.#pad = pad;
    this.#on = on;
    this.held = new Held((key) => outbox.waiting(key));
    document.addEventListener("visibilitychange", () => this.#countHidden());
  }

  /** The page was opened: its classes and kind are known. */
  open(page) {
    const isOther = page.run !== this.#page.run;
    this.#page = page;
    if (!isOther) return;
    const kept = JSON.parse(sessionStorage.getItem(HISTORY) ?? "{}");
    this.held.history = kept.run === page.run && kept.labeler === this.#on.author().labeler ? kept.history : [];
  }

  /** Another person labels in this tab. */
  leave() {
    this.held.items = [];
    this.held.history = [];
    this.pace = new Pace();
    this.#page = { classes: [], run: null };
    this.show();
  }

  /** The sample that can be seen and answered, or null. */
  get current() {
    return this.#shownAt === null ? null : this.#shown;
  }

  take(items, progress) {
    this.held.take(items);
    this.show(progress);
  }

  /** Answers the sample on screen; the next one is shown at once. */
  answer(status, label = null, newClass = undefined) {
    const item = this.current;
    if (!item) return;
    const seconds = (performance.now() - this.#shownAt - this.#hiddenFor) / 1000;
    const said = status === "skip" ? "skipped" : (newClass ?? labelText(label, this.#page.classes));
    this.held.answer(said);
    if (status === "label") this.pace.add();
    const answer = { status, label, seconds: Math.max(0, Math.round(1000 * seconds) / 1000) };
    if (newClass !== undefined) answer.new_class = newClass;
    this.#send(item, answer);
    this.show();
    announce(`${said}. ${this.#shown ? `Next: ${spoken(this.#shown)}` : ""}`);
  }

  undo() {
    const said = this.held.history.at(-1)?.said;
    const item = this.held.undo();
    if (!item) return announce("Nothing to undo");
    if (said !== "skipped") this.pace.takeBack();
    this.#send(item, { status: "undo", label: null, seconds: null });
    this.show();
    return announce(`${said} taken back. ${spoken(item)}`);
  }

  /** Gives a sample of the review another label, or takes one's answer back. */
  correct(item, status, label) {
    this.#send(item, { status, label, seconds: null });
  }

  #send(item, answer) {
    const { key, rank = null } = item;
    const round = item.round ?? this.#on.round(); // samples that no round offered have none
    this.#outbox.add(this.#on.author(), { request: requestId(), key, round, rank, ...answer });
    this.#on.sent();
    const { run, labeler } = this.#on.author();
    const kept = { run, labeler, history: this.held.history };
    setTimeout(() => sessionStorage.setItem(HISTORY, JSON.stringify(kept)));
  }

  /** Shows the first of the samples that are held, unless it is on screen already. */
  show(progress = null) {
    const item = this.held.current ?? null;
    prefetch(this.held.items);
    this.#showUndo();
    if (item && this.#shown?.key === item.key) return;
    const stage = $("stage");
    if (!item && !this.#shown && stage.childElementCount) {
      if (progress) this.#showEmpty(stage, progress);
      return;
    }
    this.#shown = item;
    this.#shownAt = null;
    this.#hiddenFor = 0;
    stage.dataset.key = item?.key ?? "";
    stage.dataset.rank = item?.rank ?? "";
    this.zoom.reset(item);
    this.#pad.reset({ guess: item?.guess?.label ?? null });
    this.#showGuess(item);
    $("label-view").classList.toggle("empty", item === null);
    for (const name of ["skip", "zoom", "flag", "why"]) {
      document.querySelector(`[data-command=${name}]`).disabled = item === null;
    }
    if (item) this.#showItem(stage, item);
    else this.#showEmpty(stage, progress);
    this.#on.shown(item);
  }

  #showItem(stage, item) {
    const seen = () => {
      if (this.#shown === item) this.#shownAt = performance.now();
    };
    const done = showSample(stage, item);
    if (stage.querySelector(".loading")) done.then(seen);
    else seen();
  }

  #showEmpty(stage, progress) {
    const [heading, text] = progress ? emptyText(progress) : ["One moment", "The next sample is on its way."];
    if (stage.querySelector("h2")?.textContent === heading && stage.querySelector("p").textContent === text) return;
    if (progress) announce(`${heading}. ${text}`);
    stage.replaceChildren(make("div", { className: "nothing" }, make("h2", {}, heading), make("p", {}, text)));
  }

  #showGuess(item) {
    const guess = item?.guess;
    $("guess").hidden = !guess;
    if (guess) $("guess").textContent = `The model's guess: ${guessText(guess, this.#page.classes)}`;
  }

  #showUndo() {
    const undo = document.querySelector("[data-command=undo]");
    const last = this.held.history.at(-1);
    if (!undo) return;
    undo.disabled = !last;
    undo.firstElementChild.textContent = last ? `Undo “${last.said}”` : "Undo";
  }

  #countHidden() {
    if (document.hidden) this.#hiddenAt = performance.now();
    else if (this.#hiddenAt !== null) this.#hiddenFor += performance.now() - Math.max(this.#hiddenAt, this.#shownAt ?? 0);
  }
}
