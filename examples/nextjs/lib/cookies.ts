import "server-only";
import type { CookieMethodsServer } from "@supabase/ssr";
import { cookies } from "next/headers";

/** The cookies of the request at hand, for a route handler, whose answer can set them, too. */
export async function requestCookies(): Promise<CookieMethodsServer> {
  const store = await cookies();
  return {
    getAll: () => store.getAll(),
    setAll: (changed) => {
      for (const { name, value, options } of changed) store.set(name, value, options);
    },
  };
}

/** The cookies of the request at hand, for a page, whose answer cannot set any: proxy.ts has renewed the session before. */
export async function pageCookies(): Promise<CookieMethodsServer> {
  const store = await cookies();
  return { getAll: () => store.getAll(), setAll: () => {} };
}
