"""What a classifier makes of labelled rows.

Shapes: C classes.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
from sklearn.base import is_classifier

from isthmus.evaluation.labels import Labels, word
from isthmus.evaluation.subject import Subject

MOST_CONFUSED = 8


class ClassErrors(NamedTuple):
    """How often a classifier is right."""

    accuracy: float
    n_rows: int  # labelled ones
    recall: list[tuple[str, int, float]]  # of each class: its name, its rows, the share found
    confused: list[tuple[str, str, int]]  # true, said, rows; the commonest first


def class_errors(subject: Subject, labels: Labels) -> ClassErrors | None:
    """Compare what a classifier says with the labels; None where there is nothing to compare."""
    if not is_classifier(subject.model) or not labels.classes:
        return None
    rows = np.flatnonzero(labels.known)
    if not len(rows):  # those with labels were not drawn
        return None
    said = [word(label) for label in subject.model.predict(subject.coded[rows])]
    true = [labels.classes[code] for code in labels.codes[rows]]
    totals, right = Counter(true), Counter(a for a, b in zip(true, said, strict=True) if a == b)
    wrong = Counter((a, b) for a, b in zip(true, said, strict=True) if a != b)
    return ClassErrors(
        accuracy=sum(right.values()) / len(rows),
        n_rows=len(rows),
        recall=[
            (name, totals[name], right[name] / totals[name])
            for name in labels.classes
            if totals[name]
        ],
        confused=[(*pair, n) for pair, n in wrong.most_common(MOST_CONFUSED)],
    )
