import { redirect } from "next/navigation";
import { Brand } from "@/components/brand";
import { Outlook } from "@/components/outlook";
import { SignOut } from "@/components/sign-out";
import { pageCookies } from "@/lib/cookies";
import { settings } from "@/lib/settings";
import { currentUser, supabaseFor } from "@/lib/supabase";
import { categories } from "@/lib/transactions";

export default async function Page() {
  const supabase = supabaseFor(await pageCookies(), AbortSignal.timeout(settings.budgetMs));
  const user = await currentUser(supabase);
  if (user === null) redirect("/login");
  const mine = await categories(supabase);
  return (
    <>
      <header className="top">
        <Brand />
        <div className="who">
          <span className="muted">{user.email}</span>
          <SignOut />
        </div>
      </header>
      <main>
        <h1>What will you spend?</h1>
        {mine.length > 0 ? <Outlook categories={mine} /> : <NothingYet />}
      </main>
    </>
  );
}

function NothingYet() {
  return (
    <section className="card notice">
      <h2>No transactions yet</h2>
      <p className="muted">Once you have spent something on two days, this page shows what comes next.</p>
    </section>
  );
}
