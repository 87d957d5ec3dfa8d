"""Where a fitted model comes from: its parameters as typed, why its fit ended, its papers."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from sklearn.base import BaseEstimator

from isthmus.estimators.diagnosis.training import unsteady
from isthmus.estimators.parameters import changed
from isthmus.estimators.saving import plain, tupled
from isthmus.fitting.curves import curves, training
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.schedules import Schedule
from isthmus.parts import Normal


def spelled(value: Any) -> str:
    """Return a parameter, or an estimator with its parameters, as it is typed.

    A part is its string; a generator, which cannot be typed, is None.
    """
    if isinstance(value, BaseEstimator):
        given = [f"{name}={spelled(each)}" for name, each in changed(value).items()]
        return f"{type(value).__name__}({', '.join(given)})"
    return repr(tupled(plain(value)))


ENDED = {
    "patience": "held-out rows got no better",
    "limit": "it ran to max_epochs",
    "interrupted": "it was interrupted",
    "solved": "{pca}, as which it began, is the best linear network",
}
UNSTEADY = ("its loss leapt", "it diverged")


def epochs(model: Any) -> str:
    """Return how many epochs made a fitted model, and why there were no more."""
    kept, run = model.n_iter_, _run(model)
    parts = getattr(model.model_, "parts", None)
    pca = "probabilistic PCA" if parts and parts.code.random else "PCA"
    why = ENDED.get(model.stopped_by_, model.stopped_by_).format(pca=pca)
    if not hasattr(model, "max_epochs"):
        why = why.replace("max_epochs", "n_iter")
    if unsteady(model):
        why = f"{UNSTEADY[model.stopped_by_ == 'diverged']}: lower learning_rate to a tenth"
    elif kept == 0 and model.stopped_by_ != "solved" and parts and parts.starts_as_pca:
        why = f"{pca}, as which it began, was not beaten"
    elif 0 < kept < run and model.stopped_by_ == "limit":
        return f"{kept}, the best of {run}"
    return f"{kept}, the best of {run} ({why})" if 0 < kept < run else f"{kept} ({why})"


def _run(model: Any) -> int:
    """Return how many epochs the stage, or the folds, ran that chose the best one."""
    if not curves(model.history_):
        return int(model.n_iter_)
    told = training(model)
    return max(point.epoch for curve in told.groups[told.main] for point in curve.points)


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
        if isinstance(part, Normal) and not part.learns:  # its paper is of how it learns
            continue
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
