"""Let atheris make up bodies, guided by which lines of ours each one reaches; `make hostile` runs it.

Its Python is that of .venv/hostile, with our own packages on PYTHONPATH. Words: a folder with an MLflow store, a folder
for the corpus, and libFuzzer's options. Where an answer is not as it must be, it ends with a traceback and leaves the
body in the first folder.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import atheris

# Only what is imported under its eyes guides it; the packages that ours rest on would slow it down.
with atheris.instrument_imports(include=["serving", "forecasting"]):
    from serving.schemas import ForecastRequest
    from tests.integration.bodies import PATHS, SEEDS, Target

from registry.registry import Registry

_WORDS = [f'"{name}"' for name in (*ForecastRequest.model_fields, "requests", "ds", "y", "columns", "2024-01-01", "MS")]
_WORDS += ["1e308", "-0.0", "null", "true", "NaN", "\\ud800", "\\u0000", "]}", '{"']


def fuzz(folder: Path, corpus: Path, options: list[str]) -> None:
    """Fuzz until libFuzzer's options say that it is enough; then it ends the process."""
    target = Target(Registry(f"sqlite:///{folder}/mlflow.db"))
    for number, (path, asked) in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(bytes([PATHS.index(path)]) + json.dumps(asked).encode())
    words = folder / "words.txt"
    quoted = [word.replace("\\", "\\\\").replace('"', '\\"') for word in _WORDS]
    words.write_text("".join(f'"{word}"\n' for word in quoted))
    warnings.simplefilter("ignore", RuntimeWarning)

    def one(data: bytes) -> None:
        if data:
            target.ask(PATHS[data[0] % len(PATHS)], data[1:])

    atheris.Setup([sys.argv[0], f"-dict={words}", f"-artifact_prefix={folder}/", *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
