"""The saved model on disk: a folder of weights and plain facts, checked before it is believed.

``model.safetensors`` holds the tensors, ``config.json`` the rest, with the SHA-256 of both, and
``README.md`` says it to people, who may edit it: no program reads it. Nothing in them can run code.
"""

import hashlib
import json
import math
import os
import platform
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from isthmus.data.replacing import null_in, replacing_folder, set_aside
from isthmus.data.states import StateFolder
from isthmus.errors import ArtefactError, FileError

FORMAT = 3
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
LARGEST_CONFIG = 2**28  # bytes; in memory JSON takes ten times that
PACKAGES = ("isthmus", "torch", "scikit-learn", "numpy")
NUMBER = "$float"  # marks a number that JSON has no digits for: {"$float": "inf"}

Facts = dict[str, Any]


def write(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], card: str) -> None:
    """Write the folder beside and rename it, so that there is never half a model.

    Raises
    ------
    FileError
        If it cannot be written, or `path` is a folder that holds something else.
    """
    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    sizes = {"weights_bytes": len(weights), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    facts = {"format": FORMAT, "versions": versions(), **config, **sizes}
    whole = {**_spelled(facts), "checksum": _checksum(facts)}
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    if len(text) > LARGEST_CONFIG:
        raise FileError(
            f"The history of the training is too long for {path / CONFIG}: keep its end, such as "
            f"model.history_ = model.history_[-1000:], and save again."
        )
    with replacing_folder(path, marker=CONFIG) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / CONFIG).write_text(text, encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8", errors="replace")


def read(path: Path) -> tuple[Facts, dict[str, Tensor]]:
    """Read the facts and tensors of a folder that `write` made, older formats as the present one.

    Raises
    ------
    ArtefactError
        If the folder is missing, incomplete, altered or of a newer format.
    """
    config = _read_config(path)
    weights = _read_weights(path / WEIGHTS, config)
    try:
        tensors = load(weights)
        return upgraded(config), tensors
    except SafetensorError as error:
        raise ArtefactError(f"{path / WEIGHTS} cannot be read ({error}): save it again.") from None
    except RecursionError:
        raise ArtefactError(
            f"{path / CONFIG} holds models within models without end: fit and save it again."
        ) from None


def fingerprint(path: Path) -> str:
    """Return the SHA-256 that tells a saved model from every other.

    Raises
    ------
    ArtefactError
        If there is none, or its facts are damaged.
    """
    return _checksum(_read_config(path))


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from its sources
            found[package] = "unknown"
    return found


# Formats ---------------------------------------------------------------------------------


def _from_1(config: Facts) -> Facts:
    """Return facts of format 1, which knew one version and neither types nor number of the rows."""
    facts = {name: value for name, value in config.items() if name != "isthmus"}
    if isinstance(config.get("autoencoder"), dict):
        facts["autoencoder"] = _from_1(config["autoencoder"])
    versions = {"isthmus": config.get("isthmus")}
    return {"versions": versions, "feature_dtypes": None, "n_samples_seen": None, **facts}


def _from_2(config: Facts) -> Facts:
    """Return facts of format 2, whose convolutions were followed by rectifiers by default."""
    within = ((name, config.get(name)) for name in ("parameters", "autoencoder"))
    facts = config | {name: _from_2(each) for name, each in within if isinstance(each, dict)}
    network = str(facts.get("network", "")).strip()
    if network.startswith("conv") and facts.get("activation", "") is None:
        fields = network.removeprefix("conv").strip().removeprefix("(").removesuffix(")")
        if not _NAMES_ONE.search(fields):
            given = [fields.strip().removesuffix(",")] * bool(fields.strip())
            facts["network"] = f"conv({', '.join([*given, 'activation=relu'])})"
    return facts


_NAMES_ONE = re.compile(r"relu|elu|gelu|silu|softplus|tanh|sigmoid|identity")
_UPGRADES: dict[int, Callable[[Facts], Facts]] = {1: _from_1, 2: _from_2}


def upgraded(facts: Facts) -> Facts:
    """Return facts of an earlier format as the present one has them."""
    for number in range(facts["format"], FORMAT):
        facts = _UPGRADES[number](facts)
    return facts


# Reading ---------------------------------------------------------------------------------


def _read_config(path: Path) -> Facts:
    """Return the facts as they were written, without their checksum."""
    if "\0" in os.fspath(path):
        raise ArtefactError(null_in(path))
    if not os.path.isdir(path):  # Path.is_dir raises on names that are too long
        before = set_aside(Path(os.path.realpath(path)))
        if os.path.isdir(before):
            raise ArtefactError(
                f"The writing of {path} was cut off as it took the place of an earlier model, "
                f"which lies whole in {before}: rename that folder to {path}."
            )
        raise ArtefactError(
            f"There is no saved model at {path}: give the folder that save() or isthmus fit made."
        )
    file = path / CONFIG
    if not file.is_file():
        if StateFolder(path).begun:
            raise ArtefactError(
                f"{path} holds the checkpoint of a fit, and no model: go on by isthmus resume, or "
                f"in Python by isthmus.resume(path, X)."
            )
        raise ArtefactError(
            f"{path} is not a saved model (it has no {CONFIG}): give the folder that save() or "
            f"isthmus fit made."
        )
    try:
        config = _parsed(file)
        intact = config.pop("checksum", None) == _checksum(config)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError):
        raise ArtefactError(
            f"{file} cannot be read: it was cut short or altered; copy it again."
        ) from None
    if config["format"] > FORMAT:
        raise ArtefactError(
            f"{path} was saved by a newer Isthmus (format {config['format']}, this one reads up "
            f"to {FORMAT}): upgrade with pip install -U isthmus."
        )
    if not intact:
        raise ArtefactError(
            f"{file} was altered after it was saved (its checksum differs): restore it, or fit "
            f"and save the model again."
        )
    return config


def _parsed(file: Path) -> Facts:
    """Return a JSON object with the number of its format.

    Raises
    ------
    ValueError, TypeError, KeyError, RecursionError
        If it is something else, has a name twice, or NaN where its format has none.
    """
    if file.stat().st_size > LARGEST_CONFIG:
        raise ValueError
    constants: list[str] = []

    def constant(name: str) -> float:
        constants.append(name)
        return float(name)

    text = file.read_text(encoding="utf-8")
    config = json.loads(text, object_pairs_hook=_object, parse_constant=constant)
    if type(config["format"]) is not int or config["format"] < 1:
        raise ValueError
    if constants and config["format"] > 1:
        raise ValueError
    facts: Facts = config
    return facts


def _object(pairs: list[tuple[str, Any]]) -> Any:
    """Return a JSON object whose names differ, or the number that it spells."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return float(found[NUMBER]) if found.keys() == {NUMBER} else found


def _spelled(value: Any) -> Any:
    """Return a value with each number that JSON cannot write spelled out."""
    if isinstance(value, float) and not math.isfinite(value):
        return {NUMBER: str(value)}
    if isinstance(value, Mapping):
        return {name: _spelled(each) for name, each in value.items()}
    return [_spelled(each) for each in value] if isinstance(value, list | tuple) else value


def _checksum(facts: Mapping[str, Any]) -> str:
    plain = facts if facts["format"] == 1 else _spelled(facts)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_weights(file: Path, config: Facts) -> bytes:
    """Read the tensors' file, if it is as long as it was, and check that it is the same."""
    if not file.is_file():
        raise ArtefactError(f"{file.parent} has no {file.name}: copy the whole folder again.")
    try:
        size = file.stat().st_size
        weights = file.read_bytes() if size == config.get("weights_bytes", size) else b""
    except (OSError, MemoryError) as error:
        reason = str(error) or "there is too little memory"
        raise ArtefactError(f"{file} cannot be read ({reason}): copy it again.") from None
    if hashlib.sha256(weights).hexdigest() != config.get("weights_sha256"):
        raise ArtefactError(
            f"{file} is not what was saved (its checksum differs): it was cut short or altered; "
            f"copy it again, or fit and save the model again."
        )
    return weights
