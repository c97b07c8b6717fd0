"use client";

import { Area, CartesianGrid, ComposedChart, Line, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import { daysBefore } from "@/components/before";
import { amount, day, roundAmount, timeOf, wholeDay } from "@/components/format";
import type { Answer } from "@/components/use-outlook";

interface Point {
  time: number;
  spent?: number;
  expected?: number;
  range?: [number, number];
}

/** What was spent, what is expected, and the range in which four of five days should lie. */
export function Chart({ answer, category }: { answer: Answer; category: string }) {
  const { forecast } = answer;
  // As much of the past as makes the future a readable part of the whole.
  const past = daysBefore(answer, Math.max(60, 2 * forecast.length));
  const points: Point[] = [
    ...past.map((row) => ({ time: timeOf(row.ds), spent: row.y })),
    ...forecast.map((row) => ({
      time: timeOf(row.ds),
      expected: row.yhat,
      range: [row.yhat_lower, row.yhat_upper] satisfies [number, number],
    })),
  ];
  const first = forecast[0];
  return (
    <figure className="chart" aria-label={`Spending on ${category}: ${past.length} days of history, ${forecast.length} days of forecast`}>
      <Legend />
      <ResponsiveContainer width="100%" height={320}>
        <ComposedChart data={points} margin={{ top: 8, right: 20, bottom: 0, left: 0 }}>
          <CartesianGrid vertical={false} stroke="var(--line)" />
          <XAxis
            dataKey="time"
            type="number"
            scale="time"
            domain={["dataMin", "dataMax"]}
            tickFormatter={day}
            tickLine={false}
            axisLine={{ stroke: "var(--line)" }}
            tick={{ fill: "var(--muted)", fontSize: 12 }}
            minTickGap={48}
          />
          <YAxis
            width={44}
            domain={["auto", "auto"]}
            tickFormatter={roundAmount}
            tickLine={false}
            axisLine={false}
            tick={{ fill: "var(--muted)", fontSize: 12 }}
          />
          <Tooltip content={Hint} cursor={{ stroke: "var(--muted)", strokeDasharray: "2 3" }} isAnimationActive={false} />
          {first !== undefined && <ReferenceLine x={timeOf(first.ds)} stroke="var(--muted)" strokeDasharray="2 4" />}
          <Area
            dataKey="range"
            stroke="none"
            fill="var(--accent)"
            fillOpacity={0.18}
            activeDot={false}
            isAnimationActive={false}
          />
          <Line dataKey="spent" stroke="var(--ink)" strokeWidth={1.5} dot={false} connectNulls isAnimationActive={false} />
          <Line dataKey="expected" stroke="var(--accent)" strokeWidth={2.25} dot={false} isAnimationActive={false} />
        </ComposedChart>
      </ResponsiveContainer>
    </figure>
  );
}

function Legend() {
  return (
    <figcaption className="legend muted">
      <span>
        <i style={{ background: "var(--ink)" }} /> Spent
      </span>
      <span>
        <i style={{ background: "var(--accent)" }} /> Expected
      </span>
      <span>
        <i className="band" /> Four days in five lie in here
      </span>
    </figcaption>
  );
}

function Hint({ active, payload }: { active?: boolean; payload?: readonly { payload?: Point }[] }) {
  const point = payload?.[0]?.payload;
  if (!active || point === undefined) return null;
  return (
    <div className="hint">
      <strong>{wholeDay(point.time)}</strong>
      {point.spent !== undefined && <div>Spent {amount(point.spent)}</div>}
      {point.expected !== undefined && <div>Expected {amount(point.expected)}</div>}
      {point.range !== undefined && (
        <div className="muted">
          {amount(point.range[0])} to {amount(point.range[1])}
        </div>
      )}
    </div>
  );
}
