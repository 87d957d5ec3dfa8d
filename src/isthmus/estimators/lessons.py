"""What a classifier is taught by: the rows that have a label, some of them held out."""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from isthmus.data.rows import Rows, Selection
from isthmus.data.scaling import Scaling
from isthmus.estimators.arrays import Array
from isthmus.estimators.labels import Labels
from isthmus.fitting.classifier import Lesson, hold_out
from isthmus.fitting.observers import Observer
from isthmus.fitting.plan import Plan
from isthmus.fitting.pretraining import identity
from isthmus.fitting.streams import Streams


def lesson_of(
    array: Array,
    labels: Labels,
    scaling: Scaling,
    fraction: float,
    plan: Plan,
    streams: Streams,
    observers: Sequence[Observer],
) -> Lesson:
    """Hold a fraction of each class's rows out; scale all of them."""
    rows = _labelled(array, labels, scaling, plan.device)
    numbers = torch.from_numpy(labels.numbers)
    held = hold_out(numbers, fraction, streams.generator("split"))
    rest = numbers >= 0
    rest[held] = False
    return Lesson(rows.at(rest.nonzero()[:, 0]), rows.at(held), plan, streams, observers)


def _labelled(array: Array, labels: Labels, scaling: Scaling, device: str) -> Selection:
    """Select all rows of an array, with the numbers of their classes as targets, (N, 1)."""
    column = labels.numbers[:, None].astype(np.float64)
    targets = Rows(column, identity(torch.from_numpy(column)), device)
    rows = Rows(array, copy.deepcopy(scaling).cpu(), device)
    return Selection(rows, targets, torch.arange(len(rows), device=device))
