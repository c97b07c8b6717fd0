"""Compile the kernels ahead, into a module beside this one: `python -m forecasting.kernels_build [FOLDER]`.

For images: numba and LLVM are 180 MB there, which would only read what was compiled while the image was built. It wants
a C compiler, Python's headers and setuptools. The result runs on any processor of this architecture.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

MODULE = "kernels_ahead"


def build(folder: Path) -> None:
    """Write the module; what other modules call is in it, what kernels call among themselves comes along."""
    # The machine that builds is not the one that runs; and what numba has kept was compiled for the former.
    os.environ |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings():
        os.environ["NUMBA_CACHE_DIR"] = cache
        # numba means to replace its compiler of modules some day; its minor version is pinned.
        warnings.simplefilter("ignore")
        types: Any = importlib.import_module("numba").types
        pycc: Any = importlib.import_module("numba.pycc")
        kernels: Any = importlib.import_module("forecasting.kernels")

        number, count, flag = types.float64, types.int64, types.boolean
        row, matrix = number[::1], number[:, ::1]
        module = pycc.CC(MODULE)
        module.output_dir = str(folder.absolute())
        for kernel, result, given in (
            (kernels.noise_variance, number, (number, count)),
            (kernels.minimise, types.Tuple((flag, row)), (matrix, row, count, number, row)),
            (
                kernels.linear_map,
                types.Tuple((count, row, number, count)),
                (matrix, row, matrix, row, row, count, number, number, number),
            ),
        ):
            module.export(kernel.py_func.__name__, result(*given))(kernel.py_func)
        module.compile()


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
