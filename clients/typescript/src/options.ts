/** What a client and a call can be told, and the checks of it. */

/** Where the service is and how to ask it. All times are in milliseconds. */
export interface ClientOptions extends Patience {
  /** Such as `http://127.0.0.1:3000`; a path is kept. */
  baseUrl: string;
  /** An API key or a user's token, or what fetches one; without it nothing is sent. */
  apiKey?: string | undefined | (() => string | Promise<string>);
  /** Sent with every request, such as tracing headers. */
  headers?: Record<string, string>;
  /** Another fetch than the global one. */
  fetch?: typeof globalThis.fetch;
  /** Called after every attempt, for logs and metrics. */
  onAttempt?: (attempt: Attempt) => void;
  /** A key in a page is everybody's. Only for keys that are meant to be read by whoever opens the page. */
  allowKeyInBrowser?: boolean;
}

/** How long and how often to try. */
export interface Patience {
  /** For one attempt, the body included. Default 15,000: above the service's own 10 seconds, so that it can say why. */
  timeoutMs?: number;
  /** For the whole call, pauses included. Default 30,000. */
  budgetMs?: number;
  /** How often to ask again. Default 2. */
  retries?: number;
}

/** What one call can be told. */
export interface CallOptions extends Patience {
  /** Ends the call; it throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Up to 64 letters, digits and `._:-`; it stands in the service's log. Default: a random UUID. */
  requestId?: string;
  headers?: Record<string, string>;
}

/** One attempt, as onAttempt hears of it. */
export interface Attempt {
  method: string;
  path: string;
  requestId: string;
  /** 1 for the first. */
  attempt: number;
  /** Null where no answer came. */
  status: number | null;
  /** Null after a success. */
  error: Error | null;
  durationMs: number;
  /** Pause before the next attempt; null where there is none. */
  pauseMs: number | null;
}

export const DEFAULT_PATIENCE: Required<Patience> = { timeoutMs: 15_000, budgetMs: 30_000, retries: 2 };

const LONGEST_TIMER_MS = 2 ** 31 - 1; // a longer one fires at once

/** `given` over `otherwise`, checked. */
export function patience(given: Patience, otherwise: Required<Patience>): Required<Patience> {
  const { timeoutMs = otherwise.timeoutMs, budgetMs = otherwise.budgetMs, retries = otherwise.retries } = given;
  for (const [name, value] of Object.entries({ timeoutMs, budgetMs })) {
    if (!(value > 0)) throw new TypeError(`${name} must be a positive number of milliseconds, not ${value}`);
  }
  if (!Number.isInteger(retries) || retries < 0) throw new TypeError(`retries must be 0, 1, ..., not ${retries}`);
  const longest = (value: number) => Math.min(value, LONGEST_TIMER_MS);
  return { timeoutMs: longest(timeoutMs), budgetMs: longest(budgetMs), retries };
}

/** The base URL without a trailing slash. */
export function checkedBaseUrl(baseUrl: string): string {
  let url: URL;
  try {
    url = new URL(baseUrl);
  } catch {
    throw new TypeError(`baseUrl is not a URL: ${JSON.stringify(baseUrl)}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new TypeError("baseUrl must be http or https");
  if (url.username || url.password || url.search || url.hash) {
    throw new TypeError("baseUrl must have no user, query or fragment");
  }
  return url.href.replace(/\/+$/, "");
}

/** A key that a header can carry. Its value is never part of a message. */
export function checkedKey(key: unknown): string {
  if (typeof key !== "string" || !/^[\x21-\x7e]+$/.test(key)) {
    throw new TypeError("apiKey must be text without spaces: is its environment variable set?");
  }
  return key;
}

export function checkedRequestId(requestId: string): string {
  if (!/^[A-Za-z0-9._:-]{1,64}$/.test(requestId)) {
    throw new TypeError("requestId must be 1 to 64 letters, digits and ._:-");
  }
  return requestId;
}

/** Whether this runs in a page, where everybody can read what the code knows. */
export function inBrowser(): boolean {
  return "window" in globalThis && "document" in globalThis;
}
