"""The kernels that an image was built with find what numba's find here."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from forecasting import kernels
from forecasting.kernels_build import MODULE
from tests.deploy.tools import ROOT
from tests.lacking import lacking

pytestmark = pytest.mark.deploy


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module, compiled as images compile it."""
    if not shutil.which("cc"):
        lacking("no C compiler here")
    folder = tmp_path_factory.mktemp("kernels")
    build = [sys.executable, "-m", "forecasting.kernels_build", str(folder)]
    done = subprocess.run(build, env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}, check=False)
    assert done.returncode == 0
    (path,) = folder.glob(f"{MODULE}.*.so")
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _problem(seed: int) -> dict[str, object]:
    """A random linear problem as `forecasting.linear` would hand it over."""
    random = np.random.default_rng(seed)
    rows, smooth, changes = int(random.integers(20, 400)), int(random.integers(2, 12)), int(random.integers(1, 26))
    design = random.normal(size=(rows, smooth + changes))
    y = design @ (random.normal(size=smooth + changes) * (random.random(smooth + changes) < 0.5))
    y += random.normal(size=rows)
    ridge = np.concatenate([random.uniform(0.01, 4.0, smooth), np.zeros(changes)])
    return {"design": design, "y": y, "ridge": ridge, "n_smooth": smooth}


@pytest.mark.parametrize("seed", range(20))
def test_they_map_as_numbas_do(ahead: ModuleType, seed: int) -> None:
    """Theta, sigma and the rounds; also where arrays are views that the compiled code would misread."""
    problem = _problem(seed)
    design, y, ridge = (np.asarray(problem[name]) for name in ("design", "y", "ridge"))
    start = float(y @ y) / len(y)
    given = (design, y, design.T @ design, y @ design, ridge, problem["n_smooth"], 0.05, start, start * 1e-18)
    status, theta, variance, rounds = kernels.linear_map(*given)  # type: ignore[arg-type]
    strided = (np.asfortranarray(design), np.repeat(y, 2)[::2], *given[2:])
    for asked in (given, strided):
        found = kernels.checked(ahead.linear_map)(*asked)
        assert (found[0], found[3]) == (status, rounds)
        assert found[1] == pytest.approx(theta, rel=1e-9, abs=1e-12)
        assert found[2] == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_they_minimise_as_numbas_do(ahead: ModuleType, seed: int) -> None:
    """One quadratic with a lasso in it, and the variance in closed form."""
    problem = _problem(seed)
    design, y, n_smooth = np.asarray(problem["design"]), np.asarray(problem["y"]), problem["n_smooth"]
    hessian = design.T @ design + np.eye(design.shape[1])
    warm = np.zeros(design.shape[1] - int(str(n_smooth)))
    given = (hessian, y @ design, n_smooth, 3.0)
    ended, theta = kernels.minimise(*given, warm.copy())  # type: ignore[arg-type]
    found = kernels.checked(ahead.minimise)(*given, warm.copy())
    assert found[0] == ended
    assert found[1] == pytest.approx(theta, rel=1e-9, abs=1e-12)
    squares, rows = float(y @ y), len(y)
    assert ahead.noise_variance(squares, rows) == pytest.approx(kernels.noise_variance(squares, rows), rel=1e-15)


def test_an_array_handed_over_unchecked_is_misread(ahead: ModuleType) -> None:
    """Or `checked` would not be needed."""
    hessian = np.array([[2.0, 0.0, 0.5], [0.0, 3.0, 0.0], [0.5, 0.0, 1.0]])
    given = (np.array([1.0, 9.0, 2.0, 9.0, 3.0, 9.0])[::2], 2, 0.1, np.zeros(1))
    right = kernels.minimise(hessian, *given)[1]
    assert kernels.checked(ahead.minimise)(hessian, *given)[1] == pytest.approx(right)
    assert ahead.minimise(hessian, *given)[1] != pytest.approx(right)
