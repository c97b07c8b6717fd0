"""What serving imports of forecasting stays light."""

from __future__ import annotations

import subprocess
import sys

SERVED = (
    *("state", "trend", "features", "predict", "predict_many", "table", "table_file", "table_pick", "array_file"),
    *("future", "prophet_json", "prophet_features", "prophet_history", "country_holidays", "intervals", "forecast"),
    "grid",
)
HEAVY = {
    *("prophet", "matplotlib", "cmdstanpy", "numba", "scipy", "pydantic", "mlflow", "bentoml", "holidays"),
    "sqlalchemy",
}


def _modules_after(imports: str) -> set[str]:
    """All that a fresh interpreter holds after the imports."""
    code = f"import sys; sys.path[:0] = {sys.path!r}; {imports}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_what_serving_needs_pulls_in_nothing_heavy() -> None:
    """None of the packages of Prophet, of the solver and of the frameworks."""
    found = _modules_after("; ".join(f"import forecasting.{name}" for name in SERVED))
    assert "forecasting.forecast" in found
    assert not found & HEAVY


def test_the_package_itself_is_light() -> None:
    """Whoever needs one module of it pays for no other, and for no array package."""
    found = _modules_after("import forecasting")
    assert "forecasting" in found
    assert not {name for name in found if name.startswith("forecasting.")} | (found & {"numpy", "pandas", "scipy"})
