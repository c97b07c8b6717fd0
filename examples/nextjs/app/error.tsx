"use client";

import { Notice } from "@/components/notice";

/** In place of a page that could not be made: why, the server's log knows. */
export default function PageError({ reset }: { reset: () => void }) {
  return (
    <main>
      <Notice title="This page cannot be shown right now. Try again in a moment." onRetry={reset} />
    </main>
  );
}
