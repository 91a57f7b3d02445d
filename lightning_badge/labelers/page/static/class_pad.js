// The classes: a button each with its key, or above 20 classes a search as one types.

import { button, make, oneLine } from "./elements.js";

const KEYS = "0123456789abcdefghijklmnopqrstuvwxyz";
export const MOST_KEYS = 20; // classes with a key each; more are searched

/** Returns matches of what was typed: names that begin with it, words that do, names that hold it. */
export function matches(names, typed) {
  const wanted = typed.trim().toLowerCase();
  const found = [[], [], []];
  names.forEach((name, number) => {
    const lower = name.toLowerCase();
    const at = lower.indexOf(wanted);
    if (at < 0) return;
    const isWord = at > 0 && lower.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(wanted));
    found[at === 0 ? 0 : isWord ? 1 : 2].push(number);
  });
  return found.flat();
}

export class ClassPad {
  #place;
  #on;
  #names = [];
  #multilabel = false;
  #mayAdd = false;
  #chosen = new Set();
  #guess = null;
  #buttons = new Map(); // class number -> button
  #search = null;
  #listed = []; // class numbers in the list; null stands for a new class
  #at = 0; // highlighted entry of the list

  /** @param on functions: choose(label), add(name or null: ask for it) */
  constructor(place, on) {
    this.#place = place;
    this.#on = on;
  }

  get isSearch() {
    return this.#names.length > MOST_KEYS;
  }

  get searchBox() {
    return this.#search;
  }

  /** Draws the classes anew. */
  draw({ classes, multilabel, acceptChanges }) {
    this.#names = classes;
    this.#multilabel = multilabel;
    this.#mayAdd = acceptChanges && !multilabel;
    this.#chosen.clear();
    this.#buttons.clear();
    this.#search = null;
    this.#place.replaceChildren();
    this.#place.classList.toggle("searching", this.isSearch);
    if (!classes.length) return;
    if (this.isSearch) this.#drawSearch();
    else this.#drawButtons();
    if (multilabel) {
      const confirm = button("Confirm", "Enter", () => this.confirm(), { className: "confirm main" });
      this.#place.append(confirm);
    }
    this.#refresh();
  }

  /** A new sample: nothing is chosen or typed. `chosen` are class numbers. */
  reset({ guess = null, chosen = [] } = {}) {
    this.#chosen = new Set(chosen);
    this.#guess = guess;
    if (this.#search?.value) {
      this.#search.value = "";
      this.#list();
    }
    this.#refresh();
  }

  /** Takes a key; returns whether it meant something here. */
  key(event) {
    if (this.isSearch) return this.#searchKey(event);
    if (event.key === "Enter" && this.#multilabel) return this.confirm();
    const number = numberOf(event);
    if (number !== null && number < this.#names.length) return this.#take(number);
    if (event.key === "*" && this.#mayAdd) return this.#on.add(null) ?? true;
    return false;
  }

  /** Answers with all classes that are chosen. */
  confirm() {
    this.#on.choose(this.#names.map((_, number) => (this.#chosen.has(number) ? 1 : 0)));
    return true;
  }

  #take(number) {
    if (number === null) this.#on.add(oneLine(this.#search.value));
    else if (!this.#multilabel) this.#on.choose(number);
    else if (!this.#chosen.delete(number)) this.#chosen.add(number);
    this.#refresh();
    return true;
  }

  #drawButtons() {
    const isWide = this.#names.some((name) => name.length > 6);
    const all = make("div", { className: isWide ? "classes wide" : "classes" });
    this.#names.forEach((name, number) => all.append(this.#button(name, number, KEYS[number])));
    if (this.#mayAdd) all.append(button("New class", "*", () => this.#on.add(null), { className: "new" }));
    this.#place.append(all);
  }

  #button(name, number, key) {
    const made = button(name, key, () => this.#take(number), { className: "class", title: name });
    made.dataset.class = number;
    if (key) made.setAttribute("aria-keyshortcuts", key);
    this.#buttons.set(number, made);
    return made;
  }

  #drawSearch() {
    const id = `${this.#place.id}-list`;
    this.#search = make("input", {
      type: "text", autocomplete: "off", spellcheck: false, autocapitalize: "none",
      placeholder: `Type a part of one of ${this.#names.length} classes`, enterKeyHint: "done",
      role: "combobox", "aria-label": "Search for a class", "aria-expanded": "true",
      "aria-controls": id, "aria-autocomplete": "list",
    });
    this.#search.addEventListener("input", () => this.#list());
    const list = make("ul", { id, className: "classes", role: "listbox", "aria-label": "Classes" });
    const chosen = this.#multilabel ? make("p", { className: "chosen", role: "status" }) : null;
    this.#place.append(...[make("div", { className: "search" }, this.#search), chosen, list].filter(Boolean));
    this.#list();
  }

  /** Lists the matches of what was typed. */
  #list() {
    const typed = this.#search.value.trim();
    this.#listed = matches(this.#names, typed);
    const isKnown = this.#names.some((name) => name.toLowerCase() === typed.toLowerCase());
    if (this.#mayAdd && typed && !isKnown) this.#listed.push(null);
    this.#at = 0;
    this.#buttons.clear();
    const list = this.#place.querySelector("ul");
    list.replaceChildren(...this.#listed.map((number, at) => this.#option(number, at, typed)));
    if (!this.#listed.length) {
      list.append(make("li", { className: "nothing", role: "presentation" }, `No class contains “${typed}”.`));
    }
    list.scrollTop = 0;
    this.#refresh();
  }

  #option(number, at, typed) {
    const name = number === null ? `New class “${typed}”` : this.#names[number];
    const option = make("li", { id: `${this.#place.id}-${at}`, className: "class", role: "option", title: name }, make("span", {}, name));
    option.addEventListener("click", () => this.#take(number));
    if (number !== null) {
      option.dataset.class = number;
      this.#buttons.set(number, option);
    }
    return option;
  }

  #searchKey(event) {
    const box = this.#search;
    const isInBox = document.activeElement === box;
    if (event.key === "Enter") {
      if (this.#multilabel && !box.value) return this.confirm();
      if (this.#listed.length && (box.value || this.#at > 0)) {
        this.#take(this.#listed[this.#at]);
        if (this.#multilabel) this.#clear();
      }
      return true;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#at = (this.#at + step + this.#listed.length) % Math.max(1, this.#listed.length);
      this.#refresh();
      return true;
    }
    if (event.key === "Escape" && box.value) {
      this.#clear();
      return true;
    }
    if (!isInBox && event.key.length === 1) box.focus(); // the browser types the character into it
    return false;
  }

  #clear() {
    this.#search.value = "";
    this.#list();
  }

  #refresh() {
    for (const [number, made] of this.#buttons) {
      made.classList.toggle("guessed", number === this.#guess);
      if (this.#multilabel && !this.isSearch) made.setAttribute("aria-pressed", this.#chosen.has(number));
      if (this.isSearch) made.setAttribute("aria-selected", this.#chosen.has(number));
    }
    if (!this.isSearch || !this.#search) return;
    if (this.#multilabel) {
      const names = this.#names.filter((_, number) => this.#chosen.has(number));
      this.#place.querySelector(".chosen").textContent = `Chosen: ${names.join(", ") || "none"}`;
    }
    const options = [...this.#place.querySelectorAll("[role=option]")];
    const isTyped = this.#search.value !== "" || this.#at > 0;
    options.forEach((option, at) => option.classList.toggle("highlighted", isTyped && at === this.#at));
    const marked = isTyped ? options[this.#at] : undefined;
    marked?.scrollIntoView({ block: "nearest" });
    if (marked) this.#search.setAttribute("aria-activedescendant", marked.id);
    else this.#search.removeAttribute("aria-activedescendant");
  }
}

/** Returns the class number of a key, or null; digits also where Shift would be needed. */
function numberOf(event) {
  const digit = /^Digit(\d)$/.exec(event.code);
  const isOwn = event.key.length === 1 && KEYS.includes(event.key.toLowerCase());
  if (isOwn) return KEYS.indexOf(event.key.toLowerCase());
  const isPlain = !event.shiftKey && !event.getModifierState("AltGraph") && event.key !== "*";
  return digit && isPlain ? Number(digit[1]) : null;
}
