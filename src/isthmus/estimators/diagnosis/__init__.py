"""What is wrong with a fit, in plain words, and what to change."""

from typing import TYPE_CHECKING

import numpy as np

from isthmus.data.rows import moments
from isthmus.estimators.diagnosis import rows, training, units
from isthmus.estimators.diagnosis.finding import Check, Finding, Judged
from isthmus.estimators.inputs import Array, Floats

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder

CHECKS: tuple[Check, ...] = (
    training.diverged,
    training.leapt,
    training.worse_than_pca,
    rows.not_scaled,
    rows.loud_noise,
    rows.uneven_noise,
    rows.lone_row,
    rows.row_numbers,
    rows.repeated_rows,
    units.idle_units,
    units.collapsed_units,
    units.free_to_copy,
    training.stopped_at_limit,
)


def diagnose(model: "BaseAutoencoder", X: Array, codes: Floats) -> list[Finding]:
    """Return what is wrong, the gravest first; an empty list is good news.

    `X` (N, D) are rows and `codes` (N, K) what the model makes of them.
    """
    mean, variance = (each.numpy() for each in moments(X))
    if X.dtype.kind == "f" and np.isnan(X[:, -1]).any():
        variance = np.ma.masked_invalid(X.astype(np.float64)).var(axis=0).filled(0)
    on = Judged(X, codes, mean, variance)
    return [finding for check in CHECKS for finding in check(model, on)]
