"""Ctrl-C and SIGTERM end a fit with a checkpoint, and the command says how to go on."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import click

from isthmus.cli.outputs import warn
from isthmus.errors import FitStoppedError
from isthmus.fitting.checkpoint import Checkpoint

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT = 128  # and the number of the signal: 130 and 143, as shells have it


@contextlib.contextmanager
def stopping(folder: Path | None, again: str) -> Iterator[Checkpoint | None]:
    """Yield the checkpoint of a fit, or nothing where there is to be none.

    The first signal ends the fit after its present step, a second one the process at once.

    Parameters
    ----------
    folder : of the checkpoint.
    again : the command that goes on.
    """
    if folder is None:
        yield None
        return
    checkpoint, caught = Checkpoint(folder), []

    def stop(number: int, _: object) -> None:
        caught.append(number)
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        checkpoint.stop()

    before = {each: signal.signal(each, stop) for each in SIGNALS}
    try:
        yield checkpoint
    except FitStoppedError:
        warn(f"Stopped. To go on: {again}")
        raise click.exceptions.Exit(EXIT + caught[0]) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
