"""Torch's fused steps, and little around them.

Torch's own optimisers take as long again for asking anew at each step what never changes, and torch
imports its compiler, for a second, when the first of them is built.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Remembered = dict[str, Any]  # tensors of a weight's shape, and counts, by name


class Stepper(Protocol):
    """What the training loop asks of an optimiser: torch's, or a `Fused` one."""

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


class Fused(ABC):
    """An optimiser over groups of weights; it goes on from the state of torch's own."""

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        self.param_groups = [{**group, "params": list(group["params"])} for group in groups]
        self.state: dict[Tensor, Remembered] = {}

    @abstractmethod
    def _begin(self, weight: Tensor) -> Remembered:
        """Return what is remembered of a weight before its first gradient."""

    @abstractmethod
    def _update(self, group: dict[str, Any], weights: list[Tensor], kept: list[Remembered]) -> None:
        """Take a step of weights, one at least, by the options of their group."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take a step down the gradient that the closure leaves with the weights."""
        loss = closure() if closure is not None else None
        with torch.no_grad():
            for group in self.param_groups:
                weights = [weight for weight in group["params"] if weight.grad is not None]
                for weight in weights:
                    if weight not in self.state:
                        self.state[weight] = self._begin(weight)
                if weights:
                    self._update(group, weights, [self.state[weight] for weight in weights])
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered, by the place of its weight."""
        everything = itertools.chain.from_iterable(group["params"] for group in self.param_groups)
        places = {weight: place for place, weight in enumerate(everything)}
        groups = [
            {**group, "params": [places[weight] for weight in group["params"]]}
            for group in self.param_groups
        ]
        kept = {places[weight]: kept for weight, kept in self.state.items()}
        return {"state": kept, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember what another did, or one of torch's."""
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({**saved, "params": group["params"]})
        self.state.clear()
        for place, saved in state_dict["state"].items():
            kept = self.state[weights[place]] = self._begin(weights[place])
            for name, value in kept.items():
                if not isinstance(value, Tensor):
                    kept[name] = int(saved[name])
                elif saved.get(name) is not None:  # torch's momentum begins with the first step
                    value.copy_(saved[name])


class FusedAdam(Fused):
    """Adam, or ``decoupled`` AdamW."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        *,
        decoupled: bool = False,
    ) -> None:
        super().__init__([{"params": parameters, "lr": lr}])
        self._step = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self._fixed: dict[str, Any] = {
            "beta1": betas[0],
            "beta2": betas[1],
            "weight_decay": weight_decay,
            "eps": 1e-8,
            "amsgrad": False,
            "maximize": False,
        }

    def _begin(self, weight: Tensor) -> Remembered:
        mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
        return {"step": 0, "exp_avg": mean, "exp_avg_sq": square}

    def _update(self, group: dict[str, Any], weights: list[Tensor], kept: list[Remembered]) -> None:
        for each in kept:
            each["step"] += 1
        # Mostly one count, of all; torch wants one for each.
        counts = {
            n: torch.tensor(n, dtype=torch.float32, device=weights[0].device)
            for n in {each["step"] for each in kept}
        }
        self._step(
            weights,
            [weight.grad for weight in weights],  # type: ignore[misc]
            [each["exp_avg"] for each in kept],
            [each["exp_avg_sq"] for each in kept],
            [],
            [counts[each["step"]] for each in kept],
            lr=group["lr"],
            **self._fixed,
        )


class FusedSGD(Fused):
    """Gradient descent, or ascent to ``maximize``, with momentum or without.

    Each group has its own ``momentum`` and ``weight_decay``, which may change on the way.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        maximize: bool = False,
        undecayed: Iterable[Tensor] = (),
    ) -> None:
        given = {"lr": lr, "momentum": momentum}
        groups = [{"params": parameters, "weight_decay": weight_decay, **given}]
        if others := list(undecayed):
            groups.append({"params": others, "weight_decay": 0.0, **given})
        super().__init__(groups)
        self._fixed: dict[str, Any] = {
            "dampening": 0.0,
            "nesterov": nesterov,
            "maximize": maximize,
            "is_first_step": False,  # from zeros the first is like any other
        }

    def _begin(self, weight: Tensor) -> Remembered:
        return {"momentum_buffer": torch.zeros_like(weight)}

    def _update(self, group: dict[str, Any], weights: list[Tensor], kept: list[Remembered]) -> None:
        torch._fused_sgd_(
            weights,
            [weight.grad for weight in weights],  # type: ignore[misc]
            [each["momentum_buffer"] for each in kept] if group["momentum"] else [],
            lr=group["lr"],
            momentum=group["momentum"],
            weight_decay=group["weight_decay"],
            **self._fixed,
        )
