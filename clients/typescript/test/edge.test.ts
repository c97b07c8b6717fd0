/** The built package inside Vercel's edge runtime, which has web APIs and nothing of Node. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { it } from "node:test";
import { EdgeVM } from "@edge-runtime/vm";
import { json, reset, serving } from "./fault-server.js";

const CJS = new URL("../../dist/cjs/", import.meta.url);

/** A script that defines the package's modules and a `require` that knows no others. */
function bundle(): string {
  const modules = readdirSync(CJS, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".js"))
    .map((name) => `${JSON.stringify(`./${name}`)}(exports, require) {${readFileSync(new URL(name, CJS), "utf8")}\n}`);
  return `
    const modules = {${modules.join(",\n")}}, loaded = {};
    function require(name) {
      if (!(name in modules)) throw new Error("no module " + name);
      if (!(name in loaded)) modules[name]((loaded[name] = {}), require);
      return loaded[name];
    }
    globalThis.client = require("./index.js");`;
}

it("asks, asks again and gives up there", async (t) => {
  const { url, seen } = await serving(t, reset, json({ forecast: [], model_id: "a" }));
  const vm = new EdgeVM();
  assert.equal(vm.evaluate("typeof process"), "undefined");
  vm.evaluate(bundle());
  const call = `new client.ForecastClient({ baseUrl: ${JSON.stringify(url)}, apiKey: "fk_1_2" }).forecast({ model_id: "a" })`;
  assert.equal(await vm.evaluate(`${call}.then(JSON.stringify)`), '{"forecast":[],"model_id":"a"}');
  assert.deepEqual(
    seen.map(({ headers }) => headers.authorization),
    ["Bearer fk_1_2", "Bearer fk_1_2"],
  );
  assert.equal(await vm.evaluate(`${call}.catch((error) => error instanceof client.StatusError && error.status)`), 418);
});
