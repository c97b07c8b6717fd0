"""Write a history, MADE UP: 20 segments of 400 days, where the folder that is named has no history.csv yet."""

from __future__ import annotations

import math
import random
import sys
from datetime import date, timedelta
from pathlib import Path

SEGMENTS = 20
DAYS = 400
BEGIN = date(2024, 1, 1)


def main() -> int:
    """Write history.csv, unless somebody's own lies there."""
    folder = Path(sys.argv[1])
    path = folder / "history.csv"
    if path.exists():
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("segment,ds,y\n" + "".join(_rows()))
    print(f"made up a history of {SEGMENTS} segments: {path}")
    return 0


def _rows() -> list[str]:
    """A trend, a week and noise, other ones in each shop, and the same every time."""
    rows = []
    for shop in range(1, SEGMENTS + 1):
        chance = random.Random(shop)
        level, slope, week = chance.uniform(50, 200), chance.uniform(-0.05, 0.15), chance.uniform(2, 20)
        for day in range(DAYS):
            y = level + slope * day + week * math.sin(2 * math.pi * (day + shop) / 7) + chance.gauss(0, 3)
            rows.append(f"shop_{shop:02d},{BEGIN + timedelta(days=day)},{y:.3f}\n")
    return rows


if __name__ == "__main__":
    sys.exit(main())
