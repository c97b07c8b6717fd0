"""What the tests of this folder need besides, and where it is."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tests.lacking import lacking

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str, *, beside: str = "") -> str:
    """Where a program is, on the path or in the folder `beside` it; skips where it is not."""
    found = shutil.which(name, path=os.pathsep.join(filter(None, (os.environ["PATH"], beside))))
    return found or lacking(f"no {name} here")


def dashboard_queries() -> list[str]:
    """Those of docs/observability.md, every row of their table."""
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    section = text.partition("| shows | query |")[2].partition("\n## ")[0]
    queries = re.findall(r"^\| [^`|]+ \| `(.+)` \|$", section, re.MULTILINE)
    assert len(queries) == section.count("\n| ")
    return queries
