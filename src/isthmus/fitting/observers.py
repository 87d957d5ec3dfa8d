"""Observers watch the training; they change nothing of it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Terms = dict[str, float]  # nats per sample; "loss" is the sum of the others


class Held(NamedTuple):
    """The M held-out rows under the present weights; empty and infinite where there are none."""

    rows: Tensor  # (M,) nats of each: likelihood, divergence and the penalties
    errors: Tensor  # (M,) what the model calls each one's error; an autoencoder's is squared
    terms: Terms  # averaged
    loss: float


NOTHING_HELD = Held(torch.empty(0), torch.empty(0), {}, math.inf)


class Epoch(NamedTuple):
    """What an epoch left behind."""

    number: int  # 0 is the start, before any step
    n_epochs: int  # the most there can be
    learning_rate: float
    training: Terms  # averaged over the epoch; empty for epoch 0
    held_out: Held
    best: bool  # whether this is the best so far
    seconds: float  # since the start of the stage
    stage: str = ""  # of the fit: "training", "fold 1 of 4", "all rows", "layer 1 of 3", ...

    @property
    def record(self) -> dict[str, Any]:
        """The same as one flat record, as `history_` holds it; terms in nats per sample."""
        held_out = {f"held_out_{name}": value for name, value in self.held_out.terms.items()}
        return {
            "stage": self.stage,
            "epoch": self.number,
            **self.training,
            **held_out,
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
        }


class Observer(Protocol):
    """Something that is told of every epoch; if it has a `close`, also of the end of a fit."""

    def epoch(self, epoch: Epoch) -> None:
        """Take note of a finished epoch."""


class History:
    """One flat record per epoch of a stage: ``pandas.DataFrame(model.history_)`` is a table.

    Epochs are passed on to further observers with the name of the stage.
    """

    def __init__(self, stage: str, observers: Sequence[Observer] = ()) -> None:
        self.stage = stage
        self.observers = observers
        self.records: list[dict[str, Any]] = []

    def epoch(self, epoch: Epoch) -> None:
        """Add the record, and pass the epoch on."""
        epoch = epoch._replace(stage=self.stage)
        self.records.append(epoch.record)
        for observer in self.observers:
            observer.epoch(epoch)


class ProgressBar:
    """A line that moves while a fit lasts; shown on terminals only."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}{task.fields[losses]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=1, losses="")

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def epoch(self, epoch: Epoch) -> None:
        """Move the bar."""
        parts = (("training", epoch.training), ("held out", epoch.held_out.terms))
        # The first term is the whole: the loss, or what is watched instead of one.
        losses = "".join(
            f", {name} {next(iter(terms.values())):.4g}" for name, terms in parts if terms
        )
        self._progress.update(
            self._task, completed=epoch.number, total=epoch.n_epochs, losses=losses
        )
