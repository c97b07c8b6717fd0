"""The example as it runs: Supabase's HTTP interface, the real service, the production build, a real browser."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.servers import ROOT
from examples.nextjs.local.stack import EXAMPLE, STANDALONE, Supabase, running_app, running_service, running_supabase
from tests.e2e.conftest import RUNNER_READY
from tests.e2e.nextjs.people import Person, sign_in
from tests.lacking import lacking
from tests.waiting import until

SCREENSHOTS = ROOT / "build" / "screenshots"
_BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Forecasts:
    """The forecast service: where it is, and a key for it."""

    url: str
    key: str
    store: str

    def ask(self, **body: Any) -> httpx.Response:
        headers = {"X-API-Key": self.key}
        return httpx.post(f"{self.url}/forecast", json=body, headers=headers, timeout=60, trust_env=False)


def _need_the_build() -> None:
    """Skip, or in CI fail, unless the app and its stack are installed and built."""
    if shutil.which("node") is None:
        lacking("the Next.js example needs Node 20.19 or later")
    if not (STANDALONE / "server.js").exists() or not (EXAMPLE / "local" / "node_modules").is_dir():
        lacking("the Next.js example is not built: make test-next")


@pytest.fixture(scope="session")
def supabase(postgres_admin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supabase]:
    _need_the_build()
    with running_supabase(postgres_admin, tmp_path_factory.mktemp("supabase") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def forecasts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forecasts]:
    _need_the_build()
    folder = tmp_path_factory.mktemp("forecasts")
    store = f"sqlite:///{folder}/mlflow.db"
    with running_service(store, folder) as (url, key):
        # On a machine that is new to it a runner compiles its kernels first, which takes longer than callers wait.
        until(lambda: RUNNER_READY in (folder / "service.log").read_text(), "a runner")
        yield Forecasts(url, key, store)


@pytest.fixture(scope="session")
def app_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app") / "log"


@pytest.fixture(scope="session")
def app(supabase: Supabase, forecasts: Forecasts, app_log: Path) -> Iterator[str]:
    """The URL of the app."""
    with running_app(supabase, forecasts.url, forecasts.key, app_log) as url:
        yield url


@pytest.fixture
def new_person(supabase: Supabase, app: str) -> Iterator[Callable[[], Person]]:
    """Makes users, each of them signed in."""
    people: list[Person] = []

    def make() -> Person:
        session = supabase.sign_up(f"person{next(_numbers)}@example.com", "correct horse battery")
        people.append(sign_in(app, session))
        return people[-1]

    yield make
    for person in people:
        person.app.close()


@pytest.fixture
def person(new_person: Callable[[], Person]) -> Person:
    return new_person()


@pytest.fixture(scope="session")
def visit(app: str) -> Callable[..., dict[str, Any]]:
    """Visits the app with a real browser; gives what was to be seen. Screenshots stay in build/screenshots."""
    browser = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        lacking("looking at the page needs Debian's chromium-headless-shell, or BROWSER_PATH")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def go(person: Person, shots: str, url: str = app, **wishes: Any) -> dict[str, Any]:
        told = {"email": person.session.email, "password": person.session.password, **wishes}
        words = ["node", "visit.mjs", json.dumps({"url": url, "shots": str(SCREENSHOTS / shots), **told})]
        done = subprocess.run(
            words,
            cwd=EXAMPLE / "local",
            env={**os.environ, "BROWSER_PATH": browser},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        seen: dict[str, Any] = json.loads(done.stdout)
        foreign = [address for address in seen["requests"] if not address.startswith((f"{url}/", "data:"))]
        assert not foreign
        assert len(seen["requests"]) > 5
        assert not seen["violations"]
        return seen

    return go
