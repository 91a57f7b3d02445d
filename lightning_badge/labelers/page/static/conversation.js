// The conversation with the server: one request at a time, so that answers arrive in order and no
// reply is older than the one before.

import { call, CallError, randomName } from "./calls.js";

export const WANT = 8; // samples that this page holds
const BATCH = 20; // answers of one request
const PAUSES = [500, 1000, 2000, 4000, 5000]; // milliseconds between attempts
const WHEN_EMPTY = 1500; // milliseconds between questions for samples while none is held

export class Conversation {
  #outbox;
  #on;
  #labeler = null;
  #session = randomName();
  #mustAsk = false;
  #mustSwap = false; // with the next question, give back what nobody has seen
  #toRelease = []; // keys
  #left = null; // the author before, whose samples are given back first
  #mustOpen = true;
  #heartbeat = 5000;
  #lastCall = 0;
  #failures = 0;
  #wake = () => {};
  #run = null;

  /**
   * @param outbox answers to send
   * @param on functions: opened(reply), reply(reply), refused(reasons), trouble(error or null),
   *   isEmpty() says whether no sample is held, dropUnseen() returns keys and forgets them
   */
  constructor(outbox, on) {
    this.#outbox = outbox;
    this.#on = on;
  }

  get labeler() {
    return this.#labeler;
  }

  /** Who answers: run, name and session. */
  get author() {
    return { run: this.#run, labeler: this.#labeler, session: this.#session };
  }

  /** Starts, or goes on under another name with a session of its own. */
  startAs(labeler) {
    const isFirst = this.#labeler === null;
    if (!isFirst && !this.#outbox.hasOf(this.#session)) this.#left = this.author;
    this.#labeler = labeler;
    this.#session = randomName();
    this.#mustOpen = true;
    this.#toRelease = [];
    if (isFirst) this.#converse();
    this.wake();
  }

  wake() {
    this.#wake();
  }

  /** Asks for samples. */
  ask() {
    this.#mustAsk = true;
    this.wake();
  }

  /** Gives back the samples that nobody has seen, and asks for others. */
  swap() {
    this.#mustSwap = true;
    this.ask();
  }

  /** Reads the classes again. */
  reopen() {
    this.#mustOpen = true;
    this.wake();
  }

  /** Gives all samples back, also while the page closes. */
  release(author = this.author) {
    call("release", author, { keepalive: true }).catch(() => {}); // else the leases expire
  }

  /** A call by this session; the server refuses it if it serves another run now. */
  async read(name, body) {
    return call(name, { ...this.author, ...body });
  }

  async #converse() {
    for (;;) {
      try {
        await this.#turn();
        this.#failures = 0;
        this.#on.trouble(null);
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        this.#on.trouble(error);
        await this.#rest(PAUSES[Math.min(this.#failures++, PAUSES.length - 1)], "online");
        continue;
      }
      if (!this.#hasWork()) await this.#rest(this.#untilNextCall());
    }
  }

  #hasWork() {
    return this.#mustOpen || this.#mustAsk || this.#outbox.size > 0;
  }

  #untilNextCall() {
    if (document.hidden) return 60000; // the leases of a page that nobody sees expire
    return this.#on.isEmpty() ? WHEN_EMPTY : this.#heartbeat;
  }

  /** Waits; `wake` ends it, but after a failure only that the network is back. */
  #rest(milliseconds, event = null) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      const end = () => (clearTimeout(timer), resolve());
      if (event) addEventListener(event, end, { once: true });
      else this.#wake = end;
    });
  }

  async #turn() {
    if (this.#mustOpen) return this.#open();
    if (this.#outbox.size) return this.#send();
    if (document.hidden && !this.#mustAsk) return undefined;
    if (this.#mustAsk || this.#on.isEmpty()) return this.#ask();
    const reply = await this.read("heartbeat", {});
    if (await this.#outbox.adopt(this.#run)) this.wake();
    return this.#on.reply(reply);
  }

  async #open() {
    this.#mustOpen = false;
    try {
      if (this.#left) await call("release", this.#left).catch(() => {}); // else the leases expire
      this.#left = null;
      const labeler = this.#labeler;
      const reply = await this.read("open", { run: undefined, want: WANT });
      if (labeler !== this.#labeler) return;
      this.#run = reply.run;
      this.#heartbeat = Math.max(1000, Math.min(5000, (reply.lease_seconds * 1000) / 3));
      await this.#outbox.adopt(this.#run);
      this.#on.opened(reply);
    } catch (error) {
      this.#mustOpen = true;
      throw error;
    }
  }

  async #ask() {
    if (this.#mustSwap) this.#toRelease.push(...this.#on.dropUnseen());
    this.#mustSwap = this.#mustAsk = false;
    const [session, release] = [this.#session, this.#toRelease];
    try {
      const reply = await this.read("next", { want: WANT, release });
      this.#toRelease = [];
      if (session === this.#session) this.#on.reply(reply);
    } catch (error) {
      this.#mustAsk = true;
      throw error;
    }
  }

  async #send(count = BATCH) {
    await this.#outbox.stored;
    const { labeler, session, answers } = this.#outbox.first(count);
    const isMine = session === this.#session; // else it was given before a reload or a new name
    const want = isMine && !document.hidden ? WANT : 0;
    try {
      const reply = await call("answer", { run: this.#run, labeler, session, want, answers });
      const refused = reply.refused ?? [];
      await this.#outbox.remove([...reply.confirmed, ...refused.map((one) => one.request)]);
      if (refused.length) this.#on.refused(refused.map((one) => one.reason));
      if (want && session === this.#session) this.#on.reply(reply);
      else if (!isMine && !this.#outbox.hasOf(session)) {
        this.release({ run: this.#run, labeler, session });
        this.ask();
      }
    } catch (error) {
      if (!error.isFinal) throw error;
      if (answers.length > 1) return this.#send(1); // find the one that cannot be accepted
      await this.#outbox.remove([answers[0].request]);
      this.#on.refused([error.message]);
      this.ask();
    }
    return undefined;
  }
}
