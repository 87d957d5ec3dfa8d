"""What goes out of an estimator: answers to rows, in bounded memory. N rows."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from isthmus.data.rows import chunks
from isthmus.errors import DataError
from isthmus.estimators.inputs import Array, Floats
from isthmus.fitting.memory import halving

WIDEST = 1024  # features that a chunk is planned for at least, since hidden layers take room too


def in_chunks(
    function: Callable[[torch.Tensor], torch.Tensor],
    array: Array,
    device: torch.device,
    *width: int,
    exact: bool = False,
) -> Floats:
    """Apply a function of float64 rows, in bounded memory, (N, *width).

    The answer has the precision of the rows, or is ``exact``: float64.
    """
    out = np.empty((len(array), *width), np.float64 if exact else float_type(array))
    with torch.no_grad():
        for part in chunks(len(array), max(array.shape[1], WIDEST)):
            x = torch.from_numpy(array[part].astype(np.float64)).to(device)
            halving(functools.partial(_fill, out[part], function, x), len(x))
            check_answer(out[part], array[part], part.start)
    return out


def _fill(
    out: Floats, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, n: int
) -> None:
    """Write the function of `n` rows at a time."""
    with np.errstate(over="ignore"):
        for start in range(0, len(x), n):
            out[start : start + n] = function(x[start : start + n]).cpu().numpy()


def check_answer(answer: Array, rows: Array, start: int = 0) -> None:
    """Refuse to answer where numbers have overflowed; `start` is the first row's number.

    Padding, which is NaN, may stay so.

    Raises
    ------
    DataError
        If they have.
    """
    wrong = ~np.isfinite(answer.reshape(len(answer), -1)).all(1)
    if wrong.any():
        wrong &= ~np.isnan(rows.reshape(len(rows), -1)).any(1)
    if wrong.any():
        instead = "leave it out" if answer.itemsize > 4 else "leave it out, or give float64"
        raise DataError(
            f"Row {start + int(wrong.argmax())} lies so far from the rows of fit that the answer "
            f"is too large for {answer.dtype}: {instead}."
        )


def float_type(array: Array) -> type[np.floating[Any]]:
    """Return the type of the answer: float32 for float32 and smaller floats, else float64."""
    return np.float32 if array.dtype.kind == "f" and array.itemsize <= 4 else np.float64
