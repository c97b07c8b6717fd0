"""The example's parts as processes of this machine: Supabase's HTTP interface, the service, the app."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from benchmarks import postgres
from benchmarks.servers import ROOT, serving

EXAMPLE = Path(__file__).resolve().parents[1]
STANDALONE = EXAMPLE / ".next" / "standalone"
ROLES = ("anon", "authenticated", "service_role", "forecast_trainer")
BENTO_SERVE = ["-m", "bentoml", "serve", "service:ForecastService", "--host", "127.0.0.1", "--port", "{port}"]


@dataclass(frozen=True)
class Supabase:
    """Supabase's HTTP interface on a database of its own."""

    url: str
    publishable_key: str
    database_url: str  # of its owner
    training_url: str = field(repr=False)  # of a login that may read transactions, and nothing else
    jwt_secret: str = field(repr=False)

    def sign_up(self, email: str, password: str) -> Session:
        """Make a user and sign in. Raises httpx.HTTPStatusError."""
        body = {"email": email, "password": password}
        headers = {"apikey": self.publishable_key}
        answer = httpx.post(f"{self.url}/auth/v1/signup", json=body, headers=headers, timeout=60, trust_env=False)
        answer.raise_for_status()
        told = answer.json()
        return Session(self, told["user"]["id"], email, password, told["access_token"])


@dataclass(frozen=True)
class Session:
    """A user who is signed in."""

    supabase: Supabase
    user_id: str
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)

    def rest(self) -> httpx.Client:
        """A client of PostgREST that is this user."""
        headers = {"apikey": self.supabase.publishable_key, "Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.supabase.url}/rest/v1", headers=headers, timeout=60, trust_env=False)


@contextlib.contextmanager
def running_supabase(admin: str, log_to: Path) -> Iterator[Supabase]:
    """Run Supabase's HTTP interface on a fresh database of a PostgreSQL server, for the length of a with block.

    admin: the URL of a superuser there. Roles that the server lacks are made, and removed at the end.
    """
    with contextlib.ExitStack() as stack:
        _enter_roles(stack, admin, ROLES)
        database_url = stack.enter_context(postgres.database(admin)).replace("postgresql+psycopg://", "postgresql://")
        rest = stack.enter_context(
            _login(admin, database_url, "authenticator", "anon", "authenticated", "service_role")
        )
        training = stack.enter_context(_login(admin, database_url, "training", "forecast_trainer"))
        keys = {"PUBLISHABLE_KEY": f"sb_publishable_{_secret()}", "SECRET_KEY": f"sb_secret_{_secret()}"}
        jwt_secret = _secret()
        env = {"DATABASE_URL": database_url, "REST_DATABASE_URL": rest, "JWT_SECRET": jwt_secret, **keys}
        url = stack.enter_context(
            serving(
                ["sh", "-c", "PORT={port} exec node supabase.mjs"],
                ready="/ready",
                env=env,
                cwd=EXAMPLE / "local",
                log_to=log_to,
            )
        )
        yield Supabase(url, keys["PUBLISHABLE_KEY"], database_url, training, jwt_secret)


@contextlib.contextmanager
def running_service(store: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Run the forecast service on a store; gives its URL and a key. folder: for its keys, catalog and log."""
    keys_file = folder / "keys.json"
    create = ["keys", "create", "nextjs", "--segments", "user_*", "--keys-file", str(keys_file)]
    key = subprocess.run([sys.executable, "-m", "cli", *create], check=True, capture_output=True, text=True)
    env = {
        "MLFLOW_TRACKING_URI": store,
        "FORECAST_KEYS_FILE": str(keys_file),
        "FORECAST_SNAPSHOT_DIR": str(folder / "catalog"),
    }
    with serving([sys.executable, *BENTO_SERVE], ready="/readyz", env=env, log_to=folder / "service.log") as url:
        yield url, key.stdout.strip()


@contextlib.contextmanager
def running_app(
    supabase: Supabase, forecast_url: str, forecast_key: str, log_to: Path, **environment: str
) -> Iterator[str]:
    """Run the built app; gives its URL. environment: further settings, as in .env.example."""
    env = {
        "SUPABASE_URL": supabase.url,
        "SUPABASE_PUBLISHABLE_KEY": supabase.publishable_key,
        "FORECAST_API_URL": forecast_url,
        "FORECAST_API_KEY": forecast_key,
        "INSECURE_COOKIES": "true",
        "HOSTNAME": "127.0.0.1",
        "NODE_ENV": "production",
        **environment,
    }
    command = ["sh", "-c", "PORT={port} exec node server.js"]
    with serving(command, ready="/login", env=env, cwd=STANDALONE, log_to=log_to) as url:
        yield url


def build_app() -> None:
    """Build the app for production, and put beside its server what the build leaves for a CDN."""
    env = {**os.environ, "NEXT_TELEMETRY_DISABLED": "1"}
    build = ["npm", "run", "--silent", "build"]
    done = subprocess.run(build, cwd=EXAMPLE, env=env, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the app cannot be built:\n{done.stdout}\n{done.stderr}")
    shutil.copytree(EXAMPLE / ".next" / "static", STANDALONE / ".next" / "static", dirs_exist_ok=True)


def train(supabase: Supabase, store: str) -> subprocess.CompletedProcess[str]:
    """The nightly job: champions for each user and category, from the database that the app writes to."""
    words = ["train", "--config", str(EXAMPLE / "job.yaml"), "--url", supabase.training_url, "--tracking-uri", store]
    return subprocess.run([sys.executable, "-m", "cli", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def _secret() -> str:
    return secrets.token_urlsafe(32)


def _enter_roles(stack: contextlib.ExitStack, admin: str, names: tuple[str, ...]) -> None:
    for name in names:
        stack.enter_context(_role(admin, name))


@contextlib.contextmanager
def _role(admin: str, name: str) -> Iterator[None]:
    """See that a role without a login is there; one that was not is dropped at the end, unless it is used by then."""
    options = sql.SQL("bypassrls" if name == "service_role" else "")
    role = sql.Identifier(name)
    made = True
    with psycopg.connect(admin, autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("create role {} nologin noinherit {}").format(role, options))
        except psycopg.errors.DuplicateObject:
            made = False
    try:
        yield
    finally:
        if made:
            with (
                psycopg.connect(admin, autocommit=True) as connection,
                contextlib.suppress(psycopg.errors.DependentObjectsStillExist),
            ):
                connection.execute(sql.SQL("drop role {}").format(role))


@contextlib.contextmanager
def _login(admin: str, database_url: str, purpose: str, *roles: str) -> Iterator[str]:
    """The database's URL for a login of its own that is in these roles."""
    server, _, database = database_url.rpartition("/")
    name, password = f"{purpose}_{database}", _secret()
    login, groups = sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, roles))
    # PostgREST's login is to have no right but to become somebody else; that of training has those of its role.
    inherit = sql.SQL("noinherit" if purpose == "authenticator" else "inherit")
    with psycopg.connect(admin, autocommit=True) as connection:
        create = sql.SQL("create role {} login {} password {} in role {}")
        connection.execute(create.format(login, inherit, sql.Literal(password), groups))
    try:
        scheme, _, rest = server.partition("://")
        yield f"{scheme}://{name}:{password}@{rest.rpartition('@')[2]}/{database}"
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("drop role {}").format(login))
