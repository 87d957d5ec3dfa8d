"""Likelihoods: link, domain, loss and sampling in one object. B rows, D features.

Every `nll` is in nats per sample, normalising constants included, summed over features.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from isthmus.parts.part import part
from isthmus.parts.slots import Likelihood

Width = Annotated[float, Field(gt=0, description="in scaled units")]


@part("normal")
class Normal(Likelihood):
    """``-log p = sum_d (x_d - output_d)^2 / (2 std^2) + log(std sqrt(2 pi))``: squared error."""

    std: Width = 1.0

    location = True
    squared_error = True

    def nll(self, output: Tensor, x: Tensor) -> Tensor:
        constant = x.shape[1] * math.log(self.std * math.sqrt(2 * math.pi))
        squares = functional.mse_loss(output, x, reduction="none")  # one kernel each way
        return squares.sum(1) / (2 * self.std**2) + constant

    def mean(self, output: Tensor) -> Tensor:
        return output

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(output).normal_(generator=generator)
        return output + self.std * noise


@part("laplace")
class Laplace(Likelihood):
    """``-log p = sum_d |x_d - output_d| / width + log(2 width)``: absolute error, for outliers."""

    width: Width = 1.0

    location = True
    squared_error = False

    def nll(self, output: Tensor, x: Tensor) -> Tensor:
        return (x - output).abs().sum(1) / self.width + x.shape[1] * math.log(2 * self.width)

    def mean(self, output: Tensor) -> Tensor:
        return output

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
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

    def nll(self, output: Tensor, x: Tensor) -> Tensor:
        loss = functional.binary_cross_entropy_with_logits(output, x, reduction="none")
        return loss.sum(1)

    def mean(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(self.mean(output), generator=generator)
