"""Estimators to saved models and back; no pickle anywhere."""

import json
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.base import BaseEstimator

from isthmus.data import artefact
from isthmus.errors import ArtefactError, FileError, IsthmusError
from isthmus.estimators import ESTIMATORS
from isthmus.parts.part import Part
from isthmus.parts.slots import Network

Learned = tuple[dict[str, Any], dict[str, torch.Tensor]]  # plain facts, and tensors by name


class Saveable(Protocol):
    """A fitted estimator of declared parameters that can be written down and read again."""

    parameters_: dict[str, Any]  # as they were when it was fitted
    n_features_in_: int
    sample_shape_: tuple[int, ...]
    _given_shape: tuple[int, ...]
    feature_names_in_: Any

    def _learned(self) -> Learned:
        """Return what is saved besides the parameters."""

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        """Take over what was saved."""


# Weights are float32 values; only these have more digits.
EXACT = {"scaling.offset", "scaling.scale", "mean"}
NESTED = "autoencoder."  # stands before the names of the tensors of an autoencoder within


def save(estimator: Saveable, path: Path) -> None:
    """Write a fitted estimator to a folder.

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
    artefact.write(path, config, small)


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
        "isthmus": version("isthmus"),
        "estimator": type(estimator).__name__,
        "parameters": {name: plain(value) for name, value in estimator.parameters_.items()},
        "n_features_in": estimator.n_features_in_,
        "sample_shape": estimator.sample_shape_,
        "given_shape": estimator._given_shape,
        "feature_names_in": None if names is None else list(names),
        **facts,
    }
    return config, tensors


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
        config["parameters"]["network"] = network
    elif str(config.get("parameters", {}).get("network", "")).startswith("custom("):
        raise ArtefactError(
            f"{path} was fitted with modules of its user's own, which are code and not in it: give "
            f"them, load(path, network=Custom(encoder, decoder))."
        )
    try:
        return rebuilt(config, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, IsthmusError) as error:
        raise ArtefactError(
            f"{path} does not fit together ({str(error).splitlines()[0]}): fit and save the model "
            f"again."
        ) from None


def rebuilt(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    """Return the fitted estimator of which `written` made these."""
    estimator: Saveable = unfitted(config)
    estimator.n_features_in_ = config["n_features_in"]
    estimator.sample_shape_ = tuple(config["sample_shape"])
    estimator._given_shape = tuple(config["given_shape"])
    if config["feature_names_in"] is not None:
        estimator.feature_names_in_ = np.array(config["feature_names_in"], dtype=object)
    estimator._relearn(config, tensors)
    return estimator


def unfitted(config: dict[str, Any]) -> Any:
    """Return a new estimator of the class and with the parameters that were written."""
    kind = getattr(import_module(ESTIMATORS[config["estimator"]]), config["estimator"])
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
