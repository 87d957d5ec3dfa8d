"""A step by hand for the net of the speed contest alone: what torch's own operators need for it.

No autograd and no autocast: all weights are cast in one call, and gradients are written into memory
that is kept. Rectified layers, the mean squared error, Adam.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus.fitting.plan import multiplies_bfloat16
from isthmus.fitting.steps import FLUSH_EVERY, flush


class ByHand:
    """A net of linear layers and rectifiers; its own float32 weights are trained."""

    def __init__(self, net: nn.Module, rate: float) -> None:
        leaves = [module for module in net.modules() if not [*module.children()]]
        pairs = [pair for pair in pairwise([*leaves, None]) if isinstance(pair[0], nn.Linear)]
        self.rectified = [isinstance(after, nn.ReLU) for _, after in pairs]
        self.weights = [layer.weight for layer, _ in pairs]
        self.biases = [layer.bias for layer, _ in pairs]
        masters = [*self.weights, *self.biases]
        for master in masters:
            master.grad = torch.zeros_like(master)
        self.precision = torch.bfloat16 if multiplies_bfloat16("cpu") else torch.float32
        self.cast = [master.detach().to(self.precision).clone() for master in masters]
        self.optimizer = torch.optim.Adam(masters, lr=rate, fused=True)
        self.n_steps = 0

    @torch.no_grad()
    def step(self, x: Tensor) -> None:
        """Take a step down the gradient of one batch, (B, D)."""
        masters = [*self.weights, *self.biases]
        torch._foreach_copy_(self.cast, masters)
        weights, biases = self.cast[: len(self.weights)], self.cast[len(self.weights) :]
        made = [x.to(self.precision)]
        for weight, bias, rectified in zip(weights, biases, self.rectified, strict=True):
            made.append(torch.addmm(bias, made[-1], weight.T))
            if rectified:
                functional.relu_(made[-1])
        slope = ((made[-1].float() - x) * (2 / x.numel())).to(self.precision)
        for i in reversed(range(len(weights))):
            if self.rectified[i]:
                slope = torch.ops.aten.threshold_backward(slope, made[i + 1], 0)
            self.weights[i].grad.copy_(slope.T @ made[i])
            self.biases[i].grad.copy_(slope.sum(0))
            if i:
                slope = slope @ weights[i]
        self.optimizer.step()
        self.n_steps += 1
        if self.n_steps % FLUSH_EVERY == 0:
            flush(self.optimizer)
