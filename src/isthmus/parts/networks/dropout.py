"""Dropout that draws from a stream of its own."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """``x * mask / (1 - chance)`` in training (Srivastava et al. 2014); the identity otherwise.

    torch's own draws from the global generator, which a library must not touch; the training
    loop lends this one its generator.
    """

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.chance):
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.chance, generator=self.generator)
        return x * kept / (1 - self.chance)
