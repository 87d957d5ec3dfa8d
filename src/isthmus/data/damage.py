"""What a parser raises on foreign bytes, which is anything, as one typed sentence."""

import contextlib
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import FileError, IsthmusError

STDERR = 2  # as the system counts what a process has open


@contextlib.contextmanager
def damage_as_file_error(path: Path) -> Iterator[None]:
    """Turn whatever the body raises into a FileError about `path`; typed errors pass."""
    try:
        yield
    except IsthmusError:
        raise
    except Exception as error:
        raise FileError(f"{path} cannot be read ({reason(error)}): {_advice(error)}.") from error


def reason(error: BaseException) -> str:
    """Return the first sentence of another library's error, or what fits on a line of it."""
    words = getattr(error, "strerror", None) or str(error).strip()
    first = re.split(r"\n|\. ", words)[0][:120].rstrip(".:")
    return "".join(sign if sign.isprintable() else "?" for sign in first) or type(error).__name__


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let the libraries of pictures say nothing of tags that they dislike; what matters they raise.

    Some warn, some log, and some write to the process's own stderr.
    """
    logs = [logging.getLogger(name) for name in ("PIL", "imagecodecs", "tifffile")]
    levels = [log.level for log in logs]
    with warnings.catch_warnings(), _unheard():
        warnings.simplefilter("ignore")
        try:
            for log in logs:
                log.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)


class _Unheard:
    """Leads what is written to stderr, in whatever language, to nowhere; for threads together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_readers = 0
        self._kept = contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._n_readers == 0:
                self._lead_away()
            self._n_readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_readers -= 1
                if self._n_readers == 0:
                    self._kept.close()

    def _lead_away(self) -> None:
        with contextlib.suppress(OSError):  # there is no stderr
            kept = os.dup(STDERR)
            self._kept.callback(os.close, kept)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            self._kept.callback(os.close, nowhere)
            os.dup2(nowhere, STDERR)
            self._kept.callback(os.dup2, kept, STDERR)


_unheard = _Unheard()


def _advice(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit in memory, so split it into smaller parts"
    if isinstance(error, PermissionError):
        return "change its permissions"
    return "it may be cut off or altered, so copy or write it again"
