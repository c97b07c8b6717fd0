/** A compatible implementation of Supabase's Auth in this process, its tables in the schema `auth` as Supabase has them. */
import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";

/** Headers that speak of one connection, and of a body's length as it was sent. */
const OF_THE_CONNECTION = new Set(["connection", "content-length", "host", "keep-alive", "transfer-encoding"]);

export async function startAuth({ databaseUrl, jwtSecret, keys: [publishable, secret], port }) {
  process.env.LITE_TELEMETRY = "0";
  const connection = await createPostgresConnection({ url: databaseUrl, postgresOptions: { onnotice() {} } });
  const app = new App({
    connection,
    auth: { enabled: true, jwt_secret: jwtSecret, publishable_key: publishable, secret_key: secret },
  });
  await app.ensureSystemSchema();

  async function handle(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const headers = Object.entries(request.headers).filter(([name]) => !OF_THE_CONNECTION.has(name));
    const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
    const asked = new Request(`http://127.0.0.1:${port}${request.url}`, { method: request.method, headers, body });
    const answer = await app.fetch(asked);
    response.writeHead(answer.status, [...answer.headers].filter(([name]) => !OF_THE_CONNECTION.has(name)).flat());
    response.end(Buffer.from(await answer.arrayBuffer()));
  }

  return { handle, stop: async () => connection.close?.() };
}
