"""Samples of any shape: what a row is when it is not flat.

Shapes: N samples of the shape S, D = product of S.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from isthmus.errors import DataError, ParameterError
from isthmus.estimators.arrays import unwrapped
from isthmus.parts.networks.conv import colours_last

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
        X = np.stack([np.asarray(unwrapped(sample, name)) for sample in X])
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
    shape = tuple(declared or found or (n_features,))
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


def fits(X: Any, shape: Shape) -> bool:
    """Return whether X holds flat rows, or samples of the shape; one channel may be left out."""
    shapes = {np.shape(sample) for sample in X} if isinstance(X, list | tuple) else {X.shape[1:]}
    of_one = {shape, (1, *shape), shape[1:] if shape[0] == 1 else shape}
    return all(len(each) < 2 or tuple(each) in of_one for each in shapes)


def check_colours(shape: Shape, name: str) -> None:
    """Refuse a picture as files hold it, whose rows would be taken for channels.

    Raises
    ------
    DataError
        If its colours are last.
    """
    if colours_last(shape):
        raise DataError(
            f"{name} has the shape {shape}, with its colours last, and pictures are (channels, "
            f"height, width): give numpy.moveaxis(picture, -1, 0) of each."
        )


# Sequences of differing lengths ----------------------------------------------------------


def padded(X: Any, name: str, n_steps: int | None = None) -> Any:
    """Return sequences (t, F) as one array (N, T, F), NaN after the end of those that are shorter.

    T is `n_steps`, or the longest; flat rows are returned as they are.

    Raises
    ------
    DataError
        If one is no sequence, has no steps, more than T, or other features than the first.
    """
    _check_sequences(X, name)
    if np.ndim(X) == 2 if hasattr(X, "ndim") or hasattr(X, "columns") else not _holds_arrays(X):
        return X
    sequences = [_numbers(each, f"{name}[{i}]") for i, each in enumerate(X)]
    for i, sequence in enumerate(sequences):
        if sequence.ndim != 2 or 0 in sequence.shape or sequence.dtype.kind not in "uifb":
            raise DataError(
                f"{name}[{i}] is no sequence but {sequence.dtype} of shape {sequence.shape}: give "
                f"numbers of shape (time, features), of one step at least."
            )
        if sequence.shape[1] != sequences[0].shape[1]:
            raise DataError(
                f"{name}[{i}] has {sequence.shape[1]} feature(s) and {name}[0] has "
                f"{sequences[0].shape[1]}: give as many at each step."
            )
    most = n_steps or max(map(len, sequences))
    for i, sequence in enumerate(sequences):
        if len(sequence) > most:
            raise DataError(
                f"{name}[{i}] has {len(sequence)} steps, and the model takes {most} at the most: "
                f"cut it, or fit with sample_shape={sequence.shape}, which leaves room for it."
            )
    kept = all(sequence.dtype == np.float32 for sequence in sequences)
    dtype = np.float32 if kept else np.float64
    together = np.full((len(sequences), most, sequences[0].shape[1]), np.nan, dtype)
    for row, sequence in zip(together, sequences, strict=True):
        row[: len(sequence)] = sequence
    return together


def _check_sequences(X: Any, name: str) -> None:
    """Refuse a list of series without features."""
    flat = isinstance(X, list | tuple) and len(X) > 0 and np.ndim(X[0]) == 1
    if flat and len({np.shape(each) for each in X}) > 1:
        raise DataError(
            f"{name}[0] is of shape {np.shape(X[0])}, and a sequence is (time, features): give "
            f"each as numpy.reshape(x, (-1, 1))."
        )


def check_several(X: Any, shape: Shape, name: str) -> None:
    """Refuse a single sample in place of several.

    Raises
    ------
    DataError
        If it is one.
    """
    found = np.shape(X) if isinstance(X, np.ndarray) else ()
    if len(found) == 2 and len(shape) > 1 and found[1] != math.prod(shape):
        sequence = len(shape) == 2 and found[1] == shape[1]
        if sequence or found == shape[-2:]:
            raise DataError(
                f"{name} is of shape {found}, as a single sample is: give several, or {name}[None]."
            )


def _numbers(sequence: Any, name: str) -> NDArray[Any]:
    """Return a sequence as an array; objects as floats, and pandas' missing ones as NaN."""
    array = np.asarray(unwrapped(sequence, name))
    if array.dtype != object or array.ndim != 2 or 0 in array.shape:
        return array
    return check_array(sequence, dtype=np.float64, ensure_all_finite="allow-nan")


def _holds_arrays(X: Any) -> bool:
    return isinstance(X, list | tuple) and len(X) > 0 and np.ndim(X[0]) == 2


def check_padding(rows: NDArray[Any], n_features: int, name: str) -> None:
    """Refuse NaN that is no padding: before the end of a sequence, or in part of a step.

    Raises
    ------
    DataError
        If there is some, a sequence is nothing else, or a value is infinite.
    """
    steps = rows.reshape(len(rows), -1, n_features)
    missing = np.isnan(steps)
    absent = missing.all(2)
    part = (missing.any(2) & ~absent) | (absent[:, :-1] & ~absent[:, 1:]).any(1)[:, None]
    wrong = part.any(1) | absent[:, 0] | np.isinf(steps).any((1, 2))
    if wrong.any():
        raise DataError(
            f"{name}[{int(wrong.argmax())}] has NaN within the sequence, infinity, or no step at "
            f"all: fill such values in, and leave NaN to what follows the end."
        )


def like(rows: NDArray[Any], X: Any, shape: Shape) -> Any:
    """Return rows (N, D) in the shape that X has; sequences each in its own length."""
    lengths = [np.shape(sequence)[0] for sequence in X] if _holds_arrays(X) else []
    if len(set(lengths)) > 1:
        samples = rows.reshape(len(rows), *shape)
        return [sample[:length] for sample, length in zip(samples, lengths, strict=True)]
    given = np.shape(X)
    if len(given) == 3 and len(shape) == 2 and given[1] < shape[0]:
        return rows.reshape(len(rows), *shape)[:, : given[1]]
    return rows.reshape(given)
