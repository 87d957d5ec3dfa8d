"""Corruptions: the noise of denoising autoencoders (Vincent et al. 2010, section 3.3).

All fields are in the user's units. B rows, D features.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from isthmus.data.scaling import Scaling
from isthmus.parts.part import part
from isthmus.parts.slots import Corruption

Fraction = Annotated[float, Field(ge=0, le=1, description="share of the values, 0 to 1")]


@part("clean")
class Clean(Corruption):
    """``seen = x``: no noise."""

    @property
    def hides(self) -> bool:
        return False

    def corrupt(self, x: Tensor, scaling: Scaling, generator: torch.Generator) -> Tensor:
        return x


@part("gaussian")
class GaussianNoise(Corruption):
    """``seen = x + std * e``, e ~ Normal(0, 1) for every value."""

    std: Annotated[float, Field(ge=0, description="standard deviation, in the user's units")] = 0.1

    @property
    def hides(self) -> bool:
        return self.std > 0

    def corrupt(self, x: Tensor, scaling: Scaling, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(x).normal_(generator=generator)
        return torch.addcmul(x, noise, scaling.distance(self.std).to(x))


@part("masking")
class Masking(Corruption):
    """``seen = 0`` for a random fraction of the values, ``x`` for the rest."""

    fraction: Fraction = 0.25

    @property
    def hides(self) -> bool:
        return self.fraction > 0

    def corrupt(self, x: Tensor, scaling: Scaling, generator: torch.Generator) -> Tensor:
        hidden = _chance(x, generator) < self.fraction
        zero = scaling(torch.zeros_like(scaling.offset)).to(x)
        return torch.where(hidden, zero, x)


@part("salt_and_pepper")
class SaltAndPepper(Corruption):
    """``seen = low or high``, a fair coin each, for a random fraction of the values."""

    fraction: Fraction = 0.1
    low: Annotated[float, Field(description="pepper, in the user's units")] = 0.0
    high: Annotated[float, Field(description="salt, in the user's units")] = 1.0

    @property
    def hides(self) -> bool:
        return self.fraction > 0

    def corrupt(self, x: Tensor, scaling: Scaling, generator: torch.Generator) -> Tensor:
        chance = _chance(x, generator)
        low = scaling(torch.full_like(scaling.offset, self.low)).to(x)
        high = scaling(torch.full_like(scaling.offset, self.high)).to(x)
        # One draw serves both: below fraction / 2 pepper, from there to fraction salt.
        speckled = torch.where(chance < self.fraction / 2, low, high)
        return torch.where(chance < self.fraction, speckled, x)


def _chance(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(x).uniform_(generator=generator)
