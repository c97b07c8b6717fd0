"""The configuration chooses an engine, and one that cannot be had says so before a job begins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from training.config import load_config
from training.engines import open_engine
from training.errors import ConfigError


def test_processes_on_this_machine_are_the_default() -> None:
    with open_engine(load_config(None, {"source.path": "a.csv"})) as engine:
        assert engine.workers == os.cpu_count()
    with open_engine(load_config(None, {"source.path": "a.csv", "workers": 3})) as engine:
        assert engine.workers == 3


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("spark", "pyspark")])
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(
    engine: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"training.engines.{engine}", raising=False)
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    config = load_config(None, {"source.path": "a.csv", "engine.name": engine})
    with pytest.raises(ConfigError, match=rf"'{engine}' needs .*'({package}|py4j)[^']*'.*requirements/engines\.txt"):
        open_engine(config)


def test_an_address_is_no_use_to_processes_on_this_machine() -> None:
    with pytest.raises(ConfigError, match="engine: an address is for the engines ray and spark"):
        load_config(None, {"source.path": "a.csv", "engine.address": "ray://head:10001"})


def test_processes_on_this_machine_load_neither_ray_nor_spark() -> None:
    """They take seconds to import, and most machines do not have them."""
    code = (
        "import sys, training.engines, training.engines.local;"
        "print([name for name in ('ray', 'pyspark') if name in sys.modules])"
    )
    paths = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=paths)
    assert done.stdout.strip() == "[]"
