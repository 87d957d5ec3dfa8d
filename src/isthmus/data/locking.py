"""A file that one process at a time may hold; the system lets go of it when the process dies."""

import sys
from typing import IO

from isthmus.errors import FileError

if sys.platform != "win32":
    import fcntl


def lock(stream: IO[bytes], refusal: str) -> None:
    """Keep an open file for this process, until it is closed or the process is killed.

    Raises
    ------
    FileError
        With the sentence `refusal`, if another holds it.
    """
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(refusal) from None
