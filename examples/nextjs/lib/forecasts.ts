import "server-only";
import {
  BadRequestError,
  ClientTimeoutError,
  type Forecast,
  ForecastClient,
  ForecastError,
  NotFoundError,
  RateLimitError,
  ServiceTimeoutError,
  UnavailableError,
} from "prophet-serving-client";
import { Failure } from "./failure";
import { settings } from "./settings";
import type { Day } from "./transactions";

/** A forecast, and whether a registered champion made it or a fit of the history that was sent along. */
export interface Made {
  forecast: Forecast;
  source: "champion" | "history";
}

/**
 * The days after a history: by the champion of `user_<id>_<category>`, as the nightly job trains it, or, where there is
 * none (yet), by a model that the service fits to the history here and now. Throws a Failure, or the signal's reason.
 */
export async function forecastSpending(
  userId: string,
  category: string,
  history: readonly Day[],
  periods: number,
  signal: AbortSignal,
): Promise<Made> {
  const last = history.at(-1);
  if (last === undefined) throw new Failure("unknown_category");
  // A champion has seen no day later than last night's. Either way the first day asked for is the one after the history.
  const request = { model_id: `user_${userId}_${category}`, periods, freq: "D", start: dayAfter(last.ds) };
  try {
    return { forecast: await client().forecast(request, { signal }), source: "champion" };
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw failureOf(error);
  }
  if (history.length < 2) throw new Failure("too_few_days");
  try {
    return { forecast: await client().forecast({ ...request, data: [...history] }, { signal }), source: "history" };
  } catch (error) {
    throw failureOf(error);
  }
}

function client(): ForecastClient {
  return new ForecastClient({
    baseUrl: settings.forecastUrl,
    apiKey: settings.forecastKey,
    budgetMs: settings.budgetMs,
  });
}

function dayAfter(date: string): string {
  const day = new Date(date); // YYYY-MM-DD is midnight in UTC, whatever the server's zone is
  day.setUTCDate(day.getUTCDate() + 1);
  return day.toISOString().slice(0, 10);
}

/** What a failed call means for our own caller, who is to blame for the history alone. */
function failureOf(error: unknown): unknown {
  if (error instanceof BadRequestError) {
    const ours = error.code === "too_few_points" ? "too_few_days" : "unusable_history";
    const history = error.code === "too_few_points" || error.code === "unfittable_history";
    return new Failure(history ? ours : "forecast_failed", { cause: error });
  }
  if (error instanceof UnavailableError || error instanceof RateLimitError) {
    return new Failure("forecast_unavailable", { cause: error, retryAfterMs: error.retryAfterMs });
  }
  if (error instanceof ServiceTimeoutError || error instanceof ClientTimeoutError) {
    return new Failure("timeout", { cause: error });
  }
  return error instanceof ForecastError ? new Failure("forecast_failed", { cause: error }) : error;
}
