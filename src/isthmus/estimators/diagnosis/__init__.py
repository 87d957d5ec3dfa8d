"""What is wrong with a fit, in plain words, and what to change."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from isthmus.data.rows import moments
from isthmus.estimators.diagnosis import rows, training, units
from isthmus.estimators.diagnosis.finding import Check, Finding, Judged
from isthmus.estimators.inputs import Array, Floats

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder
    from isthmus.estimators.classifier import AutoencoderClassifier
    from isthmus.estimators.using_machines import UsingMachine

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
    units.loud_units,
    units.free_to_copy,
    training.stopped_at_limit,
)
OF_UNITS = ("dead units", "saturated units", "collapsed units", "not sparse", "free to copy")


def diagnose(model: "BaseAutoencoder", X: Array, codes: Floats) -> list[Finding]:
    """Return what is wrong, the gravest first; an empty list is good news.

    `X` (N, D) are rows and `codes` (N, K) what the model makes of them.
    """
    mean, variance = (each.numpy() for each in moments(X))
    if X.dtype.kind == "f" and np.isnan(X[:, -1]).any():
        variance = np.ma.masked_invalid(X.astype(np.float64)).var(axis=0).filled(0)
    on = Judged(X, codes, mean, variance)
    return [finding for check in CHECKS for finding in check(model, on)]


def diagnose_machine(model: "UsingMachine", states: Floats) -> list[Finding]:
    """Return what is wrong with a machine; `states` (N, K) are its hidden units'."""
    return [
        *training.diverged(model),
        *units.tell_dead(states, "Lower n_components.", "hidden units"),
        *units.tell_stuck(model, states, "Lower learning_rate, or scale X.", "hidden units"),
    ]


def diagnose_classifier(
    model: "AutoencoderClassifier", codes: Floats, autoencoder: Iterable[Finding]
) -> list[Finding]:
    """Return what is wrong with a classifier, and then with the autoencoder that it began with.

    `codes` (N, K) are what the classifier makes of the rows. Of its units as they were before the
    labels nothing is told, nor that they could copy: both do no harm.
    """
    fewer = codes.shape[1] - len(units.dead_units(codes))
    change = f"Give the autoencoder fewer units (n_components={max(1, fewer)})."
    return [
        *training.diverged(model),
        *units.tell_dead(codes, change),
        *(_before_labels(each) for each in autoencoder if each.name not in OF_UNITS),
    ]


def _before_labels(finding: Finding) -> Finding:
    what = f"Of the autoencoder as it was before the labels: {finding.what}"
    return finding._replace(name=f"autoencoder {finding.name}", what=what)
