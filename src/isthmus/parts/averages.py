"""What parts learn from the batches of a training besides the network's weights."""

import torch
from torch import Tensor, nn


class SlidingMean(nn.Module):
    """The average of what batches were found to need: plain at first, sliding later."""

    values: Tensor
    n_batches: Tensor

    def __init__(self, *shape: int, start: float = 0.0, keep: float = 0.99) -> None:
        super().__init__()
        self.keep = keep  # share of the average that a further batch leaves
        self.register_buffer("values", torch.full(shape, start, dtype=torch.float32))
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.float32))

    @torch.no_grad()
    def learn(self, values: Tensor) -> None:
        """Move towards what one batch needed."""
        self.n_batches += 1
        share = torch.clamp(1 / self.n_batches, min=1 - self.keep)
        self.values.lerp_(values.to(self.values), share.to(self.values))
