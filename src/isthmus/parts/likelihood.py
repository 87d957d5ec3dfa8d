"""Likelihoods: link, domain, loss and sampling in one object. B rows, D features.

Every `nll` is in nats per sample, normalising constants included, summed over features.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from isthmus.parts.averages import SlidingMean
from isthmus.parts.part import part
from isthmus.parts.slots import NOTHING, Likelihood, Nothing

SMALLEST = 1e-12  # of a learned variance, where all is rebuilt exactly
SHARED = 1e-3  # of a feature's own variance, the mean of all features'
RECENT = 0.9  # share of the learned variance that a further batch leaves: errors fall

Width = Annotated[float, Field(gt=0, description="in scaled units")]


@part("normal")
class Normal(Likelihood):
    """``-log p = sum_d (x_d - output_d)^2 / (2 std^2) + log(std sqrt(2 pi))``: squared error.

    With ``std="learned"`` one std serves all features and rows, the likeliest: the root of the
    mean squared error of the batch, in use of the last batches of the training. For bounds of
    several draws it is too wide: it counts draws alike that the bound does not. With
    ``std="per_feature"`` each feature has its own, of the last batches in training too, since one
    says little of a single feature: for tables to draw rows from. A thousandth of each variance is
    the mean of all, so that features that hardly vary do not count without bounds.

    References
    ----------
    Rybkin, O., Daniilidis, K. & Levine, S. (2021). Simple and effective VAE training with
    calibrated decoders. Section 3.1 (optimal sigma-VAE).
    """

    std: Annotated[
        Width | Literal["learned", "per_feature"],
        Field(description="in scaled units; or learned, one for all, or each feature's own"),
    ] = 1.0

    location = True
    squared_error = True

    @property
    def learns(self) -> bool:
        return isinstance(self.std, str)

    @property
    def isotropic(self) -> bool:
        return self.std != "per_feature"

    @property
    def variance(self) -> float | None:
        return None if isinstance(self.std, str) else self.std**2

    def memory(self, n_features: int, variance: float = 1.0) -> nn.Module:
        if not self.learns:
            return Nothing()
        shape = () if self.isotropic else (n_features,)
        return SlidingMean(*shape, start=max(variance, SMALLEST), keep=RECENT)

    def nll(self, output: Tensor, x: Tensor, memory: nn.Module = NOTHING) -> Tensor:
        squares = functional.mse_loss(output, x, reduction="none")  # one kernel each way
        if isinstance(self.std, str):
            variance = self._variance(squares, memory)
            return (squares / variance + torch.log(2 * math.pi * variance)).sum(1) / 2
        constant = x.shape[1] * math.log(self.std * math.sqrt(2 * math.pi))
        return squares.sum(1) / (2 * self.std**2) + constant

    def mean(self, output: Tensor) -> Tensor:
        return output

    def sample(
        self, output: Tensor, generator: torch.Generator, memory: nn.Module = NOTHING
    ) -> Tensor:
        noise = torch.empty_like(output).normal_(generator=generator)
        if isinstance(self.std, str):
            return output + memory.get_buffer("values").sqrt() * noise
        return output + self.std * noise

    def _variance(self, squares: Tensor, memory: nn.Module) -> Tensor:
        """Return what `variance_of` does; in training, learn of the batch first."""
        squares = squares.detach()
        if memory.training:
            memory.learn(self._likeliest(squares))  # type: ignore[operator]
        return self.variance_of(squares, memory)

    def variance_of(self, squares: Tensor, memory: nn.Module) -> Tensor:
        """Return the learned variance by which squared errors (B, D) are judged, () or (D,).

        Of the batch in training, or each feature's of the last ones; in use, the learned one.
        """
        if memory.training and self.isotropic:
            return self._likeliest(squares)
        # A copy: the next batch changes what is learned, and this one's gradient needs it.
        return memory.get_buffer("values").to(squares, copy=True)

    def _likeliest(self, squares: Tensor) -> Tensor:
        """Return the variance under which the batch is likeliest, () or (D,)."""
        variance = squares.mean()
        if not self.isotropic:
            variance = squares.mean(0).lerp(variance, SHARED)
        return variance.clamp(min=SMALLEST)


@part("laplace")
class Laplace(Likelihood):
    """``-log p = sum_d |x_d - output_d| / width + log(2 width)``: absolute error, for outliers."""

    width: Width = 1.0

    location = True
    squared_error = False

    def nll(self, output: Tensor, x: Tensor, memory: nn.Module = NOTHING) -> Tensor:
        return (x - output).abs().sum(1) / self.width + x.shape[1] * math.log(2 * self.width)

    def mean(self, output: Tensor) -> Tensor:
        return output

    def sample(
        self, output: Tensor, generator: torch.Generator, memory: nn.Module = NOTHING
    ) -> Tensor:
        # The difference of two exponential draws is a Laplace draw.
        a = torch.empty_like(output).exponential_(generator=generator)
        b = torch.empty_like(output).exponential_(generator=generator)
        return output + self.width * (a - b)


@part("bernoulli")
class Bernoulli(Likelihood):
    """``-log p = -sum_d x_d log m_d + (1 - x_d) log(1 - m_d)``, m = sigmoid(output).

    The cross-entropy; exact for x in {0, 1}, and the field's custom for x between.
    """

    location = False
    squared_error = False
    low = 0.0
    high = 1.0

    def nll(self, output: Tensor, x: Tensor, memory: nn.Module = NOTHING) -> Tensor:
        loss = functional.binary_cross_entropy_with_logits(output, x, reduction="none")
        return loss.sum(1)

    def mean(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)

    def sample(
        self, output: Tensor, generator: torch.Generator, memory: nn.Module = NOTHING
    ) -> Tensor:
        return torch.bernoulli(self.mean(output), generator=generator)


def nll_of(likelihood: Likelihood, output: Tensor, x: Tensor, judged: Tensor) -> Tensor:
    """Return the nats (B,) of the values that are judged, (B, D), as a location likelihood."""
    best = likelihood.nll(x, x)  # constants alone
    missed = likelihood.nll(torch.where(judged, output, x), x) - best
    return missed + best * judged.float().mean(1)
