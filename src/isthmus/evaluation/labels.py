"""What is known of the rows besides their features: classes or numbers.

Shapes: N rows, C classes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.estimators.labels import known_labels, label_column

MOST_CLASSES = 50  # different whole numbers; more are taken for a quantity

Array = NDArray[Any]


class Labels(NamedTuple):
    """Classes, or numbers, of N rows."""

    classes: tuple[str, ...]  # C names, the commonest first; none where the labels are numbers
    codes: NDArray[np.intp]  # (N,) the place of each row's class, -1 where it has none
    values: NDArray[np.float64]  # (N,) the numbers, NaN where there is none or they are classes

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have a label, (N,)."""
        return self.codes >= 0 if self.classes else np.isfinite(self.values)

    def at(self, rows: NDArray[np.intp]) -> "Labels":
        """Return the labels of some of the rows."""
        return self._replace(codes=self.codes[rows], values=self.values[rows])

    def name_of(self, row: int) -> str:
        """Return a row's label in words; nothing, where it has none."""
        if not self.known[row]:
            return ""
        return self.classes[self.codes[row]] if self.classes else f"{self.values[row]:.4g}"


def labels_of(y: Any, n_rows: int) -> Labels:
    """Return the labels of `n_rows` rows: words and few whole numbers are classes.

    Unlabelled are -1, None and NaN; labels of -1 and 1 alone are two classes.

    Raises
    ------
    DataError
        If there is not one label for each row, or none at all.
    """
    labels = label_column(y, n_rows)
    numbers = _numbers(labels)
    if numbers is not None and _is_quantity(numbers[np.isfinite(numbers)]):
        return Labels((), np.full(n_rows, -1, np.intp), numbers)
    known = known_labels(labels)
    if not known.any():
        raise DataError(f"y has no label for any of the {n_rows} rows: leave it out.")
    words = np.array([word(label) for label in labels[known]], dtype=object)
    kinds, places, counts = np.unique(words, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable") if len(kinds) > 10 else _natural(kinds)
    codes = np.full(n_rows, -1, np.intp)
    codes[known] = np.argsort(order)[places]
    return Labels(tuple(map(str, kinds[order])), codes, np.full(n_rows, np.nan))


def _numbers(labels: Array) -> NDArray[np.float64] | None:
    """Return labels as numbers, NaN where there is none; None where some are words."""
    if labels.dtype.kind not in "iufO" or any(isinstance(label, str | bool) for label in labels):
        return None
    try:
        return np.array([np.nan if label is None else label for label in labels], np.float64)
    except (TypeError, ValueError):
        return None


def _is_quantity(numbers: NDArray[np.float64]) -> bool:
    """Whether numbers are more than the names of classes."""
    fractions = bool((numbers != np.floor(numbers)).any())
    return fractions or len(np.unique(numbers)) > MOST_CLASSES


def word(label: Any) -> str:
    """Return a label in words; whole numbers read the same, whatever holds them."""
    whole = isinstance(label, float | np.floating) and label == np.floor(label)
    return str(int(label)) if whole else str(label)


def _natural(kinds: Array) -> NDArray[np.intp]:
    """Return the order of words, or of numbers where all are."""
    try:
        return np.argsort(np.array([float(kind) for kind in kinds]), kind="stable")
    except ValueError:
        return np.arange(len(kinds))
