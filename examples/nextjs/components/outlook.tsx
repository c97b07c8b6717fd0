"use client";

import { useState } from "react";
import { Choice } from "@/components/choice";
import { Chart } from "@/components/chart";
import { Notice } from "@/components/notice";
import { Headline, Source, Table } from "@/components/numbers";
import { useOutlook } from "@/components/use-outlook";
import type { Category } from "@/lib/transactions";

const HORIZONS = [14, 30, 90];

/** Pick a category and how far to look ahead; see what was spent and what is to come. */
export function Outlook({ categories }: { categories: Category[] }) {
  const [category, setCategory] = useState(categories[0]?.category ?? "");
  const [periods, setPeriods] = useState(30);
  const [state, retry] = useOutlook(category, periods);

  return (
    <>
      <div className="choices">
        <Choice legend="Category" options={categories.map((one) => one.category)} chosen={category} onChoose={setCategory} />
        <Choice
          legend="Days ahead"
          options={HORIZONS.map(String)}
          chosen={String(periods)}
          onChoose={(days) => setPeriods(Number(days))}
        />
      </div>
      <div aria-live="polite" aria-busy={state.is === "loading"}>
        {state.is === "loading" && <Loading />}
        {state.is === "failed" && <Notice title={state.title} onRetry={state.mayPass ? retry : undefined} />}
        {state.is === "there" && (
          <section className="card">
            <Headline answer={state.answer} category={category} />
            <Chart answer={state.answer} category={category} />
            <Source model={state.answer.model} />
            <Table forecast={state.answer.forecast} />
          </section>
        )}
      </div>
    </>
  );
}

function Loading() {
  return (
    <section className="card">
      <p className="visually-hidden">Forecasting…</p>
      <div className="bone" style={{ width: "14rem", height: "2.4rem" }} />
      <div className="bone" style={{ width: "20rem", maxWidth: "100%" }} />
      <div className="bone" style={{ height: 320 }} />
    </section>
  );
}
