import assert from "node:assert/strict";
import { it } from "node:test";
import { pauseMs, retryAfterMs } from "../src/retry.js";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const asked = (headers: Record<string, string>) => retryAfterMs(new Headers(headers), NOW);

it("Retry-After is read as seconds or as a date, and nothing else", () => {
  assert.equal(asked({ "retry-after": "3" }), 3_000);
  assert.equal(asked({ "retry-after": " 0 " }), 0);
  assert.equal(asked({ "retry-after": "Thu, 01 Jan 2026 00:00:05 GMT" }), 5_000);
  assert.equal(asked({ "retry-after": "Wed, 31 Dec 2025 23:59:00 GMT" }), 0);
  for (const wrong of ["", "soon", "NaN"]) assert.equal(asked({ "retry-after": wrong }), null, wrong);
  assert.equal(asked({}), null);
});

it("a date counts from the service's clock, not from ours", () => {
  const headers = { date: "Thu, 01 Jan 2026 01:00:00 GMT", "retry-after": "Thu, 01 Jan 2026 01:00:02 GMT" };
  assert.equal(asked(headers), 2_000);
});

it("pauses double up to eight seconds, and chance takes up to a half of them", () => {
  const longest = [0, 1, 2, 3, 4, 5].map((retry) => pauseMs(retry, null, 0));
  assert.deepEqual(longest, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
  assert.equal(pauseMs(0, null, 0.5), 375);
});

it("what the service asked for is never cut short", () => {
  assert.equal(pauseMs(5, 1_000, 0), 1_000);
  assert.equal(pauseMs(0, 60_000, 0.5), 67_500);
});
