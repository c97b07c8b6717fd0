"""The parts of the dependency rule that import-linter cannot hold: the modules that are not packages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "forecasting",
    "registry",
    "training",
    "serving",
    "cli",
    "cli_faults",
    "cli_keys",
    "cli_score",
    "doctor",
    "service",
}


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


@pytest.mark.parametrize("module", ["cli", "cli_faults", "cli_keys", "cli_score", "doctor"])
def test_the_cli_knows_no_framework_of_the_rooms(module: str) -> None:
    """The CLI calls rooms, never MLflow or BentoML behind their backs."""
    assert not _imports(ROOT / "src" / f"{module}.py") & {"mlflow", "bentoml", "service"}


def test_the_bento_has_every_file_of_the_rooms_that_serve() -> None:
    """Those of packages inside them, too: a Bento that lacks one ends when it starts."""
    included = yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))["include"]
    carried = {path for pattern in included for path in ROOT.glob(pattern)}
    needed = {path for room in ("forecasting", "registry", "serving") for path in (ROOT / "src" / room).rglob("*.py")}
    assert needed - carried == set()
