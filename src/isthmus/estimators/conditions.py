"""Labels that a conditional autoencoder's decoder is told. N rows, K code units, L labels."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils.validation import _num_samples

from isthmus.data.rows import Labelled, Selection
from isthmus.errors import DataError, ParameterError
from isthmus.estimators.arrays import refusing, unwrapped
from isthmus.estimators.inputs import Array
from isthmus.estimators.labels import UNLABELLED, check_labels
from isthmus.fitting.model import Model
from isthmus.fitting.streams import Streams

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder


def learn_labels(estimator: "BaseAutoencoder", X: Any, y: Any, validation: Any) -> Array | None:
    """Remember the classes of `y` if the estimator is conditional, and return their numbers, (N,).

    Raises
    ------
    DataError
        If a row has no label.
    ParameterError
        If held-out rows are given, which have none.
    """
    if not getattr(estimator, "conditional", False):
        return None
    if validation is not None:
        raise ParameterError(
            "conditional=True needs labels, and validation has none: leave it out; "
            "validation_fraction of X is held out."
        )
    with refusing(X, "X"):
        n_rows = _num_samples(unwrapped(X))
    labels = check_labels(y, n_rows, f"{type(estimator).__name__}(conditional=True)")
    unlabelled = int((labels.numbers == UNLABELLED).sum())
    if unlabelled:
        raise DataError(
            f"y has no label for {unlabelled} of {len(labels.numbers)} rows, and conditional=True "
            f"needs one for each: drop those rows, or label them."
        )
    estimator.classes_ = labels.classes
    names = [getattr(y, "name", None), *getattr(y, "columns", ())]
    estimator.label_name_ = next((str(name) for name in names if name is not None), None)
    return labels.numbers


def with_labels(rows: Selection, numbers: Array, n_labels: int) -> Selection:
    """Return rows of which the labels are part of what should come out."""
    target = Labelled(rows.target, torch.from_numpy(numbers), n_labels)
    return dataclasses.replace(rows, target=target)


def learn_shares(model: Model, numbers: Array) -> None:
    """Remember the share of each label."""
    counts = np.bincount(numbers, minlength=model.parts.n_labels)
    model.shares.copy_(torch.from_numpy(counts / counts.sum()))


def drawn_labels(estimator: Any, n: int, streams: Streams) -> Any:
    """Draw labels (n,) as often as they were among the training rows; None if there are none."""
    model = estimator.model_
    if not model.parts.n_labels:
        return None
    shares = model.shares.cpu()
    index = torch.multinomial(shares, n, replacement=True, generator=streams.generator("labels"))
    return estimator.classes_[index.numpy()]


def told(estimator: Any, codes: Array, y: Any) -> Array:
    """Return codes (N, K) with what the decoder is told of the labels `y`, (N, K + L).

    Raises
    ------
    ParameterError
        If labels are given to a model that takes none, or the other way round.
    DataError
        If a label is unknown, or there is not one for each code.
    """
    if not estimator.model_.parts.n_labels:
        if y is not None:
            raise ParameterError(
                "y is given, and the model was fitted without labels: leave it out, or fit a "
                "VariationalAutoencoder(conditional=True)."
            )
        return codes
    classes = estimator.classes_
    if y is None:
        raise ParameterError(
            f"The model was fitted with conditional=True and its codes need labels: give y, one "
            f"of {_listed(classes)} for each row."
        )
    given = np.asarray(y)
    if given.ndim > 0 and given.shape != (len(codes),):
        raise DataError(f"y has the shape {given.shape}: give one label, or {len(codes)} of them.")
    given = np.broadcast_to(given, len(codes))
    unknown = given[~np.isin(given, classes)].tolist()
    if unknown:
        raise DataError(f"y has {unknown[0]!r}, and the model knows {_listed(classes)}.")
    return np.hstack([codes, (given[:, None] == classes).astype(codes.dtype)])


def _listed(classes: Array) -> str:
    head = ", ".join(repr(label) for label in classes[:10].tolist())
    return f"{head}, ..." if len(classes) > 10 else head
