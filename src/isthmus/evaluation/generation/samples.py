"""Real and generated samples as rows of the same columns, and the distances between them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError

MEGABYTES = 256  # of the distances that are held at once
ROUNDING = 1e-12  # of squared distances, relative to the squared lengths of the rows

Floats = npt.NDArray[np.float64]


def rows_of(at_least: int = 1, /, **given: npt.ArrayLike) -> list[Floats]:
    """Return samples as rows (., D), all with the columns of the first.

    Raises
    ------
    DataError
        If they differ in columns or shape, are too few, or hold text, NaN or infinity.
    """
    from sklearn.base import BaseEstimator

    columns = BaseEstimator()  # remembers those of the first, and is never fitted
    rows = [_checked(columns, samples, name) for name, samples in given.items()]
    for name, each in zip(given, rows, strict=True):
        if len(each) < at_least:
            raise DataError(
                f"{name} has {len(each)} sample(s), and at least {at_least} are needed: give more."
            )
    return rows


def _checked(columns: Any, samples: npt.ArrayLike, name: str) -> Floats:
    from isthmus.estimators.arrays import unwrapped
    from isthmus.estimators.inputs import check_rows
    from isthmus.estimators.samples import flattened

    flat, shape = flattened(unwrapped(samples), name)
    first = vars(columns).setdefault("shape", shape)
    if shape and first and shape != first:
        raise DataError(
            f"{name} has samples of shape {shape}, and X of {first}: give both the same shape."
        )
    reset = not hasattr(columns, "n_features_in_")
    rows = check_rows(columns, flat, reset=reset, at_least=0, name=name)
    return np.ascontiguousarray(rows, np.float64)  # rounded alike, whatever their layout


def squared_distances(points: Floats, centres: Floats) -> Iterator[Floats]:
    """Yield squared distances of some points at a time to all centres."""
    from sklearn.metrics import pairwise_distances_chunked

    chunks: Iterator[Floats] = pairwise_distances_chunked(
        points, centres, metric="euclidean", squared=True, working_memory=MEGABYTES
    )
    return chunks
