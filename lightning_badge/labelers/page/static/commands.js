// The commands and their keys. Classes have digits and letters; commands never do.

export const COMMANDS = [
  { name: "skip", keys: ["ArrowRight"], shown: "→", text: "Skip", help: "skip a sample that you cannot decide" },
  { name: "undo", keys: ["ArrowLeft", "Backspace"], shown: "←", text: "Undo", help: "take your last answer back; several times for earlier ones (also Backspace)" },
  { name: "zoom", keys: ["+", "="], shown: "+", text: "Zoom", help: "enlarge: 1, 2, 4 times (also pinch, or tap twice)" },
  { name: "flag", keys: ["!"], shown: "!", text: "Flag", help: "flag the sample with a comment" },
  { name: "guidelines", keys: ["/"], shown: "/", text: "Guidelines", help: "guidelines, and an example of each class" },
  { name: "why", keys: ["."], shown: ".", text: "Why this?", help: "why this sample is shown" },
  { name: "review", keys: [","], shown: ",", text: "Review", help: "look through what was labeled, and correct it" },
  { name: "help", keys: ["?"], shown: "?", text: "Help", help: "this list" },
];

const SINGLE_KEYS = "lightning_badge_single_keys";

/** Whether single keys act at once; people who dictate to their browser switch that off. */
export const singleKeys = {
  get isOn() {
    return localStorage.getItem(SINGLE_KEYS) !== "off";
  },
  set isOn(value) {
    localStorage.setItem(SINGLE_KEYS, value ? "on" : "off");
  },
};

/** Returns the command of a key, or undefined. */
export function commandOf(event) {
  return COMMANDS.find((command) => command.keys.includes(event.key));
}

/** Whether a key belongs to the browser or to the element that has the focus. */
export function isElsewhere(event) {
  const isCharacter = event.getModifierState?.("AltGraph") && event.key.length === 1;
  if (event.ctrlKey || event.metaKey || event.altKey) if (!isCharacter) return true;
  const target = event.target; // it may be in a dialog that has just been closed
  if (target.closest?.("dialog[open], select, textarea")) return true;
  const isActive = target.closest?.("button, a, summary");
  return Boolean(isActive) && (event.key === "Enter" || event.key === " ");
}

/** Rows of the help: [key, what it does]. */
export function helpRows(page) {
  const rows = COMMANDS.map((command) => [command.shown, command.help]);
  const last = "0123456789abcdefghijklmnopqrstuvwxyz"[Math.min(35, page.classes.length - 1)];
  if (page.isSearch) {
    rows.unshift(["a part of a name", "find a class; ↑ and ↓ choose"], ["Enter", page.multilabel ? "choose the class; on the empty line: confirm all" : "answer with the class"]);
  } else if (page.multilabel) {
    rows.unshift([`0 to ${last}`, "choose a class, or take it back"], ["Enter", "confirm all that are chosen (or none)"]);
  } else {
    rows.unshift([`0 to ${last}`, "answer with the class"]);
  }
  if (page.acceptChanges && !page.multilabel && !page.isSearch) rows.push(["*", "a new class"]);
  rows.push(["Esc", "close what is open; normal size again"]);
  return rows;
}
