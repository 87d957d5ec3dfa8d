"""Penalties: what the loss adds to the likelihood, each in nats per sample.

B rows of a batch, D features, K code units.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from isthmus.parts.halves import Halves
from isthmus.parts.part import part
from isthmus.parts.passes import Pass
from isthmus.parts.slots import Penalty, Weight

Half = Annotated[Literal["both", "encoder"], Field(description="whose weights count")]


@part("weight_l1")
class WeightL1(Penalty):
    """``sum |w|`` over the weights (not the biases) of encoder and decoder (lasso)."""

    weight: Weight = 1e-4
    half: Half = "both"

    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        return _sum(seen, (weight.abs().sum() for weight in weights(halves, self.half)))


@part("weight_l2")
class WeightL2(Penalty):
    """``sum w^2`` over the weights (not the biases) of encoder and decoder (ridge)."""

    weight: Weight = 1e-4
    half: Half = "both"

    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        return _sum(seen, (weight.square().sum() for weight in weights(halves, self.half)))


@part("activity_l1")
class ActivityL1(Penalty):
    """``mean_x sum_k |z_k|``: few units speak for a row."""

    weight = 0.01
    hides = True
    judges_draws = True

    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        return seen.code.z.abs().sum(1).mean()


@part("activity_kl")
class ActivityKL(Penalty):
    """``sum_k KL(target || r_k)``, r_k the mean of unit k over the batch: each speaks seldom.

    ``KL(t || r) = t log(t / r) + (1 - t) log((1 - t) / (1 - r))``, nats, for units in 0 to 1. Their
    biases begin at ``log(t / (1 - t))``, where sigmoid units are as active as that: from one half
    hundreds of steps would go by on the way.

    References
    ----------
    Ng, A. (2011). Sparse autoencoder. CS294A lecture notes, section 3.
    """

    target: Annotated[float, Field(gt=0, lt=1, description="mean activity of a unit")] = 0.05
    hides = True
    low = 0.0
    high = 1.0
    judges_draws = True

    @torch.no_grad()
    def start(self, halves: Halves) -> None:
        biases = [getattr(module, "bias", None) for module in halves.encoder.modules()]
        if found := [bias for bias in biases if isinstance(bias, nn.Parameter)]:
            found[-1].fill_(math.log(self.target / (1 - self.target)))

    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        target = self.target
        # Saturated units round to 0 or 1, where the logarithm ends.
        tiny = torch.finfo(seen.code.z.dtype).eps
        mean = seen.code.z.mean(0).clamp(tiny, 1 - tiny)
        on = target * (target / mean).log()
        off = (1 - target) * ((1 - target) / (1 - mean)).log()
        return (on + off).sum()


@part("dead_units")
class DeadUnits(Penalty):
    """What units without a turn in the batch could have added: they learn what is left over.

    The k most willing of them are decoded beside the code as it is, and judged by the nats that
    they gain; the rest of the model learns nothing from it.

    References
    ----------
    Gao, L. et al. (2024). Scaling and evaluating sparse autoencoders. Appendix A.2 (AuxK).
    """

    weight: Weight = 1 / 32
    k: Annotated[int, Field(ge=1, description="units that a row wakes")] = 32
    switched = decodes = True
    judges_draws = True

    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        asleep = (seen.code.z == 0).all(0)
        n_woken = min(self.k, int(asleep.sum()))
        if n_woken == 0:
            return seen.output.new_zeros(())
        head = seen.head.to(seen.code.z)
        index = head.masked_fill(~asleep, -torch.inf).topk(n_woken, dim=1, sorted=False).indices
        woken = torch.zeros_like(head).scatter(1, index, head.gather(1, index))
        silent = halves.decoder(torch.zeros_like(woken[:1]))
        before = seen.output.detach()
        after = before + (halves.decoder(woken) - silent).to(before)
        return (seen.nll(after) - seen.nll(before)).mean()


def weights(halves: Halves, half: str = "both") -> Iterator[Tensor]:
    """Yield each weight matrix of encoder and decoder once; tied ones belong to the encoder."""
    met: set[int] = set()
    for module in halves if half == "both" else halves[:1]:
        for parameter in module.parameters():
            if parameter.ndim > 1 and id(parameter) not in met:
                met.add(id(parameter))
                yield parameter


def _sum(seen: Pass, terms: Iterator[Tensor]) -> Tensor:
    """Return the sum of the terms, of which there may be none."""
    return torch.stack([seen.output.new_zeros(()), *terms]).sum()
