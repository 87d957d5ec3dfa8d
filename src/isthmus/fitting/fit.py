"""From rows to a fitted model: which rows judge, how long to train, and the PCA beside it.

Large data hold one set of rows out. On small data a few rows would decide by chance, so each
row is held out once: the folds' curves choose the number of epochs, and the model is trained
again, that long, on all rows. Either way a network that began as PCA and did not beat it
beyond chance is given up for the PCA of all rows.

Shapes: N rows, M held-out rows, E epochs, D features, K components.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isthmus.data.rows import Selection
from isthmus.data.scaling import Scaling
from isthmus.fitting.loop import evaluate, train
from isthmus.fitting.model import Model, Parts, assemble
from isthmus.fitting.observers import Epoch, Held, History, Observer
from isthmus.fitting.pca import PCA, principal_axes
from isthmus.fitting.plan import Plan
from isthmus.fitting.streams import Streams
from isthmus.parts import Dense, Normal, Plain

FOLDED_BELOW = 1000  # rows; where one held-out set is too small to judge by
N_FOLDS = 4
BEYOND_CHANCE = (
    3.0  # standard errors that a gain over the PCA has to exceed: the best of many epochs
)


class VersusPCA(NamedTuple):
    """The model beside the PCA of its width, which was fitted to the same training rows.

    Errors are squared, summed over features, averaged over rows; in the user's units, or in
    standard deviations where the scaling is ``"standard"``.
    """

    pca_error: float
    error: float
    ratio: float  # error / pca_error: below 1 is better than PCA
    rows: str  # "held out", or "training" where none were
    n_rows: int


class Task(NamedTuple):
    """What a fit is given besides its rows."""

    parts: Parts
    n_components: int
    scaling: Scaling
    plan: Plan
    streams: Streams
    observers: Sequence[Observer]

    @property
    def starts_as_pca(self) -> bool:
        """Whether the first model is the PCA already."""
        return self.parts.network.wants_pca(self.parts.code, self.parts.likelihood)

    def begin(self, training: Selection) -> tuple[Model, Model]:
        """Assemble the model that is trained on these rows, and their PCA as a model."""
        generator = self.streams.generator("pca")
        pca = principal_axes(training, self.n_components, generator)
        linear = self.parts._replace(
            network=Dense(hidden=()), code=Plain(), likelihood=Normal(), penalties=()
        )
        return self._assemble(self.parts, pca), self._assemble(linear, pca)

    def _assemble(self, parts: Parts, pca: PCA) -> Model:
        generator = self.streams.generator("init")
        model = assemble(parts, self.n_components, self.scaling, pca, generator)
        return model.to(self.plan.device)


class Fitted(NamedTuple):
    """What a fit returns."""

    model: Model
    n_epochs: int  # that made the model; 0: it is as it began
    reason: str  # why the training ended: "limit", "patience", "diverged" or "interrupted"
    history: list[dict[str, Any]]
    versus_pca: VersusPCA | None  # None where the rows come in portions


def fit(task: Task, rows: Selection, judge: Selection | None, fraction: float) -> Fitted:
    """Fit a model to all of `rows`.

    Parameters
    ----------
    judge : rows that decide when to stop; None: a `fraction` of `rows`, drawn at random.
    """
    if judge is not None:
        return _judged(task, rows, judge, rows)
    if fraction == 0 or rows.n_rows < N_FOLDS:
        return _unjudged(task, rows)
    order = torch.randperm(rows.n_rows, generator=task.streams.generator("split"))
    if rows.n_rows < FOLDED_BELOW:
        return _folded(task, rows, list(order.tensor_split(N_FOLDS)))
    n_held = min(max(1, round(fraction * rows.n_rows)), rows.n_rows - 1)
    # In order of place, so that memory is read in one direction.
    held_out, training = order[:n_held].sort().values, order[n_held:].sort().values
    return _judged(task, rows.at(training), rows.at(held_out), rows)


def _unjudged(task: Task, rows: Selection) -> Fitted:
    """Train to the limit; nothing is held out."""
    model, pca = task.begin(rows)
    history = History("all rows")
    nothing = rows.at(rows.index[:0])
    outcome = train(model, rows, nothing, task.plan, task.streams, [history, *task.observers])
    errors = (evaluate(each, rows, task.streams).errors for each in (pca, model))
    versus = versus_pca(task.scaling, *errors, rows="training")
    return Fitted(model, outcome.best_epoch, outcome.reason, history.records, versus)


def _judged(task: Task, training: Selection, judge: Selection, rows: Selection) -> Fitted:
    """Train on some rows and stop by others."""
    model, pca = task.begin(training)
    history = History("training")
    outcome = train(model, training, judge, task.plan, task.streams, [history, *task.observers])
    pca_errors = evaluate(pca, judge, task.streams).errors
    n_epochs, best = outcome.best_epoch, outcome.best
    if task.starts_as_pca and not beyond_chance(outcome.start.rows - best.rows):
        n_epochs, best, (model, _) = 0, outcome.start, task.begin(rows)
    versus = versus_pca(task.scaling, pca_errors, best.errors, rows="held out")
    return Fitted(model, n_epochs, outcome.reason, history.records, versus)


def _folded(task: Task, rows: Selection, folds: list[Tensor]) -> Fitted:
    """Hold each row out once to choose the number of epochs, then train on all that long."""
    curves, pca_errors, records, reasons = [], [], [], []
    for i, fold in enumerate(folds):
        rest = torch.cat([other for j, other in enumerate(folds) if j != i])
        training, judge = rows.at(rest), rows.at(fold)
        model, pca = task.begin(training)
        curve, history = Curve(), History(f"fold {i + 1} of {len(folds)}")
        observers: list[Observer] = [curve, history, *task.observers]
        outcome = train(model, training, judge, task.plan, task.streams, observers)
        curves.append(curve.held_out)
        pca_errors.append(evaluate(pca, judge, task.streams).errors)
        records += history.records
        reasons.append(outcome.reason)
        if outcome.reason == "interrupted":
            break
    nats, errors = pool(curves, "rows"), pool(curves, "errors")
    n_epochs = int(nats.mean(1).argmin())
    if task.starts_as_pca and not beyond_chance(nats[0] - nats[n_epochs]):
        n_epochs = 0
    model, _ = task.begin(rows)
    history, plan = History("all rows"), task.plan._replace(stop_after=n_epochs, patience=None)
    nothing = rows.at(rows.index[:0])
    outcome = train(model, rows, nothing, plan, task.streams, [history, *task.observers])
    if outcome.reason != "limit":
        reasons.append(outcome.reason)
    reason = max(reasons, key=["patience", "limit", "diverged", "interrupted"].index)
    versus = versus_pca(
        task.scaling, torch.cat(pca_errors), errors[outcome.best_epoch], rows="held out"
    )
    return Fitted(model, outcome.best_epoch, reason, records + history.records, versus)


class Curve:
    """An observer that keeps what the held-out rows came to at each epoch."""

    def __init__(self) -> None:
        self.held_out: list[Held] = []

    def epoch(self, epoch: Epoch) -> None:
        """Keep the epoch's."""
        held = epoch.held_out
        # Penalties count too, as they do where one set of rows judges; the same for every row.
        penalties = held.loss - float(held.rows.mean())
        self.held_out.append(held._replace(rows=held.rows + penalties))


def pool(curves: Sequence[Sequence[Held]], field: str) -> Tensor:
    """Put the folds' curves side by side, (E, N); one that ended early stays where it ended."""
    longest = max(len(curve) for curve in curves)
    columns = []
    for curve in curves:
        values = torch.stack([getattr(held, field) for held in curve])
        columns.append(torch.cat([values, values[-1:].expand(longest - len(values), -1)]))
    return torch.cat(columns, dim=1)


def beyond_chance(gains: Tensor) -> bool:
    """Return whether paired gains (M,) are real: their mean and that of each quarter.

    Squared errors have heavy tails, where a t-test alone believes too much.
    """
    if len(gains) < N_FOLDS:
        return False
    error = float(gains.std()) / math.sqrt(len(gains))
    everywhere = all(float(quarter.mean()) > 0 for quarter in gains.tensor_split(N_FOLDS))
    return everywhere and float(gains.mean()) > BEYOND_CHANCE * error


def versus_pca(scaling: Scaling, pca_errors: Tensor, errors: Tensor, *, rows: str) -> VersusPCA:
    """Compare squared errors in scaled units (M,), by row."""
    unit = float(scaling.scale) ** 2 if scaling.scale.ndim == 0 else 1.0
    pca_error, error = float(pca_errors.mean()) * unit, float(errors.mean()) * unit
    ratio = error / pca_error if pca_error > 0 else (1.0 if error == 0 else math.inf)
    return VersusPCA(pca_error, error, ratio, rows, len(errors))
