"""The alert rules: promtool's judgement, and what the docs say of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import ROOT, dashboard_queries, tool

FOLDER = ROOT / "deploy" / "prometheus"


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def _cases() -> list[dict[str, Any]]:
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    return [case for test in tests for case in test["alert_rule_test"]]


def test_the_docs_have_the_rules_expressions() -> None:
    """docs/observability.md, word for word."""
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(Forecast\w+)` \| `(.+)` \|$", text, re.MULTILINE))
    assert rows == {rule["alert"]: rule["expr"] for rule in _rules()}


def test_the_runbook_has_a_section_for_each_alert() -> None:
    """And none for an alert that is gone."""
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (Forecast\w+)$", text, re.MULTILINE) == [rule["alert"] for rule in _rules()]


def test_each_alert_has_inputs_on_which_it_fires_and_others_on_which_it_does_not() -> None:
    """An alert without is one that nobody saw fire."""
    names = {rule["alert"] for rule in _rules()}
    assert {case["alertname"] for case in _cases() if case["exp_alerts"]} == names
    assert {case["alertname"] for case in _cases() if not case["exp_alerts"]} == names


@pytest.mark.deploy
def test_the_rules_fire_on_their_inputs() -> None:
    """By promtool."""
    done = _promtool(FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.deploy
@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_that_never_fires_is_noticed(rule: dict[str, Any], tmp_path: Path) -> None:
    """The inputs can fail: with another metric's name the same inputs fire nothing."""
    rules = (FOLDER / "alerts.yml").read_text()
    assert rule["expr"] in rules
    (tmp_path / "alerts.yml").write_text(rules.replace(f"expr: {rule['expr']}", "expr: absent_metric > 0"))
    (tmp_path / "alerts_test.yml").write_text((FOLDER / "alerts_test.yml").read_text())
    done = _promtool(tmp_path)
    assert done.returncode != 0
    assert rule["alert"] in done.stdout + done.stderr


@pytest.mark.deploy
def test_each_query_for_a_dashboard_is_one(tmp_path: Path) -> None:
    """Parsed by promtool, as a rule that records it."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(dashboard_queries())]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = [tool("promtool"), "check", "rules", str(tmp_path / "queries.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _promtool(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [tool("promtool"), "test", "rules", "alerts_test.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
