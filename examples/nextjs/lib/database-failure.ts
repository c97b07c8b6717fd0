import { Failure } from "./failure";

/** What a failed answer of PostgREST means for the caller. status: 0 where none came. */
export function databaseFailure(status: number, error: unknown): Failure {
  if (status === 401) return new Failure("unauthenticated", { cause: error });
  const away = status === 0 || status === 429 || status >= 500;
  return new Failure(away ? "database_unavailable" : "database_failed", { cause: error });
}
