"""Manifests as `kubectl apply -k` would send them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.lacking import lacking


def build(folder: Path) -> list[dict[str, Any]]:
    """What a kustomization makes. Skips where nobody can build it, which CI does not take."""
    commands = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
    command = next((words for name, words in commands.items() if shutil.which(name)), None)
    if command is None:
        lacking("neither kustomize nor kubectl is here")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr  # a deprecated field is a warning there
    return list(yaml.safe_load_all(done.stdout))
