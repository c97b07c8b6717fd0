"""How one segment's model comes about, in full: what a version must remember to be fitted again."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from forecasting.recipe import Recipe
from forecasting.spec import ProphetSpec, Solver


class Configuration(BaseModel):
    """Prophet's settings, the recipes laid over them, and the solver.

    recipes: most often one; of several, the models are averaged (`forecasting.recipe_fit.average`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ProphetSpec = ProphetSpec()
    recipes: Annotated[tuple[Recipe, ...], Field(min_length=1)]
    solver: Solver = "exact"

    @property
    def name(self) -> str:
        """The recipes' names, the one that did best first."""
        return " + ".join(recipe.name for recipe in self.recipes)
