import "server-only";

/** What the environment says. Read at each use, since one build serves every environment. */
export const settings = {
  get supabaseUrl() {
    return required("SUPABASE_URL");
  },
  get supabaseKey() {
    return required("SUPABASE_PUBLISHABLE_KEY");
  },
  get forecastUrl() {
    return required("FORECAST_API_URL");
  },
  get forecastKey() {
    return required("FORECAST_API_KEY");
  },
  /** Milliseconds that a request may take. */
  get budgetMs() {
    const text = process.env.FORECAST_BUDGET_MS || "20000";
    if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error("FORECAST_BUDGET_MS must be a whole number of milliseconds");
    return Number(text);
  },
  get insecureCookies() {
    return process.env.INSECURE_COOKIES === "true";
  },
};

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: see .env.example`);
  return value;
}
