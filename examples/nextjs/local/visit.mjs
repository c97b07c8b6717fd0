/**
 * One visit to the example by a real browser: signs in, picks a category, looks. Prints what there was to see as JSON.
 *
 *     node visit.mjs '{"url": "http://127.0.0.1:3001", "email": "...", "password": "...", "category": "groceries", "days": 30,
 *                      "scheme": "light", "width": 1100, "shots": "build/screenshots/light"}'
 *
 * BROWSER_PATH in the environment names a Chromium. shots: where screenshots go, the beginning of their names. Without a category the visitor only looks at what comes first.
 */
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const visit = JSON.parse(process.argv[2]);
const seen = { requests: [], complaints: [], violations: [], alert: null };

const browser = await chromium.launch({
  executablePath: process.env.BROWSER_PATH,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});
try {
  const viewport = { width: visit.width ?? 1100, height: 860 };
  const context = await browser.newContext({ viewport, colorScheme: visit.scheme ?? "light", baseURL: visit.url });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (message) => message.type() === "error" && seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));

  await page.goto("/");
  await page.waitForURL("**/login");
  await look(page, "login");
  const letLoose = await holdForecasts(page);
  await signIn(page);
  if (await page.getByRole("heading", { name: "What will you spend?" }).isVisible()) await spend(page, letLoose);
  seen.alert = await textOf(page.locator("main [role=alert]")); // not the router's own announcer
  seen.cookies = (await context.cookies()).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite }));
  seen.scriptsSee = await page.evaluate(() => document.cookie);
  if (visit.signOut) await signOut(page);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}

async function signIn(page) {
  await page.getByLabel("Email").fill(visit.email);
  await page.getByLabel("Password").fill(visit.password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "What will you spend?" }).or(page.locator("main [role=alert]")).waitFor();
  if (await page.locator("main [role=alert]").isVisible()) await look(page, "refused");
}

/** Keep forecasts from being asked for, so that the page can be looked at while it waits. */
async function holdForecasts(page) {
  let letLoose;
  const held = new Promise((resolve) => {
    letLoose = resolve;
  });
  await page.route("**/api/forecast", async (route) => {
    await held;
    await route.continue().catch(() => {}); // given up by the page meanwhile
  });
  return letLoose;
}

async function spend(page, letLoose) {
  const waiting = page.locator("[aria-busy=true]");
  if ((await page.locator("[aria-busy]").count()) > 0) {
    await waiting.waitFor();
    await look(page, "loading");
  }
  letLoose();
  if (visit.category !== undefined) {
    await page.getByRole("radio", { name: visit.category, exact: true }).check();
    await page.getByRole("radio", { name: String(visit.days ?? 30), exact: true }).check();
    await page.locator("[aria-busy=false]").waitFor();
  }
  await look(page, "outlook");
  seen.categories = await page.getByRole("group", { name: "Category" }).locator("input").evaluateAll((all) => all.map((one) => one.value));
  seen.headline = await textOf(page.locator(".headline h2"));
  seen.notice = await textOf(page.locator("main .notice h2"));
  seen.source = await textOf(page.locator(".source"));
  seen.lines = await page.locator(".recharts-line-curve").evaluateAll((all) => all.map((one) => one.getTotalLength()));
  seen.bands = await page.locator(".recharts-area-area").evaluateAll((all) => all.map((one) => one.getBBox().height));
  seen.wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  const summary = page.getByText("Show the numbers");
  if (await summary.isVisible()) {
    await summary.focus();
    await page.keyboard.press("Enter");
    await look(page, "numbers");
    seen.rows = await page.locator("tbody tr").evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.innerText)));
  }
}

async function signOut(page) {
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/login");
  await page.goto("/");
  await page.waitForURL("**/login");
}

/** Take a screenshot, and ask axe what people with a screen reader, a keyboard or weak eyes would stumble over. */
async function look(page, name) {
  if (visit.shots) await page.screenshot({ path: `${visit.shots}-${name}.png`, fullPage: true });
  await page.addScriptTag({ path: AXE });
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  for (const { id, help, nodes } of violations) seen.violations.push(`${name}: ${id}: ${help}: ${nodes[0].html}`);
}

async function textOf(locator) {
  return (await locator.count()) > 0 ? await locator.first().innerText() : null;
}
