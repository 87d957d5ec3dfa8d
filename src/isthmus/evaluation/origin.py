"""Where a page comes from: the model's settings, the data, the versions, and how to repeat it."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from isthmus.data.artefact import versions
from isthmus.data.rows import chunks
from isthmus.estimators import inputs
from isthmus.estimators.parameters import changed, declared
from isthmus.estimators.provenance import epochs, references, spelled


class Setting(NamedTuple):
    """One parameter of the model."""

    name: str
    value: str
    changed: bool  # whether it is not at its default


class Origin(NamedTuple):
    """What has to be known to make the page again."""

    settings: list[Setting]
    versions: dict[str, str]
    shape: tuple[int, int]  # of all rows that were handed in
    sha256: str
    references: list[str]
    code: str
    epochs: str  # that made the model, and why there were no more


def origin(model: Any, X: Any, *, labelled: bool = False) -> Origin:
    """Describe a fitted model and the rows that it is judged on."""
    array = inputs.check_rows(model, X, reset=False)
    given = changed(model)
    kind: Any = type(model)
    settings = [
        Setting(name, spelled(model.parameters_[name]), name in given) for name in declared(kind)
    ]
    return Origin(
        settings=settings,
        versions=versions(),
        shape=(len(array), array.shape[1]),
        sha256=fingerprint(array),
        references=references(model),
        code=repeating(model, labelled=labelled),
        epochs=epochs(model),
    )


def fingerprint(array: inputs.Array) -> str:
    """Return the SHA-256 of rows (N, D): of the text "N,D", then the values as float64, row by row.

    The same values have the same one, whatever type holds them.
    """
    digest = hashlib.sha256(",".join(map(str, array.shape)).encode())
    for part in chunks(*array.shape):
        digest.update(np.ascontiguousarray(array[part], dtype="<f8").tobytes())
    return digest.hexdigest()


def repeating(model: Any, *, labelled: bool) -> str:
    """Return the code that makes such a model and such a page."""
    name, values = type(model).__name__, model.parameters_.values()
    within = {type(value).__name__ for value in values if isinstance(value, BaseEstimator)}
    imported = ", ".join([*sorted({name, *within}), "report"])
    fitted = "fit(rows, labels)" if is_classifier(model) else "fit(rows)"
    shown = "model, X, y" if labelled else "model, X"
    return f"from isthmus import {imported}\n\nmodel = {spelled(model)}.{fitted}\nreport({shown})"
