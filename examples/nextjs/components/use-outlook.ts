"use client";

import { useCallback, useEffect, useState } from "react";
import { titleOf } from "@/components/problem";

/** What POST /api/forecast answers. */
export interface Answer {
  forecast: { ds: string; yhat: number; yhat_lower: number; yhat_upper: number }[];
  model: { source: "champion" | "history"; version: number | null; trained_through: string };
  history: { ds: string; y: number }[];
}

export type State =
  | { is: "loading" }
  | { is: "failed"; title: string; mayPass: boolean }
  | { is: "there"; answer: Answer };

/** The forecast of a category, and how to ask for it once more. A question that is no longer asked is given up. */
export function useOutlook(category: string, periods: number): [State, () => void] {
  const [state, setState] = useState<State>({ is: "loading" });
  const [round, setRound] = useState(0);

  useEffect(() => {
    const given = new AbortController();
    setState({ is: "loading" });
    ask(category, periods, given.signal).then(
      (answered) => given.signal.aborted || setState(answered),
      () => {
        if (given.signal.aborted) return;
        setState({ is: "failed", title: "The server cannot be reached.", mayPass: true });
      },
    );
    return () => given.abort();
  }, [category, periods, round]);

  return [state, useCallback(() => setRound((before) => before + 1), [])];
}

async function ask(category: string, periods: number, signal: AbortSignal): Promise<State> {
  const answer = await fetch("/api/forecast", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ category, periods }),
    signal,
  });
  if (answer.ok) return { is: "there", answer: await answer.json() };
  if (answer.status === 401) window.location.assign("/login");
  return { is: "failed", title: await titleOf(answer), mayPass: answer.status >= 500 };
}
