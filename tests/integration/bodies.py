"""What the answer to any body must be; hypothesis (test_bodies.py) and atheris (fuzz_bodies.py) hold the app to it."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from jsonschema import Draft202012Validator
from prophet import Prophet

from registry.log import JobLog
from registry.registry import Registry
from serving.app import ForecastApp
from serving.backend import WorkerBackend
from serving.metrics import Metrics
from serving.openapi import openapi_document
from serving.settings import Settings
from tests.integration.runners import LocalRunners

PATHS = ("/forecast", "/forecast/batch")
SEGMENT = "user_42_groceries"
POINTS = [{"ds": f"{day:%Y-%m-%d}", "y": float(day.day % 5)} for day in pd.date_range("2024-01-01", periods=12)]
SEEDS: list[tuple[str, Any]] = [
    ("/forecast", {}),
    ("/forecast", {"model_id": SEGMENT, "periods": 2, "components": True, "format": "columns"}),
    ("/forecast", {"model_id": SEGMENT, "start": "2024-03-01", "freq": "W-MON", "interval_width": 0.5, "version": 1}),
    ("/forecast", {"model_id": SEGMENT, "include_history": True, "periods": 1}),
    ("/forecast", {"data": POINTS, "periods": 2, "cap": 9.0, "floor": -1.5, "regressors": {"rain": [0.5, 1e-9]}}),
    ("/forecast", {"data": POINTS, "periods": 3, "freq": "h", "start": "2024-02-01T05:00:00+01:00"}),
    ("/forecast/batch", {"requests": [{"model_id": SEGMENT}, {"data": POINTS}, {"model_id": "nobody"}, {"data": []}]}),
]


def fill(folder: Path, empty_store: Path, prophet: Prophet) -> Registry:
    """A registry in this folder with the one segment that the seeds name."""
    shutil.copy(empty_store, folder / "mlflow.db")
    registry = Registry(f"sqlite:///{folder}/mlflow.db")
    with JobLog(registry, "test", {}) as job:
        registry.promote(SEGMENT, job.log_segment(SEGMENT, prophet, params={}, metrics={}, tags={}).version)
    return registry


class Target:
    """The whole app in this process, asked without a network; `ask` fails where an answer is not as it must be."""

    def __init__(self, registry: Registry) -> None:
        settings = Settings(champion_ttl_seconds=3600, max_periods=400, max_rows=500, max_batch=20, timeout_seconds=60)
        backend = WorkerBackend(LocalRunners(registry, settings), registry, settings)
        self._app = ForecastApp(settings, backend, Metrics(multiprocess=False))
        self._loop = asyncio.new_event_loop()
        document = openapi_document()
        self._schemas = {
            (path, int(status)): _validator(document, answer)
            for path in PATHS
            for status, answer in document["paths"][path]["post"]["responses"].items()
        }
        self._faults = _Faults()
        logging.getLogger("serving").addHandler(self._faults)

    def close(self) -> None:
        logging.getLogger("serving").removeHandler(self._faults)
        self._loop.close()

    def ask(self, path: str, body: bytes) -> int:
        """The status of the answer. Raises AssertionError where it is none that the document has for such a body."""
        status, headers, content = self._loop.run_until_complete(self._answer(path, body))
        assert (path, status) in self._schemas, f"undocumented status {status}"
        assert status < 500, f"{status}: {self._faults.last}"
        media_type, validator = self._schemas[path, status]
        assert headers[b"content-type"].decode() == media_type
        answer = json.loads(content, parse_constant=_refuse_constant)
        validator.validate(answer)
        for problem in [answer, *answer.get("results", ())]:
            assert problem.get("status", 0) < 500, f"{problem}: {self._faults.last}"
        return status

    async def _answer(self, path: str, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "client": ("127.0.0.1", 4711),
            "headers": [(b"host", b"localhost"), (b"content-length", str(len(body)).encode())],
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:])


class _Faults(logging.Handler):
    """Keeps the last error that the app logged, which its answer must not tell."""

    last = "nothing was logged"

    def emit(self, record: logging.LogRecord) -> None:
        self.last = logging.Formatter().format(record)


def _validator(document: dict[str, Any], answer: dict[str, Any]) -> tuple[str, Draft202012Validator]:
    kinds = answer["content"].items()
    [(media_type, content)] = [kind for kind in kinds if "json" in kind[0]]  # nobody asks for Arrow here
    return media_type, Draft202012Validator({**content["schema"], "components": document["components"]})


def _refuse_constant(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")
