"""Ctrl-C and SIGTERM: heard at once, told in one sentence, and in the exit code."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from isthmus.errors import FitStoppedError

if TYPE_CHECKING:
    from isthmus.fitting.checkpoint import Checkpoint

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT = 128  # and the number of the signal: 130 and 143, as shells have it
STDERR = 2


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Let a signal end the process at once: a half-imported torch only makes a traceback."""
    with _handled(_end):
        yield


class Stop(NamedTuple):
    """How a fit may be stopped, and whether it was."""

    checkpoint: "Checkpoint | None"  # of the fit; None where there is to be none
    caught: list[int]  # the signal that stopped it, if any

    @property
    def code(self) -> int:
        """The exit code: 0, or that of the signal."""
        return EXIT + self.caught[0] if self.caught else 0


@contextlib.contextmanager
def stopping(folder: Path | None, again: str) -> Iterator[Stop]:
    """Let a signal stop the fit within, and a second one end the process at once.

    With a checkpoint the fit ends after its present step, and the command says how to go on.
    Without one it ends with the best weights so far, to be saved as those of any fit; if there are
    none yet, so does the command.

    Parameters
    ----------
    folder : of the checkpoint.
    again : the command that goes on.
    """
    from isthmus.fitting.checkpoint import Checkpoint  # torch takes seconds

    checkpoint = None if folder is None else Checkpoint(folder)
    stop = Stop(checkpoint, [])

    def hear(number: int, _: FrameType | None) -> None:
        stop.caught.append(number)
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        _say("Stopping ...")
        if checkpoint is None:
            raise KeyboardInterrupt
        checkpoint.stop()

    with _handled(hear):
        try:
            yield stop
        except FitStoppedError:
            _say(f"Stopped. To go on: {again}")
        except KeyboardInterrupt:
            _say("Stopped before there was a model to save.")
        else:
            return
    raise click.exceptions.Exit(stop.code)


@contextlib.contextmanager
def _handled(handler: "signal._HANDLER") -> Iterator[None]:
    """Let a function hear the signals, until the block ends."""
    before = {each: signal.signal(each, handler) for each in SIGNALS}
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)


def _end(number: int, _: FrameType | None) -> NoReturn:
    _say("Stopped.")
    os._exit(EXIT + number)


def _say(text: str) -> None:
    """Write a line on stderr, past what may be writing there at this moment."""
    fresh = "\n" if os.isatty(STDERR) else ""  # a terminal shows ^C, or a bar
    with contextlib.suppress(OSError):
        os.write(STDERR, f"{fresh}{text}\n".encode())
