"""Samples of any shape: what a row is when it is not flat.

Shapes: N samples of the shape S, D = product of S.
"""

import math
from typing import Any

import numpy as np

from isthmus.errors import DataError, ParameterError

Shape = tuple[int, ...]


def flattened(X: Any, name: str) -> tuple[Any, Shape | None]:
    """Return samples (N, *S) as rows (N, D) and S; anything flat as it is, and nothing.

    Raises
    ------
    DataError
        If the samples of a list differ in shape.
    """
    if isinstance(X, list | tuple) and len(X) > 0 and getattr(X[0], "ndim", 0) > 1:
        shapes = {np.shape(sample) for sample in X}
        if len(shapes) > 1:
            first, second = sorted(shapes)[:2]
            raise DataError(
                f"{name} has samples of different shapes, {first} and {second}: give samples of "
                f"one shape."
            )
        X = np.stack([np.asarray(sample) for sample in X])
    if not isinstance(X, np.ndarray) or X.ndim < 3:
        return X, None
    return X.reshape(len(X), math.prod(X.shape[1:])), X.shape[1:]


def check_shape(declared: Shape | None, found: Shape | None, n_features: int) -> Shape:
    """Return the shape S of the samples of `fit`, (D,) where they are flat.

    Parameters
    ----------
    declared : the parameter `sample_shape`.
    found : the shape of the samples of X, None where they are flat.

    Raises
    ------
    ParameterError
        If the two do not go together.
    """
    shape = declared or found or (n_features,)
    if declared is not None and math.prod(declared) != n_features:
        raise ParameterError(
            f"sample_shape={declared} holds {math.prod(declared)} numbers, and a sample of X has "
            f"{n_features}: give the shape of one sample of X."
        )
    return shape


def check_same_shape(fitted: Shape, found: Shape | None, name: str) -> None:
    """Refuse samples of another shape than those of `fit`; flat rows go with any.

    Raises
    ------
    DataError
        If they are.
    """
    if found is not None and found != fitted and (1, *found) != fitted and found != (1, *fitted):
        raise DataError(
            f"{name} has samples of shape {found}, and those of fit had {fitted}: give samples of "
            f"that shape, or flat rows of {math.prod(fitted)} values."
        )
