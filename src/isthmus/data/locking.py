"""A file that one process at a time may hold; the system lets go of it when the process dies."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from isthmus.errors import FileError, caution

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(stream: IO[bytes], refusal: str) -> Iterator[None]:
    """Keep an open file for this process, until the block ends or the process is killed.

    A file system that knows no locks is warned of.

    Raises
    ------
    FileError
        With the sentence `refusal`, if another holds it.
    """
    if sys.platform == "win32":
        yield
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(refusal) from None
    except OSError as error:
        caution(f"{stream.name} cannot be locked ({error.strerror}): let no other process use it.")
        yield
        return
    try:
        yield
    finally:
        # Not by closing it alone: a process that was forked meanwhile holds it open too.
        fcntl.flock(stream, fcntl.LOCK_UN)
