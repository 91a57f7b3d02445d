// Progress, and what a labeler should know now.

import { $, count, counted, make } from "./elements.js";

const WINDOW = 180000; // milliseconds; labels per minute are those of the last three minutes
const SHORT = 6000; // milliseconds that a passing notice stays

/** Labels per minute of this tab. */
export class Pace {
  #times = [];

  add(now = performance.now()) {
    this.#times.push(now);
  }

  takeBack() {
    this.#times.pop();
  }

  /** Returns labels per minute, or null while there are too few. */
  perMinute(now = performance.now()) {
    this.#times = this.#times.filter((time) => now - time < WINDOW);
    const elapsed = now - this.#times[0];
    if (this.#times.length < 5 || elapsed < 2000) return null;
    return (60000 * (this.#times.length - 1)) / elapsed;
  }
}

export function showProgress(progress, perMinute) {
  const { labels, mine, samples, round, left, remains } = progress;
  $("bar").max = Math.max(1, samples);
  $("bar").value = labels;
  $("labels").textContent = `${count(labels)} of ${count(samples)} labeled`;
  $("mine").textContent = `${count(mine)} by you`;
  $("pace").textContent = perMinute === null ? "" : `${Math.round(perMinute)}/min`;
  const rest = left === null || left === undefined ? "" : `, ${counted(left, "label")} left`;
  const budget = remains ? ` · ${remains}` : "";
  $("round").textContent = round === null ? "" : `round ${round}${rest}${budget}`;
}

/** What the stage says while there is no sample. */
export function emptyText(progress) {
  const thanks = progress.mine ? ` You labeled ${count(progress.mine)}. Thank you.` : "";
  switch (progress.state) {
    case "starting":
      return ["Getting ready", "The samples are being ordered. The first one appears by itself."];
    case "allowance_used":
      return ["That is all for today", `${progress.reason ? `${sentence(progress.reason)} ` : ""}All labels that may be given now are given. More samples appear by themselves.${thanks}`];
    case "ended":
      return ["The run is complete", `${progress.reason ? `${sentence(progress.reason)} ` : ""}${thanks}`.trim()];
    case "exhausted":
      return ["No sample is left", `Every sample is labeled, or another person has it.${thanks}`];
    case "training":
      return ["A model is training", "The next samples come when it has ordered them. They appear by themselves."];
    default:
      return ["Waiting for samples", "Other people have those that may be labeled now. The next one appears by itself."];
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** The line below the header: lasting notices by name, and one that passes. */
export class Notices {
  #lasting = new Map(); // name -> {text, kind}
  #timer = null;

  /** Sets a lasting notice, or removes it with a text of null. */
  set(name, text, kind = "info") {
    if ((this.#lasting.get(name)?.text ?? null) === text) return;
    if (text === null) this.#lasting.delete(name);
    else this.#lasting.set(name, { text, kind });
    this.#draw();
  }

  /** Shows a notice for a while. */
  pass(text) {
    clearTimeout(this.#timer);
    this.set("passing", text, "news");
    this.#timer = setTimeout(() => this.set("passing", null), SHORT);
  }

  /** Shows a notice until it is closed by its button. */
  keep(name, text) {
    this.set(name, text, "error");
  }

  #draw() {
    const place = $("notices");
    const shown = [...this.#lasting].map(([name, { text, kind }]) => {
      const line = make("p", { className: kind }, make("span", {}, text));
      line.dataset.notice = name;
      if (kind === "error") {
        const close = make("button", { type: "button", "aria-label": "Close this notice" }, "Close");
        close.addEventListener("click", () => this.set(name, null));
        line.append(close);
      }
      return line;
    });
    place.replaceChildren(...shown);
  }
}

/** Says something to screen readers only. */
export function announce(text) {
  const place = $("announcer");
  place.textContent = place.textContent === text ? `${text} ` : text;
}
