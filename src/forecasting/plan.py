"""How the model of any history is to come about: what training and inline fits are told, and are told alike by default.

A Configuration is what comes of it for one history.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forecasting.recipe import DAMPED_AVERAGE, STOCK, RecipeChoice
from forecasting.spec import ProphetSpec, Solver

NAIVE, CHAMPION = "seasonal-naive", "champion"  # what a segment's table has beside recipes

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BacktestConfig(_Frozen):
    """Rolling cutoffs, counted in rows.

    cutoffs: how many at most, 0 for no backtest. horizon: rows forecast after each; None: one season.
    period: rows between cutoffs; None: half a horizon. min_train: rows the first fit must see; None: three horizons.
    """

    cutoffs: Annotated[int, Field(ge=0)] = 3
    horizon: Count | None = None
    period: Count | None = None
    min_train: Annotated[int, Field(ge=2)] | None = None


class ChooseConfig(_Frozen):
    """Recipes that compete with the plan's own for each segment.

    among: those beside Plan.recipe; none: there is no choice. keep: so many of the best are averaged, as far as
    they average with the best. own_weight: how much the logarithm of a recipe's MASE in the segment's own backtest
    counts in its score, the rest being that of all segments (`Pace.log_error`): alone it is mostly noise.
    """

    among: tuple[RecipeChoice, ...] = ()
    keep: Count = 3
    own_weight: Share = 0.25


class Plan(_Frozen):
    """How models come about, for any history.

    recipe: damped-average, stock (one Prophet as model says), or the keys of one's own. choose: others that each
    segment may have instead. solver: exact, or cmdstan, Prophet's own, for stock alone; it is some ten times slower
    and stops short of the optimum at times.
    """

    model: ProphetSpec = ProphetSpec()
    recipe: RecipeChoice = DAMPED_AVERAGE
    choose: ChooseConfig = ChooseConfig()
    solver: Solver = "exact"
    backtest: BacktestConfig = BacktestConfig()

    @model_validator(mode="after")
    def _has_a_solver_for_its_recipe(self) -> Self:
        if self.solver == "cmdstan" and (self.recipe != STOCK or self.choose.among):
            raise ValueError(
                "solver cmdstan fits one Prophet as it is: set recipe to stock with it, and choose nothing"
            )
        return self

    @model_validator(mode="after")
    def _has_a_name_for_each_recipe(self) -> Self:
        recipes = (self.recipe, *self.choose.among)
        names = [NAIVE, CHAMPION, *(recipe.name for recipe in {STOCK, *recipes})]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or len(set(recipes)) < len(recipes):
            raise ValueError(f"recipes need names of their own: {', '.join(twice) or recipes[0].name} is there twice")
        return self
