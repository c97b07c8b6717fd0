/**
 * Against the real service, which tests/e2e/test_clients.py starts: what it really answers is what the types say.
 *
 * FORECAST_URL says where; the keys are: FORECAST_KEY reads every segment, FORECAST_NARROW_KEY reads user_1_* and sends
 * no history, FORECAST_SLOW_KEY has one forecast a second. The champions are user_1_food, user_2_food and user_2_rent.
 */
import assert from "node:assert/strict";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import {
  AuthenticationError,
  BadRequestError,
  ForbiddenError,
  ForecastClient,
  isProblem,
  NotFoundError,
  type Point,
  RateLimitError,
  type StatusError,
  TooLargeError,
} from "../src/index.js";

const { FORECAST_URL: baseUrl = "", FORECAST_KEY, FORECAST_NARROW_KEY, FORECAST_SLOW_KEY } = process.env;

/** Real bodies with the type that each must have. */
const bodies: { type: string; json: string }[] = [];

/** A client that keeps every body it gets, a success as `type`. */
function recording(type: string, apiKey: string | undefined = FORECAST_KEY): ForecastClient {
  const fetch: typeof globalThis.fetch = async (...words) => {
    const response = await globalThis.fetch(...words);
    bodies.push({ type: response.ok ? type : "Problem", json: await response.clone().text() });
    return response;
  };
  return new ForecastClient({ baseUrl, apiKey, fetch, timeoutMs: 90_000, budgetMs: 180_000 });
}

/** The first `count` days of 2024. */
function history(count: number): Point[] {
  return Array.from({ length: count }, (_, day) => ({
    ds: new Date(Date.UTC(2024, 0, 1 + day)).toISOString().slice(0, 10),
    y: 100 + (day % 7),
  }));
}

const DATE = /^\d{4}-\d\d-\d\d$/;

it("a champion answers in rows", async () => {
  const answer = await recording("Forecast").forecast({ model_id: "user_1_food", periods: 7, components: true });
  assert.equal(answer.forecast.length, 7);
  for (const { ds, yhat, yhat_lower, yhat_upper } of answer.forecast) {
    assert.match(ds, DATE);
    assert.ok(yhat_lower < yhat && yhat < yhat_upper);
  }
  assert.equal(answer.components?.["trend"]?.length, 7);
  assert.deepEqual([answer.model.name, answer.model.version], ["forecast.user_1_food", 1]);
});

it("and in columns, the same numbers", async () => {
  const request = { model_id: "user_1_food", periods: 7 };
  const rows = await recording("Forecast").forecast(request);
  const { columns } = await recording("ColumnarForecast").forecast({ ...request, format: "columns" });
  assert.deepEqual(columns.yhat, rows.forecast.map(({ yhat }) => yhat));
  assert.deepEqual(columns.ds, rows.forecast.map(({ ds }) => ds));
});

it("a history is fitted", async () => {
  const answer = await recording("Forecast").forecast({ model_id: "inline", periods: 3, data: history(60) });
  assert.deepEqual(answer.forecast.map(({ ds }) => ds), ["2024-03-01", "2024-03-02", "2024-03-03"]);
  assert.deepEqual([answer.model.name, answer.model.version], [null, null]);
});

it("a batch has a result for each request", async () => {
  const asked = [{ model_id: "user_1_food" }, { model_id: "nobody" }, { data: history(1) }, { model_id: "user_2_rent", periods: 2 }];
  const results = await recording("BatchResponse").forecastBatch(asked);
  const short = results.map((result) => (isProblem(result) ? result.code : result.forecast.length));
  assert.deepEqual(short, [30, "unknown_segment", "too_few_points", 2]);
});

it("models are listed over pages, and each by itself", async () => {
  const client = recording("ServedModels");
  const found: string[] = [];
  for await (const { model_id } of client.models({ limit: 1 })) found.push(model_id);
  assert.deepEqual(found, ["user_1_food", "user_2_food", "user_2_rent"]);
  const narrow: string[] = [];
  for await (const { model_id } of recording("ServedModels", FORECAST_NARROW_KEY).models()) narrow.push(model_id);
  assert.deepEqual(narrow, ["user_1_food"]);
  const model = await recording("ServedModel").model("user_2_rent");
  assert.deepEqual([model.model_id, model.version], ["user_2_rent", 1]);
});

it("health needs no key", async () => {
  const client = new ForecastClient({ baseUrl });
  assert.equal((await client.health()).service, "prophet-forecast");
  assert.equal((await recording("Health").health()).catalog?.segments, 3);
});

const refusals: [string, (client: ForecastClient) => Promise<unknown>, typeof StatusError, string, (string | undefined)?][] = [
  ["an unknown segment", (client) => client.forecast({ model_id: "nobody" }), NotFoundError, "unknown_segment"],
  ["an unknown version", (client) => client.forecast({ model_id: "user_1_food", version: 9 }), NotFoundError, "unknown_version"],
  ["an unknown model", (client) => client.model("ü/50%?#"), NotFoundError, "unknown_segment"],
  ["no rows at all", (client) => client.forecast({ model_id: "user_1_food", periods: 0 }), BadRequestError, "invalid_request"],
  ["a single point", (client) => client.forecast({ data: history(1) }), BadRequestError, "too_few_points"],
  ["dates that descend", (client) => client.forecast({ data: history(9).reverse() }), BadRequestError, "invalid_history"],
  ["a number that is none", (client) => client.forecast({ data: [{ ds: "2024-01-01", y: Number.NaN }] }), BadRequestError, "invalid_request"],
  ["more than may be sent", (client) => client.forecast({ model_id: "x".repeat(5_000_000) }), TooLargeError, "body_too_large"],
  ["a key that is none", (client) => client.forecast({ model_id: "user_1_food" }), AuthenticationError, "unauthenticated", "fk_no"],
  ["a segment of others", (client) => client.forecast({ model_id: "user_2_food" }), ForbiddenError, "forbidden", FORECAST_NARROW_KEY],
];
for (const [name, call, kind, code, key] of refusals) {
  it(`${name} is a ${kind.name}, ${code}`, async () => {
    const error = await call(recording("no success", key)).then(
      () => assert.fail("the call succeeded"),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof kind, String(error));
    assert.equal(error.code, code);
    if (code === "invalid_history") assert.match(error.errors[0]?.place ?? "", /^data\.\d+\.ds$/);
  });
}

it("whoever asks too often is told when to come again, and the client waits as long", async () => {
  const asked = Array.from({ length: 2 }, () => ({ model_id: "user_1_food", periods: 1 }));
  const hasty = recording("BatchResponse", FORECAST_SLOW_KEY);
  await hasty.forecastBatch(asked); // more than there is for this second: the rest is owed
  const error = await hasty.forecastBatch(asked, { retries: 0 }).catch((reason: unknown) => reason);
  assert.ok(error instanceof RateLimitError, String(error));
  assert.ok(error.retryAfterMs !== null && error.retryAfterMs > 0);
  assert.equal((await hasty.forecastBatch(asked)).length, 2);
});

it("the service answers under the client's request id", async () => {
  const call = recording("Forecast").forecast({ model_id: "nobody" }, { requestId: "live-1" });
  await assert.rejects(call, { requestId: "live-1", attempts: 1 });
});

/** What TypeScript has against bodies as literals of their types; a field that a type lacks counts, too. */
function complaints(literals: typeof bodies): string[] {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const source = [
    'import type * as contract from "../src/index.js";',
    ...literals.map(({ type, json }) => `void (${json} satisfies contract.${type});`),
  ];
  const file = `${root}test/bodies.ts`;
  const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, source.join("\n"), ts.ScriptTarget.ES2022) : getSourceFile(name, ...rest);
  const program = ts.createProgram([file], { ...options, rootDir: root, noEmit: true }, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

it("all of these bodies are what the types say", () => {
  const types = new Set(bodies.map(({ type }) => type));
  assert.deepEqual([...types].sort(), [
    "BatchResponse",
    "ColumnarForecast",
    "Forecast",
    "Health",
    "Problem",
    "ServedModel",
    "ServedModels",
  ]);
  assert.deepEqual(complaints(bodies), []);
  const real = bodies.find(({ type }) => type === "Forecast")?.json ?? "";
  for (const wrong of [real.replace(/"yhat":[^,]+/, '"yhat":"1"'), real.replace('"ds"', '"date"'), real.replace("{", '{"more":1,')]) {
    assert.equal(complaints([{ type: "Forecast", json: wrong }]).length, 1, "a wrong body passed for a right one");
  }
});
