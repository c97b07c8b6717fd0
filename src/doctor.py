"""What this machine has of what the product needs, and how to mend what is missing."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("prophet", "mlflow", "bentoml", "pandas", "pydantic", "uvloop", "httptools")
ENOUGH_DISK_GB = 2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def examine(tracking_uri: str | None) -> list[Finding]:
    """Look at Python, the packages, cmdstan, the registry and the disk; never raises."""
    findings = [_python(), *(_package(name) for name in PACKAGES)]
    findings.append(_tried("a Prophet fit", _fit, "reinstall prophet: its wheel brings a compiled cmdstan model"))
    findings.append(
        _tried(
            "the registry",
            lambda: _reach(tracking_uri),
            "start the MLflow server or its database, or unset MLFLOW_TRACKING_URI for the store under mlruns/",
        )
    )
    findings.append(_disk())
    return findings


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info[:2] == (3, 11), found, "make the environment with Python 3.11")


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", "make setup")


def _tried(what: str, attempt: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, True, attempt())
    except Exception as error:  # whatever is broken, doctor's work is to say so
        return Finding(what, False, f"{type(error).__name__}: {error}", remedy)


def _fit() -> str:
    import pandas as pd

    from forecasting.history import check_history
    from forecasting.prophet_model import fit, solver_of
    from forecasting.spec import ProphetSpec

    days = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=30), "y": [day % 7 for day in range(30)]})
    found = {solver_of(fit(check_history(days), ProphetSpec(), solver)) for solver in ("exact", "cmdstan")}
    return f"works, with {' and '.join(sorted(found))}"


def _reach(tracking_uri: str | None) -> str:
    from registry.registry import Registry
    from registry.store import fail_fast, without_password

    fail_fast()
    registry = Registry(tracking_uri)
    registry.ping()
    return f"answers at {without_password(registry.uri)}"


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    scratch = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    found = f"{free:.0f} GB free here, {scratch:.0f} GB for temporary files"
    return Finding("disk", min(free, scratch) >= ENOUGH_DISK_GB, found, f"free {ENOUGH_DISK_GB} GB")
