"""Labels that come into a classifier: which rows have one, and which class it is."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from isthmus.errors import DataError
from isthmus.estimators.arrays import Array, is_missing, unwrapped

UNLABELLED = -1
WORDS = "give whole numbers or words, -1 or None where a row has no label"


class Labels(NamedTuple):
    """The labels of N rows, of C classes."""

    classes: Array  # (C,) sorted
    numbers: NDArray[np.int64]  # (N,) the place of each row's class, -1 where it has none


def check_labels(y: Any, n_rows: int, needed_by: str) -> Labels:
    """Return the labels of `n_rows` rows.

    A row has no label where `y` is -1, None or NaN. The labels -1 and 1 alone are two classes.

    Raises
    ------
    DataError
        If `y` is missing, not one label for each row, no labels, or of fewer than two classes.
    """
    if y is None:
        raise DataError(
            f"{needed_by} requires y to be passed, but the target y is None: give a label for "
            f"each row."
        )
    labels = label_column(y, n_rows, warn=True)
    known = known_labels(labels)
    classes, places = np.unique(_plain(labels[known]), return_inverse=True)
    _check_enough(classes, known, needed_by)
    numbers = np.full(n_rows, UNLABELLED, dtype=np.int64)
    numbers[known] = places
    return Labels(classes, numbers)


def labels_facts(classes: Array | None) -> dict[str, Any]:
    """Return labels, where there are any, as a file holds them: see `labels_from`."""
    return {
        "classes": None if classes is None else classes.tolist(),
        "classes_dtype": None if classes is None else classes.dtype.str,
    }


def labels_from(labels: list[Any], dtype: str) -> Array:
    """Return the labels that a file holds, in the type that they had, (C,).

    Raises
    ------
    ValueError
        If they are none, or not of the type.
    """
    kind = np.dtype(dtype).kind
    if kind not in "iufbUO" or not all(isinstance(label, int | float | str) for label in labels):
        raise ValueError(f"labels of type {dtype} are none")
    # Words are as wide as the widest: a type may claim any width.
    return np.array(labels, dtype=kind if kind in "UO" else dtype)


def label_column(y: Any, n_rows: int, *, warn: bool = False) -> Array:
    """Return one label for each row, (N,), with a warning for a column (N, 1) where asked.

    Raises
    ------
    DataError
        If there are fewer or more.
    """
    try:
        labels = np.asarray(column_or_1d(unwrapped(y, "y"), warn=warn))
    except (ValueError, TypeError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{said}: give one label for each row.") from None
    if len(labels) != n_rows:
        raise DataError(
            f"y has {len(labels)} labels and X has {n_rows} rows: give one label for each row."
        )
    return labels


def known_labels(labels: Array) -> NDArray[np.bool_]:
    """Return which rows have a label, (N,)."""
    if labels.dtype.kind == "O":
        there = np.array([not is_missing(label) for label in labels], dtype=bool)
        signs = {-1, 1} == set(labels[there].tolist())
        return there if signs else there & np.array([each != UNLABELLED for each in labels])
    if labels.dtype.kind not in "iuf":
        return np.ones(len(labels), dtype=bool)
    known: NDArray[np.bool_] = labels == labels  # NaN is not
    signs = set(np.unique(labels[known]).tolist()) == {-1, 1}
    return known if signs else known & (labels != UNLABELLED)


def _plain(labels: Array) -> Array:
    """Return labels all of one kind, whole numbers, words or truth values, or refuse them."""
    if labels.dtype.kind == "O":
        kinds = {isinstance(label, str) for label in labels}
        if len(kinds) == 2:
            raise DataError(f"Unknown label type: y mixes words and numbers: {WORDS}.")
        if kinds == {False}:
            labels = np.array(labels.tolist())
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise DataError(f"Unknown label type: y has infinity: {WORDS}.")
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        raise DataError(f"Unknown label type: y has fractions, as a regression has: {WORDS}.")
    if labels.dtype.kind not in "iufbUTO":
        raise DataError(f"Unknown label type: y has {labels.dtype}: {WORDS}.")
    return np.array(labels.tolist()) if labels.dtype.kind == "T" else labels  # files lack this


def _check_enough(classes: Array, known: NDArray[np.bool_], needed_by: str) -> None:
    if len(classes) == 0:
        raise DataError(
            f"y has no label for any of the {len(known)} rows: label some, of two classes at the "
            f"least."
        )
    if len(classes) == 1:
        raise DataError(
            f"y has one class ({classes[0]}), and {needed_by} needs two at the least: label rows "
            f"of another."
        )
