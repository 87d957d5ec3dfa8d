"""What keeps a fit while it lasts, so that one that was ended goes on where it stood.

A fit is one or more trainings, its stages: layers, folds, the whole. Each is handed to the keeper
as it begins, in the same order whenever the fit is run again with the same entropy. So a keeper
that takes every stage to where an earlier process left it continues that fit; what lies between
the stages is computed again.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from isthmus.fitting.observers import Epoch, Observer
from isthmus.fitting.streams import RandomState, Streams


class Resumable(Protocol):
    """A training whose state can be taken down and taken up."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that its next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where such a state was taken."""


class Stage(Protocol):
    """A training under way, as its keeper sees it."""

    def tell(self, epoch: Epoch) -> None:
        """Tell the observers of an epoch."""

    def step(self) -> None:
        """Keep the training, if it is time to; it stands between two steps.

        Raises
        ------
        FitStoppedError
            If the fit was told to stop.
        """

    def end(self) -> None:
        """Keep the training, which is over."""


@runtime_checkable
class Keeper(Protocol):
    """What a fit and all within it are kept by."""

    def streams(self, random_state: RandomState) -> Streams:
        """Return the streams of a random state; those of the first time, in a fit that goes on."""

    def stage(self, run: Resumable, observers: Sequence[Observer]) -> Stage:
        """Take a training that is about to begin to where it stood; tell what was told of it."""

    def give_up(self) -> None:
        """Keep nothing of what follows: the fit was interrupted and goes another way."""


def tell_all(observers: Sequence[Observer], epoch: Epoch) -> None:
    """Tell every observer of an epoch."""
    for observer in observers:
        observer.epoch(epoch)


class Unkept:
    """A stage that is not kept."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def tell(self, epoch: Epoch) -> None:
        """Tell the observers."""
        tell_all(self._observers, epoch)

    def step(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class KeepsNothing:
    """The keeper of fits without checkpoints."""

    def streams(self, random_state: RandomState) -> Streams:
        """Return the streams of a random state."""
        return Streams(random_state)

    def stage(self, run: Resumable, observers: Sequence[Observer]) -> Stage:
        """Leave the training as it is."""
        return Unkept(observers)

    def give_up(self) -> None:
        """Do nothing."""


KEEPS_NOTHING = KeepsNothing()
