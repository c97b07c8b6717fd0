"""The service under what schemathesis makes up from its own OpenAPI document: all phases, valid and invalid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prophet import Prophet

from benchmarks.servers import ROOT
from registry.log import JobLog
from registry.registry import Registry
from serving.keys import create_key
from serving.openapi import openapi_document
from tests.e2e.conftest import Service, serve

pytestmark = pytest.mark.hostile

TOOL = ROOT / ".venv" / "hostile" / "bin" / "schemathesis"
HOOKS = Path(__file__).with_name("hostile_hooks.py")
SEGMENTS = ("user_42_groceries", "shop/7", "größe 5")
OPERATIONS = [f"{method.upper()} {path}" for path, methods in openapi_document()["paths"].items() for method in methods]
PHASES = {"examples", "coverage", "fuzzing", "stateful"}


@dataclass
class Report:
    """What a run sent and got: requests by phase, answers by operation and status, checks by name."""

    requests: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        lines = [f"{sum(self.requests.values())} requests: {dict(self.requests)}"]
        for name in OPERATIONS:
            statuses = {status: number for (operation, status), number in self.answers.items() if operation == name}
            lines.append(f"  {name:24} {dict(sorted(statuses.items(), key=str))}")
        elsewhere = sum(number for (operation, _), number in self.answers.items() if operation not in OPERATIONS)
        lines.append(f"  by methods that are not theirs: {elsewhere}")
        return "\n".join(lines)


@pytest.fixture(scope="module")
def guarded(empty_store: Path, prophet: Prophet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks for keys, with three segments; its client has a key for everything."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    store = f"sqlite:///{folder}/mlflow.db"
    registry = Registry(store)
    with JobLog(registry, "test", {}) as job:
        for segment in SEGMENTS:
            registry.promote(segment, job.log_segment(segment, prophet, params={}, metrics={}, tags={}).version)
    _, key = create_key(folder / "keys.json", "hostile", ("*",), metrics=True)
    # A machine with other work is slow, not wrong: 504 has a test of its own.
    environment = {
        "FORECAST_KEYS_FILE": str(folder / "keys.json"),
        "FORECAST_TIMEOUT_SECONDS": "60",
        "FORECAST_WEBHOOK_SECRET": "known to nobody here",
    }
    with serve(store, folder, **environment) as service:
        service.http.headers["X-API-Key"] = key
        for segment in SEGMENTS:
            service.until(lambda answer: answer.status_code == 200, seconds=60, model_id=segment)
        yield service


@pytest.mark.parametrize(
    ("words", "least"),
    [
        pytest.param(("--max-examples", "60"), 500, id="short"),
        pytest.param(("--max-examples", "4000"), 20_000, id="long", marks=pytest.mark.slow),
    ],
)
def test_whatever_the_document_allows_or_forbids_is_answered_as_it_says(
    guarded: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], least: int
) -> None:
    """No 5xx, nothing undocumented, no answer outside its schema, no invalid request that is taken, no key ignored.

    A schema cannot say which dates ascend or which regressors a model has, so that valid bodies may be refused; that
    enough of them are not is asserted here.
    """
    before = len(guarded.log.read_text())
    done = _schemathesis(guarded, tmp_path, *words)
    report = _read(tmp_path / "events.ndjson")
    with capsys.disabled():
        sys.stdout.write(f"\n{report.table()}\n")
    assert done.returncode == 0, done.stdout[-20_000:]
    assert set(report.requests) == PHASES
    assert sum(report.requests.values()) >= least
    for operation in OPERATIONS:
        signed = operation == "POST /hooks/mlflow"  # which nobody here can do
        assert report.answers[operation, 401 if signed else 200] > 0, operation
    good = sum(number for (_, status), number in report.answers.items() if status == 200)
    assert good > sum(report.answers.values()) / 4
    for check in ("ignored_auth", "negative_data_rejection", "response_schema_conformance", "refuses_in_one_form"):
        assert report.checks[check] > 0, check
    assert "Traceback" not in guarded.log.read_text()[before:]


def _schemathesis(service: Service, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(TOOL), "run", f"{str(service.http.base_url).rstrip('/')}/openapi.json", "--no-color"]
    command += ["--header", f"X-API-Key: {service.http.headers['X-API-Key']}"]
    command += ["--generation-with-security-parameters", "false"]  # what it makes up would stand beside the good key
    command += ["--exclude-checks", "positive_data_acceptance", "--continue-on-failure", "--request-timeout", "90"]
    command += ["--generation-database", "none", "--report", "ndjson", "--output-truncate", "true"]
    command += ["--report-ndjson-path", str(folder / "events.ndjson"), *words]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=3000
    )


def _read(path: Path) -> Report:
    """Count what a run's events tell."""
    report = Report()
    with path.open(encoding="utf-8") as events:
        for line in events:
            finished = json.loads(line).get("ScenarioFinished")
            recorder = finished["recorder"] if finished else {}
            for case_id, interaction in recorder.get("interactions", {}).items():
                case = recorder["cases"][case_id]["value"]
                status = (interaction.get("response") or {}).get("status_code")
                report.requests[finished["phase"]] += 1
                report.answers[f"{case['method']} {case['path']}", status] += 1
            for checks in recorder.get("checks", {}).values():
                report.checks.update(check["name"] for check in checks)
    return report
