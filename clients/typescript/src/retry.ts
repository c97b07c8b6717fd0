/** When to ask again. Nothing here asks, waits or looks at a clock. */

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;

/**
 * What may pass by itself. A forecast changes nothing, so its POST is as safe to repeat as a GET. Not 500:
 * it is a bug of the service, which the same request would meet again.
 */
const PASSING = new Set([408, 429, 502, 503, 504]);

export function mayPass(status: number): boolean {
  return PASSING.has(status);
}

/**
 * What Retry-After asks for, in milliseconds: its seconds, or the time until its date; null where it says neither.
 * A date is counted from the answer's own Date where there is one, since the two clocks may differ.
 */
export function retryAfterMs(headers: Headers, now: number): number | null {
  const asked = headers.get("retry-after")?.trim();
  if (!asked) return null;
  if (/^\d+(\.\d+)?$/.test(asked)) return Number(asked) * 1_000;
  const until = Date.parse(asked);
  if (Number.isNaN(until)) return null;
  const answered = Date.parse(headers.get("date") ?? "");
  return Math.max(0, until - (Number.isNaN(answered) ? now : answered));
}

/**
 * The pause before a retry, in milliseconds. retry: 0 for the first. random: in [0, 1), spreads callers who failed
 * together: between a half and the whole of an exponential backoff, or up to a quarter beyond what the service asked for,
 * never less.
 */
export function pauseMs(retry: number, askedMs: number | null, random: number): number {
  if (askedMs !== null) return askedMs * (1 + random / 4);
  return Math.min(FIRST_PAUSE_MS * 2 ** retry, LONGEST_PAUSE_MS) * (1 - random / 2);
}
