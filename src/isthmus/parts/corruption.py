"""Corruptions: the noise of denoising autoencoders (Vincent et al. 2010, section 3.3).

All fields are in the user's units. B rows, D features.
"""

from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from isthmus.data.scaling import Scaling
from isthmus.parts.part import part
from isthmus.parts.passes import Seen
from isthmus.parts.slots import Corruption


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise ValueError("should name the lower end first")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_rising)]
Fraction = Annotated[float, Field(ge=0, le=1, description="share of the values, 0 to 1")]


@part("clean")
class Clean(Corruption):
    """``seen = x``: no noise."""

    @property
    def hides(self) -> bool:
        return False

    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        return x


@part("gaussian")
class GaussianNoise(Corruption):
    """``seen = x + std * e``, e ~ Normal(0, 1) for every value."""

    std: Annotated[float, Field(ge=0, description="standard deviation, in the user's units")] = 0.1
    clip: Annotated[Range | None, Field(description="range that noisy values are cut to")] = None

    @property
    def hides(self) -> bool:
        return self.std > 0

    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        noise = torch.empty_like(x).normal_(generator=generator)
        noisy = torch.addcmul(x, noise, scaling.distance(self.std).to(x))
        if self.clip is None:
            return noisy
        low, high = (scaling(torch.full_like(scaling.offset, end)).to(x) for end in self.clip)
        return noisy.clamp(low, high)


@part("binarised")
class Binarised(Corruption):
    """``seen`` = 1 with probability x, else 0; x from 0 to 1. It is also what should come out.

    Pictures in grey as an endless supply of pictures in black and white.

    References
    ----------
    Salakhutdinov, R. & Murray, I. (2008). On the quantitative analysis of deep belief networks.
    """

    redraws = True

    @property
    def hides(self) -> bool:
        return False

    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        chance = torch.empty_like(x).uniform_(generator=generator)  # twice as fast as bernoulli
        return scaling((chance < scaling.inverse(x)).to(x))


@part("masking")
class Masking(Corruption):
    """``seen = 0`` for a random fraction of the values, ``x`` for the rest."""

    fraction: Fraction = 0.25

    @property
    def hides(self) -> bool:
        return self.fraction > 0

    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
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

    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        chance = _chance(x, generator)
        low = scaling(torch.full_like(scaling.offset, self.low)).to(x)
        high = scaling(torch.full_like(scaling.offset, self.high)).to(x)
        # One draw serves both: below fraction / 2 pepper, from there to fraction salt.
        speckled = torch.where(chance < self.fraction / 2, low, high)
        return torch.where(chance < self.fraction, speckled, x)


@part("blind_spot")
class BlindSpot(Corruption):
    """``seen`` = a neighbour for a random fraction of the pixels, which alone are judged.

    The neighbour lies within ``radius`` pixels. A network that cannot see a pixel can only guess
    it from those around, and noise that differs from pixel to pixel cannot be guessed: so it
    learns the clean picture from noisy ones alone. Krull et al. replace 1.6 % of the pixels; a
    fifth is a decibel better after 25 epochs on 40 photographs, since more of each is judged.

    References
    ----------
    Krull, A. et al. (2019). Noise2Void. Batson, J. & Royer, L. (2019). Noise2Self.
    """

    fraction: Annotated[float, Field(gt=0, lt=1, description="share of the pixels, 0 to 1")] = 0.2
    radius: Annotated[int, Field(ge=1, description="of the neighbours, in pixels")] = 2

    blind = True

    @property
    def hides(self) -> bool:
        return True

    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        return self.see(x, scaling, generator, shape).rows

    def see(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Seen:
        maps = x.view(len(x), -1, *shape[-2:])
        row, *pixel = (_chance(maps[:, 0], generator) < self.fraction).nonzero(as_tuple=True)
        side = 2 * self.radius + 1
        step = torch.randint(side**2 - 1, (len(row),), generator=generator, device=x.device)
        step += step >= side**2 // 2  # the pixel itself is left out
        steps = step // side - self.radius, step % side - self.radius
        down, right = (
            _mirrored(place, step, length)
            for place, step, length in zip(pixel, steps, shape[-2:], strict=True)
        )
        seen, hidden = maps.clone(), torch.zeros_like(maps, dtype=torch.bool)
        seen[row, :, pixel[0], pixel[1]] = maps[row, :, down, right]
        # Even where the neighbour is alike: else values that few others have give themselves away.
        hidden[row, :, pixel[0], pixel[1]] = True
        return Seen(seen.view_as(x), hidden.view_as(x))


def _mirrored(place: Tensor, step: Tensor, length: int) -> Tensor:
    """Take a step along an axis, or the opposite one where it leads out."""
    there = place + step
    inside = (there >= 0) & (there < length)
    return torch.where(inside, there, place - step).clamp(0, length - 1)


def _chance(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(x).uniform_(generator=generator)
