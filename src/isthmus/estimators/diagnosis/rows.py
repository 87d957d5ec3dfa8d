"""What is wrong with the rows that a model was fitted to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from isthmus.data.copies import find_copies
from isthmus.data.rows import chunks
from isthmus.data.scaling import is_uneven
from isthmus.estimators.diagnosis.finding import Finding, Judged
from isthmus.parts import GaussianNoise, Masking

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder

DROWNS = 0.5  # of the variance, beside which the rest is little
LOUD = 5.0  # times the widest feature's standard deviation, that the noise's may be
FAINT = 0.01  # of a feature's standard deviation, below which the noise is none
OUTSHINES = 0.5  # of the variance, that one row may make
FEWEST_COUNTED = 10  # rows, from which on numbers that rise evenly are no accident
REPEATED = 0.1  # of the rows


def not_scaled(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether a few features drown the others."""
    variance = on.variance
    if model.parameters_["scaling"] == "standard" or not is_uneven(variance):
        return
    widest = int(variance.argmax())
    name = _name(model, widest)
    share = variance[widest] / variance.sum()
    times = variance[widest] / np.median(variance[variance > 0])
    little_else = "the model sees little else"
    more = f"{times:.0f} times as much as the middle one, and the model learns such first"
    yield Finding(
        "input not scaled",
        f"Feature {name} alone makes {share:.0%} of the variance: "
        f"{little_else if share > DROWNS else more}.",
        "If the features have different units, write scaling='standard'.",
    )


def loud_noise(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the noise of the training drowns the rows, as in another unit it would."""
    std = getattr(model.model_.parts.corruption, "std", 0.0)
    widest = float(on.variance.max()) ** 0.5
    if std > LOUD * widest > 0:
        yield Finding(
            "noise too strong",
            f"The noise has a standard deviation of {std:g}, and no feature one above "
            f"{widest:.3g}: little is left to see.",
            "Lower it; it is in X's units, for pictures of 0 to 1 such as 25/255.",
        )


def uneven_noise(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether noise in X's units drowns some features and hardly touches others.

    Told where each feature is scaled by itself, as those of different units are.
    """
    corruption = model.model_.parts.corruption
    varying = np.flatnonzero(on.variance > 0)
    if model.parameters_["scaling"] != "standard" or not (len(varying) and corruption.hides):
        return
    stds, said = np.sqrt(on.variance[varying]), ""
    if isinstance(corruption, GaussianNoise):
        times = corruption.std / stds
        if times.min() < FAINT or times.max() > LOUD:
            said = f"has a standard deviation of {corruption.std:g} in every feature's units: " + (
                " and ".join(
                    f"{times[i]:.3g} times that of feature {_name(model, int(varying[i]))}"
                    for i in sorted({int(times.argmin()), int(times.argmax())})
                )
            )
    elif isinstance(corruption, Masking):
        off = np.abs(on.mean[varying]) / stds
        if off.max() > LOUD:
            furthest = _name(model, int(varying[off.argmax()]))
            said = f"writes 0, {off.max():.3g} standard deviations off the mean of {furthest}"
    if said:
        yield Finding(
            "noise uneven",
            f"The noise {said}.",
            "Standardise the columns before the fit (sklearn.preprocessing.StandardScaler, in a "
            "pipeline), so that one noise suits all.",
        )


def lone_row(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether one row lies so far out that it drowns the others."""
    X, _, mean, variance = on
    if len(X) < FEWEST_COUNTED or not np.isfinite(mean).all() or not 0 < variance.sum() < np.inf:
        return
    unit = np.where(variance > 0, variance, 1) if model.parameters_["scaling"] == "standard" else 1
    squares = np.concatenate(
        [((X[part].astype(np.float64) - mean) ** 2 / unit).sum(1) for part in chunks(*X.shape)]
    )
    row = int(squares.argmax())
    share = squares[row] / squares.sum()
    if share > OUTSHINES:
        yield Finding(
            "a row far out",
            f"Row {row} alone makes {share:.0%} of the variance: the others hardly count.",
            "Drop it if it is a mistake; or write likelihood='laplace', which such rows move less.",
        )


def row_numbers(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether a feature does nothing but count the rows, as a table's index does."""
    X = on.X
    if len(X) < FEWEST_COUNTED or X.dtype.kind == "b":
        return
    steps = X[1] - X[0]
    for feature in np.flatnonzero((steps != 0) & (X[2] - X[1] == steps)):
        column = X[:, feature]
        if (np.diff(column) == steps[feature]).all():
            name = _name(model, int(feature))
            yield Finding(
                "row numbers",
                f"Feature {name} counts the rows, from {column[0]:g} to {column[-1]:g}.",
                "Drop it, unless it is the time.",
            )


def _name(model: "BaseAutoencoder", feature: int) -> str:
    names = getattr(model, "feature_names_in_", None)
    return repr(str(names[feature])) if names is not None else str(feature)


def repeated_rows(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether many rows are copies."""
    X = on.X
    n_copies = len(X) - len(find_copies(X[part] for part in chunks(*X.shape)).firsts)
    if n_copies > REPEATED * len(X):
        yield Finding(
            "repeated rows",
            f"{n_copies} of {len(X)} rows repeat an earlier one.",
            "If they were not observed as often as that, drop the copies: they weigh more in the "
            "training.",
        )
