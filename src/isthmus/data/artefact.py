"""The saved model on disk: a folder of weights and plain facts, checked before it is believed.

``model.safetensors`` holds the tensors, ``config.json`` the rest, with a checksum of both.
Nothing in either can run code.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from isthmus.data.writing import replacing_folder
from isthmus.errors import ArtefactError

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"


def write(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the folder beside and rename it, so that there is never half a model.

    Raises
    ------
    FileError
        If it cannot be written, or `path` is a folder that holds something else.
    """
    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    facts = {"format": FORMAT, **config, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    with replacing_folder(path, marker=CONFIG) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        text = json.dumps({**facts, "checksum": _checksum(facts)}, indent=1, allow_nan=True)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the facts and the tensors of a folder that `write` made.

    Raises
    ------
    ArtefactError
        If the folder is missing, incomplete, altered or of a newer format.
    """
    config = _read_config(path)
    try:
        weights = (path / WEIGHTS).read_bytes()
    except OSError:
        raise ArtefactError(f"{path} has no {WEIGHTS}: copy the whole folder again.") from None
    if hashlib.sha256(weights).hexdigest() != config.get("weights_sha256"):
        raise ArtefactError(
            f"{path / WEIGHTS} is not what was saved (its checksum differs): it was cut short or "
            f"altered; copy it again, or fit and save the model again."
        )
    try:
        return config, load(weights)
    except SafetensorError as error:
        raise ArtefactError(f"{path / WEIGHTS} cannot be read ({error}): save it again.") from None


def fingerprint(path: Path) -> str:
    """Return the SHA-256 that tells a saved model from every other.

    Raises
    ------
    ArtefactError
        If there is none, or its facts are damaged.
    """
    return _checksum(_read_config(path))


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise ArtefactError(
            f"There is no saved model at {path}: give the folder that save() or isthmus fit made."
        )
    file = path / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise ArtefactError(
            f"{path} is not a saved model (it has no {CONFIG}): give the folder that save() or "
            f"isthmus fit made."
        ) from None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise ArtefactError(f"{file} cannot be read: it was cut short or altered; copy it again.")
    if config["format"] > FORMAT:
        raise ArtefactError(
            f"{path} was saved by a newer Isthmus (format {config['format']}, this one reads up "
            f"to {FORMAT}): upgrade with pip install -U isthmus."
        )
    if config.pop("checksum", None) != _checksum(config):
        raise ArtefactError(
            f"{file} was altered after it was saved (its checksum differs): restore it, or fit "
            f"and save the model again."
        )
    return config


def _checksum(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
