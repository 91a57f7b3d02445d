// The samples that this tab holds, in the order to show them, and those that it answered.

const MOST_STEPS = 100; // of undo

export class Held {
  items = [];
  history = []; // {item, said}: answered here, oldest first
  #waiting;

  /** @param waiting function: key -> latest status of this sample that was not confirmed yet */
  constructor(waiting) {
    this.#waiting = waiting;
  }

  /** The sample on screen, or undefined. */
  get current() {
    return this.items[0];
  }

  /** Forgets the samples that nobody has seen, and returns their keys. */
  dropUnseen() {
    return this.items.splice(1).map((item) => item.key);
  }

  /**
   * Takes what the server says that this session holds. What is on screen stays first. A sample
   * whose answer is on its way is not held any more; one whose undo is on its way is.
   */
  take(offered) {
    const open = offered.filter((item) => !["label", "skip"].includes(this.#waiting(item.key)));
    const undone = this.items.filter((item) => this.#waiting(item.key) === "undo");
    const all = new Map([...undone, ...open].map((item) => [item.key, item]));
    const first = this.current;
    if (first && all.has(first.key)) {
      all.delete(first.key);
      this.items = [first, ...all.values()];
    } else {
      this.items = [...all.values()];
    }
  }

  /** Moves the first sample to the history and returns it. `said` says what was answered. */
  answer(said) {
    const item = this.items.shift();
    this.history = [...this.history.slice(1 - MOST_STEPS), { item, said }];
    return item;
  }

  /** Brings the sample that was answered last back to the screen and returns it, or undefined. */
  undo() {
    const last = this.history.pop();
    if (!last) return undefined;
    this.items = [last.item, ...this.items.filter((item) => item.key !== last.item.key)];
    return last.item;
  }
}
