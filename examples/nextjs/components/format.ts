const AMOUNT = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const ROUND = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
// Dates are days without a time or a zone: shown in the zone that they are read in.
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
const WHOLE_DAY = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

export const amount = (value: number) => AMOUNT.format(value);
export const roundAmount = (value: number) => ROUND.format(value);
export const day = (time: number) => DAY.format(time);
export const wholeDay = (time: number) => WHOLE_DAY.format(time);
export const DAY_MS = 86_400_000;
/** Midnight in UTC of a day, or of a time without a zone. */
export const timeOf = (ds: string) => Date.parse(ds.slice(0, 10));
