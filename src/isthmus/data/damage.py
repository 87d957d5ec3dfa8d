"""What a parser raises on foreign bytes, which is anything, as one typed sentence."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import FileError, IsthmusError


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
    return re.split(r"\n|\. ", words)[0][:120].rstrip(".:") or type(error).__name__


def _advice(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit in memory, so split it into smaller parts"
    if isinstance(error, PermissionError):
        return "change its permissions"
    return "it may be cut off or altered, so copy or write it again"
