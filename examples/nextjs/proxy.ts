import type { CookieMethodsServer } from "@supabase/ssr";
import { type NextRequest, NextResponse } from "next/server";
import { settings } from "@/lib/settings";
import { supabaseFor } from "@/lib/supabase";

/** Renew a session that is about to end before a page is made: a page can read cookies, but not set them. */
export async function proxy(request: NextRequest): Promise<NextResponse> {
  let response = NextResponse.next({ request });
  const cookies: CookieMethodsServer = {
    getAll: () => request.cookies.getAll(),
    setAll: (changed) => {
      for (const { name, value } of changed) request.cookies.set(name, value);
      response = NextResponse.next({ request });
      for (const { name, value, options } of changed) response.cookies.set(name, value, options);
    },
  };
  const supabase = supabaseFor(cookies, AbortSignal.timeout(settings.budgetMs));
  await supabase.auth.getSession(); // renews where need be; whether it is true, the page asks by getUser()
  return response;
}

export const config = { matcher: "/" };
