"""Training in the user's own portions of rows, a pass at a time."""

import copy
import time
from typing import Any

import torch

from isthmus.data.rows import Selection
from isthmus.fitting.fit import Fitted
from isthmus.fitting.loop import Draws, lent, run_epoch
from isthmus.fitting.model import Model
from isthmus.fitting.plan import Plan
from isthmus.fitting.schedules import Constant
from isthmus.fitting.streams import Streams


class Session:
    """A model in training together with its optimiser's state and its streams.

    The optimiser itself is built for each portion: torch's lose what they were made of when they
    are pickled.
    """

    def __init__(self, streams: Streams, plan: Plan, model: Model) -> None:
        self._model = model
        self._made_by = (plan.optimizer, plan.device)
        self._state: dict[str, Any] | None = None
        self._draws = Draws.begin(streams, plan.device)
        self._history: list[dict[str, Any]] = []

    def serves(self, plan: Plan) -> bool:
        """Whether its state is that of the plan's optimiser, on the plan's device."""
        return self._made_by == (plan.optimizer, plan.device)

    def run(self, rows: Selection, plan: Plan) -> Fitted:
        """Take one pass over the rows, at a rate that does not move.

        It is taken by a copy, so that an interrupt, or a loss that is not finite, leaves everything
        as it was.
        """
        plan, began = plan._replace(schedule=Constant()), time.perf_counter()
        model, state, draws = copy.deepcopy((self._model, self._state, self._draws))
        model.to(plan.device, torch.float32).requires_grad_(True)
        optimizer = plan.optimizer.build(model.parameters(), plan.rate)
        if state is not None:
            optimizer.load_state_dict(state)
        epoch = len(self._history) + 1
        with lent(model, draws.dropout):
            terms = run_epoch(model, rows, plan, optimizer, draws, epoch)
        if terms is not None:
            self._model, self._state, self._draws = model, optimizer.state_dict(), draws
            seconds = time.perf_counter() - began
            told = {"learning_rate": plan.rate, "seconds": seconds}
            self._history.append({"stage": "partial fit", "epoch": epoch, **terms, **told})
        reason = "diverged" if terms is None else "limit"
        return Fitted(self._model, len(self._history), reason, list(self._history), versus_pca=None)
