"""Adam's step, and little around it.

`torch.optim.Adam` takes as long again for asking anew at each step what never changes, and torch
imports its compiler, for a second, when the first of its optimisers is built.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Stepper(Protocol):
    """What the training loop asks of an optimiser: torch's, or `FusedAdam`."""

    param_groups: list[dict[str, Any]]  # of weights, "params", each with its learning rate, "lr"

    @property
    def state(self) -> Any:
        """What is remembered of each weight's gradients, by name."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""

    def step(self, closure: Any) -> Any:
        """Take a step down the gradient that the closure leaves with the weights."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, besides the weights."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to such a state."""


class FusedAdam:
    """Torch's fused step of Adam, or ``decoupled`` of AdamW, over weights of one type.

    What it remembers is what `torch.optim.Adam` does, and it goes on from there.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        *,
        decoupled: bool = False,
    ) -> None:
        weights = list(parameters)
        self.param_groups: list[dict[str, Any]] = [{"params": weights, "lr": lr}]
        self._means = [torch.zeros_like(weight) for weight in weights]
        self._squares = [torch.zeros_like(weight) for weight in weights]
        # One tensor of all counts, for one sum at each step; the step itself wants them singly.
        device = weights[0].device if weights else None
        self._counts = torch.zeros(len(weights), dtype=torch.float32, device=device)
        self._each_count = [*self._counts.unbind()]
        self._update: Callable[..., Any]
        self._update = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self._fixed: dict[str, Any] = {
            "beta1": betas[0],
            "beta2": betas[1],
            "weight_decay": weight_decay,
            "eps": 1e-8,
            "amsgrad": False,
            "maximize": False,
        }

    @property
    def state(self) -> dict[nn.Parameter, dict[str, Tensor]]:
        """What is remembered of each weight's gradients; nothing of one that never had any."""
        weights, seen = self.param_groups[0]["params"], self._counts.tolist()
        return {
            weight: {"step": count, "exp_avg": mean, "exp_avg_sq": square}
            for weight, count, mean, square, n_steps in zip(
                weights, self._each_count, self._means, self._squares, seen, strict=True
            )
            if n_steps
        }

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for weight in self.param_groups[0]["params"]:
            weight.grad = None

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take a step down the gradient that the closure leaves with the weights."""
        loss = closure() if closure is not None else None
        group = self.param_groups[0]
        everything = [
            (weight, weight.grad, *kept)
            for weight, *kept in zip(
                group["params"], self._means, self._squares, self._each_count, strict=True
            )
            if weight.grad is not None
        ]
        if not everything:
            return loss
        weights, gradients, means, squares, counts = zip(*everything, strict=True)
        with torch.no_grad():
            if len(counts) == len(self._counts):
                self._counts += 1
            else:
                torch._foreach_add_(counts, 1)
            self._update(
                weights, gradients, means, squares, (), counts, lr=group["lr"], **self._fixed
            )
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered, by the place of its weight."""
        group = self.param_groups[0]
        places = {weight: place for place, weight in enumerate(group["params"])}
        return {
            "state": {places[weight]: kept for weight, kept in self.state.items()},
            "param_groups": [{**group, "params": [*places.values()]}],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember what another did, or one of torch's."""
        group = self.param_groups[0]
        group.update({**state_dict["param_groups"][0], "params": group["params"]})
        for place, kept in state_dict["state"].items():
            self._each_count[place].copy_(kept["step"])
            self._means[place].copy_(kept["exp_avg"])
            self._squares[place].copy_(kept["exp_avg_sq"])
