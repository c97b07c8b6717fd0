"use client";

import { useRouter } from "next/navigation";
import { type FormEvent, useState } from "react";
import { titleOf } from "@/components/problem";

export function SignIn() {
  const router = useRouter();
  const [waiting, setWaiting] = useState(false);
  const [fault, setFault] = useState<string | null>(null);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setWaiting(true);
    setFault(null);
    try {
      const answer = await fetch("/api/session", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ email: form.get("email"), password: form.get("password") }),
      });
      if (answer.ok) {
        router.replace("/");
        return; // still waiting: for the page
      }
      setFault(await titleOf(answer));
    } catch {
      setFault("The server cannot be reached.");
    }
    setWaiting(false);
  }

  return (
    // method: should a browser send the form before the script is there, the password must not stand in the address.
    <form method="post" onSubmit={submit} className="sign-in">
      <label>
        Email
        <input name="email" type="email" autoComplete="username" required />
      </label>
      <label>
        Password
        <input name="password" type="password" autoComplete="current-password" required />
      </label>
      {fault !== null && (
        <p role="alert" className="fault">
          {fault}
        </p>
      )}
      <button type="submit" className="primary" disabled={waiting}>
        {waiting ? "Signing in…" : "Sign in"}
      </button>
    </form>
  );
}
