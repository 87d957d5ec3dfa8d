"""Who is told of a fit: the progress bar, and the observers that a user hands over."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from isthmus.errors import ParameterError, caution
from isthmus.estimators.parameters import Running
from isthmus.fitting.observers import Epoch, Observer, ProgressBar


class Guarded:
    """An observer that is told nothing more once it has failed: no fit is lost for its log."""

    def __init__(self, observer: Observer) -> None:
        self.observer: Observer | None = observer

    def epoch(self, epoch: Epoch) -> None:
        """Tell it of an epoch."""
        if self.observer is not None:
            self._tell(
                lambda each: each.epoch(epoch), f"at epoch {epoch.number} of {epoch.stage!r}"
            )

    def close(self) -> None:
        """Tell it that a fit is over, if it wants to know."""
        if hasattr(self.observer, "close"):
            self._tell(lambda each: each.close(), "at the end of the fit")

    def _tell(self, call: Callable[[Any], None], when: str) -> None:
        try:
            call(self.observer)
        except Exception as error:
            name, self.observer = type(self.observer).__name__, None
            caution(
                f"The observer {name} failed {when} ({type(error).__name__}: {error}): the fit "
                f"goes on without it.",
            )


def guarded(observers: Sequence[Observer]) -> list[Guarded]:
    """Return observers that cannot break a fit.

    Raises
    ------
    ParameterError
        If one of them is no observer.
    """
    if not isinstance(observers, list | tuple):
        raise ParameterError(
            f"observers={observers!r} is no list of observers: write observers=[...]."
        )
    for i, each in enumerate(observers):
        if isinstance(each, type) or not callable(getattr(each, "epoch", None)):
            raise ParameterError(
                f"observers[{i}]={each!r} is no observer, an object with a method epoch(epoch): "
                f"give one such as isthmus.observers.JSONLines('log.jsonl')."
            )
    return [each if isinstance(each, Guarded) else Guarded(each) for each in observers]


@contextlib.contextmanager
def watching(estimator: Running, observers: Sequence[Observer]) -> Iterator[list[Any]]:
    """Yield all who are told of the estimator's fit, as long as it lasts.

    Raises
    ------
    ParameterError
        As `guarded`.
    """
    told = guarded(observers)
    with contextlib.ExitStack() as stack:
        bars = [ProgressBar(type(estimator).__name__)] if estimator.verbose else []
        shown = [stack.enter_context(bar) for bar in bars]
        for each in told:
            stack.callback(each.close)
        yield [*shown, *told]
