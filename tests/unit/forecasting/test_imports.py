"""What serving imports of forecasting stays light."""

from __future__ import annotations

import subprocess
import sys

SERVED = ("state", "trend", "features", "predict", "predict_many", "table", "table_file", "future", "prophet_json")


def test_what_serving_needs_pulls_in_no_prophet_no_matplotlib_and_no_cmdstan() -> None:
    """A fresh interpreter that imports it all has none of them in sys.modules."""
    imports = "; ".join(f"import forecasting.{name}" for name in SERVED)
    heavy = "{'prophet', 'matplotlib', 'cmdstanpy'}"
    code = f"import sys; sys.path[:0] = {sys.path!r}; {imports}; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
