"""What a row of the published tables is, and the data that all are run on."""

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isthmus import datasets

HEAD = """# The published tables, run again

`make published` runs every row on MNIST (pixels / 255) and writes this page; one row:
`python benchmarks/published.py --only NAME`. Settings were chosen on 10,000 of the training
images. Grades of the published figures: **A** from the paper or its authors' code, **B** an
independent run, **M** measured by us with public tools, **R** reported, not checked against the
text.

<!-- figures -->
"""

Figures = dict[str, Any]


class Split(NamedTuple):
    """Rows to train on and to judge by, pixels in 0 to 1, (N, 784), and their digits."""

    X: np.ndarray
    y: np.ndarray
    test: np.ndarray
    y_test: np.ndarray


class Setting(NamedTuple):
    """Where the data are, and whether training images judge."""

    folder: Path
    validate: bool

    def split(self) -> Split:
        return _split(self.folder, self.validate)


@cache
def _split(folder: Path, validate: bool) -> Split:
    images, labels = datasets.mnist(folder)
    if validate:
        return Split(images[:50_000], labels[:50_000], images[50_000:], labels[50_000:])
    return Split(images, labels, *datasets.mnist(folder, split="test"))


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    title: str
    published: str
    grade: str
    figure: str  # of those that `run` returns, the one beside the published one
    mark: float  # what ours has to reach
    setting: str
    run: Callable[..., Figures]
    lower: bool = True  # is better
    digits: str = ".2f"
    within: float = float("inf")  # seconds of training

    def meets(self, runs: list[Figures]) -> bool:
        value = sum(run[self.figure] for run in runs) / len(runs)
        in_time = all(run.get("training", 0.0) <= self.within for run in runs)
        return in_time and (value <= self.mark if self.lower else value >= self.mark)


ROWS: dict[str, Row] = {}


def row(**facts: Any) -> Callable[[Callable[..., Figures]], Callable[..., Figures]]:
    """Enter a function into the table under its own name."""

    def enter(function: Callable[..., Figures]) -> Callable[..., Figures]:
        ROWS[function.__name__] = Row(name=function.__name__, run=function, **facts)
        return function

    return enter


def squared_error(model: Any, rows: np.ndarray) -> float:
    return float(model.reconstruction_error(rows).mean())


def percent_wrong(predicted: np.ndarray, y: np.ndarray) -> float:
    return 100 * float(np.mean(predicted != y))


PIXELS = {"likelihood": "bernoulli", "scaling": "none", "validation_fraction": 0}
