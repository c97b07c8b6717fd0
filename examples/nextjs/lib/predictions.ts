import "server-only";
import type { Forecast } from "prophet-serving-client";
import { databaseFailure } from "./database-failure";
import type { Supabase } from "./supabase";

/** Keep a forecast, one row a day: a day that was forecast before gets the new one. Throws a Failure. */
export async function storePredictions(
  supabase: Supabase,
  userId: string,
  category: string,
  { forecast, generated_at }: Forecast,
): Promise<void> {
  const rows = forecast.map((row) => ({
    user_id: userId,
    category,
    date: row.ds,
    predicted_amount: row.yhat,
    lower_bound: row.yhat_lower,
    upper_bound: row.yhat_upper,
    created_at: generated_at,
  }));
  const { error, status } = await supabase
    .from("predictions")
    .upsert(rows, { onConflict: "user_id,category,date" });
  if (error !== null) throw databaseFailure(status, error);
}
