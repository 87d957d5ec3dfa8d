"""Modules of the user's own: where an estimator has them, and what is written of it lacks them."""

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn.base import BaseEstimator

from isthmus.parts.networks.custom import Custom
from isthmus.parts.networks.network import Network

Facts = dict[str, Any]  # of an estimator as it was written: its parameters, and what it learned


def modules_in(parameters: Mapping[str, Any]) -> Custom | None:
    """Return the modules among the parameters of an estimator, or of one within it."""
    for value in parameters.values():
        within = value.get_params(deep=False) if isinstance(value, BaseEstimator) else {}
        found = value if isinstance(value, Custom) else modules_in(within)
        if found is not None:
            return found
    return None


def lacks_modules(facts: Facts) -> bool:
    """Whether what was written of an estimator names modules, which are code and not in it."""
    return any(True for _ in _lacking(facts))


def furnish(facts: Facts, network: Network) -> None:
    """Put modules where what was written of an estimator names some; else in place of its own."""
    lacking = list(_lacking(facts))
    if not lacking and isinstance(facts.get("parameters"), dict):
        lacking = [facts["parameters"]]
    for parameters in lacking:
        parameters["network"] = network


def _lacking(facts: Any) -> Iterator[Facts]:
    """Yield the parameters that name modules, of an estimator and of what it holds."""
    parameters = facts.get("parameters") if isinstance(facts, dict) else None
    if not isinstance(parameters, dict):
        return
    if str(parameters.get("network", "")).startswith("custom("):
        yield parameters
    for within in (parameters.get("autoencoder"), facts.get("autoencoder")):
        yield from _lacking(within)
