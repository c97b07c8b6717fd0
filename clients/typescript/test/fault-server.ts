/** A real HTTP server that answers as a test tells it, one behaviour a request, and keeps what it was asked. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

export interface Seen {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** Milliseconds on one clock for all requests. */
  at: number;
}

export type Behaviour = (response: ServerResponse) => void;

/** Serve until the test ends; requests beyond the script are answered with 418, which no test expects. */
export async function serving(t: TestContext, ...script: Behaviour[]): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers } = request;
    seen.push({ method, path: url, headers, body: Buffer.concat(chunks).toString(), at: performance.now() });
    (script[seen.length - 1] ?? status(418))(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

export const json =
  (body: unknown, headers: Record<string, string> = {}): Behaviour =>
  (response) =>
    response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

export const text =
  (body: string, type: string, code = 200): Behaviour =>
  (response) =>
    response.writeHead(code, { "content-type": type }).end(body);

export const status =
  (code: number, headers: Record<string, string> = {}): Behaviour =>
  (response) =>
    response.writeHead(code, headers).end();

/** An error as the service writes it. */
export const problem =
  (code: number, name: string, headers: Record<string, string> = {}, errors: unknown[] = []): Behaviour =>
  (response) => {
    const body = { type: "about:blank", title: name, status: code, detail: `why ${name}`, code: name, errors };
    response.writeHead(code, { "content-type": "application/problem+json", ...headers }).end(JSON.stringify(body));
  };

/** The connection is reset before anything is answered. */
export const reset: Behaviour = (response) => void response.socket?.resetAndDestroy();

/** Nothing is ever answered. */
export const silence: Behaviour = () => {};

/** Half of a body whose length was told, and then the end of the connection. */
export const cutOff: Behaviour = (response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
  response.write('{"forecast": [', () => response.socket?.destroy());
};

/** Half of a body, and then nothing more. */
export const stalled: Behaviour = (response) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.write('{"forecast": [');
};
