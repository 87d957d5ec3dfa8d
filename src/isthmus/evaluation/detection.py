"""What an outlier detector finds among rows, beside labels where they tell the outliers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_outlier_detector
from sklearn.metrics import roc_auc_score

from isthmus.evaluation.labels import Labels
from isthmus.evaluation.subject import Floats, Subject


class Known(NamedTuple):
    """How well rows are found that are known to be outliers: the rarer of two labels."""

    name: str
    n_rows: int
    n_found: int
    area: float  # under the ROC curve: the chance that one of them scores below another row


class Detection(NamedTuple):
    """What a detector says of rows."""

    n_rows: int
    n_found: int  # that it calls outliers
    known: Known | None


def detection(subject: Subject, labels: Labels | None) -> Detection | None:
    """Ask a detector which rows are outliers; None of other models."""
    if not is_outlier_detector(subject.model):
        return None
    scores = subject.model.score_samples(subject.coded)
    found = scores < subject.model.offset_
    known = None if labels is None else _known(found, scores, labels)
    return Detection(len(found), int(found.sum()), known)


def _known(found: NDArray[np.bool_], scores: Floats, labels: Labels) -> Known | None:
    """Compare with labels of two classes; None of others, and where both are as many."""
    rows = np.flatnonzero(labels.known)
    kinds, counts = np.unique(labels.codes[rows], return_counts=True)
    if not labels.classes or len(kinds) != 2 or counts[0] == counts[1]:
        return None
    rarer = kinds[counts.argmin()]
    outliers = labels.codes[rows] == rarer
    return Known(
        name=labels.classes[rarer],
        n_rows=int(outliers.sum()),
        n_found=int(found[rows][outliers].sum()),
        area=float(roc_auc_score(outliers, -scores[rows])),
    )
