"""Importing Isthmus: cheap, complete, and from floor to floor only downwards."""

import inspect
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import isthmus
from isthmus.estimators import ESTIMATORS

ROOT = Path(__file__).resolve().parents[1]
AT_MOST = 0.3  # seconds


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["isthmus", "isthmus.errors", "isthmus.estimators.parameters"])
def test_import_loads_neither_torch_nor_sklearn(module):
    code = f"import {module}, sys; print(sorted({{'torch', 'sklearn'}} & set(sys.modules)))"
    assert python(code) == "[]"


def test_import_is_quick():
    code = (
        "import time; began = time.perf_counter(); import isthmus; "
        "print(time.perf_counter() - began)"
    )
    assert min(float(python(code)) for _ in range(3)) < AT_MOST


def test_public_names_resolve_in_a_fresh_process():
    code = "import isthmus; print(*[type(getattr(isthmus, n)).__name__ for n in isthmus.__all__])"
    kinds = dict(zip(isthmus.__all__, python(code).split(), strict=True))
    assert kinds["Autoencoder"] == kinds["DenoisingAutoencoder"] == "ABCMeta"
    assert kinds["load"] == "function"
    assert set(kinds.values()) <= {"ABCMeta", "type", "function", "module"}


def test_public_estimators_are_the_ones_that_stand_in_the_table():
    """And every concrete one that a file of the folder declares stands there."""
    folder = Path(isthmus.__file__).parent / "estimators"
    files = [f"isthmus.estimators.{file.stem}" for file in folder.glob("[!_]*.py")]
    declared = {
        name: module
        for module in files
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type) and value.__module__ == module
        if issubclass(value, BaseEstimator) and not inspect.isabstract(value)
    }
    assert declared == ESTIMATORS
    assert set(ESTIMATORS) < set(isthmus.__all__)


def test_public_names_are_listed():
    assert set(isthmus.__all__) <= set(dir(isthmus))
    assert isthmus.__version__.count(".") >= 1


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'isthmus' has no attribute 'Autoencodr'$"):
        isthmus.Autoencodr  # noqa: B018


def test_floors_hold():
    beside = Path(sys.executable).parent
    command = shutil.which("lint-imports", path=os.pathsep.join([str(beside), os.environ["PATH"]]))
    assert command is not None, "import-linter is one of the extra 'dev'"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    "model",
    [
        "Autoencoder(2, max_epochs=1)",
        "AutoencoderClassifier(Autoencoder(2, max_epochs=1), max_epochs=1)",
        "GaussianRBM(2, n_iter=1)",
    ],
)
def test_a_fit_does_not_import_torchs_compiler(model):
    """It takes a second, of a first fit that takes a fifth of one."""
    code = (
        "import sys, numpy as np; from isthmus import *; "
        "X = np.random.default_rng(0).normal(size=(40, 4)); y = np.arange(40) % 2; "
        f"{model}.fit(X, y); print('torch._dynamo' in sys.modules)"
    )
    assert python(code) == "False"
