"""Ctrl-C in training: once ends the training; twice within a moment, what called it too."""

import contextlib
import math
import time
from collections.abc import Iterator

AGAIN = 1.0  # second, within which a further one is meant for more than a training


class _Heard:
    """When the last one was heard, in whatever training: a search runs many."""

    def __init__(self) -> None:
        self.last = -math.inf

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Let an interrupt end no more than what is done within."""
        try:
            yield
        except KeyboardInterrupt:
            before, self.last = self.last, time.monotonic()
            if self.last - before < AGAIN:
                raise


HEARD = _Heard()


def ended_by_interrupt() -> contextlib.AbstractContextManager[None]:
    """Let an interrupt end what is done within, and go on behind it, unless it is a second one."""
    return HEARD.ending()
