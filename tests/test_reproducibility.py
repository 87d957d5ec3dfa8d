"""What docs/resume.md claims to be the same, bit for bit, whoever fits and wherever."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV

import isthmus
from isthmus import Autoencoder, BernoulliRBM, StackedAutoencoder
from isthmus.datasets import digits

X = digits().images[:200]
FRESH = digits().images[200:300]
SMALL = {"hidden": (16,), "max_epochs": 3, "random_state": 0}
FIT = f"Autoencoder(4, **{SMALL}).fit(datasets.digits().images[:200])"
SCRIPT = f"""
import hashlib
from isthmus import Autoencoder, datasets
model = {FIT}
numbers = [tensor.numpy().tobytes() for tensor in model._learned()[1].values()]
print(hashlib.sha256(b"".join(numbers)).hexdigest())
"""
IN_A_FORK = f"""
import hashlib, os, sys
from isthmus import Autoencoder, datasets
{FIT}  # the parent's threads, if it has any, have begun
child = os.fork()
if child == 0:
    exec(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def digest(model):
    numbers = [tensor.numpy().tobytes() for tensor in model._learned()[1].values()]
    return hashlib.sha256(b"".join(numbers)).hexdigest()


@pytest.fixture(scope="module")
def lone():
    """Return the digest of a fit by itself."""
    return digest(Autoencoder(4, **SMALL).fit(X))


def elsewhere(code, *words, **environment):
    """Run code in a process of its own; return what it prints."""
    given = {**os.environ, "PYTHONPATH": str(Path(isthmus.__file__).parents[1]), **environment}
    command = [sys.executable, "-W", "error", "-c", code, *words]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_fit_is_the_same_in_every_process(hash_seed, lone):
    assert elsewhere(SCRIPT, PYTHONHASHSEED=hash_seed) == lone


@pytest.mark.parametrize("n_threads", ["1", "2", "4"])
def test_fit_of_a_small_net_is_the_same_with_every_number_of_threads(n_threads, lone):
    assert elsewhere(SCRIPT, OMP_NUM_THREADS=n_threads) == lone


def test_fit_is_the_same_in_a_fork(lone):
    assert elsewhere(IN_A_FORK, SCRIPT, OMP_NUM_THREADS="1") == lone


def test_global_generators_are_neither_used_nor_moved(lone):
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert digest(Autoencoder(4, **SMALL).fit(X)) == lone
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_fits_in_threads_are_those_of_lone_fits():
    make = {
        "dense": lambda: Autoencoder(4, network="dense(dropout=0.2)", **SMALL),
        "stacked": lambda: StackedAutoencoder(4, pretraining="rbm(n_epochs=2)",
                                              likelihood="bernoulli", **SMALL),
        "machine": lambda: BernoulliRBM(8, n_iter=4, random_state=0),
        "other": lambda: Autoencoder(4, **{**SMALL, "random_state": 1}),
    }  # fmt: skip
    found = {}

    def fit(name):
        found[name] = digest(make[name]().fit(X))

    threads = [threading.Thread(target=fit, args=[name]) for name in make]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: digest(each().fit(X)) for name, each in make.items()}


def test_grid_search_over_processes_gives_what_lone_fits_give():
    grid = {"n_components": [2, 4]}
    alone, together = (
        GridSearchCV(Autoencoder(**SMALL), grid, cv=2, n_jobs=n_jobs).fit(X) for n_jobs in (1, 2)
    )
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(alone.cv_results_[name], together.cv_results_[name])
    assert digest(together.best_estimator_) == digest(Autoencoder(4, **SMALL).fit(X))


@pytest.mark.parametrize("form", ["frame", "memmap", "tensor", "columns first", "list"])
def test_fit_is_the_same_in_whatever_form_the_rows_come(form, lone, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    rows = {
        "frame": lambda: pd.DataFrame(X),
        "memmap": lambda: np.load(tmp_path / "rows.npy", mmap_mode="r"),
        "tensor": lambda: torch.from_numpy(X),
        "columns first": lambda: np.asfortranarray(X),
        "list": lambda: list(X),
    }[form]()
    assert digest(Autoencoder(4, **SMALL).fit(rows)) == lone


def test_codes_do_not_depend_on_the_rows_beside():
    model = Autoencoder(4, **SMALL).fit(X)
    codes = model.transform(FRESH)
    one_by_one = np.concatenate([model.transform(row[None]) for row in FRESH])
    np.testing.assert_allclose(one_by_one, codes, rtol=1e-12, atol=1e-12)
