"""A ModelTable as one file that every process maps into its memory, alone or beside other arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forecasting.array_file import Array, Bytes, open_arrays, save_arrays
from forecasting.errors import ModelError
from forecasting.features import FeatureTable, HolidayDate, HolidayTerms, RegressorTerm, SeasonalTerm
from forecasting.table import RECORD, ModelTable
from forecasting.table_pick import LooseTable

LAYOUT = 1  # rises with any change of RECORD or of a block; part of the magic of every file that holds a table
_MAGIC = f"forecast models {LAYOUT}\n".encode()


def save_table(table: ModelTable, path: Path) -> None:
    """Write the table beside path and rename it into place, so that a reader sees the old file or the new one."""
    save_arrays(path, _MAGIC, *table_parts(LooseTable.of(table)))


def open_table(path: Path) -> ModelTable:
    """Map a table's file; its arrays cannot be written to. Raises ModelError for a file that is not a whole one."""
    header, arrays = open_arrays(path, _MAGIC)
    return table_of(header, arrays, path)


def table_parts(table: LooseTable) -> tuple[dict[str, Any], dict[str, Sequence[Array]]]:
    """What `save_arrays` writes of a table: its share of the header, and its arrays in pieces."""
    features = [dataclasses.asdict(features) for features in table.features]
    return {"features": features, "texts": table.texts}, {"records": [table.records], "arena": table.pieces}


def table_of(header: Mapping[str, Any], arrays: Mapping[str, Bytes], path: Path) -> ModelTable:
    """The table among what `open_arrays` found at path. Raises ModelError where there is no whole one."""
    try:
        features = tuple(_features(row) for row in header["features"])
        records, arena = arrays["records"].view(RECORD), arrays["arena"].view("<f8")
        return ModelTable(features, tuple(header["texts"]), records, arena)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is a damaged table of models: {error}") from error


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
