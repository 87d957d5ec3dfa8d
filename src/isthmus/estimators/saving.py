"""Estimators to saved models and back; no pickle anywhere."""

import json
import math
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sklearn.base import BaseEstimator, clone
from torch import nn

from isthmus.data import artefact
from isthmus.errors import ArtefactError, FileError, IsthmusError, plain_words
from isthmus.estimators import ESTIMATORS
from isthmus.estimators.inputs import Reading
from isthmus.estimators.own_modules import furnish, lacks_modules
from isthmus.estimators.parameters import Count, check
from isthmus.parts.networks.network import Network
from isthmus.parts.part import Part

Learned = tuple[dict[str, Any], dict[str, torch.Tensor]]  # plain facts, and tensors by name


class Saveable(Protocol):
    """A fitted estimator of declared parameters that can be written down and read again."""

    parameters_: dict[str, Any]  # as they were when it was fitted
    n_features_in_: int
    n_samples_seen_: int | None
    sample_shape_: tuple[int, ...]
    _given_shape: tuple[int, ...]
    feature_names_in_: Any
    _feature_dtypes: list[str] | None
    _reading: Reading
    history_: list[dict[str, Any]]
    n_iter_: int

    def _learned(self) -> Learned:
        """Return what is saved besides the parameters."""

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        """Take over what was saved."""


# Weights are float32 values; only these have more digits.
EXACT = {"scaling.offset", "scaling.scale", "mean"}
NESTED = "autoencoder."  # stands before the names of the tensors of an autoencoder within


Shape = Annotated[list[Count], Field(min_length=1, max_length=8)]


class Facts(BaseModel):
    """What is written of every estimator; each adds what it has learned."""

    model_config = ConfigDict(strict=True, extra="allow")

    estimator: str
    parameters: dict[str, Any]
    n_features_in: Count
    sample_shape: Shape  # what the network takes a row for
    given_shape: Shape  # of a sample of the X of fit
    feature_names_in: list[str] | None
    feature_dtypes: list[str] | None
    n_samples_seen: Annotated[int, Field(ge=0)] | None
    n_iter: Annotated[int, Field(ge=0)]
    stopped_by: str
    history: list[dict[str, str | int | float]]


def save(estimator: Saveable, path: Path, card: str) -> None:
    """Write a fitted estimator to a folder, and a card that says what it is.

    Raises
    ------
    FileError
        If the folder cannot be written, or `load` would not know the class.
    """
    config, tensors = written(estimator)
    small = {
        name: t.cpu() if name.removeprefix(NESTED) in EXACT else t.float().cpu()
        for name, t in tensors.items()
    }
    artefact.write(path, config, small, card)


def copied(estimator: Any) -> dict[str, Any]:
    """Return the parameters as they are now, whatever becomes of a list or a module among them."""
    parameters: dict[str, Any] = clone(estimator).get_params(deep=False)
    return parameters


def written(estimator: Saveable) -> Learned:
    """Return a fitted estimator as plain facts and tensors.

    Raises
    ------
    FileError
        If `load` would not know its class, or that of an estimator within.
    """
    check_known(type(estimator))
    names = getattr(estimator, "feature_names_in_", None)
    facts, tensors = estimator._learned()
    config = {
        "estimator": type(estimator).__name__,
        "parameters": {name: plain(value) for name, value in estimator.parameters_.items()},
        "n_features_in": estimator.n_features_in_,
        "sample_shape": estimator.sample_shape_,
        "given_shape": estimator._given_shape,
        "feature_names_in": None if names is None else list(names),
        "feature_dtypes": None if names is None else getattr(estimator, "_feature_dtypes", None),
        "n_samples_seen": getattr(estimator, "n_samples_seen_", None),
        "held_out": held_out(estimator),
        **facts,
    }
    return config, tensors


def held_out(estimator: Saveable) -> dict[str, float]:
    """Return the terms of the held-out loss at the epoch that was kept, nats per sample.

    The mean of the folds, where rows were held out in turn; nothing where none were.
    """
    history = estimator.history_
    last = history[-1]["stage"] if history else ""
    judges = [
        record
        for record in history
        if record["epoch"] == estimator.n_iter_ and "held_out_loss" in record
        if record["stage"] == last or (last == "all rows" and "fold " in record["stage"])
    ]
    names = [name for name in judges[0] if name.startswith("held_out_")] if judges else []
    return {
        name.removeprefix("held_out_"): float(np.mean([record[name] for record in judges]))
        for name in names
    }


def check_known(kind: type) -> None:
    """Refuse a class that is not ours: its code is not in the folder.

    Raises
    ------
    FileError
        If it is none of isthmus.
    """
    if ESTIMATORS.get(kind.__name__) != kind.__module__:
        raise FileError(
            f"{kind.__qualname__} of {kind.__module__} cannot be saved, for load knows the "
            f"estimators of isthmus only: save one of those, or pickle it."
        )


def load(path: str | Path, *, network: Network | None = None) -> Any:
    """Return the estimator that was saved to the folder `path`, ready for use.

    Parameters
    ----------
    network : the modules of a model that was fitted with `Custom` ones, since a saved model holds
        weights and no code; their own weights are replaced.

    Raises
    ------
    ArtefactError
        If the folder is missing, incomplete, altered or of a newer format.
    """
    config, tensors = artefact.read(Path(path))
    if network is not None:
        furnish(config, network)
    elif lacks_modules(config):
        raise ArtefactError(
            f"{path} was fitted with modules of its user's own, which are code and not in it: give "
            f"them in Python, load(path, network=Custom(encoder, decoder))."
        )
    try:
        return rebuilt(config, tensors)
    except (ArithmeticError, AttributeError, LookupError, MemoryError) as error:
        reason = f"{type(error).__name__}: {error}"
    except (TypeError, ValueError, RuntimeError, IsthmusError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    raise ArtefactError(f"{path} does not fit together ({reason}): fit and save the model again.")


def rebuilt(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    """Return the fitted estimator of which `written` made these.

    Raises
    ------
    ValueError, TypeError, LookupError, RuntimeError, IsthmusError
        If they do not fit together.
    """
    _check_facts(config, tensors)
    estimator: Saveable = unfitted(config)
    check(estimator)
    estimator.n_features_in_ = config["n_features_in"]
    estimator.n_samples_seen_ = config["n_samples_seen"]
    estimator.sample_shape_ = tuple(config["sample_shape"])
    estimator._given_shape = tuple(config["given_shape"])
    estimator._feature_dtypes = config["feature_dtypes"]
    estimator._reading = Reading.of(estimator)
    if config["feature_names_in"] is not None:
        estimator.feature_names_in_ = np.array(config["feature_names_in"], dtype=object)
    estimator._relearn(config, tensors)
    return estimator


def _check_facts(config: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse facts of the wrong type, or that contradict each other or the tensors."""
    try:
        Facts.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place} {plain_words(first['msg'])}") from None
    n_features = config["n_features_in"]
    widths = {
        "sample_shape": math.prod(config["sample_shape"]),
        "given_shape": math.prod(config["given_shape"]),
        "scaling": len(tensors["scaling.offset"]),
        "mean": len(tensors.get("mean", range(n_features))),
        "feature_names_in": len(config["feature_names_in"] or range(n_features)),
        "feature_dtypes": len(config["feature_dtypes"] or range(n_features)),
    }
    for name, width in widths.items():
        if width != n_features:
            raise ValueError(f"{name} has {width} features, and n_features_in is {n_features}")


M = TypeVar("M", bound=nn.Module)


def filled(make: Callable[[], M], tensors: Mapping[str, torch.Tensor]) -> M:
    """Return a new module with these weights, and see that they fit before it takes any memory.

    Raises
    ------
    ValueError
        If one is missing, of another shape, or not asked for.
    """
    with torch.device("meta"):  # shapes without numbers
        wanted = {name: tuple(tensor.shape) for name, tensor in make().state_dict().items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != wanted.get(name) or not tensors[name].is_floating_point():
            shapes = f"{found or 'missing'} in the file, {wanted.get(name, 'unknown')} by its facts"
            raise ValueError(f"the tensor {name} is {shapes}")
    module = make()
    module.load_state_dict(tensors)
    return module


def unfitted(config: dict[str, Any]) -> Any:
    """Return a new estimator of the class and with the parameters that were written."""
    name = config["estimator"]
    if name not in ESTIMATORS:
        raise ValueError(f"there is no estimator {name!r}")
    kind = getattr(import_module(ESTIMATORS[name]), name)
    return kind(**{name: tupled(value) for name, value in config["parameters"].items()})


def plain(value: Any) -> Any:
    """Return a parameter as JSON holds it: a part as its string, a generator as nothing.

    An estimator is written as its class and parameters.
    """
    if isinstance(value, BaseEstimator):
        check_known(type(value))
        given = value.get_params(deep=False).items()
        return {
            "estimator": type(value).__name__,
            "parameters": {name: plain(parameter) for name, parameter in given},
        }
    if isinstance(value, Part):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    try:
        json.dumps(value)
    except TypeError:
        return None
    return value


def tupled(value: Any) -> Any:
    """Return what JSON made a list as the tuple that it was, and an estimator as one."""
    if isinstance(value, dict):
        return unfitted(value)
    return tuple(tupled(item) for item in value) if isinstance(value, list) else value
