"""Specs and histories for them, drawn over everything that a ProphetSpec can say."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from forecasting.spec import ProphetSpec, Regressor, Seasonality

MODES = st.sampled_from(["additive", "multiplicative"])
LENGTHS = {"D": 750, "B": 200, "h": 420, "15min": 220, "W": 170, "MS": 90, "QS": 40, "YS": 25}
_SWITCH = st.sampled_from(["auto", "auto", True, False, 2])
_PRIOR = st.sampled_from([0.02, 0.5, 10.0])


@st.composite
def cases(draw: st.DrawFn, smallest: int = 2) -> tuple[ProphetSpec, pd.DataFrame, str]:
    """A spec, a history of at least so many rows with the columns that it needs, and the history's frequency."""
    freq = draw(st.sampled_from(sorted(LENGTHS)))
    lengths = [max(smallest, length) for length in (smallest, LENGTHS[freq] // 3, LENGTHS[freq])]
    rows = draw(st.sampled_from(lengths) | st.integers(smallest, max(60, 2 * smallest)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spec = draw(specs())
    frame = pd.DataFrame({"ds": pd.date_range("2019-11-20 00:00", periods=rows + 5, freq=freq).as_unit("ns")})
    step = np.arange(rows + 5)
    frame["y"] = 50 + 0.1 * step + 6 * np.sin(2 * np.pi * step / 7) + random.normal(0, 2, rows + 5)
    made = {
        "price": random.normal(3, 2, rows + 5),
        "promo": random.integers(0, 2, rows + 5).astype(float),
        "rent": np.full(rows + 5, 3.5),
    }
    for regressor in spec.regressors:
        frame[regressor.name] = made[regressor.name]
    if spec.growth == "logistic" and (spec.cap is None or draw(st.booleans())):
        frame["cap"] = np.linspace(190, 220, rows + 5)
    if draw(st.booleans()):
        frame["floor"] = np.linspace(1, 5, rows + 5)
    kept = np.sort(random.choice(rows + 5, rows, replace=False))  # some dates are missing
    return spec, frame.iloc[kept].reset_index(drop=True), freq


@st.composite
def specs(draw: st.DrawFn) -> ProphetSpec:
    """Any spec; its own seasonalities may have the name of a standard one."""
    growth = draw(st.sampled_from(["linear", "logistic", "flat"]))
    names = draw(st.lists(st.sampled_from(["odd", "weekly", "yearly"]), max_size=2, unique=True))
    periods = {"odd": 11.3, "weekly": 7.0, "yearly": 365.25}
    seasonalities = [
        Seasonality(
            name=name,
            period=periods[name],
            fourier_order=draw(st.integers(1, 3)),
            prior_scale=draw(st.none() | _PRIOR),
            mode=draw(st.none() | MODES),
        )
        for name in names
    ]
    regressors = [
        Regressor(
            name=name,
            prior_scale=draw(st.none() | _PRIOR),
            standardize=draw(st.sampled_from(["auto", True, False])),
            mode=draw(st.none() | MODES),
        )
        for name in draw(st.lists(st.sampled_from(["price", "promo", "rent"]), max_size=2, unique=True))
    ]
    return ProphetSpec(
        growth=growth,
        n_changepoints=draw(st.sampled_from([25, 25, 0, 7])),
        changepoint_range=draw(st.sampled_from([0.8, 0.5, 1.0])),
        changepoint_prior_scale=draw(st.sampled_from([0.05, 0.5])),
        seasonality_mode=draw(MODES),
        seasonality_prior_scale=draw(_PRIOR),
        yearly_seasonality=draw(_SWITCH),
        weekly_seasonality=draw(_SWITCH),
        daily_seasonality=draw(_SWITCH),
        seasonalities=tuple(seasonalities),
        regressors=tuple(regressors),
        country_holidays=draw(st.sampled_from([None, None, "US", "DE", "FR"])),
        holidays_prior_scale=draw(_PRIOR),
        interval_width=draw(st.sampled_from([0.8, 0.95])),
        cap=draw(st.sampled_from([None, 250.0])) if growth == "logistic" else None,
        floor=draw(st.sampled_from([None, 2.0])),
    )
