"""Where a page comes from: the model's settings, the data, the versions, and how to repeat it."""

import hashlib
import inspect
import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from isthmus.data.rows import chunks
from isthmus.estimators import inputs
from isthmus.estimators.parameters import changed, declared
from isthmus.estimators.saving import plain, tupled
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.schedules import Schedule

PACKAGES = ("isthmus", "torch", "scikit-learn", "numpy")


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
    )


def fingerprint(array: inputs.Array) -> str:
    """Return the SHA-256 of rows (N, D): of the text "N,D", then the values as float64, row by row.

    The same values have the same one, whatever type holds them.
    """
    digest = hashlib.sha256(",".join(map(str, array.shape)).encode())
    for part in chunks(*array.shape):
        digest.update(np.ascontiguousarray(array[part], dtype="<f8").tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from its sources
            found[package] = "unknown"
    return found


def repeating(model: Any, *, labelled: bool) -> str:
    """Return the code that makes such a model and such a page."""
    name, values = type(model).__name__, model.parameters_.values()
    within = {type(value).__name__ for value in values if isinstance(value, BaseEstimator)}
    imported = ", ".join([*sorted({name, *within}), "report"])
    fitted = "fit(rows, labels)" if hasattr(model, "predict") else "fit(rows)"
    shown = "model, X, y" if labelled else "model, X"
    return f"from isthmus import {imported}\n\nmodel = {spelled(model)}.{fitted}\nreport({shown})"


def spelled(value: Any) -> str:
    """Return a parameter, or an estimator with its parameters, as it is typed.

    A part is its string; a generator, which cannot be typed, is None.
    """
    if isinstance(value, BaseEstimator):
        given = [f"{name}={spelled(each)}" for name, each in changed(value).items()]
        return f"{type(value).__name__}({', '.join(given)})"
    return repr(tupled(plain(value)))


# Papers ------------------------------------------------------------------------------------


def references(model: Any) -> list[str]:
    """Return the papers that the docstrings of the model and of its parts name."""
    return list(dict.fromkeys(text for kind in used(model) if (text := papers(kind))))


def used(model: Any) -> Iterator[type[Any]]:
    """Yield the classes that a model is made of, itself first."""
    yield type(model)
    within = getattr(model, "autoencoder_", None)
    if within is not None:
        yield from used(within)
    parts = getattr(getattr(model, "model_", None), "parts", ())
    for part in parts:
        yield from map(type, part if isinstance(part, tuple) else (part,))
    for slot, name in ((Optimizer, "optimizer"), (Schedule, "schedule")):
        if name in model.parameters_:
            yield type(slot.of(model.parameters_[name]))


def papers(kind: Any) -> str:
    """Return the references of a docstring in one line; nothing, where it has none."""
    text = inspect.getdoc(kind) or ""
    section = re.search(
        r"^References\n-+\n(.*?)(?=^\S.*\n-{3,}$|\Z)", text, re.DOTALL | re.MULTILINE
    )
    return " ".join(section[1].split()) if section else ""
