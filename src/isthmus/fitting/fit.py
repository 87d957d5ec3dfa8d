"""From rows to a fitted model: which rows judge, how long to train, and the PCA beside it.

Large data hold one set of rows out. On small data a few rows would decide by chance, so fold after
fold is held out, until enough rows have judged and leave no doubt: each row once, or twice where
the first time left some. The folds' curves choose the number of epochs, and the model is trained
again, that long, on all rows. Either way a network that began as PCA and did not beat it beyond
chance is given up for the PCA of all rows. Networks with skips, for which no PCA is a match, hold
one set out however few the rows are.

Shapes: N rows, M held-out rows, E epochs, D features, K components.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isthmus.data.rows import Selection
from isthmus.data.scaling import Scaling
from isthmus.fitting.assembly import assemble
from isthmus.fitting.gradients import way_of
from isthmus.fitting.judging import evaluate
from isthmus.fitting.loop import Outcome, train
from isthmus.fitting.memory import MOST_ROWS, enough_memory
from isthmus.fitting.model import Model, Parts
from isthmus.fitting.observers import Epoch, Held, History, Observer
from isthmus.fitting.pca import PCA, no_axes, principal_axes
from isthmus.fitting.plan import Plan
from isthmus.fitting.start import Pretrained, Surroundings
from isthmus.fitting.streams import Streams
from isthmus.fitting.versus import VersusPCA, versus_pca
from isthmus.parts import Dense, Normal, Plain

FOLDED_BELOW = 2000  # rows; where one held-out set is too small to judge by
ENOUGH = 200  # rows held out that judge as well as the least that larger data hold out
N_FOLDS = 4
# Standard errors that a gain over the PCA has to exceed: the best of many epochs is judged.
BEYOND_CHANCE = 4.0
BEYOND_DOUBT = 10.0  # and those that need no second division into folds


class Task(NamedTuple):
    """What a fit is given besides its rows."""

    parts: Parts
    n_components: int
    shape: tuple[int, ...]  # of a sample; (D,) where it is flat
    scaling: Scaling
    plan: Plan
    streams: Streams
    observers: Sequence[Observer]

    def begin(self, training: Selection) -> "Begun":
        """Assemble the model that is trained on these rows, and their PCA as a model."""
        generator = self.streams.generator("pca")
        find = principal_axes if self.compares else no_axes
        pca = find(training.unlabelled, self.n_components, generator)
        linear = Parts(Dense(hidden=()), self.parts.corruption, Plain(), Normal(), ())
        model = self._assemble(self.parts, pca)
        likelihood = self.parts.likelihood
        if likelihood.learns and not (self.parts.starts_as_pca and likelihood.isotropic):
            stride = -(-training.n_rows // MOST_ROWS)
            few = training.at(training.index[::stride])
            model.acquaint(few, self.streams.generator("code", self.plan.device))
        around = Surroundings(training, self.plan, self.streams, self.observers)
        pretrained = self.parts.pretraining.run(model, around)
        return Begun(model, self._assemble(linear, pca), pretrained)

    @property
    def compares(self) -> bool:
        """Whether PCA of the same width is a fair match: all goes through the code."""
        return not self.parts.network.skips

    def solved(self, rows: Selection) -> bool:
        """Whether there is nothing to train: no other rows to answer with, no weights to decay."""
        decays = getattr(self.plan.optimizer, "weight_decay", 0) > 0
        return self.parts.solved and rows.target is rows.rows and not decays

    def staying(self) -> "Task":
        """Return the task of staying as it begins."""
        return self._replace(plan=self.plan._replace(stop_after=0))

    def train(
        self,
        begun: "Begun",
        training: Selection,
        judge: Selection,
        observers: Sequence[Observer],
        plan: Plan | None = None,
    ) -> Outcome:
        """Train what has begun by the plan, or by another; not where its user has ended it."""
        plan = plan or self.plan
        if not begun.pretrained.interrupted:
            return train(begun.model, training, judge, plan, self.streams, observers)
        as_it_is = self.staying().plan
        outcome = train(begun.model, training, judge, as_it_is, self.streams, observers)
        return outcome._replace(reason="interrupted")

    def _assemble(self, parts: Parts, pca: PCA) -> Model:
        generator = self.streams.generator("init")
        given = (parts, self.n_components, self.scaling, pca, generator, self.shape)
        model = assemble(*given, padded=self.parts.network.sequences)
        return model.to(self.plan.device)


class Begun(NamedTuple):
    """What the training of the whole begins with."""

    model: Model
    pca: Model
    pretrained: Pretrained


class Fitted(NamedTuple):
    """What a fit returns."""

    model: Model
    n_epochs: int  # that made the model; 0: it is as it began
    reason: str  # why the training ended: "limit", "patience", "solved", "diverged", "interrupted"
    history: list[dict[str, Any]]
    versus_pca: VersusPCA | None  # None with skips, and where the rows come in portions


def fit(task: Task, rows: Selection, judge: Selection | None, fraction: float) -> Fitted:
    """Fit a model to all of `rows`.

    Parameters
    ----------
    judge : rows that decide when to stop; None: a `fraction` of `rows`, drawn at random.

    Raises
    ------
    ParameterError
        If there is too little memory.
    """
    solved = task.solved(rows)
    with enough_memory():
        fitted = _fit(task.staying() if solved else task, rows, judge, fraction)
    if solved and fitted.reason == "limit":
        fitted = fitted._replace(reason="solved")
    exact = task.n_components >= len(task.scaling.offset)  # PCA's error is that of rounding
    return fitted._replace(versus_pca=None) if exact or not task.compares else fitted


def _fit(task: Task, rows: Selection, judge: Selection | None, fraction: float) -> Fitted:
    if judge is not None:
        return _judged(task, rows, judge, rows)
    if fraction == 0:
        return _unjudged(task, rows)
    split = Split.of(rows)
    if split.n_kinds < N_FOLDS:  # nobody could say that PCA was beaten
        return _unjudged(task.staying() if task.parts.starts_as_pca else task, rows)
    if split.n_kinds < FOLDED_BELOW and task.compares:
        return _folded(task, rows, split)
    order = torch.randperm(split.n_kinds, generator=task.streams.generator("split"))
    n_held = min(max(1, round(fraction * split.n_kinds)), split.n_kinds - 1)
    # In order of place, so that memory is read in one direction.
    held_out, training = order[:n_held].sort().values, order[n_held:].sort().values
    return _judged(task, split.all_of(training), split.one_of(held_out), rows)


class Split(NamedTuple):
    """Rows that are divided by what they hold, so that no row is on both sides."""

    rows: Selection
    kind: Tensor  # (N,) the number of each row; the same for the same rows
    firsts: Tensor  # (U,) where each kind appears first

    @classmethod
    def of(cls, rows: Selection) -> "Split":
        """Find the kinds of the rows."""
        return cls(rows, *map(torch.from_numpy, rows.copies()))

    @property
    def n_kinds(self) -> int:
        """U."""
        return len(self.firsts)

    def one_of(self, kinds: Tensor) -> Selection:
        """Return a row of each of the kinds."""
        return self.rows.at(self.firsts[kinds])

    def all_of(self, kinds: Tensor) -> Selection:
        """Return all rows of the kinds, in the order of these."""
        place = torch.full((self.n_kinds,), self.n_kinds)
        place[kinds] = torch.arange(len(kinds))
        places, order = place[self.kind].sort(stable=True)
        return self.rows.at(order[places < self.n_kinds])


def _unjudged(task: Task, rows: Selection) -> Fitted:
    """Train to the limit; nothing is held out."""
    begun = task.begin(rows)
    history = History("all rows", task.observers)
    outcome = task.train(begun, rows, rows.at(rows.index[:0]), [history])
    errors = (
        evaluate(way_of(each), rows, task.streams).errors for each in (begun.pca, begun.model)
    )
    versus = versus_pca(task.scaling, *errors, rows="training")
    records = begun.pretrained.records + history.records
    return Fitted(begun.model, outcome.best_epoch, outcome.reason, records, versus)


def _judged(task: Task, training: Selection, judge: Selection, rows: Selection) -> Fitted:
    """Train on some rows and stop by others."""
    begun = task.begin(training)
    model, history = begun.model, History("training", task.observers)
    outcome = task.train(begun, training, judge, [history])
    pca_errors = evaluate(way_of(begun.pca), judge, task.streams).errors
    n_epochs, best = outcome.best_epoch, outcome.best
    if task.parts.starts_as_pca and not beats(outcome.start, best):
        n_epochs, best, model = 0, outcome.start, task.begin(rows).model
    versus = versus_pca(task.scaling, pca_errors, best.errors, rows="held out")
    records = begun.pretrained.records + history.records
    return Fitted(model, n_epochs, outcome.reason, records, versus)


def _folded(task: Task, rows: Selection, split: Split) -> Fitted:
    """Choose the number of epochs by folds, then train on all rows that long."""
    generator = task.streams.generator("split")
    rounds = [first := _hold_out(task, split, generator)]
    beaten = not task.parts.starts_as_pca or beats(*first.ends)
    if beaten and not (_is_sure(task, first) or "interrupted" in first.reasons):
        rounds.append(second := _hold_out(task, split, generator, "second "))
        beaten = beats(*second.ends)
    nats = pool([curve for each in rounds for curve in each.curves], "rows")
    n_epochs = int(nats.mean(1).argmin()) if beaten else 0
    begun, history = task.begin(rows), History("all rows", task.observers)
    plan = task.plan._replace(stop_after=n_epochs, patience=None)
    outcome = task.train(begun, rows, rows.at(rows.index[:0]), [history], plan)
    reasons = [reason for each in rounds for reason in each.reasons]
    if outcome.reason != "limit":
        reasons.append(outcome.reason)
    reason = max(reasons, key=["patience", "limit", "diverged", "interrupted"].index)
    errors = torch.cat([each.at(outcome.best_epoch).errors for each in rounds])
    pca_errors = torch.cat([each.pca_errors for each in rounds])
    versus = versus_pca(task.scaling, pca_errors, errors, rows="held out")
    records = [record for each in rounds for record in each.records]
    return Fitted(
        begun.model,
        outcome.best_epoch,
        reason,
        records + begun.pretrained.records + history.records,
        versus._replace(n_rows=len(rounds[0].pca_errors)),
    )


class Round(NamedTuple):
    """What came of holding rows out once."""

    curves: list[list[Held]]  # by fold, by epoch
    pca_errors: Tensor  # (M,)
    records: list[dict[str, Any]]
    reasons: list[str]

    def at(self, epoch: int) -> Held:
        """Return the rows as an epoch, or an earlier end, left them, fold by fold."""
        rows, errors = (pool(self.curves, field)[: epoch + 1][-1] for field in ("rows", "errors"))
        return Held(rows, errors, {}, float(rows.mean()))

    @property
    def ends(self) -> tuple[Held, Held]:
        """The rows as the start and as the best epoch left them."""
        best = int(pool(self.curves, "rows").mean(1).argmin())
        return self.at(0), self.at(best)


def _hold_out(task: Task, split: Split, generator: torch.Generator, name: str = "") -> Round:
    """Train once for each fold of a new division, judged by it, until enough leave no doubt."""
    order = torch.randperm(split.n_kinds, generator=generator)
    folds = order.tensor_split(N_FOLDS)
    done = Round([], torch.empty(0), [], [])
    for i, fold in enumerate(folds):
        rest = torch.cat([other for j, other in enumerate(folds) if j != i])
        training, judge = split.all_of(rest), split.one_of(fold)
        begun = task.begin(training)
        stage = f"{name}fold {i + 1} of {len(folds)}"
        curve, history = Curve(), History(stage, task.observers)
        observers: list[Observer] = [curve, history]
        outcome = task.train(begun, training, judge, observers)
        pca_errors = evaluate(way_of(begun.pca), judge, task.streams).errors
        done = Round(
            [*done.curves, curve.held_out],
            torch.cat([done.pca_errors, pca_errors]),
            done.records + begun.pretrained.records + history.records,
            [*done.reasons, outcome.reason],
        )
        enough = len(done.pca_errors) >= ENOUGH and _is_sure(task, done)
        if enough or outcome.reason == "interrupted":
            break
    return done


def _is_sure(task: Task, done: Round) -> bool:
    """Whether further rows could hardly change what is said of PCA; of others nothing is."""
    return not task.parts.starts_as_pca or certainty(*done.ends) >= BEYOND_DOUBT


class Curve:
    """An observer that keeps what the held-out rows came to at each epoch."""

    def __init__(self) -> None:
        self.held_out: list[Held] = []

    def epoch(self, epoch: Epoch) -> None:
        """Keep the epoch's."""
        self.held_out.append(epoch.held_out)


def pool(curves: Sequence[Sequence[Held]], field: str) -> Tensor:
    """Put the folds' curves side by side, (E, M); one that ended early stays where it ended."""
    longest = max(len(curve) for curve in curves)
    columns = []
    for curve in curves:
        values = torch.stack([getattr(held, field) for held in curve])
        columns.append(torch.cat([values, values[-1:].expand(longest - len(values), -1)]))
    return torch.cat(columns, dim=1)


def beats(start: Held, best: Held) -> bool:
    """Whether the best epoch beats the start beyond chance.

    Where each row's share leaves doubt, the mean, which is what was promised, has to say so too.
    """
    sure, gains = certainty(start, best), start.rows - best.rows
    if not BEYOND_CHANCE < sure < BEYOND_DOUBT:
        return sure >= BEYOND_DOUBT
    return float(gains.mean() / gains.std()) * math.sqrt(len(gains)) > BEYOND_CHANCE


def certainty(start: Held, best: Held) -> float:
    """Return how many standard errors the gain from `start` to `best` lies above zero.

    Squared errors have heavy tails, where a t-test believes a few rows too much. So each row's
    gain is divided by its own errors before and after, (a - b) / (a + b) without penalties,
    which lies between -1 and 1; and 0 is returned where a quarter of the rows does not gain in
    plain nats, for the mean is what was promised.
    """
    gains = start.rows - best.rows
    if len(gains) < N_FOLDS or any(float(part.mean()) <= 0 for part in gains.tensor_split(N_FOLDS)):
        return 0.0
    shares = gains / (start.errors + best.errors).clamp(min=torch.finfo(gains.dtype).tiny)
    return float(shares.mean() / shares.std()) * math.sqrt(len(shares))
