"use client";

import { useRouter } from "next/navigation";
import { useState } from "react";

export function SignOut() {
  const router = useRouter();
  const [failed, setFailed] = useState(false);

  async function signOut() {
    const done = await fetch("/api/session", { method: "DELETE" }).then(
      (answer) => answer.ok,
      () => false,
    );
    if (done) router.replace("/login");
    else setFailed(true);
  }

  return (
    <button type="button" onClick={signOut}>
      {failed ? "Still signed in: try again" : "Sign out"}
    </button>
  );
}
