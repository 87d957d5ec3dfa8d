"""Fits that are kept while they last: whose checkpoint a folder holds, and how one goes on."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from isthmus.data.artefact import CONFIG, FORMAT, upgraded
from isthmus.data.fingerprint import Fingerprint, fingerprint
from isthmus.data.states import StateFolder
from isthmus.errors import ArtefactError, FileError, ParameterError, caution
from isthmus.estimators.arrays import unwrapped
from isthmus.estimators.own_modules import furnish, lacks_modules, modules_in
from isthmus.estimators.saving import check_known, plain, unfitted
from isthmus.fitting.checkpoint import Checkpoint, Checkpoints, epochs
from isthmus.fitting.keeping import KEEPS_NOTHING, Keeper
from isthmus.fitting.observers import Observer
from isthmus.parts.networks.custom import Custom
from isthmus.parts.networks.network import Network

CheckpointLike = (
    str | os.PathLike[str] | Checkpoint | Keeper | None
)  # what `fit` takes as checkpoint
Facts = dict[str, Any]

# What is handed to a fit, as its user calls it.
ROWS = {
    "X": "the rows",
    "y": "the labels",
    "target": "the clean rows",
    "validation": "the rows to stop by",
    "network": "the weights of the network",
}
FIRST_FORMAT = 2  # of the parameters of a checkpoint that does not say it
NEW = "give another folder, or delete this one to begin anew"


@contextlib.contextmanager
def keeping(
    estimator: Any, checkpoint: CheckpointLike, rows: Mapping[str, Any]
) -> Iterator[Keeper]:
    """Yield what keeps the fit of an estimator to its rows, in a folder that is locked meanwhile.

    Parameters
    ----------
    checkpoint : of an estimator within another, the keeper of the fit of that one.
    rows : what is handed to `fit`, by name.

    Raises
    ------
    ParameterError
        If `checkpoint` is no folder.
    FileError
        If the folder is in use, or holds the checkpoint of another fit or something else.
    """
    if checkpoint is None or isinstance(checkpoint, Keeper):
        yield checkpoint or KEEPS_NOTHING
        return
    meant = _meant(checkpoint)
    folder = StateFolder(Path(meant.path))
    with folder.locked():
        fit = _facts(estimator, rows)
        if folder.begun:
            begun = _begun(folder)
            _check_same(meant.path, begun, fit)
            _warn_of_versions(meant.path, begun, fit)
        yield Checkpoints(meant, folder, fit)


def resume(
    checkpoint: str | os.PathLike[str] | Checkpoint,
    X: Any,
    y: Any = None,
    *,
    target: Any = None,
    validation: Any = None,
    network: Network | None = None,
    observers: Sequence[Observer] = (),
) -> Any:
    """Go on with the fit that a folder keeps, and return the fitted estimator.

    It is the one that an undisturbed fit would have given, bit for bit; one that was finished is
    returned without further training.

    Parameters
    ----------
    checkpoint : the folder that was given to `fit`.
    X, y, target, validation : what else was given to `fit`; other rows are refused.
    network : the modules of a fit with `Custom` ones, with the weights that they had.
    observers : they are told of every epoch, those before too; see `isthmus.observers`.

    Returns
    -------
    estimator
        Fitted; of the class and with the parameters of the one that was being fitted.

    Raises
    ------
    ArtefactError
        If there is no checkpoint, or none that can be read.
    FileError
        If what is given differs from what the fit was given, or another process goes on with it.
    """
    estimator = interrupted(_meant(checkpoint).path, network=network)
    rows = {"y": y, "target": target, "validation": validation}
    given = {name: value for name, value in rows.items() if value is not None}
    return estimator.fit(X, **given, checkpoint=checkpoint, observers=observers)


def interrupted(path: str | os.PathLike[str], *, network: Network | None = None) -> Any:
    """Return the estimator whose fit a folder keeps, not fitted.

    Raises
    ------
    ArtefactError
        If there is no checkpoint, or none that can be read.
    """
    folder = StateFolder(Path(path))
    if not os.path.exists(path) or not folder.begun:
        raise ArtefactError(_without_checkpoint(path))
    fit = _begun(folder)
    if network is not None:
        furnish(fit, network)
    elif lacks_modules(fit):
        raise ArtefactError(
            f"The fit in {path} is of modules of its user's own, which are code and not in it: "
            f"give them in Python, resume(path, X, network=Custom(encoder, decoder))."
        )
    try:
        return unfitted(fit)
    except (LookupError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"The checkpoint in {path} names no estimator of this version ({error}): fit anew."
        ) from None


def came_to(path: str | os.PathLike[str], estimator: Any) -> bool:
    """Whether a fitted estimator is what the fit that a folder keeps came to.

    The last epoch tells, by its losses and by its seconds, which no other fit has.

    Raises
    ------
    ArtefactError
        If the checkpoint is of a newer version.
    """
    newest = StateFolder(Path(path)).newest()
    if newest is None or not (newest["is_over"] and newest["told"] and estimator.history_):
        return False
    kept, own = epochs(newest)[-1].record, estimator.history_[-1]
    return {**kept, "stage": own["stage"]} == own


def _without_checkpoint(path: str | os.PathLike[str]) -> str:
    if not os.path.exists(path):
        return f"There is no folder {path}: give the one that the fit was to keep checkpoints in."
    if os.path.isfile(os.path.join(path, CONFIG)):
        return (
            f"{path} is a saved model, whose fit is over, and no folder of checkpoints: use the "
            f"model, or give the folder that a fit keeps its checkpoints in."
        )
    return (
        f"There is no checkpoint in {path}: give the folder that a fit keeps its checkpoints in, "
        f"or, where it ended before its first one, fit again."
    )


def _meant(checkpoint: Any) -> Checkpoint:
    if isinstance(checkpoint, Checkpoint):
        return checkpoint
    if isinstance(checkpoint, str | os.PathLike):
        return Checkpoint(checkpoint)
    raise ParameterError(
        f"checkpoint={checkpoint!r} is no folder: give a path, or Checkpoint(path, every=60)."
    )


def _begun(folder: StateFolder) -> Facts:
    """Return what the fit of a folder was given."""
    newest = folder.newest()
    if newest is None:
        raise ArtefactError(f"No checkpoint in {folder.path} can be read: delete it, and fit anew.")
    return upgraded({"format": FIRST_FORMAT, **newest["fit"]})


# Whether two fits are the same ------------------------------------------------------------


def _facts(estimator: Any, rows: Mapping[str, Any]) -> Facts:
    """Return what makes a fit what it is, as JSON holds it."""
    check_known(type(estimator))
    given = estimator.get_params(deep=False)
    parameters = {name: plain(value) for name, value in given.items() if name != "verbose"}
    prints = {name: _print(value) for name, value in rows.items() if value is not None}
    modules = modules_in(given)
    if modules is not None:
        prints["network"] = _print(_weights(modules))
    return {
        "format": FORMAT,
        "isthmus": version("isthmus"),
        "torch": torch.__version__,
        "estimator": type(estimator).__name__,
        "parameters": parameters,
        "rows": prints,
        "modules": None if modules is None else [repr(half) for half in _halves(modules)],
    }


def _print(rows: Any) -> Fingerprint:
    """Return the fingerprint of rows, or of a pair or list of such."""
    if isinstance(rows, tuple | list):
        rows = [unwrapped(each) for each in rows]
    return fingerprint(unwrapped(rows))


def _halves(modules: Custom) -> tuple[nn.Module, nn.Module]:
    """Return the halves, which print their layers, not their code."""
    return modules.encoder, modules.decoder


def _weights(modules: Custom) -> list[torch.Tensor]:
    return [weight for half in _halves(modules) for weight in half.state_dict().values()]


def _check_same(path: Any, begun: Facts, now: Facts) -> None:
    """Refuse to go on with another fit."""
    if begun["estimator"] != now["estimator"]:
        raise FileError(
            f"{path} holds the checkpoint of a fit of {begun['estimator']}, and this is a "
            f"{now['estimator']}: {NEW}."
        )
    for name, value in now["parameters"].items():
        before = begun["parameters"].get(name, value)  # an earlier version may lack it
        if _meaning(name, before) != _meaning(name, value):
            raise FileError(
                f"{path} holds the checkpoint of a fit with {name}={before!r}, and {name} is now "
                f"{value!r}: set it back to go on, {NEW}."
            )
    if begun.get("modules") not in (None, now["modules"]):  # an earlier version may lack them
        raise FileError(f"{path} holds the checkpoint of a fit of modules of other layers: {NEW}.")
    unknown = {"network"} - begun["rows"].keys()  # of an earlier version
    for name in (begun["rows"] | now["rows"]).keys() - unknown:
        difference = _difference(begun["rows"].get(name), now["rows"].get(name))
        if difference:
            raise FileError(
                f"{path} holds the checkpoint of a fit to other data ({ROWS[name]} {difference}): "
                f"give the same, or another folder."
            )


def _meaning(name: str, value: Any) -> Any:
    """Return a parameter so that two spellings of a network are the same."""
    if name == "network" and isinstance(value, str) and not value.startswith("custom("):
        return str(Network.of(value))
    return value


def _warn_of_versions(path: Any, begun: Facts, now: Facts) -> None:
    for package in ("isthmus", "torch"):
        if begun[package] != now[package]:
            caution(
                f"The fit in {path} was begun with {package} {begun[package]} and goes on with "
                f"{now[package]}: its last digits may differ from those of an undisturbed fit.",
            )


def _difference(before: Fingerprint | None, now: Fingerprint | None) -> str | None:
    """Say in what rows differ from those of the fit that was begun."""
    if before is None or now is None:
        return "were not given then" if before is None else "were given then and are not now"
    for fact, words in (("shape", "had the shape"), ("dtype", "were of type")):
        if before[fact] != now[fact]:
            return f"{words} {_shown(before[fact])} then and {_shown(now[fact])} now"
    if before.get("columns") != now.get("columns"):
        return "had columns of other names then"
    return "held other values then" if before["sha256"] != now["sha256"] else None


def _shown(fact: Any) -> str:
    return str(tuple(fact)) if isinstance(fact, list) else str(fact)
