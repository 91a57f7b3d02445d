// The dialogs: name, flag, new class, guidelines, help.

import { COMMANDS, helpRows, singleKeys } from "./commands.js";
import { $, make, oneLine } from "./elements.js";
import { thumbnail } from "./sample_view.js";

const NAME = "lightning_badge_name";

for (const dialog of document.querySelectorAll("dialog")) {
  for (const close of dialog.querySelectorAll(".close")) close.addEventListener("click", () => dialog.close());
}

export const isOpen = () => document.querySelector("dialog[open]") !== null;

/** Shows a dialog with one field; calls `take(text)`, which returns a promise, when it is given. */
function ask(name, value, take, error = null) {
  const [dialog, field] = [$(`${name}-dialog`), $(`${name}-field`)];
  const form = dialog.querySelector("form");
  field.value = value;
  if (error) error.textContent = "";
  form.onsubmit = async (event) => {
    event.preventDefault();
    const text = field.tagName === "INPUT" ? oneLine(field.value) : field.value.trim();
    if (!text) return;
    try {
      await take(text);
      dialog.close();
    } catch (problem) {
      error.textContent = `Not kept: ${problem.message}. Try again.`;
    }
  };
  field.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  };
  dialog.showModal();
  field.focus();
  field.select();
}

/** Asks for the name; `isFirst`: nothing goes on without it. */
export function askName(isFirst, take) {
  const dialog = $("name-dialog");
  dialog.oncancel = (event) => isFirst && event.preventDefault();
  dialog.dataset.must = isFirst ? "yes" : "";
  ask("name", localStorage.getItem(NAME) ?? "", async (name) => {
    localStorage.setItem(NAME, name);
    take(name);
  });
}

export const askFlag = (take) => ask("flag", "", take, $("flag-error"));

export const askClass = (take) => ask("class", "", async (text) => take(text));

/** Shows guidelines and examples. The HTML is made from Markdown by the server, without raw HTML. */
export function showGuidelines(page) {
  const text = $("guidelines-text");
  const parsed = new DOMParser().parseFromString(page.guidelines ?? "", "text/html");
  for (const link of parsed.querySelectorAll("a")) Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  text.replaceChildren(...parsed.body.childNodes);
  if (!page.guidelines) text.replaceChildren(make("p", {}, "Whoever runs this gave no guidelines."));
  showExamples(page);
  $("guidelines-dialog").showModal();
}

/** Draws the examples, also when they come while the dialog is open. */
export function showExamples(page) {
  const shown = page.classes.map((name, number) => {
    const item = page.examples[number];
    const view = item ? thumbnail(item) : make("div", { className: "thumb words" }, "No example yet");
    return make("li", {}, view, make("span", { className: "name" }, name));
  });
  $("examples").replaceChildren(...shown);
}

export function showHelp(page) {
  const rows = helpRows(page).map(([key, text]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)]);
  $("help-keys").replaceChildren(...rows.flat());
  const box = $("single-keys");
  box.checked = singleKeys.isOn;
  box.onchange = () => (singleKeys.isOn = box.checked);
  $("help-dialog").showModal();
}

/** Closes a dialog by Escape, or by the key that opened it; returns whether it did. */
export function closes(event) {
  const dialog = document.querySelector("dialog[open]");
  if (!dialog) return false;
  const isTyping = event.target.closest("textarea, input:not([type=checkbox])") !== null;
  const opener = COMMANDS.find((one) => one.keys.includes(event.key));
  const isOpener = !isTyping && dialog.id === `${opener?.name}-dialog`;
  if (!isOpener && event.key !== "Escape") return false;
  if (!dialog.dataset.must) dialog.close(); // at once: the next key may be a command
  return true;
}
