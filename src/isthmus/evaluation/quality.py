"""How well a code serves by itself, beside the PCA of its width and the rows themselves.

Shapes: N rows, D features, K code units.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.evaluation import metrics
from isthmus.evaluation.against_pca import pca_of
from isthmus.evaluation.labels import Labels
from isthmus.evaluation.subject import Subject
from isthmus.fitting.pca import PCA

N_NEIGHBOURS = 10
MOST_NEIGHBOURED = 1000  # rows of which all pairs are looked at
MOST_PROBED = 2000  # rows that probes are trained on
WIDEST_PROBED = 1024  # features, above which the rows themselves are not probed
N_FOLDS = 3

Floats = NDArray[np.float64]


class Measured(NamedTuple):
    """What one representation of the rows is worth; None where it cannot be said."""

    name: str
    width: int
    trustworthiness: float | None = None
    continuity: float | None = None
    overlap: float | None = None
    probe: float | None = None  # accuracy of a linear classifier; of numbers, R^2 of a ridge
    neighbours: float | None = None  # the same of the nearest neighbours


class Quality(NamedTuple):
    """The code beside others."""

    code: Measured
    pca: Measured
    raw: Measured
    n_neighboured: int  # rows that were looked at
    n_probed: int
    chance: float | None  # accuracy of always saying the commonest class
    classes: bool  # whether the labels are classes, not numbers


def quality(
    subject: Subject, labels: Labels | None = None, pca: PCA | None = None, *, seed: int = 0
) -> Quality:
    """Measure the code, the PCA of its width and the rows, on a part of the rows.

    Neighbours of rows are those in the units that the model weighs features in.
    """
    rows = subject.scaling(torch.from_numpy(subject.coded)).numpy()
    pca = pca or pca_of(subject)
    width = min(subject.codes.shape[1], len(pca.axes))
    components = (rows - pca.center.numpy()) @ pca.axes[:width].numpy().T
    near = _part(np.arange(len(rows)), MOST_NEIGHBOURED, seed)
    probed = _probed(labels, seed)
    spaces = {"the code": subject.codes, f"PCA of {width}": components, "the rows": rows}
    measured = []
    for name, space in spaces.items():
        kept = _kept(rows[near], space[near]) if space is not rows else {}
        told = {}
        if labels is not None and len(probed) and space.shape[1] <= WIDEST_PROBED:
            told = _told(space[probed], labels, probed, seed)
        measured.append(Measured(name, space.shape[1], **kept, **told))
    chance = None
    if labels is not None and labels.classes and len(probed):
        chance = float(np.unique(labels.codes[probed], return_counts=True)[1].max() / len(probed))
    return Quality(
        code=measured[0],
        pca=measured[1],
        raw=measured[2],
        n_neighboured=len(near),
        n_probed=len(probed),
        chance=chance,
        classes=labels is not None and bool(labels.classes),
    )


def _part(rows: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _probed(labels: Labels | None, seed: int) -> NDArray[np.intp]:
    """Return labelled rows of classes that every fold can have; none, where one class is left."""
    if labels is None:
        return np.empty(0, np.intp)
    rows = _part(np.flatnonzero(labels.known), MOST_PROBED, seed)
    if not labels.classes:
        return rows if len(rows) >= 2 * N_FOLDS else rows[:0]
    kinds, counts = np.unique(labels.codes[rows], return_counts=True)
    common = kinds[counts >= N_FOLDS]
    return rows[np.isin(labels.codes[rows], common)] if len(common) > 1 else rows[:0]


def _kept(rows: Floats, codes: Floats) -> dict[str, float]:
    k = min(N_NEIGHBOURS, (len(rows) - 1) // 2)
    if k < 1:
        return {}
    return {
        "trustworthiness": metrics.trustworthiness(rows, codes, n_neighbors=k),
        "continuity": metrics.continuity(rows, codes, n_neighbors=k),
        "overlap": metrics.neighbour_overlap(rows, codes, n_neighbors=k),
    }


def _told(space: Floats, labels: Labels, rows: NDArray[np.intp], seed: int) -> dict[str, float]:
    if labels.classes:
        classes = labels.codes[rows]
        probe = metrics.probe_accuracy(space, classes, n_folds=N_FOLDS, seed=seed)
        near = metrics.knn_accuracy(space, classes, n_folds=N_FOLDS, seed=seed)
    else:
        numbers = labels.values[rows]
        probe, near = (_r2(kind, space, numbers, seed) for kind in ("probe", "neighbours"))
    return {"probe": probe, "neighbours": near}


def _r2(kind: str, space: Floats, numbers: Floats, seed: int) -> float:
    """Return the share of the numbers' variance that is foretold, cross-validated."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    near = KNeighborsRegressor(min(N_NEIGHBOURS, len(numbers) // 2))
    estimator = RidgeCV(np.logspace(-3, 3, 7)) if kind == "probe" else near
    folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
    pipeline = make_pipeline(StandardScaler(), estimator)
    return float(cross_val_score(pipeline, space, numbers, cv=folds).mean())
