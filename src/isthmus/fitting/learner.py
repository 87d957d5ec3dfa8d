"""What the one loop asks of a module that it trains.

Shapes: B rows of a batch, D features, T numbers of a target, O outputs.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isthmus.data.scaling import Scaling


class Randomness(NamedTuple):
    """The streams that one pass draws from."""

    corruption: torch.Generator
    code: torch.Generator
    penalty: torch.Generator


class Objective(NamedTuple):
    """The loss of a batch and what it is made of."""

    rows: Tensor  # (B,) nats: likelihood and divergence of each row
    terms: dict[str, Tensor]  # () by name, averaged over the batch, weights applied
    loss: Tensor  # () their sum
    output: Tensor  # (B S, O) natural parameters, of each draw that counts


class Learner(nn.Module, ABC):
    """A module with an objective; its scaling belongs to it."""

    scaling: Scaling

    @property
    @abstractmethod
    def noisy(self) -> bool:
        """Whether held-out rows are seen through noise, so that one draw may mislead."""

    @property
    def n_draws(self) -> int:
        """Outputs that a row becomes on the way to its loss."""
        return 1

    @property
    def steep(self) -> bool:
        """Whether a single batch can have a gradient far beyond all others."""
        return False

    @abstractmethod
    def forward(
        self, x: Tensor, target: Tensor, randomness: Randomness, at: float = 1.0
    ) -> Objective:
        """Return the objective of scaled rows `x` (B, D) that should give `target` (B, T).

        ``at`` is the time of the training, 0 to 1.
        """

    @abstractmethod
    def errors(self, output: Tensor, target: Tensor) -> Tensor:
        """Return how wrong each row's output is, (B,); for comparison, not for training."""

    @property
    def n_products(self) -> int:
        """Multiplications by which a row goes forward; one per weight in a dense network."""
        return sum(weight.numel() for weight in self.parameters())
