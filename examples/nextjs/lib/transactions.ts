import "server-only";
import { databaseFailure } from "./database-failure";
import type { Supabase } from "./supabase";

/** What was spent on a day. */
export interface Day {
  ds: string;
  y: number;
}

/** A category of the user's, by what is spent in it. */
export interface Category {
  category: string;
  transactions: number;
  first_date: string;
  last_date: string;
}

/** What the user spent in a category, one row a day on which he did, in order. */
export async function dailySpending(supabase: Supabase, userId: string, category: string): Promise<Day[]> {
  const rows = await allPages((from, to) =>
    supabase
      .from("transactions")
      .select("date, amount", { count: "exact" })
      .eq("user_id", userId)
      .eq("category", category)
      .order("date")
      .order("id") // a day has many rows, whose order would otherwise be another on each page
      .range(from, to),
  );
  return sumByDay(rows);
}

/** The user's categories in the order of the alphabet. */
export async function categories(supabase: Supabase): Promise<Category[]> {
  return await allPages((from, to) =>
    supabase
      .from("spending_categories")
      .select("category, transactions, first_date, last_date", { count: "exact" })
      .order("category")
      .range(from, to),
  );
}

const PAGE = 1_000;

interface Page<Row> {
  data: Row[] | null;
  count: number | null;
  error: { code: string; message: string } | null;
  status: number;
}

/**
 * All rows of a query. Supabase cuts every answer off after 1,000 rows, or what else the project's setting says, with a
 * success: only the exact count tells when all are there.
 */
async function allPages<Row>(ask: (from: number, to: number) => PromiseLike<Page<Row>>): Promise<Row[]> {
  const rows: Row[] = [];
  for (;;) {
    const { data, count, error, status } = await ask(rows.length, rows.length + PAGE - 1);
    if (data === null) throw databaseFailure(status, error);
    rows.push(...data);
    if (data.length === 0 || rows.length >= (count ?? 0)) return rows;
  }
}

/** Sums are made of whole hundredths: of floats, 0.1 and 0.2 would not be the 0.3 that the database's sum is. */
function sumByDay(rows: { date: string; amount: number }[]): Day[] {
  const hundredths = new Map<string, number>();
  for (const { date, amount } of rows) {
    hundredths.set(date, (hundredths.get(date) ?? 0) + Math.round(amount * 100));
  }
  return [...hundredths].map(([ds, sum]) => ({ ds, y: sum / 100 }));
}
