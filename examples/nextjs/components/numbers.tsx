import { daysBefore } from "@/components/before";
import { amount, timeOf, wholeDay } from "@/components/format";
import type { Answer } from "@/components/use-outlook";

/**
 * The mean of the days ahead beside that of as many days before. A mean, not a sum: the model knows days with spending,
 * and in some categories not every day is one.
 */
export function Headline({ answer, category }: { answer: Answer; category: string }) {
  const days = answer.forecast.length;
  const ahead = mean(answer.forecast.map((row) => row.yhat));
  const before = mean(daysBefore(answer, days).map((row) => row.y)); // never of none: the last of them is the day before
  return (
    <div className="headline">
      <h2>
        <span className="number">{amount(ahead)}</span> a day on {category}
      </h2>
      <p className="muted">
        expected on average over the next {days} days; {amount(before)} on those with spending before{" "}
        {before !== 0 && <span className="change">{percent((ahead - before) / Math.abs(before))}</span>}
      </p>
    </div>
  );
}

/** Which model this is from. */
export function Source({ model: { source, version, trained_through } }: { model: Answer["model"] }) {
  const through = wholeDay(timeOf(trained_through));
  return (
    <p className="source muted">
      <span className="badge">{source === "champion" ? `Champion, version ${version}` : "Fitted just now"}</span>{" "}
      {source === "champion" ? `trained on your transactions through ${through}` : `to your transactions through ${through}`}
    </p>
  );
}

/** The numbers of the chart, for those who want to read them, or cannot see it. */
export function Table({ forecast }: { forecast: Answer["forecast"] }) {
  return (
    <details>
      <summary>Show the numbers</summary>
      {/* tabIndex: what scrolls must be within reach of the keyboard. */}
      <section className="scroll" aria-label="The forecast in numbers" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">Day</th>
              <th scope="col">Expected</th>
              <th scope="col">From</th>
              <th scope="col">To</th>
            </tr>
          </thead>
          <tbody>
            {forecast.map((row) => (
              <tr key={row.ds}>
                <th scope="row">{wholeDay(timeOf(row.ds))}</th>
                <td>{amount(row.yhat)}</td>
                <td>{amount(row.yhat_lower)}</td>
                <td>{amount(row.yhat_upper)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function percent(change: number): string {
  return `${change < 0 ? "−" : "+"}${Math.abs(change * 100).toFixed(1)} %`;
}
