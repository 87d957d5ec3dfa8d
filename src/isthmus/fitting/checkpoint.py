"""Checkpoints: a fit that is ended by a kill, a signal or a power cut goes on, bit for bit."""

import math
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.data.states import State, StateFolder
from isthmus.errors import FileError, FitStoppedError, ParameterError, caution
from isthmus.fitting.keeping import Resumable, Stage, tell_all
from isthmus.fitting.observers import Epoch, Held, Observer
from isthmus.fitting.streams import RandomState, Streams

EVERY = 10.0  # seconds
FIRST = 1.0  # second, after which there is something to go on from
SHARE = 0.03  # of the time, that checkpoints may take


class Checkpoint:
    """Where a fit is kept while it lasts, and how often.

    Parameters
    ----------
    path : str or path-like
        A folder of its own for each fit; the last two states of each stage are kept in it.
    every : float, "epoch" or "auto"
        Seconds between two states; 0 is after every step. "epoch" is after each epoch; "auto" is
        every 10 seconds, or less often where writing would take more than 3% of the time. The first
        is written after a second, and one at the end of each stage.

    Raises
    ------
    ParameterError
        If `every` is something else.

    Examples
    --------
    >>> from isthmus import Autoencoder, Checkpoint, datasets, resume
    >>> X = datasets.digits().images
    >>> checkpoint = Checkpoint("digits-fit", every=60)
    >>> model = Autoencoder(8, max_epochs=2, random_state=0).fit(X, checkpoint=checkpoint)
    >>> resume("digits-fit", X).n_iter_ == model.n_iter_
    True
    """

    def __init__(self, path: str | os.PathLike[str], *, every: float | str = "auto") -> None:
        number = isinstance(every, int | float) and not isinstance(every, bool) and every >= 0
        if not number and every not in ("epoch", "auto"):
            raise ParameterError(
                f"every={every!r} is no time: write seconds, 0 for every step, 'epoch' or 'auto'."
            )
        self.path = path
        self.every = every
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the fit to end at its next step with a checkpoint and `FitStoppedError`.

        For a signal handler, or another thread.
        """
        self._stopping.set()

    def stopped(self) -> bool:
        """Return whether the fit was asked to end, and take the question back."""
        if not self._stopping.is_set():
            return False
        self._stopping.clear()
        return True

    def rest(self, seconds: float) -> float:
        """Return the seconds until the next state, the last one having taken so many."""
        if self.every == "epoch":
            return math.inf
        return max(EVERY, seconds / SHARE) if self.every == "auto" else float(self.every)


class Checkpoints:
    """The keeper that writes a fit to a folder, stage by stage.

    Parameters
    ----------
    folder : which this process has locked.
    fit : what is fitted to what; stands in every file.
    """

    def __init__(self, checkpoint: Checkpoint, folder: StateFolder, fit: dict[str, Any]) -> None:
        self.checkpoint = checkpoint
        self.due = time.monotonic() + min(FIRST, checkpoint.rest(0.0))
        self._folder, self._fit = folder, fit
        newest = folder.newest()
        self._entropies: list[int] = newest["entropies"] if newest else []
        self._n_streams = self._n_stages = 0
        self._given_up = False

    def streams(self, random_state: RandomState) -> Streams:
        """Return the streams of a random state; those of the first time, in a fit that goes on.

        Raises
        ------
        ParameterError
            If it is a generator that gives other numbers than the first time.
        """
        given = Streams(random_state)
        self._n_streams += 1
        if self._n_streams > len(self._entropies):
            self._entropies.append(given.entropy)
        kept = Streams(self._entropies[self._n_streams - 1])
        is_generator = isinstance(random_state, np.random.Generator | np.random.RandomState)
        if is_generator and given.entropy != kept.entropy:
            raise ParameterError(
                f"random_state gives other numbers than those of the fit that is kept in "
                f"{self.checkpoint.path}: write None to go on with them, or give another folder."
            )
        return kept

    def stage(self, run: Resumable, observers: Sequence[Observer]) -> Stage:
        """Take a training that is about to begin to where it stood; tell what was told of it."""
        if self._given_up:
            return Abandoned(self.checkpoint, observers)
        self._n_stages += 1
        return Kept(self, self._n_stages, run, observers)

    def give_up(self) -> None:
        """Keep nothing of what follows: the fit was interrupted and goes another way."""
        self._given_up = True

    def saved(self, number: int) -> State | None:
        """Return the newest state of a stage."""
        return self._folder.newest(number)

    def write(self, number: int, state: State) -> None:
        """Write the state of a stage, and fix when the next one is due."""
        began = time.monotonic()
        try:
            self._folder.write(number, {"fit": self._fit, "entropies": self._entropies, **state})
        finally:
            now = time.monotonic()
            self.due = now + self.checkpoint.rest(now - began)


class Abandoned:
    """A stage that follows an interruption; it is not kept."""

    def __init__(self, checkpoint: Checkpoint, observers: Sequence[Observer]) -> None:
        self._checkpoint, self._observers = checkpoint, observers

    def tell(self, epoch: Epoch) -> None:
        """Tell the observers of an epoch."""
        tell_all(self._observers, epoch)

    def step(self) -> None:
        """Stop, if that was asked for."""
        if self._checkpoint.stopped():
            raise stopped(self._checkpoint, "was last")

    def end(self) -> None:
        """Do nothing."""


class Kept:
    """A stage that is kept."""

    def __init__(
        self, keeper: Checkpoints, number: int, run: Resumable, observers: Sequence[Observer]
    ) -> None:
        self._keeper, self._number, self._run = keeper, number, run
        self._observers = observers
        self._told: list[Epoch] = []
        self._is_over = False
        state = keeper.saved(number)
        if state is not None:
            run.load_state_dict(state["run"])
            self._is_over = state["is_over"]
            for epoch in epochs(state):
                self._tell(epoch)

    def tell(self, epoch: Epoch) -> None:
        """Tell the observers of an epoch, after which a state may be due."""
        self._tell(epoch)
        if self._keeper.checkpoint.every == "epoch":
            self._keeper.due = -math.inf

    def _tell(self, epoch: Epoch) -> None:
        self._told.append(epoch)
        tell_all(self._observers, epoch)

    def step(self) -> None:
        """Keep the training, if it is time to, and stop, if that was asked for."""
        if self._keeper.checkpoint.stopped():
            raise stopped(self._keeper.checkpoint, "is" if self._try_to_write() else "was last")
        if time.monotonic() >= self._keeper.due:
            self._try_to_write()

    def end(self) -> None:
        """Keep the training, which is over, unless that is known."""
        if not self._is_over:
            self._is_over = True
            self._try_to_write()

    def _try_to_write(self) -> bool:
        """Write, or say why not: a full disk ends no fit, and what was written before is there."""
        try:
            self._write()
        except FileError as error:
            caution(f"No checkpoint was written, and the fit goes on: {error}")
            return False
        return True

    def _write(self) -> None:
        told = [{**each._asdict(), "held_out": each.held_out._asdict()} for each in self._told]
        run = self._run.state_dict()
        self._keeper.write(self._number, {"run": run, "told": told, "is_over": self._is_over})


def epochs(state: State) -> list[Epoch]:
    """Return what was told of the epochs of a stage."""
    return [Epoch(**{**each, "held_out": Held(**each["held_out"])}) for each in state["told"]]


def stopped(checkpoint: Checkpoint, kept: str) -> FitStoppedError:
    """Return the end of a fit that was told to stop, and that "is" or "was last" kept."""
    return FitStoppedError(
        f"The fit was stopped and {kept} kept in {checkpoint.path}: "
        f"resume({str(checkpoint.path)!r}, X) goes on from there."
    )
