/**
 * What can go wrong with a call:
 *
 *     ForecastError
 *     ├── StatusError            the service, or something before it, answered with an error
 *     │   ├── BadRequestError      400
 *     │   ├── AuthenticationError  401
 *     │   ├── ForbiddenError       403
 *     │   ├── NotFoundError        404
 *     │   ├── TooLargeError        413
 *     │   ├── RateLimitError       429
 *     │   ├── InternalError        500
 *     │   ├── UnavailableError     503
 *     │   └── ServiceTimeoutError  504
 *     ├── UnreachableError       no whole answer came through
 *     ├── ClientTimeoutError     this client's own time ran out
 *     └── InvalidAnswerError     an answer came that is not the service's
 *
 * A call that its caller aborted throws the signal's reason instead, as fetch does.
 */
import type { Fault, Problem } from "./generated/contract.js";

/** What every failure knows of its call. */
export interface Circumstances {
  /** The id under which the service logged the request, or, where it gave no answer, the one that was sent. */
  requestId: string;
  /** How often the request was sent. */
  attempts: number;
}

export class ForecastError extends Error {
  override readonly name: string = "ForecastError";
  readonly requestId: string;
  readonly attempts: number;

  constructor(message: string, { requestId, attempts }: Circumstances, options?: ErrorOptions) {
    super(message, options);
    this.requestId = requestId;
    this.attempts = attempts;
  }
}

/** An answer with an error status. */
export class StatusError extends ForecastError {
  override readonly name: string = "StatusError";
  readonly status: number;
  /** The stable name of the error, or null where something else than the service answered, such as a proxy. */
  readonly code: string | null;
  /** What the service says of it. */
  readonly detail: string | null;
  /** Each fault of the request with its place, at most 20. */
  readonly errors: readonly Fault[];
  /** How long the service asks to wait, in milliseconds. */
  readonly retryAfterMs: number | null;

  constructor(status: number, problem: Problem | null, retryAfterMs: number | null, circumstances: Circumstances) {
    super(problem === null ? `HTTP ${status}` : `${status} ${problem.code}: ${problem.detail}`, circumstances);
    this.status = status;
    this.code = problem?.code ?? null;
    this.detail = problem?.detail ?? null;
    this.errors = problem?.errors ?? [];
    this.retryAfterMs = retryAfterMs;
  }
}

export class BadRequestError extends StatusError {
  override readonly name = "BadRequestError";
}
export class AuthenticationError extends StatusError {
  override readonly name = "AuthenticationError";
}
export class ForbiddenError extends StatusError {
  override readonly name = "ForbiddenError";
}
export class NotFoundError extends StatusError {
  override readonly name = "NotFoundError";
}
export class TooLargeError extends StatusError {
  override readonly name = "TooLargeError";
}
export class RateLimitError extends StatusError {
  override readonly name = "RateLimitError";
}
export class InternalError extends StatusError {
  override readonly name = "InternalError";
}
export class UnavailableError extends StatusError {
  override readonly name = "UnavailableError";
}
export class ServiceTimeoutError extends StatusError {
  override readonly name = "ServiceTimeoutError";
}

/** The connection failed or ended before the answer did; `cause` is fetch's error. */
export class UnreachableError extends ForecastError {
  override readonly name = "UnreachableError";
}

/** No whole answer within `timeoutMs`, or within what was left of `budgetMs`. */
export class ClientTimeoutError extends ForecastError {
  override readonly name = "ClientTimeoutError";
}

/** A success that is not JSON, or not whole: `baseUrl` names something else, or a proxy meddles. */
export class InvalidAnswerError extends ForecastError {
  override readonly name = "InvalidAnswerError";
}

const BY_STATUS = new Map<number, typeof StatusError>([
  [400, BadRequestError],
  [401, AuthenticationError],
  [403, ForbiddenError],
  [404, NotFoundError],
  [413, TooLargeError],
  [429, RateLimitError],
  [500, InternalError],
  [503, UnavailableError],
  [504, ServiceTimeoutError],
]);

/** The class for a status, StatusError itself where there is none. */
export function errorOfStatus(status: number): typeof StatusError {
  return BY_STATUS.get(status) ?? StatusError;
}
