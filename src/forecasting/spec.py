"""What kind of Prophet to fit: a frozen description that refuses unknown keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Mode = Literal["additive", "multiplicative"]
Solver = Literal["exact", "cmdstan"]
Prior = Annotated[float, Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Seasonality(_Frozen):
    """A custom seasonality, as `Prophet.add_seasonality` takes it.

    period is in days; fourier_order counts sine-cosine pairs.
    """

    name: str
    period: Annotated[float, Field(gt=0)]
    fourier_order: Annotated[int, Field(ge=1)]
    prior_scale: Prior | None = None
    mode: Mode | None = None


class Regressor(_Frozen):
    """An extra regressor: a numeric column of the history, to be given for every forecast row."""

    name: str
    prior_scale: Prior | None = None
    standardize: bool | Literal["auto"] = "auto"
    mode: Mode | None = None


class ProphetSpec(_Frozen):
    """The settings of one Prophet fit; the defaults are Prophet's own.

    cap and floor are constants in the unit of y; a history may carry them as columns instead,
    and a column wins. Logistic growth needs a cap from one of the two.
    country_holidays is an ISO code that the holidays package knows, such as "DE".
    """

    growth: Literal["linear", "logistic", "flat"] = "linear"
    n_changepoints: Annotated[int, Field(ge=0)] = 25
    changepoint_range: Annotated[float, Field(gt=0, le=1)] = 0.8
    changepoint_prior_scale: Prior = 0.05
    seasonality_mode: Mode = "additive"
    seasonality_prior_scale: Prior = 10.0
    yearly_seasonality: bool | int | Literal["auto"] = "auto"
    weekly_seasonality: bool | int | Literal["auto"] = "auto"
    daily_seasonality: bool | int | Literal["auto"] = "auto"
    seasonalities: tuple[Seasonality, ...] = ()
    regressors: tuple[Regressor, ...] = ()
    country_holidays: str | None = None
    holidays_prior_scale: Prior = 10.0
    interval_width: Annotated[float, Field(gt=0, lt=1)] = 0.8
    cap: float | None = None
    floor: float | None = None

    @field_validator("country_holidays")
    @classmethod
    def _know_the_country(cls, code: str | None) -> str | None:
        if code is None:
            return None
        import holidays

        if code not in holidays.list_supported_countries():
            raise ValueError(f"the holidays package knows no country {code!r}; codes look like 'DE' or 'US'")
        return code

    @property
    def history_columns(self) -> tuple[str, ...]:
        """The columns beside ds and y that every history must carry for this fit."""
        return tuple(regressor.name for regressor in self.regressors)
