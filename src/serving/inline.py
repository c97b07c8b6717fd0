"""Fits of histories that come with the request: what a runner process does with them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from forecasting.errors import Fault as HistoryFault
from forecasting.errors import FitError, HistoryError
from forecasting.history import History, check_history
from forecasting.plan import Plan
from serving.fits import Fitted
from serving.histories import InlineHistory
from serving.outcomes import INTERNAL_ERROR, Code, Refusal
from serving.schemas import Fault

log = logging.getLogger("serving.inline")

_SAMPLE = pd.DataFrame(
    {"ds": pd.date_range("2024-01-01", periods=60), "y": [float(day * day % 11) for day in range(60)]}
)


class InlineFits:
    """Makes of each inline history the model that training by default makes of it, calibrated by backtest."""

    def __init__(self) -> None:
        # These compile, with packages that HTTP workers have no use for.
        from forecasting.choice import choose, chosen_model
        from forecasting.configuration import Configuration
        from forecasting.past import Past
        from forecasting.solver import SOLVER

        plan = Plan()
        usual = Configuration(model=plan.model, recipes=(plan.recipe,))

        def fit(history: History) -> Fitted:
            past = Past.of(history)
            model = past.fit(usual)  # kept in `past`: the choice below does not fit it again
            if model.solver != SOLVER:
                # Without noise in it, a history leaves a backtest nothing to choose by and its interval no width; and
                # cmdstan, which fits such ones, would take seconds for all cutoffs, in which a runner is held up.
                return model
            return chosen_model(past, choose(past, plan))

        self._fit = fit
        # Small matrices gain nothing from threads, and lose much where runners fight for the same cores.
        threadpool_limits(1)
        # The first fit of a process loads the compiled kernels, or compiles them: no caller should wait for that.
        fit(check_history(_SAMPLE))

    def fitted(self, histories: Sequence[InlineHistory]) -> list[Fitted]:
        """The model of each history, or a refusal that names each faulty row; in order.

        Those on the same dates are fitted one after the other, since the last dates are kept, laid out for fits.
        """
        found: list[Fitted] = [INTERNAL_ERROR] * len(histories)
        checked: list[tuple[int, History]] = []
        for place, history in enumerate(histories):
            try:
                checked.append((place, _check(history)))
            except HistoryError as error:
                found[place] = _refusal(error.faults)
            except Exception:
                log.exception("a history could not be checked for a reason that nobody planned for")
        for place, known in sorted(checked, key=lambda one: one[1].frame["ds"].to_numpy().tobytes()):
            found[place] = self._fitted(known)
        return found

    def _fitted(self, history: History) -> Fitted:
        try:
            with np.errstate(all="ignore"):  # what overflows is not finite in the end, and refused for that
                return self._fit(history)
        except FitError as error:
            log.warning("a history could not be fitted: %s", error)
            return Refusal("unfittable_history", "Prophet finds no fit for this history")
        except Exception:  # a batch has strangers in it: one bug must not cost them their answers
            log.exception("a history could not be fitted for a reason that nobody planned for")
            return INTERNAL_ERROR


def _check(history: InlineHistory) -> History:
    """Raises HistoryError."""
    return check_history(pd.DataFrame({"ds": history.ds, "y": history.y}), duplicates="error", sort=False)


def _refusal(faults: tuple[HistoryFault, ...]) -> Refusal:
    code: Code = "too_few_points" if {fault.code for fault in faults} == {"too_few_points"} else "invalid_history"
    return Refusal(
        code,
        faults[0].message,
        tuple(Fault(place=_place(fault), message=fault.message) for fault in faults),
    )


def _place(fault: HistoryFault) -> str:
    if not fault.rows or fault.column is None:
        return "data"
    return f"data.{fault.rows[0]}.{fault.column}"
