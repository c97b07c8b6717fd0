"""docs/observability.md has every metric that a running service tells, with its kind and labels, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Service, log_from_notebook
from tests.points import points

DOCS = Path(__file__).resolve().parents[2] / "docs" / "observability.md"
DAYS = points(30)
_OF_HISTOGRAMS = {"le"}


def test_every_metric_is_documented_with_its_kind_and_labels(
    service: Service, sqlite_store: str, tmp_path: Path
) -> None:
    """After one request of each kind."""
    log_from_notebook(sqlite_store, "watched", 1.0, tmp_path)
    service.until(lambda answer: answer.status_code == 200, seconds=60, model_id="watched")
    service.until(lambda answer: answer.status_code == 200, seconds=120, data=DAYS)
    text = service.http.get("/metrics").text
    told: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        labels = {name for sample in family.samples for name in sample.labels} - _OF_HISTOGRAMS
        told[family.name] = family.type, labels
    rows = re.findall(
        r"^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|", DOCS.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert told == {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert "watched" not in text
