"""Penalties: what the loss adds to the likelihood, each in nats per sample."""

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from isthmus.parts.part import part
from isthmus.parts.slots import Halves, Pass, Penalty

Weight = Annotated[float, Field(ge=0, description="strength of the term")]


@part("weight_l1")
class WeightL1(Penalty):
    """``sum |w|`` over the weights (not the biases) of encoder and decoder (lasso)."""

    weight: Weight = 1e-4
    hides = False

    def value(self, halves: Halves, seen: Pass) -> Tensor:
        return _sum(weight.abs().sum() for weight in weights(halves))


@part("weight_l2")
class WeightL2(Penalty):
    """``sum w^2`` over the weights (not the biases) of encoder and decoder (ridge)."""

    weight: Weight = 1e-4
    hides = False

    def value(self, halves: Halves, seen: Pass) -> Tensor:
        return _sum(weight.square().sum() for weight in weights(halves))


def weights(halves: Halves) -> Iterator[Tensor]:
    """Yield each weight matrix of encoder and decoder once; tied ones belong to the encoder."""
    met: set[int] = set()
    for half in halves:
        for parameter in half.parameters():
            if parameter.ndim > 1 and id(parameter) not in met:
                met.add(id(parameter))
                yield parameter


def _sum(terms: Iterator[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
