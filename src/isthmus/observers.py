"""Observers log a training elsewhere: ``model.fit(X, observers=[JSONLines("log.jsonl")])``.

One of your own is any object with a method ``epoch(epoch)``, which is told of each `Epoch`, and if
it likes a method ``close()``, which is called when a fit is over. Observers change nothing of a
fit. One that fails is told nothing more: the fit warns and goes on.

A fit has stages, each with epochs from 0 on (the start, before any step) or 1: ``"training"``; on
small data ``"fold 1 of 4"`` and so on, then ``"all rows"``; ``"layer 1 of 3"`` where it is
pretrained; ``"rbm"``; ``"classifier"``.
"""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isthmus.errors import missing
from isthmus.fitting.observers import Epoch, Observer

__all__ = ["Epoch", "JSONLines", "MLflow", "Observer", "TensorBoard", "WandB"]


class JSONLines:
    """One line of JSON per epoch, as `history_` holds it, added to what the file holds.

    Each begins with ``"fit"``, the time in UTC at which its fit told the first epoch, so that fits
    in one file are told apart: ``pandas.read_json(path, lines=True).groupby("fit")``. A
    classifier's autoencoder and its head are two fits. Each line is written at once, so that a fit
    that is killed leaves its log; numbers that are not finite become null.

    Parameters
    ----------
    path : of the file; folders above it are made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._fit: str | None = None  # when it began

    def epoch(self, epoch: Epoch) -> None:
        """Add a line."""
        self._fit = self._fit or datetime.now(UTC).isoformat()
        told = {name: _finite(value) for name, value in epoch.record.items()}
        record = {"fit": self._fit, **told}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def close(self) -> None:
        """End the fit: the next epoch is another's."""
        self._fit = None


class TensorBoard:
    """Scalars ``stage/loss``, ``stage/held_out_loss``, ... by epoch, for ``tensorboard --logdir``.

    Parameters
    ----------
    folder : of the run; each fit adds an event file.

    Raises
    ------
    MissingDependencyError
        If tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise missing("tensorboard", "The observer TensorBoard", "tensorboard") from None
        self.folder = Path(folder)
        self._open = SummaryWriter
        self._writer: SummaryWriter | None = None

    def epoch(self, epoch: Epoch) -> None:
        """Write the epoch's scalars."""
        self._writer = self._writer or self._open(str(self.folder))
        for name, value in scalars(epoch).items():
            self._writer.add_scalar(name, value, epoch.number)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


class MLflow:
    """Metrics ``stage/loss``, ``stage/held_out_loss``, ... of a run, with the epoch as the step.

    Parameters
    ----------
    run : mlflow.Run, optional
        As ``mlflow.start_run()`` returns it; by default the one that is active at each epoch.

    Raises
    ------
    MissingDependencyError
        If mlflow is not installed.
    """

    def __init__(self, run: Any = None) -> None:
        try:
            from mlflow import log_metrics
        except ImportError:
            raise missing("mlflow", "The observer MLflow", "mlflow") from None
        self._log = log_metrics
        self._run_id = None if run is None else run.info.run_id

    def epoch(self, epoch: Epoch) -> None:
        """Log the epoch's metrics."""
        self._log(scalars(epoch), step=epoch.number, run_id=self._run_id)


class WandB:
    """Metrics ``stage/loss``, ``stage/held_out_loss``, ... of a run, drawn over ``stage/epoch``.

    Parameters
    ----------
    run : wandb.Run
        As ``wandb.init()`` returns it; finishing it is yours.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        self._stages: set[str] = set()

    def epoch(self, epoch: Epoch) -> None:
        """Log the epoch's metrics."""
        step = f"{epoch.stage}/epoch"
        if epoch.stage not in self._stages:
            self._stages.add(epoch.stage)
            self.run.define_metric(f"{epoch.stage}/*", step_metric=step)
        self.run.log({**scalars(epoch), step: epoch.number})


def scalars(epoch: Epoch) -> dict[str, float]:
    """Return the numbers of an epoch by stage and name; charts are grouped by what is before /."""
    return {
        f"{epoch.stage}/{name}": value
        for name, value in epoch.record.items()
        if name not in ("stage", "epoch")
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
