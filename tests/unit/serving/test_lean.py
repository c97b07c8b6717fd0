"""What an HTTP worker holds in memory that only serves from its host's catalog."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_needs_neither_mlflow_nor_prophet_until_it_has_to() -> None:
    """MLflow alone is 110 MB a worker, and only a tracking server or files elsewhere need it."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import serving.worker\n"
        "print([name for name in 'mlflow prophet numba scipy alembic sqlalchemy jwt'.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_process_above_the_workers_needs_next_to_nothing() -> None:
    """It reads service.py, too, before it starts them: what it imports holds up the start, and stays in its memory."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import service\n"
        "print([name for name in ('pandas', 'numpy', 'scipy', 'sqlalchemy', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
