import { Failure, type Fault } from "./failure";

const MOST_BYTES = 10_000;

/**
 * The fields of a JSON body. Only application/json: a form of another site cannot send that without asking first, so
 * that nobody's browser is made to act by the page of somebody else. Throws a Failure.
 */
export async function readFields(request: Request): Promise<Record<string, unknown>> {
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") throw new Failure("not_json");
  const text = await readText(request);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Failure("malformed_json");
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw invalid("body", "must be an object");
  return body as Record<string, unknown>;
}

/** Check fields, each by a check that gives what is wrong with it, or null. Throws a Failure that names all faults. */
export function check(checks: Record<string, string | null>): void {
  const faults: Fault[] = [];
  for (const [field, message] of Object.entries(checks)) if (message !== null) faults.push({ field, message });
  if (faults.length > 0) throw new Failure("invalid_request", { errors: faults });
}

/** The body as text, read no further than it may be long. */
async function readText(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > MOST_BYTES) throw new Failure("too_large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function invalid(field: string, message: string): Failure {
  return new Failure("invalid_request", { errors: [{ field, message }] });
}
