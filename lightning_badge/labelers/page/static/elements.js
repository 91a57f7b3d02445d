// Short ways to make elements. Text is always set as text.

export const $ = (id) => document.getElementById(id);

/** Returns an element: `make("p", {className: "x"}, "text", child, ...)`. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key.startsWith("data-") || key === "role") {
      element.setAttribute(key, value);
    } else {
      element[key] = value;
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Returns a button with its key. After a click the focus leaves it, so that Enter is free. */
export function button(text, key, onClick, properties = {}) {
  const made = make("button", { type: "button", ...properties }, make("span", {}, text));
  if (key) made.append(" ", make("kbd", {}, key));
  made.addEventListener("click", (event) => {
    if (event.detail > 0) made.blur(); // a click, not a key
    onClick(event);
  });
  return made;
}

/** Returns the number with separators. */
export const count = (number) => number.toLocaleString("en");

/** Returns "1 label", "2 labels". */
export const counted = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;


/** Returns a label as people read it; several classes are 0/1 lists. */
export function labelText(label, classes) {
  if (label === null || label === undefined) return "no label";
  if (!Array.isArray(label)) return classes[label] ?? String(label);
  const names = classes.filter((_, number) => label[number] > 0);
  return names.join(", ") || "none";
}

/** Returns what the model predicts, and how sure it is if that is known. */
export function guessText(guess, classes) {
  const isKnown = guess.confidence !== null && guess.confidence !== undefined;
  const sure = isKnown ? `, ${Math.round(100 * guess.confidence)} % sure` : "";
  return `${labelText(guess.label, classes)}${sure}`;
}

/** Returns a name in one line of printable characters, as the server wants it. */
export const oneLine = (text) => text.normalize("NFC").replace(/[\p{Z}\s]+/gu, " ").replace(/\p{C}/gu, "").trim();
