"""States of a running fit on disk: a folder of files, each whole or not there, checked when read.

A file holds one stage of a fit: tensors as safetensors, plain facts as JSON in its header. Its name
ends in the SHA-256 of its bytes. Nothing in it can run code.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from isthmus.data.locking import locked
from isthmus.data.replacing import refusal_as_file_error, remove_halves, replacing
from isthmus.errors import ArtefactError, FileError, caution

FORMAT = 1
KEPT = 2  # files of a stage: the newest, and the one before it should that be damaged
LOCK = ".isthmus-checkpoint"
DIGITS = 16  # of the SHA-256, that stand in the name

State = dict[str, Any]  # tensors and plain values, in dicts, lists and tuples


class StateFolder:
    """The folder of a fit's states."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = path.absolute()  # wherever the process goes meanwhile
        self._n_written = 0
        self._damaged: dict[Path, str] = {}  # and why; nothing, once it is told

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder for this process; remove what a killed one left half written.

        Raises
        ------
        FileError
            If another process has it, it holds something else, or the system refuses.
        """
        with refusal_as_file_error(self.path):
            self._refuse_strangers()
            self._place.mkdir(parents=True, exist_ok=True)
            stream = (self._place / LOCK).open("ab")
        refusal = f"{self.path} is in use by another fit: wait for it, or give another folder."
        with stream, locked(stream, refusal):
            remove_halves(self._place)
            self._n_written = max((_number(file) for file in self._files()), default=0)
            yield

    def write(self, stage: int, state: State) -> None:
        """Write a stage's state beside and rename it; remove all but the last two of the stage.

        Raises
        ------
        FileError
            If the system refuses: no space, no permission.
        """
        tensors: dict[str, Tensor] = {}
        facts = {"format": FORMAT, "state": _packed(state, "", tensors)}
        content = save(tensors, {"isthmus": json.dumps(facts)})
        self._n_written += 1
        name = f"stage-{stage:03}.{self._n_written:08}.{_sha256(content)}.safetensors"
        with replacing(self._place / name) as beside:
            beside.write_bytes(content)
        for old in self._files(stage)[:-KEPT]:
            with contextlib.suppress(OSError):  # what cannot be removed does no harm
                old.unlink(missing_ok=True)

    def newest(self, stage: int | None = None) -> State | None:
        """Return the newest state that is whole, of one stage or of all; None where there is none.

        Damaged ones are passed over with a warning, unless nothing whole was written before.
        """
        for file in reversed(self._files(stage)):
            try:
                state = read(file)
            except NewerFormatError:
                raise
            except ArtefactError as error:
                self._damaged.setdefault(file, str(error))
                continue
            self._warn_of_damaged()
            return state
        return None

    def _warn_of_damaged(self) -> None:
        """Say once of each damaged state that an older one takes its place."""
        for file, error in self._damaged.items():
            if error:
                self._damaged[file] = ""
                words = f"{error} The fit goes on from what was written before."
                caution(words)

    @property
    def begun(self) -> bool:
        """Whether anything was written, damaged or not."""
        return bool(self._files())

    def _files(self, stage: int | None = None) -> list[Path]:
        """Return the files of a stage, or of all, in the order in which they were written."""
        number = "*" if stage is None else f"{stage:03}"
        files = self._place.glob(f"stage-{number}.{'[0-9]' * 8}.*.safetensors")
        return sorted(files, key=_number)

    def _refuse_strangers(self) -> None:
        if self.path.is_file():
            raise FileError(f"{self.path} is a file: give the path of a folder for checkpoints.")
        known = self.begun or (self.path / LOCK).exists()
        if not known and self.path.exists() and any(self.path.iterdir()):
            raise FileError(
                f"{self.path} holds something else than checkpoints: give the path of a new or an "
                f"empty folder."
            )


# What reading bytes that are no state of ours comes to; RuntimeError is torch's.
FOREIGN = (OSError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError)


class NewerFormatError(ArtefactError):
    """A file that a newer version has written."""


def read(file: Path) -> State:
    """Return the state that a file holds.

    Raises
    ------
    ArtefactError
        If it is damaged, or of a newer format.
    """
    try:
        content = file.read_bytes()
        if _sha256(content) != file.name.split(".")[2]:
            raise ValueError("its checksum differs")
        tensors = load(content)
        n_bytes = int.from_bytes(content[:8], "little")
        facts = json.loads(json.loads(content[8 : 8 + n_bytes])["__metadata__"]["isthmus"])
        if facts["format"] > FORMAT:
            raise NewerFormatError(
                f"{file} was written by a newer Isthmus: upgrade with pip install -U isthmus."
            )
        state: State = _unpacked(facts["state"], tensors)
    except NewerFormatError:
        raise
    except FOREIGN as error:
        raise ArtefactError(f"{file} is damaged ({error}).") from None
    return state


def _number(file: Path) -> int:
    return int(file.name.split(".")[1])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON holds it; its tensors are put aside under their paths."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        # Fused optimisers go through weights and averages as they lie in memory.
        laid = torch.empty_like(value, device="meta").stride()
        return {"tensor": [name, *laid]}
    if isinstance(value, dict):  # whose keys may be numbers
        return {
            "dict": [[key, _packed(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        }
    if isinstance(value, list | tuple):
        items = [_packed(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    return value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        name, *laid = content
        tensor = tensors[name]
        reach = sum((n - 1) * step for n, step in zip(tensor.shape, laid, strict=True))
        if tensor.numel() and reach + 1 != tensor.numel():
            raise ValueError(f"{name} would lie in memory with holes")
        return torch.empty_strided(tensor.shape, laid, dtype=tensor.dtype).copy_(tensor)
    if kind == "tuple":
        return tuple(_unpacked(item, tensors) for item in content)
    return {key: _unpacked(item, tensors) for key, item in content}
