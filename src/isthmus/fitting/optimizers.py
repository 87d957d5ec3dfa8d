"""Optimisers by name, from gradient descent to NAdam and Muon, as parts.

The names are the field's; the fields and the implementations are torch's, fused where torch
has that. `rate` is what ``learning_rate="auto"`` means.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from isthmus.fitting.fused import FusedAdam, FusedSGD, Stepper
from isthmus.parts.part import Part, part

Decay = Annotated[float, Field(ge=0, description="weight decay")]
Share = Annotated[float, Field(ge=0, lt=1, description="how much of the past is kept")]
Shares = Annotated[tuple[Share, Share], Field(description="of the mean of g, and of g^2")]
GROUPED = {"foreach": True}


class Optimizer(Part):
    """How a gradient g becomes a step. Parts are final; two of them build in their own way."""

    slot = "optimizer"
    kind: ClassVar[Callable[..., Stepper]]
    fixed: ClassVar[Mapping[str, Any]]  # arguments of `kind` that nobody wants to choose
    rate: ClassVar[float]
    whole: ClassVar[bool] = False  # wants large batches: its line search trusts the loss

    def rate_for(self, learning_rate: float | str) -> float:
        """Return the rate that a parameter means: a number, or "auto"."""
        return self.rate if learning_rate == "auto" else float(learning_rate)

    def build(self, parameters: Iterable[nn.Parameter], rate: float) -> Stepper:
        """Return the optimiser over `parameters`."""
        return self.kind(list(parameters), lr=rate, **self.fixed, **dataclasses.asdict(self))  # type: ignore[call-overload]


@part("sgd")
class SGD(Optimizer):
    """Gradient descent on batches: ``w -= rate * g``."""

    weight_decay: Decay = 0.0

    kind, fixed, rate = FusedSGD, {}, 1e-3


@part("momentum")
class Momentum(Optimizer):
    """``v = momentum v + g; w -= rate * v`` (Polyak 1964)."""

    momentum: Share = 0.9
    weight_decay: Decay = 0.0

    kind, fixed, rate = FusedSGD, {}, 1e-3


@part("nesterov")
class Nesterov(Optimizer):
    """Momentum with the gradient taken ahead (Sutskever et al. 2013)."""

    momentum: Annotated[float, Field(gt=0, lt=1, description="how much of the past is kept")] = 0.9
    weight_decay: Decay = 0.0

    kind, fixed, rate = FusedSGD, {"nesterov": True}, 1e-3


@part("adagrad")
class Adagrad(Optimizer):
    """``w -= rate * g / sqrt(sum of g^2)`` (Duchi et al. 2011)."""

    weight_decay: Decay = 0.0

    # Torch's fused one knows the processor alone.
    kind, fixed, rate = torch.optim.Adagrad, GROUPED, 1e-2


@part("rmsprop")
class RMSprop(Optimizer):
    """``w -= rate * g / sqrt(mean of g^2)`` (Hinton 2012, lecture 6e)."""

    alpha: Share = 0.99
    momentum: Share = 0.0
    weight_decay: Decay = 0.0

    kind, fixed, rate = torch.optim.RMSprop, GROUPED, 1e-3


@part("adadelta")
class Adadelta(Optimizer):
    """RMSprop whose steps carry the unit of the weights (Zeiler 2012)."""

    rho: Share = 0.9
    weight_decay: Decay = 0.0

    kind, fixed, rate = torch.optim.Adadelta, GROUPED, 1.0


@part("adam")
class Adam(Optimizer):
    """``w -= rate * mean of g / sqrt(mean of g^2)`` (Kingma & Ba 2015)."""

    betas: Shares = (0.9, 0.999)
    weight_decay: Decay = 0.0

    kind, fixed, rate = FusedAdam, {}, 4e-3


@part("adamw")
class AdamW(Optimizer):
    """Adam whose weight decay acts on the weights, not on g (Loshchilov & Hutter 2019)."""

    betas: Shares = (0.9, 0.999)
    weight_decay: Decay = 1e-2

    kind, fixed, rate = FusedAdam, {"decoupled": True}, 4e-3


@part("adamax")
class Adamax(Optimizer):
    """Adam by the largest recent ``|g|`` (Kingma & Ba 2015, section 7.1)."""

    betas: Shares = (0.9, 0.999)
    weight_decay: Decay = 0.0

    kind, fixed, rate = torch.optim.Adamax, GROUPED, 2e-3


@part("nadam")
class NAdam(Optimizer):
    """Adam with Nesterov's look ahead (Dozat 2016)."""

    betas: Shares = (0.9, 0.999)
    weight_decay: Decay = 0.0

    kind, fixed, rate = torch.optim.NAdam, GROUPED, 2e-3


@part("radam")
class RAdam(Optimizer):
    """Adam that waits until its variance is known (Liu et al. 2020)."""

    betas: Shares = (0.9, 0.999)
    weight_decay: Decay = 0.0

    kind, fixed, rate = torch.optim.RAdam, GROUPED, 2e-3


@part("lbfgs")
class LBFGS(Optimizer):
    """Limited-memory BFGS with a strong Wolfe line search (Liu & Nocedal 1989)."""

    max_iter: Annotated[int, Field(ge=1, description="iterations per batch")] = 20
    history_size: Annotated[int, Field(ge=1, description="pairs that model the curvature")] = 10

    kind, fixed, rate, whole = torch.optim.LBFGS, {"line_search_fn": "strong_wolfe"}, 1.0, True

    def build(self, parameters: Iterable[nn.Parameter], rate: float) -> Stepper:
        """Return the torch optimiser over weights that lie row by row, which it takes for granted.

        Convolutions keep their channels last.
        """
        everything = list(parameters)
        for parameter in everything:
            parameter.data = parameter.data.contiguous()
        return super().build(everything, rate)


@part("muon")
class Muon(Optimizer):
    """Orthogonalised momentum for matrices, AdamW for the rest (Jordan et al. 2024).

    Kernels of convolutions are matrices too, with a row per map; very narrow ones are the rest's.
    """

    momentum: Share = 0.95
    weight_decay: Decay = 0.0

    kind, fixed, rate = torch.optim.Muon, {"adjust_lr_fn": "match_rms_adamw"}, 2e-3

    def build(self, parameters: Iterable[nn.Parameter], rate: float) -> Stepper:
        """Return both optimisers as one."""
        everything = list(parameters)
        matrices = [p for p in everything if is_matrix(p)]
        rest = [p for p in everything if not is_matrix(p)]
        options = {**self.fixed, **dataclasses.asdict(self)}
        built: list[Stepper] = []
        if matrices:
            built.append(OverMatrices(matrices, lr=rate, **options))
        if rest:
            built.append(FusedAdam(rest, rate, decoupled=True))
        return Together(built)


NARROW = 8  # rows or columns, of which a kernel has fewer where it meets few channels


def is_matrix(weight: Tensor) -> bool:
    """Return whether to orthogonalise what moves the weight."""
    kernel = weight.ndim > 2 and min(weight.shape[:2]) >= NARROW
    return weight.ndim == 2 or kernel


def as_matrix(values: Tensor, weight: Tensor) -> Tensor:
    """Return values of a weight's shape as a matrix, (rows, the rest), in its order in memory."""
    if weight.ndim == 4 and not weight.is_contiguous():  # channels last
        values = values.permute(0, 2, 3, 1)
    return values.reshape(len(values), -1)


class OverMatrices(torch.optim.Muon):
    """Muon over weights of any shape; its own parameters are the same memory as matrices."""

    def __init__(self, weights: list[nn.Parameter], **options: Any) -> None:
        self.weights = weights
        matrices = (w if w.ndim == 2 else nn.Parameter(as_matrix(w.detach(), w)) for w in weights)
        super().__init__(list(matrices), **options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the weights."""
        super().zero_grad(set_to_none)
        for weight in self.weights:
            weight.grad = None

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step down the weights' gradients."""
        for matrix, weight in zip(self.param_groups[0]["params"], self.weights, strict=True):
            if weight.grad is not None and weight is not matrix:
                matrix.grad = as_matrix(weight.grad, weight)
        super().step()  # type: ignore[no-untyped-call]


class Together(torch.optim.Optimizer):
    """Several optimisers over different parameters that step as one."""

    def __init__(self, members: list[Stepper]) -> None:
        self.members = members
        super().__init__([group for member in members for group in member.param_groups], {})
        # The members' own groups, so that a changed learning rate reaches them.
        self.param_groups = [group for member in members for group in member.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all."""
        for member in self.members:
            member.zero_grad(set_to_none)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take one step of each; the closure is evaluated once."""
        loss = closure() if closure is not None else None
        for member in self.members:
            member.step(None)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the members' states."""
        return {"members": [member.state_dict() for member in self.members]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the members' states."""
        for member, state in zip(self.members, state_dict["members"], strict=True):
            member.load_state_dict(state)
        self.param_groups = [group for member in self.members for group in member.param_groups]
