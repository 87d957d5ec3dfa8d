"""Kill fits, resume them, and compare them with undisturbed ones, byte by byte.

Processes that fit are ended by SIGKILL, half of them after a random time and half of them while
they write a checkpoint, a few times for each fit; then the fit is left to end.

    python benchmarks/kill.py --kills 100 --json kills.json
"""

import argparse
import functools
import hashlib
import json
import multiprocessing
import os
import platform
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small nets; and the forks have no threads to lose

import torch

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    Checkpoint,
    StackedAutoencoder,
    datasets,
    resume,
)

N_ROWS = 300
N_KILLS = 4  # of a fit, before it is left to end
LATE = ["torch._dynamo", "sklearn.datasets"]  # which the first fit imports
Make = Callable[[], Any]

# Another estimator is another line.
ESTIMATORS: dict[str, Make] = {
    "dense": lambda: Autoencoder(
        8,
        network="dense(hidden=(32,), dropout=0.1, norm=batch)",
        corruption="masking(fraction=0.2)",
        max_epochs=4,
        random_state=0,
    ),
    "stacked, as autoencoders": lambda: StackedAutoencoder(
        8,
        hidden=(32, 16),
        pretraining="autoencoder(n_epochs=4)",
        corruption="masking(fraction=0.2)",
        validation_fraction=0,
        max_epochs=8,
        random_state=0,
    ),
    "stacked, as RBMs": lambda: StackedAutoencoder(
        8,
        hidden=(32, 16),
        pretraining="rbm(n_epochs=4)",
        likelihood="bernoulli",
        validation_fraction=0,
        max_epochs=8,
        random_state=0,
    ),
    "machine": lambda: BernoulliRBM(32, n_iter=15, random_state=0),
    "classifier": lambda: AutoencoderClassifier(
        Autoencoder(8, hidden=(32,), validation_fraction=0, max_epochs=6),
        max_epochs=8,
        random_state=0,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, help="where to write the counts")
    options = parser.parse_args()
    figures = kill(options.kills, options.seed)
    for name, counts in figures["estimators"].items():
        print(f"{name:26s}", ", ".join(f"{value} {what}" for what, value in counts.items()))
    print(f"{figures['kills']} kills, {figures['different']} fits came to another model")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def kill(n_kills: int, seed: int) -> dict[str, Any]:
    """Kill so many processes over all estimators; return what was counted."""
    began, chance = time.perf_counter(), random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        yard = Yard(Path(place), chance)
        counts = {name: Counts() for name in ESTIMATORS}
        names = list(ESTIMATORS)
        while (total := sum(count["kills"] for count in counts.values())) < n_kills:
            name = names[sum(count["fits"] for count in counts.values()) % len(names)]
            yard.disturbed(name, counts[name], min(N_KILLS, n_kills - total))
    return {
        "kills": total,
        "different": sum(count["different"] for count in counts.values()),
        "estimators": counts,
        "seconds": time.perf_counter() - began,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }


class Counts(dict[str, int]):
    """What happened to the fits of an estimator."""

    def __init__(self) -> None:
        super().__init__(
            fits=0, kills=0, while_writing=0, half_files=0, ended_before=0, different=0
        )


class Yard:
    """Where fits are killed: processes that are forked from one that has imported everything."""

    def __init__(self, place: Path, chance: random.Random) -> None:
        self.place, self.chance = place, chance
        self._context = multiprocessing.get_context("forkserver")
        homes = [type(make()).__module__ for make in ESTIMATORS.values()]
        self._context.set_forkserver_preload([*homes, *LATE])

    @functools.cache  # noqa: B019
    def undisturbed(self, name: str) -> tuple[str, float]:
        """Return the digest of a fit, and the seconds that it takes with checkpoints."""
        digests = []
        for folder in (None, self.place / "timed"):
            process = self._start(name, folder)
            began = time.perf_counter()
            process.join()
            seconds = time.perf_counter() - began
            digests.append(self._digest())
        shutil.rmtree(self.place / "timed")
        assert digests[0] == digests[1], name
        return digests[0], seconds

    def disturbed(self, name: str, counts: Counts, n_kills: int) -> None:
        """Kill a fit a few times, let it end, and compare it."""
        digest, seconds = self.undisturbed(name)
        folder = self.place / "kept"
        for number in range(n_kills):
            process = self._start(name, folder)
            writing = number % 2 == 1
            if writing:
                time.sleep(self.chance.uniform(0, seconds / 4))
                _await_writing(folder, process)
            else:
                process.join(self.chance.uniform(0, seconds / 2))
            if process.is_alive():
                process.kill()
            process.join()
            killed = process.exitcode != 0
            counts["kills" if killed else "ended_before"] += 1
            counts["while_writing"] += killed and writing
            counts["half_files"] += any(folder.glob(".stage-*"))
            if not killed:
                break
        process = self._start(name, folder)
        process.join()
        counts["fits"] += 1
        counts["different"] += self._digest() != digest
        shutil.rmtree(folder)

    def _start(self, name: str, folder: Path | None) -> BaseProcess:
        (self.place / "digest").unlink(missing_ok=True)
        process = self._context.Process(target=fit, args=(name, folder, self.place / "digest"))
        process.start()
        return process

    def _digest(self) -> str:
        return (self.place / "digest").read_text()


def _await_writing(folder: Path, process: BaseProcess) -> None:
    """Wait for a file that is half written."""
    while process.is_alive() and not any(folder.glob(".stage-*")):
        time.sleep(1e-4)


def fit(name: str, folder: Path | None, digest: Path) -> None:
    """Fit, with a checkpoint after every step, or go on with it; write the digest of the model."""
    X, y = (each[:N_ROWS] for each in datasets.digits())
    given = (X, y) if name == "classifier" else (X,)
    if folder is None:
        model = ESTIMATORS[name]().fit(*given)
    else:
        checkpoint = Checkpoint(folder, every=0)
        goes_on = any(folder.glob("stage-*"))
        model = (
            resume(checkpoint, *given)
            if goes_on
            else ESTIMATORS[name]().fit(*given, checkpoint=checkpoint)
        )
    digest.write_text(digest_of(model))


def digest_of(model: Any) -> str:
    """Return the SHA-256 of all that a model has learned, and of its history but for the time."""
    facts, tensors = model._learned()
    sha = hashlib.sha256()
    for tensor in tensors.values():
        sha.update(tensor.numpy().tobytes())
    for record in facts["history"]:
        sha.update(repr({**record, "seconds": 0}).encode())
    return sha.hexdigest()


if __name__ == "__main__":
    main()
