"""AutoETS and Theta of statsforecast beside us: an environment of their own, and their forecasts, which are kept.

Both lie in a folder that git ignores, named by all that they depend on, so that a second run makes neither again.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy_scores import Ahead
from benchmarks.accuracy_series import Series

ETS, THETA = "AutoETS", "Theta"  # as peers/statsforecast_peer.py calls them
KEPT = Path(__file__).parent / ".peers_cache"
_SCRIPT = Path(__file__).parent / "peers" / "statsforecast_peer.py"
_PACKAGES = Path(__file__).parent.parent / "requirements" / "peers.txt"


def environment(kept: Path = KEPT) -> str:
    """The Python of an environment with the peers' packages, made where there is none yet."""
    place = kept / f"environment-{_digest(_PACKAGES.read_bytes())}"
    python, ready = place / "bin" / "python", place / "ready"
    if not ready.exists():
        venv.create(place, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", _PACKAGES]
        subprocess.run(command, check=True)
        ready.touch()
    return str(python)


def peer_forecasts(every: Sequence[Series], python: str, kept: Path = KEPT) -> dict[str, list[Ahead | None]]:
    """What each peer forecasts of each series, in order; None where it has no finite forecast.

    python: that of an environment with the peers' packages. The processor's time is that of the run that made them.
    """
    asked = json.dumps(
        [{"season": one.season, "horizon": one.horizon, "y": one.y[: one.rows].tolist()} for one in every]
    )
    kept.mkdir(exist_ok=True)
    found = kept / f"forecasts-{_digest(asked.encode(), _SCRIPT.read_bytes(), _PACKAGES.read_bytes())}.json"
    if not found.exists():
        question, answer = found.with_suffix(".question"), found.with_suffix(".answer")
        question.write_text(asked, encoding="utf-8")
        subprocess.run([python, _SCRIPT, question, answer], check=True)
        answer.rename(found)
        question.unlink()
    return {
        way: [one and _ahead(one) for one in forecasts]
        for way, forecasts in json.loads(found.read_text(encoding="utf-8")).items()
    }


def _ahead(given: dict[str, list[float]]) -> Ahead:
    yhat, lower, upper = (np.array(given[name]) for name in ("yhat", "lower", "upper"))
    return Ahead(yhat, lower, upper, cpu=float(given["cpu"]))  # type: ignore[arg-type]


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
