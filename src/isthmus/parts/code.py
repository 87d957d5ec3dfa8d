"""Codes: what the encoder's head becomes. B rows, K code units."""

import torch
from torch import Tensor

from isthmus.parts.part import part
from isthmus.parts.slots import Code, Drawn


@part("plain")
class Plain(Code):
    """``z = head``: a linear code, as in PCA."""

    linear = True
    hides = False

    def mean(self, head: Tensor) -> Tensor:
        return head

    def draw(self, head: Tensor, generator: torch.Generator) -> Drawn:
        return Drawn(head, head, None)


@part("sigmoid")
class Sigmoid(Code):
    """``z = 1 / (1 + exp(-head))``: each unit between 0 and 1, as in an RBM's hidden layer."""

    low = 0.0
    high = 1.0
    linear = False
    hides = False

    def mean(self, head: Tensor) -> Tensor:
        return torch.sigmoid(head)

    def draw(self, head: Tensor, generator: torch.Generator) -> Drawn:
        z = self.mean(head)
        return Drawn(z, z, None)
