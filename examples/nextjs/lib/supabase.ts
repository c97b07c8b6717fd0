import "server-only";
import { type CookieMethodsServer, createServerClient } from "@supabase/ssr";
import { isAuthApiError, isAuthSessionMissingError, type SupabaseClient, type User } from "@supabase/supabase-js";
import type { Database } from "./database";
import { Failure } from "./failure";
import { settings } from "./settings";

export type Supabase = SupabaseClient<Database>;

/** supabase-js wants a WebSocket for its realtime part, which nothing here uses, and Node 20 has none. */
class NoWebSocket {
  constructor() {
    throw new Error("this app listens to no realtime channel");
  }
}
const realtime = typeof WebSocket === "undefined" ? { realtime: { transport: NoWebSocket as never } } : {};

/**
 * A client for one request: it is the user whose session the cookies hold, and no longer asks once the signal is aborted.
 * Never keep one for the next request, which is somebody else's.
 */
export function supabaseFor(cookies: CookieMethodsServer, signal?: AbortSignal): Supabase {
  return createServerClient<Database>(settings.supabaseUrl, settings.supabaseKey, {
    cookies,
    // The session is for this server alone: scripts in the page cannot read it.
    cookieOptions: { httpOnly: true, sameSite: "lax", path: "/", secure: !settings.insecureCookies },
    global: { fetch: signal === undefined ? fetch : fetchUntil(signal) },
    ...realtime,
  });
}

/** Who is asking, from Supabase's own record, or null for nobody. Throws a Failure while Auth cannot be asked. */
export async function currentUser(supabase: Supabase): Promise<User | null> {
  const { data, error } = await supabase.auth.getUser();
  if (error === null) return data.user;
  if (isAuthSessionMissingError(error)) return null;
  if (isAuthApiError(error) && error.status < 500 && error.status !== 429) return null;
  throw new Failure("database_unavailable", { cause: error });
}

function fetchUntil(signal: AbortSignal): typeof fetch {
  return (input, init) => {
    const signals = init?.signal ? [init.signal, signal] : [signal];
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };
}
