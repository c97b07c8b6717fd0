"""A configuration survives the tag that a version keeps it in."""

from __future__ import annotations

import json

import pytest

from forecasting.configuration import Configuration
from forecasting.recipe import DAMPED_AVERAGE, STOCK, Pace, Recipe
from forecasting.spec import ProphetSpec, Regressor, Seasonality
from training.champions import configuration_tag

OWN = Recipe(name="own", daily_order=None, weekly=Pace(phi=0.3, rho=0.1), monthly=Pace())
SPEC = ProphetSpec(
    growth="logistic",
    cap=9.0,
    seasonalities=(Seasonality(name="ä", period=30.5, fourier_order=3),),
    regressors=(Regressor(name="price", standardize=False),),
)


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(recipes=(DAMPED_AVERAGE,)),
        Configuration(recipes=(STOCK,), solver="cmdstan"),
        Configuration(model=SPEC, recipes=(OWN, STOCK)),
    ],
)
@pytest.mark.parametrize("freq", ["D", "MS", "W", "h"])
def test_what_is_read_is_what_was_written(configuration: Configuration, freq: str) -> None:
    text = configuration_tag(configuration, freq)
    assert Configuration.model_validate_json(text) == configuration
    assert len(text) < 1000, "a hundred thousand versions keep it"


def test_the_constants_of_a_recipe_stay_those_of_the_version() -> None:
    """Though the recipe's defaults may change: what they were for this cadence is written out."""
    [written] = json.loads(configuration_tag(Configuration(recipes=(DAMPED_AVERAGE,)), "D"))["recipes"]
    assert written["daily"] == DAMPED_AVERAGE.daily.model_dump(mode="json", exclude_defaults=True)
    assert written["own_weight"] == DAMPED_AVERAGE.own_weight
    assert "monthly" not in written
