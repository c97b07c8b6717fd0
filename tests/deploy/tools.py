"""Programs of other packages that the tests of this folder run."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(name: str) -> str:
    """Where a program is. Skips where it is not, which CI does not take."""
    found = shutil.which(name)
    if found is None:
        excuse = f"no {name} here"
        pytest.fail(excuse) if os.environ.get("CI") else pytest.skip(excuse)
    return found
