"""How rows are drawn: in which shape, and between which values.

Shapes: D features. A drawing is (D,), (steps, channels) or (height, width, colours).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ParameterError

SMALLEST_SIDE = 8  # pixels, from which a square is taken for a picture

Floats = NDArray[np.float64]


def bounds_of(values: Floats) -> tuple[float, float]:
    """Return the values that are drawn black and white: 0 and 1, or the least and the greatest."""
    low, high = float(values.min()), float(values.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def drawn_shape(
    model: Any, n_features: int, given: tuple[int, ...] | None, *, named: bool
) -> tuple[int, ...]:
    """Return how a row is drawn: as asked for, as the model knows it, or as a square."""
    known = known_shape(getattr(model, "sample_shape_", None))
    if given is not None:
        shape = tuple(int(n) for n in given)
        if not _drawable(shape, n_features):
            raise ParameterError(
                f"sample_shape={shape} cannot hold the {n_features} features of X: give height, "
                f"width and colours, 1 or 3, or steps and channels, or {n_features} alone."
            )
    elif known is not None:
        shape = known
    else:
        side = math.isqrt(n_features)
        square = side * side == n_features and side >= SMALLEST_SIDE and not named
        shape = (side, side, 1) if square else (n_features,)
    # Two equal numbers are meant as a picture's sides.
    return (*shape, 1) if len(shape) == 2 and shape[0] == shape[1] >= SMALLEST_SIDE else shape


def known_shape(sample_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return what the network takes a row for, as it is drawn.

    Three channels are colours; of others each is drawn below the one before.
    """
    if sample_shape is None or len(sample_shape) == 1:
        return None
    if len(sample_shape) == 3:
        n_channels, height, width = sample_shape
        return (height, width, 3) if n_channels == 3 else (n_channels * height, width, 1)
    return sample_shape


def laid_out(
    rows: Floats, shape: tuple[int, ...], sample_shape: tuple[int, ...] | None
) -> NDArray[Any]:
    """Return rows (..., D) in the shape in which they are drawn.

    The colours of a network come first, those of a drawing last.
    """
    many = rows.shape[:-1]
    if len(shape) == 3 and shape[2] == 3 and sample_shape == (3, *shape[:2]):
        return np.moveaxis(rows.reshape(*many, *sample_shape), -3, -1)
    return rows.reshape(*many, *shape)


def _drawable(shape: tuple[int, ...], n_features: int) -> bool:
    colours = shape[2] if len(shape) == 3 else 1
    return math.prod(shape) == n_features and 1 <= len(shape) <= 3 and colours in (1, 3)
