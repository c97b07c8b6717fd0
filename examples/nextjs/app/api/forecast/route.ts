import { check, readFields } from "@/lib/body";
import { requestCookies } from "@/lib/cookies";
import { Failure, problem } from "@/lib/failure";
import { forecastSpending } from "@/lib/forecasts";
import { storePredictions } from "@/lib/predictions";
import { settings } from "@/lib/settings";
import { currentUser, supabaseFor } from "@/lib/supabase";
import { dailySpending } from "@/lib/transactions";

/** Seconds that the platform allows, above our own budget. */
export const maxDuration = 60;

const MOST_PERIODS = 365;
const DEFAULT_PERIODS = 30;
const DAYS_SHOWN = 180;

/**
 * Forecast what the user will spend in a category, and keep it in `predictions`.
 *
 *     {"category": "groceries", "periods": 30}
 *     -> {"success": true, "forecast": [{"ds", "yhat", "yhat_lower", "yhat_upper"}, ...], "model": {...}, "history": [{"ds", "y"}, ...]}
 *
 * history: the last days with spending, for a chart. Errors are problem documents with `success: false`.
 */
export async function POST(request: Request): Promise<Response> {
  try {
    const outOfTime = AbortSignal.timeout(settings.budgetMs);
    const signal = AbortSignal.any([request.signal, outOfTime]);
    return await Promise.race([answer(request, signal), rejectedBy(signal)]).catch((error: unknown) => {
      throw outOfTime.aborted ? new Failure("timeout", { cause: error }) : error;
    });
  } catch (error) {
    if (request.signal.aborted) return new Response(null, { status: 499 }); // nobody listens any more
    return problem(error);
  }
}

async function answer(request: Request, signal: AbortSignal): Promise<Response> {
  const supabase = supabaseFor(await requestCookies(), signal);
  const user = await currentUser(supabase);
  if (user === null) throw new Failure("unauthenticated");
  const { category, periods } = checked(await readFields(request));

  const history = await dailySpending(supabase, user.id, category);
  const { forecast, source } = await forecastSpending(user.id, category, history, periods, signal);
  await storePredictions(supabase, user.id, category, forecast);

  const { version, trained_through } = forecast.model;
  return Response.json(
    {
      success: true,
      forecast: forecast.forecast,
      model: { source, version, trained_through },
      history: history.slice(-DAYS_SHOWN),
    },
    { headers: { "cache-control": "no-store" } },
  );
}

function checked({ category, periods = DEFAULT_PERIODS }: Record<string, unknown>): {
  category: string;
  periods: number;
} {
  const named = typeof category === "string" && category.trim() !== "" && category.length <= 100;
  const counted = Number.isInteger(periods) && Number(periods) >= 1 && Number(periods) <= MOST_PERIODS;
  check({
    category: named ? null : "must be text of 1 to 100 characters",
    periods: counted ? null : `must be a whole number from 1 to ${MOST_PERIODS}`,
  });
  return { category: String(category), periods: Number(periods) };
}

/** Rejects once the signal is aborted: not all that we wait for listens to signals. */
function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
