/** The packed tarball, installed where nothing else is, as consumers of every kind get it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { json, problem, serving } from "./fault-server.js";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "consumer-"));
  await cp(join(ROOT, "test/consumers"), folder, { recursive: true });
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: ROOT });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  await writeFile(join(folder, "package.json"), '{ "private": true }');
  await run("npm", ["install", "--offline", "--ignore-scripts", `./${tarball}`], { cwd: folder });
});

after(() => rm(folder, { recursive: true }));

it("holds what runs and its types, and needs nothing", async () => {
  assert.deepEqual(
    (await readdir(join(folder, "node_modules"))).filter((name) => !name.startsWith(".")),
    ["prophet-serving-client"],
  );
  const files = await readdir(join(folder, "node_modules/prophet-serving-client"), { recursive: true });
  const kinds = new Set(files.filter((name) => /\.\w+$/.test(name)).map((name) => name.replace(/^[^.]*/, "")));
  assert.deepEqual([...kinds].sort(), [".d.ts", ".js", ".json", ".md"]);
  assert.ok(files.includes("dist/esm/index.js") && files.includes("dist/cjs/index.d.ts"));
});

describe("runs", () => {
  for (const [file, format] of [
    ["run.mjs", "esm"],
    ["run.cjs", "cjs"],
  ] as const) {
    it(`as ${format}`, async (t) => {
      const { url } = await serving(t, json({ forecast: [], model_id: "a" }), problem(404, "unknown_segment"));
      const { stdout } = await run(process.execPath, [join(folder, file), url]);
      assert.equal(stdout, `{"forecast":[],"model_id":"a"}\ntrue ${format}/index.js\nprophet-serving-client\n`);
    });
  }
});

describe("is typed, strictly and with its own types checked", () => {
  const strict = { strict: true, noEmit: true, skipLibCheck: false, target: "ES2022" };
  const page = { lib: ["ES2022", "DOM"], types: [] };
  const node = { lib: ["ES2022"], types: ["node"], typeRoots: [join(ROOT, "node_modules/@types")] };
  const consumers = [
    ["ESM of Node", "types.mts", { module: "node16", moduleResolution: "node16", ...node }],
    ["CommonJS of Node", "types.cts", { module: "node16", moduleResolution: "node16", ...node }],
    ["a bundler", "types.ts", { module: "preserve", moduleResolution: "bundler", ...page }],
    ["an older CommonJS", "types.ts", { module: "commonjs", moduleResolution: "node10", ...page }],
  ] as const;
  const compile = async (file: string, source: string, options: object) => {
    const place = await mkdtemp(join(folder, "types-"));
    await writeFile(join(place, file), source);
    const project = join(place, "tsconfig.json");
    await writeFile(project, JSON.stringify({ compilerOptions: { ...strict, ...options }, files: [file] }));
    const outcome = await run(process.execPath, [TSC, "-p", project]).catch((failed: { stdout: string }) => failed);
    assert.equal(outcome.stdout, "");
  };
  for (const [name, file, options] of consumers) {
    it(`for ${name}`, async () => compile(file, await readFile(join(folder, "types.ts"), "utf8"), options));
  }
  it("in the README, too", async () => {
    const readme = await readFile(join(ROOT, "README.md"), "utf8");
    const examples = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code);
    assert.equal(examples.length, 3);
    const around = `
      declare const baseUrl: string;
      declare function draw(segment: string, rows: { ds: string; yhat: number }[]): void;
      declare const supabase: { auth: { getSession(): Promise<{ data: { session: { access_token: string } | null } }> } };`;
    await compile("readme.mts", examples.join("\n") + around, { module: "node16", ...node });
  });
});
