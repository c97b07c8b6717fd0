"""The public holidays of a country, as Prophet names and dates them.

Each year is asked of the holidays package alone and kept. No year of any country holds a date of another year,
so a row's holidays depend on its own year only, and not, as they might, on which other rows are asked for. Asked for
several years at once, the package answers the same but for one day: the Johannesburg exchange (XJSE) loses Sunday
2000-01-02 as soon as a later year is asked for too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from forecasting.errors import ModelError

_RENAMED = {"TU": "TR"}  # Prophet once took TU for Turkey


@lru_cache(maxsize=4096)
def country_holidays(country: str, year: int) -> tuple[tuple[int, str], ...]:
    """The (day, name) pairs of one year: days since 1970-01-01, names in English, several a day where they meet.

    Source: prophet.make_holidays.make_holidays_df, which reads the same class of the same package.
    """
    calendar = holiday_class(country)(expand=False, language="en_US", years=[year])
    return tuple(
        (int(np.datetime64(date, "D").astype(np.int64)), name) for date in calendar for name in calendar.get_list(date)
    )


@lru_cache(maxsize=256)
def holiday_class(country: str) -> Any:
    """What makes a country's calendar, by its code or name; raises ModelError for one that the package lacks."""
    import holidays  # takes a third of a second, which only models with a country need to pay
    from holidays.registry import EntityLoader  # stands for a country's class until its first call

    found = getattr(holidays, _RENAMED.get(country, country), None)
    if not isinstance(found, EntityLoader) or not isinstance(found(), holidays.HolidayBase):
        raise ModelError(f"the holidays package knows no country {country!r}")
    return found
