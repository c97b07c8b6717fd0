import { Brand } from "@/components/brand";
import { SignIn } from "@/components/sign-in";

export default function Login() {
  return (
    <main className="door">
      <Brand />
      <section className="card">
        <h1>Sign in</h1>
        <SignIn />
      </section>
    </main>
  );
}
