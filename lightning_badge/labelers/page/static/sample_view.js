// Shows a sample: image, text or table row.

import { make } from "./elements.js";
import { address, picture } from "./pictures.js";

const SMALL = 128; // pixels; images up to this size are enlarged without smoothing

/** Returns the element of a text or a row. */
function written(item) {
  if (item.kind === "text") return make("div", { className: "text", dir: "auto" }, item.text);
  const rows = item.row.map(([column, value]) =>
    make("tr", {}, make("th", { scope: "row" }, column), make("td", { dir: "auto" }, String(value ?? ""))),
  );
  return make("table", { className: "row" }, make("tbody", {}, ...rows));
}

/** Fills `place` with a sample at full size; resolves when it can be seen. */
export async function showSample(place, item) {
  if (item.kind !== "image") {
    place.replaceChildren(written(item));
    place.scrollTop = 0;
    return;
  }
  const found = picture(item);
  if (!found.isReady) {
    place.replaceChildren(make("p", { className: "loading" }, "Loading …"));
    try {
      await found.loaded;
    } catch {
      const text = `The image of sample ${item.id} cannot be shown. Skip it, or flag it.`;
      if (place.dataset.key === item.key) place.replaceChildren(make("p", { className: "broken" }, text));
      return;
    }
    if (place.dataset.key !== item.key) return; // another sample came meanwhile
  }
  const { image } = found;
  const isSmall = Math.max(image.naturalWidth, image.naturalHeight) <= SMALL;
  image.className = isSmall ? "picture small" : "picture";
  place.replaceChildren(image);
}

/** Returns a small view of a sample. */
export function thumbnail(item) {
  if (item.kind === "image") {
    const image = make("img", { loading: "lazy", alt: `Sample ${item.id}`, className: "thumb" });
    image.addEventListener("load", () => {
      if (Math.max(image.naturalWidth, image.naturalHeight) <= SMALL) image.classList.add("small");
    });
    image.src = address(item.key);
    return image;
  }
  const text = item.kind === "text"
    ? item.text
    : item.row.map(([column, value]) => `${column}: ${value ?? ""}`).join("\n");
  return make("div", { className: "thumb words", dir: "auto" }, text.slice(0, 300));
}

/** Returns what a screen reader says of a sample. */
export function spoken(item) {
  if (item.kind === "text") return item.text.slice(0, 500);
  if (item.kind === "row") return item.row.map(([column, value]) => `${column} ${value ?? ""}`).join(", ");
  return `Image of sample ${item.id}`;
}
