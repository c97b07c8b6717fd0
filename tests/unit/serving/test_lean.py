"""What an HTTP worker holds in memory that only serves from its host's catalog."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_needs_neither_mlflow_nor_prophet_until_it_has_to() -> None:
    """MLflow alone is 110 MB a worker: the syncer imports it, and whoever looks something up in the registry."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import serving.app, serving.backend, serving.follower, serving.metrics\n"
        "print([name for name in ('mlflow', 'prophet', 'numba', 'alembic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
