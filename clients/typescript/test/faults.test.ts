/** What a client does about a service, a network or a proxy that fails. */
import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import * as client from "../src/index.js";
import type { Attempt, CallOptions, ClientOptions } from "../src/index.js";
import { cutOff, json, problem, reset, type Seen, serving, silence, stalled, status, text } from "./fault-server.js";

const FORECAST = { forecast: [], model_id: "a" };

function ask(baseUrl: string, options: CallOptions & Partial<ClientOptions> = {}): Promise<unknown> {
  return new client.ForecastClient({ baseUrl, ...options }).forecast({ model_id: "a" }, options);
}

async function failure<E extends Error>(call: Promise<unknown>, kind: new (...words: never[]) => E): Promise<E> {
  const error = await call.then(
    () => assert.fail("the call succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof kind, `not a ${kind.name}: ${String(error)}`);
  return error;
}

const ids = (seen: Seen[]) => new Set(seen.map(({ headers }) => headers["x-request-id"]));

describe("what passes by itself is asked for again", { concurrency: true }, () => {
  it("a connection that is reset, under one request id", async (t) => {
    const { url, seen } = await serving(t, reset, json(FORECAST));
    assert.deepEqual(await ask(url), FORECAST);
    assert.equal(seen.length, 2);
    assert.equal(ids(seen).size, 1);
    assert.deepEqual(
      seen.map(({ method, body }) => [method, body]),
      [
        ["POST", '{"model_id":"a"}'],
        ["POST", '{"model_id":"a"}'],
      ],
    );
  });

  it("503, as soon as it said", async (t) => {
    const { url, seen } = await serving(t, problem(503, "overloaded", { "retry-after": "1" }), json(FORECAST));
    assert.deepEqual(await ask(url), FORECAST);
    assert.ok(seen[1]!.at - seen[0]!.at > 990, "asked again before Retry-After allowed it");
  });

  it("429, as soon as its date comes", async (t) => {
    const now = Date.now();
    const date = new Date(now).toUTCString();
    const later = new Date(Date.parse(date) + 2_000).toUTCString();
    const { url, seen } = await serving(t, problem(429, "rate_limited", { date, "retry-after": later }), json(FORECAST));
    assert.deepEqual(await ask(url), FORECAST);
    assert.ok(seen[1]!.at - seen[0]!.at > 1_990, "asked again before Retry-After allowed it");
  });

  it("504, and 502 of a proxy", async (t) => {
    const proxy = text("<h1>Bad Gateway</h1>", "text/html", 502);
    const { url, seen } = await serving(t, problem(504, "timeout"), proxy, json(FORECAST));
    assert.deepEqual(await ask(url), FORECAST);
    assert.equal(seen.length, 3);
  });

  it("an answer that was cut off", async (t) => {
    const half = text('{"forecast": [{"ds"', "application/json");
    const { url, seen } = await serving(t, cutOff, half, json(FORECAST));
    assert.deepEqual(await ask(url), FORECAST);
    assert.equal(seen.length, 3);
  });

  it("no answer in time", async (t) => {
    // More answers than need be: a busy machine may miss this timeout, too.
    const { url } = await serving(t, silence, stalled, ...Array.from({ length: 8 }, () => json(FORECAST)));
    assert.deepEqual(await ask(url, { timeoutMs: 1_000, budgetMs: 120_000, retries: 9 }), FORECAST);
  });
});

describe("there is an end to it", { concurrency: true }, () => {
  it("after as many retries as were allowed", async (t) => {
    const { url, seen } = await serving(t, reset, reset, reset);
    const error = await failure(ask(url), client.UnreachableError);
    assert.equal(seen.length, 3);
    assert.equal(error.attempts, 3);
    assert.ok(error.cause instanceof TypeError);
    assert.equal(error.requestId, seen[0]!.headers["x-request-id"]);
  });

  it("after one attempt where none is to follow", async (t) => {
    const { url, seen } = await serving(t, problem(503, "overloaded"));
    await failure(ask(url, { retries: 0 }), client.UnavailableError);
    assert.equal(seen.length, 1);
  });

  it("at once where the service asks for more patience than there is", async (t) => {
    const { url, seen } = await serving(t, problem(429, "rate_limited", { "retry-after": "3600" }));
    const error = await failure(ask(url), client.RateLimitError);
    assert.equal(error.retryAfterMs, 3_600_000);
    assert.equal(seen.length, 1);
  });

  it("when the budget is used up, whatever an attempt may take", async (t) => {
    const { url } = await serving(t, silence);
    const error = await failure(ask(url, { timeoutMs: 600_000, budgetMs: 300 }), client.ClientTimeoutError);
    assert.equal(error.attempts, 1);
  });

  it("when the body does not come to an end", async (t) => {
    const { url } = await serving(t, stalled);
    await failure(ask(url, { timeoutMs: 300, retries: 0 }), client.ClientTimeoutError);
  });

  it("where nobody listens", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    const error = await failure(ask(`http://127.0.0.1:${port}`, { retries: 1 }), client.UnreachableError);
    assert.match(error.message, /ECONNREFUSED/);
    assert.equal(error.attempts, 2);
  });
});

describe("what would fail again is not asked for again", { concurrency: true }, () => {
  const classes: [number, string, typeof client.StatusError][] = [
    [400, "invalid_request", client.BadRequestError],
    [401, "unauthenticated", client.AuthenticationError],
    [403, "forbidden", client.ForbiddenError],
    [404, "unknown_segment", client.NotFoundError],
    [405, "method_not_allowed", client.StatusError],
    [413, "body_too_large", client.TooLargeError],
    [500, "internal_error", client.InternalError],
  ];
  for (const [code, name, kind] of classes) {
    it(`${code} is a ${kind.name}`, async (t) => {
      const faults = [{ place: "data.3.y", message: "not a number" }];
      const { url, seen } = await serving(t, problem(code, name, { "x-request-id": "theirs" }, faults));
      const error = await failure(ask(url), kind);
      assert.equal(error.constructor, kind);
      assert.equal(error.name, kind.name);
      assert.ok(error instanceof client.StatusError && error instanceof client.ForecastError);
      assert.deepEqual(
        [error.status, error.code, error.detail, error.errors, error.requestId, error.attempts],
        [code, name, `why ${name}`, faults, "theirs", 1],
      );
      assert.equal(error.message, `${code} ${name}: why ${name}`);
      assert.equal(seen.length, 1);
    });
  }

  it("a success that is not JSON", async (t) => {
    const { url, seen } = await serving(t, text("<h1>Sign in</h1>", "text/html"));
    const error = await failure(ask(url), client.InvalidAnswerError);
    assert.match(error.message, /baseUrl/);
    assert.equal(seen.length, 1);
  });

  it("a redirect, which is not followed either", async (t) => {
    const { url, seen } = await serving(t, status(307, { location: "/elsewhere" }), json(FORECAST));
    const error = await failure(ask(url, { apiKey: "fk_secret" }), client.StatusError);
    assert.deepEqual([error.status, error.code, error.message], [307, null, "HTTP 307"]);
    assert.equal(seen.length, 1);
  });
});

it("429, 503 and 504 have classes too, and broken JSON that stays broken", async (t) => {
  const script = [problem(429, "rate_limited"), problem(503, "overloaded"), problem(504, "timeout")];
  const { url } = await serving(t, ...script, text("{", "application/json"));
  await failure(ask(url, { retries: 0 }), client.RateLimitError);
  await failure(ask(url, { retries: 0 }), client.UnavailableError);
  await failure(ask(url, { retries: 0 }), client.ServiceTimeoutError);
  await failure(ask(url, { retries: 0 }), client.InvalidAnswerError);
});

describe("an aborted call ends with the signal's reason", { concurrency: true }, () => {
  const reason = new Error("the user went away");

  it("before it is sent", async (t) => {
    const { url, seen } = await serving(t);
    await assert.rejects(ask(url, { signal: AbortSignal.abort(reason) }), reason);
    assert.equal(seen.length, 0);
  });

  it("while the answer is waited for", async (t) => {
    const aborter = new AbortController();
    const { url, seen } = await serving(t, () => aborter.abort(reason));
    await assert.rejects(ask(url, { signal: aborter.signal, retries: 0 }), reason);
    assert.equal(seen.length, 1);
  });

  it("while the body is read", async (t) => {
    const aborter = new AbortController();
    const fetch: typeof globalThis.fetch = async (...words) => {
      const response = await globalThis.fetch(...words);
      setTimeout(() => aborter.abort(reason));
      return response;
    };
    const { url } = await serving(t, stalled);
    await assert.rejects(ask(url, { signal: aborter.signal, fetch }), reason);
  });

  it("in the pause before a retry", async (t) => {
    const aborter = new AbortController();
    const { url, seen } = await serving(t, problem(503, "overloaded", { "retry-after": "600" }));
    const onAttempt = ({ pauseMs }: Attempt) => {
      assert.ok(pauseMs !== null && pauseMs >= 600_000);
      setTimeout(() => aborter.abort(reason));
    };
    await assert.rejects(ask(url, { signal: aborter.signal, budgetMs: 3_600_000, onAttempt }), reason);
    assert.equal(seen.length, 1);
  });

  it("and a signal that outlives its calls is not held on to", async (t) => {
    const { signal } = new AbortController();
    const { url } = await serving(t, reset, problem(503, "overloaded"), json(FORECAST), problem(404, "not_found"));
    await ask(url, { signal });
    await failure(ask(url, { signal }), client.NotFoundError);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});

it("onAttempt hears of each attempt", async (t) => {
  const heard: Attempt[] = [];
  const { url } = await serving(t, reset, problem(503, "overloaded"), json(FORECAST));
  await ask(url, { requestId: "order-7", onAttempt: (attempt) => heard.push(attempt) });
  assert.deepEqual(
    heard.map(({ method, path, requestId, attempt, status: code }) => [method, path, requestId, attempt, code]),
    [
      ["POST", "/forecast", "order-7", 1, null],
      ["POST", "/forecast", "order-7", 2, 503],
      ["POST", "/forecast", "order-7", 3, 200],
    ],
  );
  assert.deepEqual(
    heard.map(({ error }) => error?.name ?? null),
    ["UnreachableError", "UnavailableError", null],
  );
  assert.ok(heard[0]!.pauseMs! >= 250 && heard[0]!.pauseMs! <= 500);
  assert.ok(heard[1]!.pauseMs! >= 500 && heard[1]!.pauseMs! <= 1_000);
  assert.equal(heard[2]!.pauseMs, null);
});
