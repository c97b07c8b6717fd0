/** What the methods send, what they give back, and what they refuse to do. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { ForecastClient, isProblem, type ServedModel } from "../src/index.js";
import { json, problem, serving, silence } from "./fault-server.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe("requests", () => {
  it("carry the key, an id, headers of the caller and a body", async (t) => {
    const { url, seen } = await serving(t, json({ forecast: [] }));
    const client = new ForecastClient({ baseUrl: `${url}/`, apiKey: "fk_1_2", headers: { "x-a": "1", "x-b": "1" } });
    await client.forecast({ model_id: "a", periods: 3 }, { headers: { "x-b": "2" } });
    const [{ method, path, headers, body }] = seen as [(typeof seen)[0]];
    assert.deepEqual([method, path, body], ["POST", "/forecast", '{"model_id":"a","periods":3}']);
    assert.equal(headers.authorization, "Bearer fk_1_2");
    assert.equal(headers["content-type"], "application/json");
    assert.deepEqual([headers["x-a"], headers["x-b"]], ["1", "2"]);
    assert.match(String(headers["x-request-id"]), UUID);
  });

  it("have no key where there is none, and the caller's id where he has one", async (t) => {
    const { url, seen } = await serving(t, json({ status: "healthy" }));
    await new ForecastClient({ baseUrl: `${url}/behind/a/proxy/` }).health({ requestId: "a.b:c-1" });
    const [{ method, path, headers }] = seen as [(typeof seen)[0]];
    assert.deepEqual([method, path, headers["x-request-id"]], ["GET", "/behind/a/proxy/health", "a.b:c-1"]);
    assert.equal(headers.authorization, undefined);
    assert.equal(headers["content-type"], undefined);
  });

  it("fetch the key anew for each call", async (t) => {
    const { url, seen } = await serving(t, json({}), json({}));
    const tokens = ["one", "two"];
    const client = new ForecastClient({ baseUrl: url, apiKey: async () => tokens.shift() ?? "" });
    await client.health();
    await client.health();
    assert.deepEqual(
      seen.map(({ headers }) => headers.authorization),
      ["Bearer one", "Bearer two"],
    );
    await assert.rejects(client.health(), /environment variable/);
    assert.equal(seen.length, 2);
  });

  it("go through another fetch where one is given", async () => {
    const asked: string[] = [];
    const fetch: typeof globalThis.fetch = async (input) => {
      asked.push(String(input));
      return Response.json({ status: "healthy" });
    };
    await new ForecastClient({ baseUrl: "https://forecast.example", fetch }).health();
    assert.deepEqual(asked, ["https://forecast.example/health"]);
  });
});

describe("answers", () => {
  it("of a batch stand in the order asked, forecasts and problems", async (t) => {
    const results = [{ forecast: [], model_id: "a" }, { title: "", status: 404, detail: "", code: "unknown_segment" }];
    const { url, seen } = await serving(t, json({ results }));
    const answer = await new ForecastClient({ baseUrl: url }).forecastBatch([{ model_id: "a" }, { model_id: "b" }]);
    assert.deepEqual(answer, results);
    assert.deepEqual(
      answer.map((result) => (isProblem(result) ? result.code : result.model_id)),
      ["a", "unknown_segment"],
    );
    assert.deepEqual([seen[0]!.path, seen[0]!.body], ["/forecast/batch", '{"requests":[{"model_id":"a"},{"model_id":"b"}]}']);
  });

  it("in gzip are read", async (t) => {
    const { url } = await serving(t, (response) => {
      response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
      response.end(gzipSync('{"status": "healthy"}'));
    });
    assert.equal((await new ForecastClient({ baseUrl: url }).health()).status, "healthy");
  });

  it("about one model are asked for by its whole key", async (t) => {
    const { url, seen } = await serving(t, json({ model_id: "ü/50%?#" }));
    const client = new ForecastClient({ baseUrl: url });
    assert.equal((await client.model("ü/50%?#")).model_id, "ü/50%?#");
    assert.equal(seen[0]!.path, "/models/%C3%BC%2F50%25%3F%23");
    await assert.rejects(client.model(".."), TypeError);
  });
});

describe("models", () => {
  const page = (ids: string[], next: string | null) =>
    json({ models: ids.map((model_id) => ({ model_id })), next_page_token: next });

  it("come one by one through all pages, an empty one too", async (t) => {
    const { url, seen } = await serving(t, page(["a", "b"], "t&1"), page([], "t2"), page(["c"], null));
    const found: string[] = [];
    for await (const model of new ForecastClient({ baseUrl: url }).models({ limit: 2 })) found.push(model.model_id);
    assert.deepEqual(found, ["a", "b", "c"]);
    assert.deepEqual(
      seen.map(({ path }) => path),
      ["/models?limit=2", "/models?limit=2&page_token=t%261", "/models?limit=2&page_token=t2"],
    );
  });

  it("are asked for only as far as they are looked at", async (t) => {
    const { url, seen } = await serving(t, page(["a", "b"], "t1"));
    const found: ServedModel[] = [];
    for await (const model of new ForecastClient({ baseUrl: url }).models()) {
      found.push(model);
      if (found.length === 2) break;
    }
    assert.deepEqual(
      seen.map(({ path }) => path),
      ["/models"],
    );
  });

  it("are only those with rejected champions where that is asked, on every page", async (t) => {
    const { url, seen } = await serving(t, page(["a"], "t1"), page(["b"], null));
    const found: string[] = [];
    for await (const { model_id } of new ForecastClient({ baseUrl: url }).models({ rejected: true })) found.push(model_id);
    assert.deepEqual(found, ["a", "b"]);
    assert.deepEqual(
      seen.map(({ path }) => path),
      ["/models?rejected=true", "/models?rejected=true&page_token=t1"],
    );
  });

  it("come page by page, from a page on, and may be looked at twice", async (t) => {
    const { url, seen } = await serving(t, page(["c"], null), page(["d"], null));
    const models = new ForecastClient({ baseUrl: url }).models({ pageToken: "t2" });
    for (const expected of ["c", "d"]) {
      for await (const { models: found, next_page_token } of models.pages()) {
        assert.deepEqual([found.map(({ model_id }) => model_id), next_page_token], [[expected], null]);
      }
    }
    assert.deepEqual(
      seen.map(({ path }) => path),
      ["/models?page_token=t2", "/models?page_token=t2"],
    );
  });

  it("end where a page fails or the caller aborts", async (t) => {
    const { url } = await serving(t, page(["a"], "t1"), problem(400, "invalid_request"), silence);
    const client = new ForecastClient({ baseUrl: url });
    const look = async (signal?: AbortSignal) => {
      for await (const _ of client.models({ signal }));
    };
    await assert.rejects(look(), { code: "invalid_request" });
    await assert.rejects(look(AbortSignal.timeout(200)), { name: "TimeoutError" });
  });
});

describe("a client refuses", () => {
  const baseUrl = "http://127.0.0.1:1";

  it("a key in a browser, unless that is meant", (t) => {
    const page = globalThis as { window?: unknown; document?: unknown };
    t.after(() => {
      delete page.window;
      delete page.document;
    });
    page.window = {};
    assert.ok(new ForecastClient({ baseUrl, apiKey: "fk_1_2" }), "a window alone is no browser");
    page.document = {};
    for (const apiKey of ["fk_1_2", () => "fk_1_2"]) {
      assert.throws(() => new ForecastClient({ baseUrl, apiKey }), /browser/);
      assert.ok(new ForecastClient({ baseUrl, apiKey, allowKeyInBrowser: true }));
    }
    assert.ok(new ForecastClient({ baseUrl }));
  });

  it("a key that no header carries, without repeating it", () => {
    for (const apiKey of ["", "two words", "line\nbreak", "ключ"]) {
      assert.throws(
        () => new ForecastClient({ baseUrl, apiKey }),
        (error: Error) => error instanceof TypeError && (apiKey === "" || !error.message.includes(apiKey)),
      );
    }
  });

  it("base URLs that are none", () => {
    for (const wrong of ["", "localhost", "ftp://a", "http://me:pw@a", "http://a?b", "http://a#b"]) {
      assert.throws(() => new ForecastClient({ baseUrl: wrong }), TypeError, wrong);
    }
  });

  it("times, counts and ids that make no sense, of a client and of a call", async () => {
    const client = new ForecastClient({ baseUrl });
    for (const wrong of [{ timeoutMs: 0 }, { budgetMs: Number.NaN }, { retries: -1 }, { retries: 1.5 }]) {
      assert.throws(() => new ForecastClient({ baseUrl, ...wrong }), TypeError);
      await assert.rejects(client.health(wrong), TypeError);
    }
    for (const requestId of ["", "a b", "x".repeat(65)]) await assert.rejects(client.health({ requestId }), TypeError);
  });
});
