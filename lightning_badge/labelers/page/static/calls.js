// Calls of the server: one POST with JSON each.

const TIMEOUT = 15000; // milliseconds; a call that takes longer counts as lost and is made again

/** A call that the server refused (`status` 4xx or 5xx) or that did not reach it (`status` 0). */
export class CallError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** The same call will be refused again. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && ![401, 403, 408, 429].includes(this.status);
  }
}

/** Returns a random name of `length` hex digits. */
export function randomName(length = 32) {
  const bytes = crypto.getRandomValues(new Uint8Array(length / 2));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Returns a random id of a request (UUID). `crypto.randomUUID` exists on https and localhost only. */
export function requestId() {
  const digits = randomName(32);
  const variant = "89ab"[parseInt(digits[16], 16) % 4];
  return [
    digits.slice(0, 8), digits.slice(8, 12), `4${digits.slice(13, 16)}`,
    variant + digits.slice(17, 20), digits.slice(20),
  ].join("-");
}

/** Makes a call and returns the reply. */
export async function call(name, body, { keepalive = false } = {}) {
  let reply;
  let content = {};
  try {
    reply = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      keepalive,
      signal: keepalive ? undefined : AbortSignal.timeout(TIMEOUT),
    });
    content = await reply.json();
  } catch {
    if (!reply || reply.ok) throw new CallError("the server does not answer", 0);
  }
  if (!reply.ok) throw new CallError(content.error ?? `error ${reply.status}`, reply.status);
  return content;
}
