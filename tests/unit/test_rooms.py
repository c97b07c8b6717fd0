"""The parts of the dependency rule that import-linter cannot hold: the modules that are not packages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"forecasting", "registry", "training", "serving", "cli", "cli_keys", "doctor", "service"}


def _imports(path: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_service_knows_serving_alone() -> None:
    """service.py wires serving into BentoML and looks into no other room."""
    imports = _imports(ROOT / "service.py")
    assert imports & ROOMS == {"serving"}
    assert "bentoml" in imports


@pytest.mark.parametrize("module", ["cli", "cli_keys", "doctor"])
def test_the_cli_knows_no_framework_of_the_rooms(module: str) -> None:
    """The CLI calls rooms, never MLflow or BentoML behind their backs."""
    assert not _imports(ROOT / "src" / f"{module}.py") & {"mlflow", "bentoml", "service"}
