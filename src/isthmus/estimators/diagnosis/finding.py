"""What a check finds, and what it looks at.

Shapes: N rows, D features, K components.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from isthmus.estimators.inputs import Array, Floats

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder


class Finding(NamedTuple):
    """One thing that is wrong."""

    name: str
    what: str  # with the figures
    change: str  # what to do about it

    def __str__(self) -> str:
        return f"{self.what} {self.change}"


class Judged(NamedTuple):
    """The rows that a model is judged on, and what is known of them."""

    X: Array  # (N, D)
    codes: Floats  # (N, K) what the model makes of them
    mean: Floats  # (D,) of each feature
    variance: Floats  # (D,) of sequences that end early, of the steps that are there


Check = Callable[["BaseAutoencoder", Judged], Iterator[Finding]]

MOSTLY = 0.95  # of the rows, or of the epochs
