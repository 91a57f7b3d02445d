// Answers that the server has not confirmed yet. They are kept in IndexedDB, so that they outlive a
// reload, and are sent in the order in which they were given.

import { randomName } from "./calls.js";

const STORE = "answers";
const TAB = randomName(16); // a lock of this name says that this tab still lives and sends its own
const LOCK = (tab) => `lightning-badge-tab-${tab}`;

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function openDatabase() {
  const request = indexedDB.open("lightning_badge", 1);
  request.onupgradeneeded = () =>
    request.result.createObjectStore(STORE, { keyPath: "number", autoIncrement: true });
  return settled(request);
}

export class Outbox {
  #database = null;
  #entries = []; // {number, run, tab, labeler, session, answer}, oldest first
  #stored = Promise.resolve();

  /** False where the browser keeps nothing: then the page must stay open until all is sent. */
  isKept = true;

  constructor() {
    navigator.locks?.request(LOCK(TAB), () => new Promise(() => {}));
    this.#database = openDatabase().catch(() => this.#forgetful());
  }

  #forgetful() {
    this.isKept = false;
    return null;
  }

  get size() {
    return this.#entries.length;
  }

  /** Keeps an answer; it may be sent once `stored` has been awaited. */
  add({ run, labeler, session }, answer) {
    const entry = { run, labeler, session, tab: TAB, answer };
    this.#entries.push(entry);
    this.#stored = this.#stored.then(() => this.#put(entry)).catch(() => this.#forgetful());
  }

  async #put(entry) {
    const database = await this.#database;
    if (!database) return;
    const store = database.transaction(STORE, "readwrite").objectStore(STORE);
    entry.number = await settled(store.add({ ...entry }));
  }

  /** Resolves when all answers so far are kept. */
  get stored() {
    return this.#stored;
  }

  /** The oldest answers of one session, at most `count`. */
  first(count) {
    const { labeler, session } = this.#entries[0];
    const other = this.#entries.findIndex((entry) => entry.session !== session);
    const end = other < 0 ? count : Math.min(count, other);
    return { labeler, session, answers: this.#entries.slice(0, end).map((entry) => entry.answer) };
  }

  /** Whether answers of a session wait. */
  hasOf(session) {
    return this.#entries.some((entry) => entry.session === session);
  }

  /** The latest status that waits for a sample: label, skip, undo; or undefined. */
  waiting(key) {
    return this.#entries.findLast((entry) => entry.answer.key === key)?.answer.status;
  }

  /** Removes answers that the server has confirmed or refused. */
  async remove(requests) {
    const gone = new Set(requests);
    const [out, left] = [[], []];
    for (const entry of this.#entries) (gone.has(entry.answer.request) ? out : left).push(entry);
    this.#entries = left;
    const database = await this.#database;
    if (!database) return;
    const store = database.transaction(STORE, "readwrite").objectStore(STORE);
    for (const { number } of out) if (number !== undefined) store.delete(number);
  }

  /** Takes over what tabs that are closed, or this one before a reload, could not send. */
  async adopt(run) {
    const database = await this.#database;
    if (!database) return 0;
    const held = (await navigator.locks?.query())?.held.map((lock) => lock.name) ?? [];
    const all = await settled(database.transaction(STORE).objectStore(STORE).getAll());
    const mine = new Set(this.#entries.map((entry) => entry.answer.request));
    const orphans = all.filter(
      (entry) => entry.run === run && entry.tab !== TAB
        && !held.includes(LOCK(entry.tab)) && !mine.has(entry.answer.request),
    );
    this.#entries = [...orphans, ...this.#entries];
    return orphans.length;
  }
}
