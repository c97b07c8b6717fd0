import { readdir, readFile } from "node:fs/promises";
import postgres from "postgres";

/** Supabase's own auth.uid(): that of @supabase/lite reads only what PostgREST before version 9 set. */
const AUTH_UID = `
  create or replace function auth.uid() returns uuid language sql stable as $$
    select coalesce(
      nullif(current_setting('request.jwt.claim.sub', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
  $$;
  grant usage on schema auth, public to anon, authenticated, service_role;`;

/** Run a folder's .sql files in the order of their names, all or none, in a database that has none of them yet. */
export async function applyMigrations(databaseUrl, folder) {
  const sql = postgres(databaseUrl, { max: 1, onnotice() {} });
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
    await sql.begin(async (transaction) => {
      await transaction.unsafe(AUTH_UID);
      for (const name of names) await transaction.unsafe(await readFile(new URL(name, folder), "utf8"));
    });
  } finally {
    await sql.end();
  }
}
