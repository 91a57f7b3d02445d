// Zoom of the sample on screen: a key, pinch, double tap; dragging moves an enlarged image.

import { address } from "./pictures.js";

const STEPS = [1, 2, 4];
const MOST = 8;

export class Zoom {
  #place;
  #item = null;
  #scale = 1;
  #x = 0;
  #y = 0;
  #fingers = new Map(); // pointer id -> [x, y]
  #lastTap = 0;

  constructor(place) {
    this.#place = place;
    place.addEventListener("pointerdown", (event) => this.#down(event));
    place.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      place.addEventListener(name, (event) => this.#fingers.delete(event.pointerId));
    }
    place.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  get isZoomed() {
    return this.#scale > 1;
  }

  /** Another sample is shown, in its normal size. */
  reset(item) {
    this.#item = item;
    if (this.#scale !== 1 || this.#x || this.#y) this.#set(1, 0, 0);
    this.#fingers.clear();
    this.#place.dataset.kind = item ? item.kind : "";
  }

  /** The next step: 1, 2, 4, 1. */
  step() {
    const next = STEPS.find((scale) => scale > this.#scale + 0.01) ?? 1;
    this.#set(next, next === 1 ? 0 : this.#x, next === 1 ? 0 : this.#y);
  }

  out() {
    this.#set(1, 0, 0);
  }

  #set(scale, x, y) {
    this.#scale = Math.max(1, Math.min(MOST, scale));
    const { clientWidth, clientHeight } = this.#place;
    const far = (this.#scale - 1) / 2;
    this.#x = Math.max(-far * clientWidth, Math.min(far * clientWidth, x));
    this.#y = Math.max(-far * clientHeight, Math.min(far * clientHeight, y));
    const style = this.#place.style;
    style.setProperty("--zoom", this.#scale);
    style.setProperty("--x", `${this.#x}px`);
    style.setProperty("--y", `${this.#y}px`);
    this.#place.classList.toggle("zoomed", this.isZoomed);
    if (this.isZoomed) this.#sharpen();
  }

  /** Shows the image in its full resolution. */
  async #sharpen() {
    const image = this.#place.querySelector("img.picture");
    const item = this.#item;
    if (!image || image.dataset.full) return;
    image.dataset.full = "yes";
    const full = new Image();
    full.src = address(item.key, { full: true });
    await full.decode().catch(() => {}); // the image on screen stays
    if (full.complete && full.naturalWidth > image.naturalWidth) image.src = full.src;
  }

  #isImage() {
    return this.#item?.kind === "image";
  }

  #down(event) {
    if (!this.#isImage() || event.button > 0) return;
    this.#place.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.#fingers.size > 1) return;
    const isDouble = event.timeStamp - this.#lastTap < 350;
    this.#lastTap = isDouble ? 0 : event.timeStamp;
    if (!isDouble) return;
    if (this.isZoomed) this.out();
    else this.#zoomAt(2.5, event.clientX, event.clientY);
  }

  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const others = [...this.#fingers].filter(([id]) => id !== event.pointerId);
    this.#fingers.set(event.pointerId, now);
    if (others.length === 1) {
      const other = others[0][1];
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
      this.#zoomAt((this.#scale * apart(now)) / apart(before), ...middle);
    } else if (others.length === 0 && this.isZoomed) {
      this.#set(this.#scale, this.#x + now[0] - before[0], this.#y + now[1] - before[1]);
    }
  }

  #wheel(event) {
    if (!event.ctrlKey || !this.#isImage()) return; // a pinch on a touch pad
    event.preventDefault();
    this.#zoomAt(this.#scale * Math.exp(-event.deltaY / 100), event.clientX, event.clientY);
  }

  /** Scales so that the point below the finger stays there. */
  #zoomAt(scale, clientX, clientY) {
    const box = this.#place.getBoundingClientRect();
    const [fromX, fromY] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
    const bounded = Math.max(1, Math.min(MOST, scale));
    const growth = bounded / this.#scale;
    this.#set(bounded, fromX - (fromX - this.#x) * growth, fromY - (fromY - this.#y) * growth);
  }
}
