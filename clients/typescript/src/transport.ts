/** One call as attempts with pauses between them, inside a budget of time. */
import type { Problem } from "./generated/contract.js";
import {
  type Circumstances,
  ClientTimeoutError,
  errorOfStatus,
  type ForecastError,
  InvalidAnswerError,
  UnreachableError,
} from "./errors.js";
import {
  type CallOptions,
  checkedBaseUrl,
  checkedKey,
  checkedRequestId,
  type ClientOptions,
  DEFAULT_PATIENCE,
  inBrowser,
  type Patience,
  patience,
} from "./options.js";
import { mayPass, pauseMs, retryAfterMs } from "./retry.js";

/** A request of the contract. */
export interface Request {
  method: "GET" | "POST";
  /** With its query, percent-encoded. */
  path: string;
  body?: unknown;
}

/** A request that is ready to be sent, as often as need be. */
interface Prepared extends Request {
  requestId: string;
  init: RequestInit;
  signal: AbortSignal | undefined;
}

type Outcome =
  | { status: number; answer: unknown }
  | { status: number | null; error: ForecastError; again: boolean; askedMs: number | null };

export class Transport {
  readonly #baseUrl: string;
  readonly #patience: Required<Patience>;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    if (options.apiKey !== undefined) {
      if (inBrowser() && options.allowKeyInBrowser !== true) {
        throw new TypeError(
          "an apiKey in a browser is everybody's: ask from a route handler, or set allowKeyInBrowser if that is meant",
        );
      }
      if (typeof options.apiKey !== "function") checkedKey(options.apiKey);
    }
    this.#baseUrl = checkedBaseUrl(options.baseUrl);
    this.#patience = patience(options, DEFAULT_PATIENCE);
    this.#options = options;
  }

  /** The JSON of a successful answer; throws a ForecastError, or the reason of an aborted signal. */
  async send(request: Request, options: CallOptions = {}): Promise<unknown> {
    const { timeoutMs, budgetMs, retries } = patience(options, this.#patience);
    const deadline = performance.now() + budgetMs;
    const prepared = await this.#prepare(request, options);
    for (let attempt = 1; ; attempt++) {
      const started = performance.now();
      const outcome = await this.#attempt(prepared, attempt, Math.min(timeoutMs, deadline - started));
      const now = performance.now();
      const pause = attempt <= retries ? pauseAfter(outcome, attempt - 1) : null;
      const affordable = pause !== null && now + pause < deadline ? pause : null;
      const error = "error" in outcome ? outcome.error : null;
      this.#options.onAttempt?.({
        method: request.method,
        path: request.path,
        requestId: prepared.requestId,
        attempt,
        status: outcome.status,
        error,
        durationMs: now - started,
        pauseMs: affordable,
      });
      if ("answer" in outcome) return outcome.answer;
      if (affordable === null) throw outcome.error;
      await sleep(affordable, options.signal);
    }
  }

  async #prepare(request: Request, options: CallOptions): Promise<Prepared> {
    const requestId = checkedRequestId(options.requestId ?? crypto.randomUUID());
    const headers = new Headers({ accept: "application/json, application/problem+json" });
    for (const [name, value] of Object.entries({ ...this.#options.headers, ...options.headers })) {
      headers.set(name, value);
    }
    headers.set("x-request-id", requestId);
    const { apiKey } = this.#options;
    if (apiKey !== undefined) {
      headers.set("authorization", `Bearer ${checkedKey(typeof apiKey === "function" ? await apiKey() : apiKey)}`);
    }
    // A redirect would turn a POST into a GET, and the service sends none.
    const init: RequestInit = { method: request.method, headers, redirect: "manual" };
    if (request.body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(request.body);
    }
    return { ...request, requestId, init, signal: options.signal };
  }

  async #attempt(prepared: Prepared, attempt: number, milliseconds: number): Promise<Outcome> {
    const circumstances = { requestId: prepared.requestId, attempts: attempt };
    const { signal } = prepared;
    const ending = new AbortController();
    const abort = () => ending.abort(signal?.reason);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      ending.abort();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      signal?.throwIfAborted();
      const fetch = this.#options.fetch ?? globalThis.fetch; // looked up late: frameworks replace it
      const response = await fetch(this.#baseUrl + prepared.path, { ...prepared.init, signal: ending.signal });
      return judge(response, await response.text(), circumstances);
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      const error = late
        ? new ClientTimeoutError(`no answer within ${Math.ceil(milliseconds)} ms`, circumstances)
        : new UnreachableError(`${this.#baseUrl} did not answer: ${reason(cause)}`, circumstances, { cause });
      return { status: null, error, again: true, askedMs: null };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }
}

/** What a whole answer means. */
function judge(response: Response, text: string, sent: Circumstances): Outcome {
  const { status, headers } = response;
  const circumstances = { ...sent, requestId: headers.get("x-request-id") ?? sent.requestId };
  const isJson = /^application\/([\w.-]+\+)?json\b/i.test(headers.get("content-type") ?? "");
  const body = isJson ? parsed(text) : undefined;
  if (!response.ok) {
    const askedMs = retryAfterMs(headers, Date.now());
    const error = new (errorOfStatus(status))(status, isProblem(body) ? body : null, askedMs, circumstances);
    return { status, error, again: mayPass(status), askedMs };
  }
  if (typeof body === "object" && body !== null) return { status, answer: body };
  // Broken JSON is an answer that was cut off somewhere; another type is an answer of somebody else.
  const message = isJson ? "the answer is broken JSON" : "the answer is not JSON: does baseUrl lead to the service?";
  return { status, error: new InvalidAnswerError(message, circumstances), again: isJson, askedMs: null };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether a body, or one result of a batch, is a problem document. */
export function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && typeof body.code === "string";
}

function pauseAfter(outcome: Outcome, retry: number): number | null {
  return "error" in outcome && outcome.again ? pauseMs(retry, outcome.askedMs, Math.random()) : null;
}

/** fetch hides what happened in the cause of its error. */
function reason(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
  });
}
