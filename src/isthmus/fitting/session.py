"""Training in the user's own portions of rows, a pass at a time."""

import copy
import functools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from isthmus.data.rows import Selection
from isthmus.fitting.fit import Fitted
from isthmus.fitting.gradients import way_of
from isthmus.fitting.judging import evaluate, is_lost
from isthmus.fitting.memory import halving, tell_smaller
from isthmus.fitting.model import Model
from isthmus.fitting.observers import Terms
from isthmus.fitting.plan import Plan, threads_for, uses_bfloat16
from isthmus.fitting.schedules import Constant
from isthmus.fitting.steps import Draws, lent, run_epoch
from isthmus.fitting.streams import Streams

Record = dict[str, Any]

STAGE = "partial fit"
# A fit ends at small rates. Back at the full one, ten rows would undo it.
SETTLED = 0.1  # of the rate, for a model that has been fitted
WARM_UP = 100  # steps in which the optimiser first learns how large the gradients are


class Session:
    """A model in training together with its optimiser's state and its streams.

    A pass leaves it as it is and makes another, so that a pass that was interrupted, at whatever
    point, never was. The optimiser itself is built for each portion: torch's lose what they were
    made of when they are pickled.
    """

    def __init__(
        self, streams: Streams, plan: Plan, model: Model, epoch: int, history: Sequence[Record]
    ) -> None:
        self._model, self._streams = model, streams
        self._made_by = (plan.optimizer, plan.device)
        self._state: dict[str, Any] | None = None
        self._draws = Draws.begin(streams, plan.device)
        self._epoch = epoch  # that made the model
        self._history = list(history)
        self._warm = 0 if history else WARM_UP  # steps; what begins here has nothing to lose
        self._share = SETTLED if any(each["stage"] != STAGE for each in history) else 1.0

    def serves(self, plan: Plan) -> bool:
        """Whether its state is that of the plan's optimiser, on the plan's device."""
        return self._made_by == (plan.optimizer, plan.device)

    def run(self, rows: Selection, plan: Plan) -> "Passed":
        """Take one pass over the rows, at a rate that does not move; back, if the loss leaps."""
        began, n_steps = time.perf_counter(), rows.n_batches(plan.batch_size)
        rate = plan.rate * self._share * min(1.0, (self._warm + n_steps / 2) / WARM_UP)
        plan = plan._replace(schedule=Constant(), rate=rate)
        model, state, draws = copy.deepcopy((self._model, self._state, self._draws))
        model.to(plan.device, torch.float32).thaw()
        optimizer = plan.optimizer.build(model.parameters(), plan.rate)
        if state is not None:
            optimizer.load_state_dict(state)
        epoch, settled = self._epoch + 1, self._share < 1
        n_products = model.n_products
        way = way_of(model, reduced=uses_bfloat16(plan, n_products))

        def one_pass(size: int) -> Terms | None:
            smaller = plan._replace(batch_size=size)
            return run_epoch(way, rows, smaller, optimizer, draws, epoch, risen=settled)

        judge = rows.at(rows.index[: plan.batch_size])
        look = functools.partial(
            evaluate, way_of(model), judge, self._streams, once=True, at_least=plan.batch_size
        )
        start = look()
        with threads_for(plan, n_products), lent(model, draws.dropout):
            terms, size = halving(one_pass, plan.batch_size, least=min(plan.batch_size, 2))
        tell_smaller(plan.batch_size, size)
        if terms is not None and is_lost(look(), start):
            terms = None
        if terms is None:
            return Passed(self, self._fitted("diverged"))
        after = copy.copy(self)
        after._model, after._state, after._draws = model, optimizer.state_dict(), draws
        after._epoch, after._warm = epoch, self._warm + n_steps
        told = {"learning_rate": plan.rate, "seconds": time.perf_counter() - began}
        after._history = [*self._history, {"stage": STAGE, "epoch": epoch, **terms, **told}]
        return Passed(after, after._fitted("limit"))

    def _fitted(self, reason: str) -> Fitted:
        return Fitted(self._model, self._epoch, reason, list(self._history), versus_pca=None)


class Passed(NamedTuple):
    """What a pass came to."""

    session: Session  # from which the next portion goes on
    fitted: Fitted
