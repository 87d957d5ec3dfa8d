"""The one training loop: epoch after epoch, until there is a reason to stop."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from isthmus.data.rows import Selection
from isthmus.fitting.gradients import way_of
from isthmus.fitting.interrupts import ended_by_interrupt
from isthmus.fitting.judging import evaluate, is_lost
from isthmus.fitting.learner import Learner
from isthmus.fitting.memory import halving, tell_smaller
from isthmus.fitting.observers import NOTHING_HELD, Epoch, Held, Observer, Terms
from isthmus.fitting.plan import Plan, threads_for, uses_bfloat16
from isthmus.fitting.progress import Lap, Progress
from isthmus.fitting.steps import Draws, lent, run_epoch
from isthmus.fitting.streams import Streams

JUDGED = 200  # training rows that stand in where none are held out


class Outcome(NamedTuple):
    """What a fit came to; the model holds the best weights."""

    best_epoch: int
    n_epochs: int
    reason: str  # "limit", "patience", "diverged" or "interrupted"
    start: Held  # before the first step; empty where nothing was held out
    best: Held


def train(
    model: Learner,
    training: Selection,
    held_out: Selection,
    plan: Plan,
    streams: Streams,
    observers: Sequence[Observer] = (),
) -> Outcome:
    """Fit `model` to the training rows; leave it with the weights that were best held out.

    Epoch 0, the model as it came, counts among them. Without held-out rows a fit that runs to
    its limit keeps its last weights, unless they are worse than those it came with. A loss that is
    not finite ends the fit. Batches that the device has no room for are halved.
    """
    return Training(model, training, held_out, plan, streams, observers).run()


class Training:
    """A model in training: its rows, where it stands, and who is told."""

    def __init__(
        self,
        model: Learner,
        training: Selection,
        held_out: Selection,
        plan: Plan,
        streams: Streams,
        observers: Sequence[Observer],
    ) -> None:
        self.model, self.training, self.plan = model, training, plan
        self.optimizer = plan.optimizer.build(model.parameters(), plan.rate)
        # A few training rows stand in where none are held out: for soundness, not for choosing.
        self.judged = held_out.n_rows > 0
        judge = held_out if self.judged else training.at(training.index[:JUDGED])
        reduced = uses_bfloat16(plan, model.n_products)
        self.way = way_of(model, reduced=reduced)
        exactly = way_of(model) if reduced else self.way
        self.look = functools.partial(evaluate, exactly, judge, streams, once=not self.judged)
        self.draws = Draws.begin(streams, plan.device)
        self.at = Progress(model, self.optimizer, self.draws.each())
        self.stage = plan.keeper.stage(self.at, observers)

    def run(self) -> Outcome:
        """Train to the end, and leave the model with the weights to keep."""
        at, plan = self.at, self.plan
        begins = not at.weights
        if begins:  # the model as it came
            at.size = plan.batch_size
            at.start = at.best = self.look(at_least=at.size)
            at.keep_weights()
        reason = "interrupted"
        with (
            threads_for(plan, self.model.n_products),
            lent(self.model, self.draws.dropout),
            ended_by_interrupt(),
        ):
            if begins:
                self._tell({}, at.start, better=True)
            while not self._is_over():
                self.stage.step()
                self._epoch()
            self.stage.end()
            reason = at.reason or reason
        if reason == "interrupted":
            plan.keeper.give_up()
        tell_smaller(plan.batch_size, at.size)
        return self._leave(reason)

    def _is_over(self) -> bool:
        """Whether no further epoch is begun; note why."""
        at, plan = self.at, self.plan
        waited = at.epoch - at.best_epoch
        if at.reason is None and at.lap is None:
            if at.epoch >= plan.stop_after:
                at.reason = "limit"
            elif plan.patience is not None and self.judged and waited >= plan.patience:
                at.reason = "patience"
        return at.reason is not None

    def _epoch(self) -> None:
        """Pass over the training rows in a new order, and judge what came of it."""
        at = self.at
        terms = self._pass()
        held = self.look(at_least=at.size)
        at.lap = None
        last = at.epoch == self.plan.stop_after
        if terms is None or is_lost(held, None if self.judged else at.start, last=last):
            at.reason = "diverged"
            return
        better = held.loss < at.best.loss
        if better:
            at.best = held
            at.keep_weights()
        self._tell(terms, held, better=better)

    def _pass(self) -> Terms | None:
        """Take the steps of an epoch, begun anew by smaller batches where memory is short."""
        at = self.at

        def attempt(size: int) -> Terms | None:
            lap = at.begin_epoch()
            if size != at.size:
                at.size, at.lap = size, (lap := Lap(lap.order))
            return run_epoch(
                self.way,
                self.training,
                self.plan._replace(batch_size=size),
                self.optimizer,
                self.draws,
                at.epoch,
                lap,
                self.stage.step,
            )

        return halving(attempt, at.size, least=min(at.size, 2))[0]

    def _tell(self, terms: Terms, held: Held, *, better: bool) -> None:
        """Tell the observers of an epoch, and keep it where fits are kept."""
        at, rate = self.at, self.optimizer.param_groups[0]["lr"]
        shown = held if self.judged else NOTHING_HELD
        self.stage.tell(
            Epoch(at.epoch, self.plan.max_epochs, rate, terms, shown, better, at.seconds)
        )

    def _leave(self, reason: str) -> Outcome:
        """Give the model the weights to keep."""
        at, best_epoch = self.at, self.at.best_epoch
        if not self.judged and reason == "limit":
            best_epoch = at.epoch
        else:
            self.model.load_state_dict(at.weights)
        seen = (at.start, at.best) if self.judged else (NOTHING_HELD, NOTHING_HELD)
        return Outcome(best_epoch, at.epoch, reason, *seen)
