"""`make example`: the whole example on this machine, with two users who have spent something; ends with Ctrl-C.

What they spent is made up. The database, the registry and all keys are as short-lived as this process.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import psycopg

from benchmarks import postgres
from examples.nextjs.local.stack import Session, Supabase, running_app, running_service, running_supabase, train

PASSWORD = "correct horse battery"
DAYS = 400
# category: a day's amount, its growth over a year, what a Saturday adds to it, the share of days with spending
CATEGORIES = {
    "eating out": (18.0, 0.3, 1.2, 1.0),
    "groceries": (32.0, 0.1, 0.6, 1.0),
    "transport": (9.0, -0.2, -0.5, 1.0),
    "presents": (45.0, 0.0, 0.0, 0.1),
}


def main() -> int:
    """Run until interrupted; gives the exit code."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell has its background jobs ignore the first
        signal.signal(ending, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prophet-serving-example-")))
        store = f"sqlite:///{folder}/mlflow.db"
        print("starting PostgreSQL, PostgREST and a compatible Auth", flush=True)
        admin = stack.enter_context(postgres.server())
        supabase = stack.enter_context(running_supabase(admin, folder / "supabase.log"))
        users = [supabase.sign_up(f"{name}@example.com", PASSWORD) for name in ("ada", "ben")]
        for seed, user in enumerate(users):
            _spend(supabase, user, np.random.default_rng(seed))

        print("the nightly job: training champions from transactions", flush=True)
        done = train(supabase, store)
        if done.returncode != 0:
            print(done.stdout, done.stderr, file=sys.stderr)
            return done.returncode

        print("starting the forecast service and the app", flush=True)
        url, key = stack.enter_context(running_service(store, folder))
        app = stack.enter_context(running_app(supabase, url, key, folder / "app.log"))
        print(f"\n  {app}\n")
        for user in users:
            print(f"  {user.email}   {PASSWORD}")
        print(f"\nLogs are in {folder} until then. Ctrl-C ends it.", flush=True)
        signal.pause()
    return 0


def _spend(supabase: Supabase, user: Session, noise: np.random.Generator) -> None:
    """A good year of transactions up to yesterday, one to three on a day with spending."""
    first = dt.date.today() - dt.timedelta(days=DAYS)
    with (
        psycopg.connect(supabase.database_url) as connection,
        connection.cursor().copy("copy transactions (user_id, category, date, amount) from stdin") as copy,
    ):
        for category, (level, growth, saturday, share) in CATEGORIES.items():
            level *= noise.uniform(0.7, 1.6)
            for day in range(DAYS):
                date = first + dt.timedelta(days=day)
                if noise.random() >= share:
                    continue
                count = int(noise.integers(1, 4))
                mean = level * (1 + growth * day / 365) * (1 + saturday * (date.weekday() == 5))
                for amount in noise.lognormal(np.log(mean), 0.25, count) / count:
                    copy.write_row((user.user_id, category, date, round(float(amount), 2)))


if __name__ == "__main__":
    sys.exit(main())
