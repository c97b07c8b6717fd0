"""Manifests as `kubectl apply -k` would send them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml


def build(folder: Path) -> list[dict[str, Any]]:
    """What a kustomization makes. Skips where nobody can build it, which CI does not take."""
    commands = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
    command = next((words for name, words in commands.items() if shutil.which(name)), None)
    if command is None:
        excuse = "neither kustomize nor kubectl is here"
        pytest.fail(excuse) if os.environ.get("CI") else pytest.skip(excuse)
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr  # a deprecated field is a warning there
    return list(yaml.safe_load_all(done.stdout))
