import { isAuthApiError } from "@supabase/supabase-js";
import { check, readFields } from "@/lib/body";
import { requestCookies } from "@/lib/cookies";
import { Failure, problem } from "@/lib/failure";
import { settings } from "@/lib/settings";
import { supabaseFor } from "@/lib/supabase";

/** Sign in: {"email", "password"} -> 204, with the session in cookies that no script can read. */
export async function POST(request: Request): Promise<Response> {
  try {
    const { email, password } = await readFields(request);
    check({
      email: typeof email === "string" && email !== "" ? null : "must be an address",
      password: typeof password === "string" && password !== "" ? null : "must be text",
    });
    const supabase = supabaseFor(await requestCookies(), AbortSignal.timeout(settings.budgetMs));
    const { error } = await supabase.auth.signInWithPassword({ email: String(email), password: String(password) });
    if (error !== null) throw signInFailure(error);
    return new Response(null, { status: 204 });
  } catch (error) {
    return problem(error);
  }
}

/** Sign out: the session ends at Supabase, too. */
export async function DELETE(): Promise<Response> {
  try {
    const supabase = supabaseFor(await requestCookies(), AbortSignal.timeout(settings.budgetMs));
    const { error } = await supabase.auth.signOut({ scope: "local" });
    if (error !== null) throw new Failure("database_unavailable", { cause: error }); // still signed in
    return new Response(null, { status: 204 });
  } catch (error) {
    return problem(error);
  }
}

function signInFailure(error: Error): Failure {
  if (isAuthApiError(error)) {
    if (error.status === 429) return new Failure("too_many_attempts", { cause: error });
    // One answer for all of them: who has an account here is nobody's business.
    if (error.status < 500) return new Failure("wrong_credentials", { cause: error });
  }
  return new Failure("database_unavailable", { cause: error });
}
