import { DAY_MS, timeOf } from "@/components/format";
import type { Answer } from "@/components/use-outlook";

/** The days with spending among so many days before the forecast. */
export function daysBefore({ history, forecast }: Answer, days: number): Answer["history"] {
  const first = forecast[0];
  if (first === undefined) return [];
  const since = timeOf(first.ds) - days * DAY_MS;
  return history.filter((row) => timeOf(row.ds) >= since);
}
