"""What can go wrong with a history, a fit or a forecast.

ForecastingError
├── HistoryError  a history has faults; it carries every one of them
├── FitError      Prophet or its optimiser failed on a sound history
├── ModelError    a stored model is not a fitted Prophet
│   └── Inexpressible  it is one, with a feature that arrays cannot express
└── RowsError     the rows to forecast lack what the model needs
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a table, precise enough to mend it.

    code is stable; message is a sentence that names the column, the rows and the values.
    rows count from 0 in the table that was handed in, a header not counted; like values they are
    only the first five. column is None when the fault is of the table as a whole.
    """

    code: str
    message: str
    column: str | None = None
    rows: tuple[int, ...] = ()
    values: tuple[str, ...] = ()


class ForecastingError(Exception):
    """Base of every error that this package raises on purpose."""


class HistoryError(ForecastingError):
    """A history has faults; `faults` holds all that were found."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(" ".join(fault.message for fault in faults))
        self.faults = faults

    def __reduce__(self) -> tuple[type[HistoryError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


class FitError(ForecastingError):
    """Prophet could not be fitted; `chatter` is what prophet and cmdstan logged meanwhile."""

    def __init__(self, message: str, chatter: str = "") -> None:
        super().__init__(f"{message}\n{chatter.rstrip()}" if chatter.strip() else message)
        self.message = message
        self.chatter = chatter

    def __reduce__(self) -> tuple[type[FitError], tuple[str, str]]:
        return type(self), (self.message, self.chatter)


class ModelError(ForecastingError):
    """A stored model is not a fitted Prophet."""


class Inexpressible(ModelError):
    """A sound Prophet with a feature that arrays cannot express; the message names it."""


class RowsError(ForecastingError):
    """The rows to forecast lack a column or a value that the model needs."""
