/**
 * Supabase's HTTP interface on a PostgreSQL of one's own, without Docker. For development and tests, not for production.
 *
 *   /auth/v1/*   @supabase/lite: a COMPATIBLE implementation of Supabase's Auth, not Auth (GoTrue) itself
 *   /rest/v1/*   the real PostgREST, on the same database
 *
 * Both believe the same JWT secret, and every call needs one of the two API keys, as at Supabase. /ready answers once all is there. From the environment:
 * PORT, DATABASE_URL (of the owner), REST_DATABASE_URL (of the login role that may become anon and authenticated), JWT_SECRET,
 * PUBLISHABLE_KEY, SECRET_KEY.
 */
import http from "node:http";
import { applyMigrations } from "./migrations.mjs";
import { startAuth } from "./auth.mjs";
import { startRest } from "./rest.mjs";

const { PORT, DATABASE_URL, REST_DATABASE_URL, JWT_SECRET, PUBLISHABLE_KEY, SECRET_KEY } = process.env;
const keys = [PUBLISHABLE_KEY, SECRET_KEY];

const auth = await startAuth({ databaseUrl: DATABASE_URL, jwtSecret: JWT_SECRET, keys, port: PORT });
await applyMigrations(DATABASE_URL, new URL("../supabase/migrations/", import.meta.url));
const rest = await startRest({ databaseUrl: REST_DATABASE_URL, jwtSecret: JWT_SECRET });

const server = http.createServer((request, response) => {
  if (request.url === "/ready") return response.end("ready\n");
  const handle = request.url.startsWith("/auth/v1/") ? auth.handle : request.url.startsWith("/rest/v1/") ? rest.handle : null;
  if (handle === null) return refuse(response, 404, "no such path");
  if (handle === rest.handle && !keys.includes(request.headers.apikey)) return refuse(response, 401, "Invalid API key");
  handle(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) refuse(response, 502, "the part behind this path failed");
    else response.destroy();
  });
});

function refuse(response, status, message) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ message }));
}

function stop() {
  rest.stop();
  server.close();
  server.closeAllConnections();
  auth.stop().finally(() => process.exit(0));
}

process.on("SIGTERM", stop);
process.on("SIGINT", stop);
server.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${PORT}`));
