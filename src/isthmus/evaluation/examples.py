"""The rows that a model rebuilds best, usually and worst, and what it misses in them.

Shapes: N rows, D features.
"""

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.evaluation.metrics import WINDOW, psnr, ssim
from isthmus.evaluation.subject import Subject

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
MOST_COMPARED = 500  # pictures, evenly spread, whose structural similarity is found


class Examples(NamedTuple):
    """Places of rows among those that are judged, by how they are rebuilt."""

    best: Places
    median: Places
    worst: Places  # the worst first


def spread_of(subject: Subject) -> Floats:
    """Return each feature's standard deviation over the rows, 1 where it does not vary, (D,)."""
    spread = subject.clean.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


class Miss(NamedTuple):
    """One feature of one row."""

    feature: int
    seen: float
    true: float
    rebuilt: float
    off: float  # rebuilt less true, in standard deviations of the feature over the rows


def examples(subject: Subject, n_each: int = 4) -> Examples:
    """Choose rows by their errors; fewer of few, so that from three on none stands twice."""
    order = np.argsort(subject.errors, kind="stable")
    n = min(n_each, max(1, len(order) // 3))
    middle = (len(order) - n) // 2
    return Examples(order[:n], order[middle : middle + n], order[::-1][:n])


def misses(subject: Subject, row: int, n_most: int, spread: Floats) -> list[Miss]:
    """Return the features of a row that the model misses most, worst first.

    In units of their `spread` (D,); all of them in their own order, where there are no more.
    """
    off = (subject.rebuilt[row] - subject.clean[row]) / spread
    order = np.argsort(-np.abs(off), kind="stable")[:n_most]
    places = np.arange(len(off)) if len(off) <= n_most else order
    return [
        Miss(
            int(i),
            float(subject.seen[row, i]),
            float(subject.clean[row, i]),
            float(subject.rebuilt[row, i]),
            float(off[i]),
        )
        for i in places
    ]


class Decibels(NamedTuple):
    """How near noisy and cleaned rows come to the true ones, mean PSNR."""

    noisy: float
    cleaned: float


def decibels(subject: Subject) -> Decibels | None:
    """Return the mean PSNR, clipped to the range of the true rows; None where there is no noise."""
    low, high = subject.bounds
    if not subject.noisy or not subject.rebuilds or low == high:
        return None
    noisy, cleaned = (
        psnr(subject.clean, np.clip(rows, low, high), data_range=high - low)
        for rows in (subject.seen, subject.rebuilt)
    )
    finite = np.isfinite(noisy) & np.isfinite(cleaned)
    return Decibels(float(noisy[finite].mean()), float(cleaned[finite].mean()))


class Similarity(NamedTuple):
    """How alike pictures look, mean SSIM: 1 where they are equal."""

    noisy: float | None  # to the true ones; None where there is no noise
    rebuilt: float
    n_rows: int


def similarity(subject: Subject) -> Similarity | None:
    """Return the mean SSIM of some rows; None of what is no picture, or without scikit-image."""
    low, high = subject.bounds
    if not (subject.pictures and subject.rebuilds) or low == high:
        return None
    if min(subject.shape[:2]) < WINDOW or find_spec("skimage") is None:
        return None
    some = slice(None, None, -(-len(subject.clean) // MOST_COMPARED))
    shown = (subject.clean, subject.seen, subject.rebuilt)
    true, seen, rebuilt = (subject.laid_out(np.clip(rows[some], low, high)) for rows in shown)
    to_true = [float(ssim(true, other, data_range=high - low).mean()) for other in (seen, rebuilt)]
    return Similarity(to_true[0] if subject.noisy else None, to_true[1], len(true))


class FeatureErrors(NamedTuple):
    """How far each feature is explained."""

    explained: Floats  # (D,) 1 - error / variance; NaN where a feature does not vary
    errors: Floats  # (D,) mean squared errors, user's units


def feature_errors(subject: Subject) -> FeatureErrors:
    """Return how much of each feature's variance over these rows is rebuilt."""
    errors = np.square(subject.rebuilt - subject.clean).mean(axis=0)
    variance = subject.clean.var(axis=0)
    # Rounding leaves some variance to a constant.
    varies = variance > 1e-24 * np.square(subject.clean).mean(axis=0)
    explained = np.full(len(errors), np.nan)
    explained[varies] = 1 - errors[varies] / variance[varies]
    return FeatureErrors(explained, errors)
