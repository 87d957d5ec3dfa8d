"""Training in the user's own portions of rows, a pass at a time."""

import copy
import time
from typing import Any

from isthmus.data.rows import Selection
from isthmus.fitting.fit import Fitted, Task
from isthmus.fitting.loop import Draws, lent, run_epoch
from isthmus.fitting.model import Model
from isthmus.fitting.schedules import Constant


class Session:
    """A model in training together with its optimiser's state and its streams.

    The optimiser itself is built for each portion: torch's lose what they were made of when they
    are pickled.
    """

    def __init__(self, task: Task, model: Model) -> None:
        self._task = task._replace(plan=task.plan._replace(schedule=Constant()), observers=())
        self._model = model
        self._state: dict[str, Any] | None = None
        self._draws = Draws.begin(task.streams, task.plan.device)
        self._history: list[dict[str, Any]] = []

    def run(self, rows: Selection) -> Fitted:
        """Take one pass over the rows; a loss that is not finite leaves the model as it was."""
        task, model = self._task, self._model
        before = copy.deepcopy(model.state_dict())
        began = time.perf_counter()
        model.float().requires_grad_(True)
        optimizer = task.plan.optimizer.build(model.parameters(), task.plan.rate)
        if self._state is not None:
            optimizer.load_state_dict(self._state)
        with lent(model, self._draws.dropout):
            epoch = len(self._history) + 1
            terms = run_epoch(model, rows, task.plan, optimizer, self._draws, epoch)
        if terms is None:
            model.load_state_dict(before)
        else:
            self._state = optimizer.state_dict()
            self._history.append(
                {
                    "stage": "partial fit",
                    "epoch": len(self._history) + 1,
                    **terms,
                    "learning_rate": task.plan.rate,
                    "seconds": time.perf_counter() - began,
                }
            )
        reason = "diverged" if terms is None else "limit"
        return Fitted(model, len(self._history), reason, list(self._history), versus_pca=None)
