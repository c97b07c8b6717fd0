"""Compile the solver's kernels while an image is built, by the fits that training and runners make by default."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.choice import choose, chosen_model
from forecasting.history import check_history
from forecasting.past import Past
from forecasting.plan import Plan

days = np.arange(60)
past = Past.of(check_history(pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": days**2 % 11.0})))
chosen_model(past, choose(past, Plan()))
