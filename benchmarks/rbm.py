"""Restricted Boltzmann machines on binarised MNIST: speed, and exact and annealed likelihoods.

The pixels are 1 above 0.5.

speed: an epoch at 784-1000, batch 100, beside scikit-learn's machine, in turns, and the
log-pseudo-likelihood of test rows after the same number of epochs.
small: 784-16, PCD-1, 100 chains, batch 100, 50 epochs, rate 0.05 falling as a cosine: the exact
test log-likelihood and what annealing says of it (published, at a rate of 0.01: centred -142.56,
uncentred -149.05). On training images 0.01 gave -142.4 and -142.8, 0.05 -138.1.
large: 784-500, centred: annealed test log-likelihood (published, 200 epochs: -84.86; CD-25:
-86.34). Its settings were chosen on the last 10,000 training images (--choose).

    python benchmarks/rbm.py speed small large --mnist FOLDER --json rbm.json
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import BernoulliRBM as SklearnRBM

from isthmus import BernoulliRBM, datasets
from isthmus.fitting.plan import multiplies_bfloat16

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
Pictures = np.ndarray
PUBLISHED = {"momentum": 0.0, "final_momentum": 0.0, "batch_size": 100, "n_chains": 100}
LARGE: dict[str, Any] = {"learning_rate": 0.05, "n_steps": 5, "schedule": "linear", "n_iter": 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help="speed, small, large (default: all)")
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's idx files")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each, for speed")
    parser.add_argument("--choose", action="store_true", help="judge on training images")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    folder = options.mnist or (MNIST if MNIST.is_dir() else None)
    train, test = binarised(folder, "train"), binarised(folder, "test")
    if options.choose:
        train, test = train[:50_000], train[50_000:]
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "speed": lambda: speed(train, test, options.rounds),
        "small": lambda: small(train, test),
        "large": lambda: large(train, test),
    }
    known = json.loads(options.json.read_text()) if options.json and options.json.is_file() else {}
    for name in options.what or measures:
        known[name] = measures[name]()
        print(name, json.dumps(known[name], indent=1))
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(known, indent=1) + "\n")


def binarised(folder: Path | None, split: str) -> Pictures:
    return (datasets.mnist(folder, split=split).images > 0.5).astype(np.float32)


def speed(train: Pictures, test: Pictures, rounds: int) -> dict[str, Any]:
    """Let the machines take turns, an epoch each; scikit-learn's in float32 and in float64."""
    both = {"n_components": 1000, "batch_size": 100, "n_iter": 1, "random_state": 0}
    ours = BernoulliRBM(**both, momentum=0.0, final_momentum=0.0, learning_rate=0.1)
    theirs = SklearnRBM(**both, learning_rate=0.1)
    wide, wide_rows = SklearnRBM(**both, learning_rate=0.1), train.astype(np.float64)
    epochs: dict[str, Callable[[], float]] = {
        "isthmus": lambda: ours.partial_fit(train).history_[-1]["seconds"],
        "sklearn_float32": lambda: sklearn_epoch(theirs, train),
        "sklearn_float64": lambda: sklearn_epoch(wide, wide_rows),
    }
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            seconds[name].append(epoch())
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = test[:1000]
    return {
        "seconds_an_epoch": medians,
        "faster_than_float32": medians["sklearn_float32"] / medians["isthmus"],
        "faster_than_float64": medians["sklearn_float64"] / medians["isthmus"],
        "log_pseudo_likelihood": {
            "isthmus": float(ours.score_samples(rows).mean()),
            "sklearn_float32": float(pseudo(theirs, rows)),
        },
        "epochs": rounds,
        "all_seconds": seconds,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "native_bfloat16": multiplies_bfloat16("cpu"),
        "torch": torch.__version__,
    }


def sklearn_epoch(machine: SklearnRBM, rows: Pictures) -> float:
    """Go once through the rows as its `fit` does, from where it stands; return the seconds."""
    if not hasattr(machine, "components_"):
        machine.fit(rows[: machine.batch_size])  # takes the type of the rows
        machine.random_state_ = np.random.RandomState(0)
    began = time.perf_counter()
    for start in range(0, len(rows), machine.batch_size):
        machine._fit(rows[start : start + machine.batch_size], machine.random_state_)
    return time.perf_counter() - began


def pseudo(machine: SklearnRBM, rows: Pictures) -> float:
    """Return scikit-learn's machine's pseudo-likelihood, by our exact formula for both."""
    judge = BernoulliRBM(machine.n_components, n_iter=1).fit(rows)
    judge.model_.weight.copy_(torch.from_numpy(machine.components_))
    judge.model_.hidden_bias.copy_(torch.from_numpy(machine.intercept_hidden_))
    judge.model_.visible_bias.copy_(torch.from_numpy(machine.intercept_visible_))
    judge.model_.visible_offset.zero_()
    judge.model_.hidden_offset.zero_()
    return float(judge.score_samples(rows).mean())


def small(train: Pictures, test: Pictures) -> dict[str, Any]:
    """784-16 as published, whose likelihood can be counted, centred and not."""
    results = {}
    for name, centred in (("centred", True), ("uncentred", False)):
        model = BernoulliRBM(
            16,
            learning_rate=0.05,
            n_iter=50,
            schedule="cosine",
            centred=centred,
            random_state=0,
            **PUBLISHED,
        ).fit(train)
        results[name] = {**likelihoods(model, test, ("exact", "ais", "ais-reverse"), 500)}
    return results


def large(train: Pictures, test: Pictures) -> dict[str, Any]:
    """784-500, as well as it goes."""
    model = BernoulliRBM(500, random_state=0, **{**PUBLISHED, **LARGE}).fit(train)
    seconds = model.history_[-1]["seconds"]
    return {
        **likelihoods(model, test, ("ais", "ais-reverse"), 100),
        "settings": repr(model),
        "seconds": seconds,
    }


def likelihoods(
    model: BernoulliRBM, test: Pictures, methods: tuple[str, ...], n_chains: int
) -> dict[str, float]:
    return {
        method: float(model.log_likelihood(test, method, n_chains=n_chains).mean())
        for method in methods
    }


if __name__ == "__main__":
    main()
