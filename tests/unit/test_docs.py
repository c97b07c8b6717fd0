"""What the docs list is what there is: settings, error codes, routes, commands, configuration keys."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

import cli
import cli_keys
from forecasting.recipe import RECIPES
from serving.app import ForecastApp
from serving.metrics import Metrics
from serving.openapi import openapi_document
from serving.problems import STATUSES, TITLES
from serving.settings import Settings
from training.config import JobConfig, load_config

ROOT = Path(__file__).resolve().parents[2]


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_setting_is_documented_with_its_default() -> None:
    """docs/settings.md has a row for each, and none for what is gone."""
    rows = dict(re.findall(r"^\| `FORECAST_(\w+)` \| (\S+) \|", _read("docs/settings.md"), re.MULTILINE))
    assert rows == {name.upper(): _as_documented(value) for name, value in Settings()}


def _as_documented(value: Any) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def test_every_error_code_is_documented_with_its_status() -> None:
    """docs/http.md and the code agree on statuses."""
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", _read("docs/http.md"), re.MULTILINE)
    assert {code: int(status) for status, code in rows} == {code: int(status) for code, status in STATUSES.items()}
    assert TITLES.keys() == STATUSES.keys()


def test_every_route_of_the_app_is_documented() -> None:
    """The app's own routes stand in docs/http.md, and those of the contract in the OpenAPI document."""
    nobody: Any = None  # stands behind an app that is asked for nothing
    routes = ForecastApp(Settings(), nobody, Metrics(multiprocess=False)).routes.keys()
    text = _read("docs/http.md")
    assert [route for route in routes if f" {route}`" not in text] == []
    assert routes - {"/metrics", "/openapi.json"} == set(openapi_document()["paths"])


def test_every_option_of_every_command_has_a_help_text() -> None:
    """--help leaves nobody guessing."""
    for command in cli.app.registered_commands:
        name = command.name or command.callback.__name__
        shown = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0
        assert command.callback.__doc__
    import typer

    group = typer.main.get_command(cli.app)
    for name, command in [*group.commands.items(), *group.commands["keys"].commands.items()]:
        assert [option.name for option in command.params if not option.help and option.name != "help"] == [], name


def test_the_readme_names_every_command() -> None:
    """Each of prophetctl's commands has its place among the tasks."""
    text = _read("README.md")
    names = [command.name or command.callback.__name__ for command in cli.app.registered_commands]
    names += [f"keys {command.name or command.callback.__name__}" for command in cli_keys.keys.registered_commands]
    assert [name for name in names if f"prophetctl {name}" not in text and f"make {name}" not in text] == []


def test_the_example_configuration_shows_every_key_and_its_default() -> None:
    """docs/job.yaml is a valid job, and but for its source the default one."""
    example = load_config(ROOT / "docs/job.yaml", {})
    assert example == JobConfig(source=example.source)
    written = yaml.safe_load(_read("docs/job.yaml"))
    del written["source"]
    written["recipe"] = RECIPES[written["recipe"]].model_dump(mode="json")
    assert written == _keys(JobConfig(source=example.source).model_dump(mode="json", exclude={"source"}))


def _keys(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


@pytest.mark.parametrize(
    "name",
    sorted(
        str(path.relative_to(ROOT))
        for pattern in ("*.md", "docs/**/*.md", "clients/*/README.md")
        for path in ROOT.glob(pattern)
    ),
)
def test_links_between_the_docs_lead_somewhere(name: str) -> None:
    """Relative links name files that are there."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", _read(name))
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []


def test_help_answers_without_loading_the_rooms() -> None:
    """`prophetctl --help` imports neither prophet nor MLflow nor BentoML."""
    code = (
        "import sys, cli; print([name for name in ('prophet', 'mlflow', 'bentoml', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
