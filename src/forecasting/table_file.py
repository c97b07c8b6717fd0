"""A ModelTable as one file that every process maps into its memory.

Layout: the magic bytes; the length of the header as 8 little-endian bytes; the header in JSON, which holds the shared
features and texts and the lengths of both arrays; the records; the arena. Both arrays begin on a multiple of 64 bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from forecasting.errors import ModelError
from forecasting.features import FeatureTable, HolidayDate, HolidayTerms, RegressorTerm, SeasonalTerm
from forecasting.table import RECORD, ModelTable

_MAGIC = b"forecast models 1\n"  # the number rises with any change of RECORD or of a block
_ALIGNMENT = 64


def save_table(table: ModelTable, path: Path) -> None:
    """Write the table beside path and rename it into place, so that a reader sees the old file or the new one."""
    header = json.dumps(
        {
            "features": [dataclasses.asdict(features) for features in table.features],
            "texts": table.texts,
            "records": len(table.records),
            "floats": len(table.arena),
        }
    ).encode()
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(_MAGIC + len(header).to_bytes(8, "little") + header)
            for array in (table.records, table.arena):
                file.write(bytes(-file.tell() % _ALIGNMENT))
                file.write(np.ascontiguousarray(array).view(np.uint8).data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def open_table(path: Path) -> ModelTable:
    """Map a table's file; its arrays cannot be written to. Raises ModelError for a file that is not a whole one."""
    mapped = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, dtype=np.uint8)
    start = len(_MAGIC) + 8
    if mapped[: len(_MAGIC)].tobytes() != _MAGIC:
        raise ModelError(f"{path} is no table of models, or one of another version")
    length = int.from_bytes(mapped[len(_MAGIC) : start].tobytes(), "little")
    try:
        header = json.loads(mapped[start : start + length].tobytes())
        features = tuple(_features(row) for row in header["features"])
        texts, n_records, n_floats = tuple(header["texts"]), int(header["records"]), int(header["floats"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is a damaged table of models: {error}") from error
    first = _aligned(start + length)
    second = _aligned(first + n_records * RECORD.itemsize)
    end = second + n_floats * 8
    if len(mapped) != end:
        raise ModelError(f"{path} has {len(mapped)} bytes where its header speaks of {end}")
    records = mapped[first : first + n_records * RECORD.itemsize].view(RECORD)
    return ModelTable(features, texts, records, mapped[second:end].view("<f8"))


def _aligned(position: int) -> int:
    return position + -position % _ALIGNMENT


def _features(row: dict[str, Any]) -> FeatureTable:
    holidays = row["holidays"]
    if holidays is not None:
        dates = tuple(HolidayDate(**date) for date in holidays["dates"])
        holidays = HolidayTerms(**{**holidays, "names": tuple(holidays["names"]), "dates": dates})
    return FeatureTable(
        seasonalities=tuple(SeasonalTerm(**term) for term in row["seasonalities"]),
        holidays=holidays,
        regressors=tuple(RegressorTerm(**term) for term in row["regressors"]),
    )
