"""What the one loop asks of a module that it trains.

Shapes: B rows of a batch, D features, T numbers of a target, O outputs.
"""

import functools
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isthmus.data.scaling import Scaling
from isthmus.fitting.counting import count_products


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
    frozen: frozenset[str] | None = None  # weights that their user holds; known once it is settled

    def thaw(self) -> None:
        """Let the weights be trained that were trained before the model was settled."""
        if self.frozen is not None:
            for name, weight in self.named_parameters():
                weight.requires_grad_(name not in self.frozen)

    @property
    @abstractmethod
    def noisy(self) -> bool:
        """Whether held-out rows are seen through noise, so that one draw may mislead."""

    @property
    def bears_copies(self) -> bool:
        """Whether held-out rows come to the same beside copies of themselves."""
        return False

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

    @abstractmethod
    def output_of(self, x: Tensor) -> Tensor:
        """Scaled rows (B, D) to outputs (B, O), by way of their deterministic codes."""

    @functools.cached_property
    def n_products(self) -> int:
        """Multiplications by which a row goes forward; counted once, since that takes one."""
        settled = any(weight.dtype == torch.float64 for weight in self.parameters())
        precision = torch.float64 if settled else torch.float32
        row = torch.zeros_like(self.scaling.offset, dtype=precision)[None]
        training = self.training
        n_products = count_products(self.eval().output_of, row)
        self.train(training)
        return n_products
