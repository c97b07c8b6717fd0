"""Ask the running stack for a forecast, as a caller would: address and file of the API key are named."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 180  # seconds until it is ready, and until it serves what was trained
PERIODS = 7


def main() -> int:
    """Wait until something is served, and print a week of it."""
    url, key = sys.argv[1].rstrip("/"), Path(sys.argv[2]).read_text()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        with opener.open(urllib.request.Request(url + path, data, headers), timeout=30) as answer:
            return json.load(answer)

    models = _until(lambda: ask("/models?limit=1000")["models"])
    segment = models[0]["model_id"]
    answer = ask("/forecast", {"model_id": segment, "periods": PERIODS})
    print(f"{url} serves {len(models)} segments; the next {PERIODS} rows of {segment}:")
    for row in answer["forecast"]:
        print(f"  {row['ds']}  {row['yhat']:10.2f}  ({row['yhat_lower']:.2f} to {row['yhat_upper']:.2f})")
    model = answer["model"]
    print(f"by {model['name']} version {model['version']}, trained through {model['trained_through']}")
    return 0


def _until(ask: Callable[[], Any]) -> Any:
    """What it says, once it says something."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            said = ask()
            trouble = "nothing is served"
        except (OSError, urllib.error.HTTPError) as error:
            said, trouble = None, str(error)
        if said:
            return said
        if time.monotonic() > deadline:
            sys.exit(f"no forecast within {PATIENCE} s: {trouble}")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
