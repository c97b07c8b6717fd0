/** What can go wrong, as callers hear of it: a status and a text that are the same whatever the reason inside was. */
const FAILURES = {
  malformed_json: [400, "The body is not JSON."],
  unauthenticated: [401, "Nobody is signed in."],
  wrong_credentials: [401, "The address or the password is wrong."],
  unknown_category: [404, "There are no transactions in this category."],
  too_large: [413, "The body is too large."],
  not_json: [415, "The body must be sent as application/json."],
  invalid_request: [422, "The request is not valid."],
  too_few_days: [422, "A forecast needs spending on at least two days."],
  unusable_history: [422, "No forecast can be made of this history."],
  too_many_attempts: [429, "Too many attempts. Try again in a while."],
  internal_error: [500, "Something went wrong."],
  forecast_failed: [502, "The forecast service did not give a forecast."],
  database_failed: [502, "The database did not do what it was asked for."],
  forecast_unavailable: [503, "The forecast service is busy. Try again in a moment."],
  database_unavailable: [503, "The database cannot be reached. Try again in a moment."],
  timeout: [504, "The forecast took too long. Try again in a moment."],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type FailureCode = keyof typeof FAILURES;

interface Circumstances {
  /** The reason inside, for the log. */
  cause?: unknown;
  /** What is wrong with the caller's request, field by field. */
  errors?: readonly Fault[];
  /** When to try again, in milliseconds. */
  retryAfterMs?: number | null;
}

export interface Fault {
  field: string;
  message: string;
}

export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly status: number;
  readonly errors: readonly Fault[];
  readonly retryAfterMs: number | null;

  constructor(code: FailureCode, { cause, errors = [], retryAfterMs = null }: Circumstances = {}) {
    const [status, title] = FAILURES[code];
    super(title, { cause });
    this.code = code;
    this.status = status;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
  }
}

const RETRY_AFTER_MS = 2_000;

/** An error as a problem document (RFC 9457). The reason of what is not the caller's fault goes to the log, and no further. */
export function problem(error: unknown): Response {
  const failure = error instanceof Failure ? error : new Failure("internal_error", { cause: error });
  if (failure.status >= 500) console.error(failure.code, failure.cause);
  const headers = new Headers({ "content-type": "application/problem+json" });
  if (failure.status === 503 || failure.status === 429) {
    headers.set("retry-after", String(Math.ceil((failure.retryAfterMs ?? RETRY_AFTER_MS) / 1_000)));
  }
  const { status, code, message: title, errors } = failure;
  const body = { success: false, type: "about:blank", title, status, code, ...(errors.length > 0 && { errors }) };
  return Response.json(body, { status, headers });
}
