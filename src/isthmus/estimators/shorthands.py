"""Parameters that stand for fields of the network."""

import dataclasses
from typing import Any

from isthmus.errors import ParameterError
from isthmus.parts.networks.network import Network

SHORTHANDS = ("hidden", "activation")


def network_meant(estimator: Any) -> Network:
    """Return an estimator's network with the shorthands applied.

    An estimator's own default of a shorthand gives way to a network that says otherwise, or is of
    another kind.

    Raises
    ------
    ParameterError
        If the network has no such field, or says it itself.
    """
    network, named = Network.of(estimator.network), Network.named_in(estimator.network)
    fields = [field.name for field in dataclasses.fields(network)]  # type: ignore[arg-type]
    usual: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(estimator)}
    other = type(network) is not type(Network.of(usual["network"]))
    given = {}
    for name in SHORTHANDS:
        value, ruled_out = getattr(estimator, name), other or name in named or name not in fields
        if value is None or (ruled_out and value == usual[name]):
            continue
        if name not in fields:
            raise ParameterError(
                f"{name}={value!r} is not of network {str(network)!r}, whose fields are "
                f"{', '.join(fields)}: leave it out."
            )
        if name in named:
            raise ParameterError(
                f"{name} is given twice, by {name}={value!r} and by network={str(network)!r}: "
                f"leave one of the two out."
            )
        given[name] = value
    return network.but(**given)
