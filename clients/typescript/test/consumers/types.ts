/** Compiled, never run: what a caller may write, and what the types keep him from. */
import {
  BadRequestError,
  type ColumnarForecast,
  type Forecast,
  ForecastClient,
  type ForecastRequest,
  isProblem,
  type Point,
  type Problem,
  StatusError,
} from "prophet-serving-client";

const client = new ForecastClient({ baseUrl: "http://127.0.0.1:3000", apiKey: async () => "token" });
declare const history: Point[];
declare const either: ForecastRequest;
declare const signal: AbortSignal | undefined;

export async function allowed(): Promise<void> {
  const rows: Forecast = await client.forecast({ model_id: "a", periods: 7, data: history }, { signal, retries: 0 });
  const upper: number[] = rows.forecast.map((row) => row.yhat_upper);
  const columns: ColumnarForecast = await client.forecast({ model_id: "a", format: "columns", components: true });
  const trend: number[] | undefined = columns.components?.["trend"];
  const any: Forecast | ColumnarForecast = await client.forecast(either);

  const results: (Forecast | Problem)[] = await client.forecastBatch([{ model_id: "a" }, { model_id: "b", start: "2026-01-01" }]);
  for (const result of results) {
    if (isProblem(result)) console.log(result.code, result.errors?.[0]?.place);
    else console.log(result.forecast.length);
  }
  for await (const model of client.models({ limit: 10 })) console.log(model.metrics["backtest.mase"], (model.version ?? 0) + 1);
  for await (const page of client.models().pages()) console.log(page.models.length);
  const through: string | null = (await client.model("a")).trained_through;
  const age: number | null | undefined = (await client.health()).catalog?.age_seconds;
  try {
    await client.forecast({});
  } catch (error) {
    if (error instanceof BadRequestError) console.log(error.errors[0]?.place, error.requestId);
    else if (error instanceof StatusError) console.log(error.status, error.code, error.retryAfterMs);
  }
  console.log(upper, trend, any, through, age);
}

export function refused(): void {
  // @ts-expect-error misspelt
  void client.forecast({ modelId: "a" });
  // @ts-expect-error a number in text
  void client.forecast({ model_id: "a", periods: "30" });
  // @ts-expect-error a Date is not ISO 8601
  void client.forecast({ data: [{ ds: new Date(), y: 1 }] });
  // @ts-expect-error no such format
  void client.forecast({ format: "csv" });
  // @ts-expect-error where the service is must be said
  void new ForecastClient({});
  // @ts-expect-error columns are no rows
  void client.forecast({ format: "columns" }).then((answer) => answer.forecast);
  // @ts-expect-error a result may be a problem
  void client.forecastBatch([{}]).then((results) => results[0]?.forecast);
  // @ts-expect-error null where the version has no such tag
  void client.model("a").then((model) => model.freq.length);
}
