"""Which files of a folder are finished, so that a run that was stopped goes on where it was.

A hidden file in the folder has a line for each: its name, and the SHA-256 of itself, of what it
was made of, and of what made it. A file that was altered since is not finished.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from isthmus.data.locking import locked
from isthmus.data.replacing import refusal_as_file_error

RECORD = ".isthmus-denoised.jsonl"


class Made(NamedTuple):
    """How a file came to be, in SHA-256."""

    by: str  # the model
    of: str  # the file that it was made of
    file: str  # itself


Add = Callable[[str, str, Path], None]  # a name, what it was made of, and the file


class Record:
    """What is known of the files of a folder, and of those that are made now.

    Parameters
    ----------
    folder : which may not exist yet.
    by : the SHA-256 of what makes files now.
    """

    def __init__(self, folder: Path, by: str) -> None:
        self.folder = folder
        self.by = by
        self._made = _read(folder / RECORD)

    def holds(self, name: str, source: Path | None = None) -> bool:
        """Whether a file is as it was made by the same, of a source as it is now, or of any."""
        made, file = self._made.get(name), self.folder / name
        if made is None or made.by != self.by or digest(file) != made.file:
            return False
        return source is None or digest(source) == made.of

    @contextlib.contextmanager
    def adding(self) -> Iterator[Add]:
        """Yield what adds a file that is whole and is about to get its name.

        Raises
        ------
        FileError
            If another process adds files to the folder, or the system refuses.
        """
        with refusal_as_file_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / RECORD).open("ab")
        refusal = (
            f"{self.folder} is being written to by another run: wait for it, or give another path."
        )
        with stream, locked(stream, refusal):
            yield lambda name, of, file: _add(stream, name, Made(self.by, of, digest(file) or ""))


def digest(file: Path) -> str | None:
    """Return the SHA-256 of a file, or nothing where there is none to read."""
    with contextlib.suppress(OSError):
        if file.is_file():
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
    return None


def _read(file: Path) -> dict[str, Made]:
    """Return what is recorded by name; the last word counts, and half lines do not."""
    made = {}
    if file.is_file():
        for line in file.read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                facts = json.loads(line)
                name = str(facts.pop("name"))
                made[name] = Made(**facts)
    return made


def _add(stream: IO[bytes], name: str, made: Made) -> None:
    """Add a line and wait until it is on the device.

    It begins with the end of the line before, which a kill may have cut off.
    """
    line = json.dumps({"name": name, **made._asdict()})
    stream.write(b"\n" + line.encode())
    stream.flush()
    os.fsync(stream.fileno())
