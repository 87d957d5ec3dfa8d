"""Halves of products and activations with their way back written out.

What autograd computes too, but without its graph, calls of modules, casts of one weight at a time
and fresh memory: in a small step these take as long as the products.

Shapes: B rows, I inputs, O outputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from isthmus.parts.networks.layers import Linear, Transposed
from isthmus.parts.networks.linear_path import LinearPathDecoder, LinearPathEncoder

_aten = torch.ops.aten
NOTHING_NOTED = torch.empty(0)


class Activation(NamedTuple):
    """An elementwise function ``y = f(a)`` and the way back through it."""

    apply: Callable[[Tensor], Tensor]  # in place where the slope is known from y alone
    back: Callable[[Tensor, Tensor, Tensor], Tensor]  # dL/dy, a, y to dL/da


_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: Activation(torch.relu_, lambda g, a, y: _aten.threshold_backward(g, y, 0)),
    nn.LeakyReLU: Activation(
        nn.functional.leaky_relu, lambda g, a, y: _aten.leaky_relu_backward(g, a, 0.01, False)
    ),
    nn.ELU: Activation(
        nn.functional.elu, lambda g, a, y: _aten.elu_backward(g, 1.0, 1.0, 1.0, False, a)
    ),
    nn.GELU: Activation(nn.functional.gelu, lambda g, a, y: _aten.gelu_backward(g, a)),
    nn.SiLU: Activation(nn.functional.silu, lambda g, a, y: _aten.silu_backward(g, a)),
    nn.Softplus: Activation(
        nn.functional.softplus, lambda g, a, y: _aten.softplus_backward(g, a, 1.0, 20.0)
    ),
    nn.Tanh: Activation(torch.tanh_, lambda g, a, y: _aten.tanh_backward(g, y)),
    nn.Sigmoid: Activation(torch.sigmoid_, lambda g, a, y: _aten.sigmoid_backward(g, y)),
    nn.Identity: Activation(lambda a: a, lambda g, a, y: g),
}


class HalfByHand(ABC):
    """A half of a network that goes forward and back without autograd.

    Attributes
    ----------
    x, y : Tensor (B, I), (B, O)
        What was noted last: from there the way back begins.
    """

    x = y = NOTHING_NOTED

    def forward(self, x: Tensor, *, noted: bool) -> Tensor:
        """Return what the half makes of float32 rows, (B, I) to (B, O)."""
        y = self._forth(x, noted=noted)
        if noted:
            self.x, self.y = x, y
        return y

    def forget(self) -> None:
        """Free what was noted."""
        self.x = self.y = NOTHING_NOTED

    @abstractmethod
    def _forth(self, x: Tensor, *, noted: bool) -> Tensor:
        """Go forward, and note what the way back needs besides x and y."""

    @abstractmethod
    def backward(self, slope: Tensor, *, further: bool) -> Tensor:
        """Leave the gradients with the weights, given dL/dy (B, O).

        Returns
        -------
        Tensor (B, I), dL/dx; without ``further`` nothing that means anything.
        """


class Weight:
    """A weight as products use it, and memory for its gradient that is kept from step to step.

    Fresh memory of such a size is the system's, which has to clear it.
    """

    def __init__(self, master: Tensor, *, reduced: bool) -> None:
        self.master = master
        self.used = torch.empty_like(master, dtype=torch.bfloat16) if reduced else master.detach()
        self._kept: tuple[Tensor, Tensor] | None = None  # as products make it, as it is left

    def leave(self, make: Callable[..., Tensor], *given: Any) -> None:
        """Leave the gradient ``make(*given)`` with the weight, added to what is there."""
        if not self.master.requires_grad:
            return
        if self.master.grad is not None:  # of a tied weight, which may be the memory kept here
            self.master.grad += make(*given)
            return
        if self._kept is None:
            made = torch.empty_like(self.used)
            self._kept = made, made.to(self.master.dtype)
        made, gradient = self._kept
        make(*given, out=made)
        if made is not gradient:
            gradient.copy_(made)
        self.master.grad = gradient


class Product:
    """``x W^T + b``, or ``x W + b`` with the weights of another layer."""

    def __init__(self, layer: Linear | Transposed, *, reduced: bool) -> None:
        self._crossed = isinstance(layer, Transposed)
        weight = layer._mirror[0].weight if isinstance(layer, Transposed) else layer.weight
        self.weight = Weight(weight, reduced=reduced)
        self.bias = Weight(layer.bias, reduced=reduced)
        used = self.weight.used
        self._back = used.t() if self._crossed else used  # (O, I)
        self._forth = self._back.t()

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias.used, x, self._forth)

    def backward(self, slope: Tensor, x: Tensor, *, further: bool) -> Tensor:
        left, right = (x, slope) if self._crossed else (slope, x)
        self.weight.leave(torch.mm, left.t(), right)
        self.bias.leave(torch.sum, slope, 0)
        return slope @ self._back if further else slope


class Stack(HalfByHand):
    """Products, each followed by an activation or by nothing."""

    def __init__(
        self, products: list[Product], activations: list[Activation | None], *, reduced: bool
    ) -> None:
        self._layers = list(zip(products, activations, strict=True))
        self._notes: list[tuple[Tensor, Tensor, Tensor]] = []  # of each layer: x, a, y
        self._precision = torch.bfloat16 if reduced else torch.float32
        self._masters: list[Tensor] = []
        self._cast: list[Tensor] = []
        for product in products if reduced else []:
            for weight in (product.weight, product.bias):
                self._masters.append(weight.master.detach())
                self._cast.append(weight.used)

    def _forth(self, x: Tensor, *, noted: bool) -> Tensor:
        if self._cast:
            torch._foreach_copy_(self._cast, self._masters)
        if noted:
            self._notes.clear()
        x = x.to(self._precision)
        for product, activation in self._layers:
            a = product.forward(x)
            y = a if activation is None else activation.apply(a)
            if noted:
                self._notes.append((x, a, y))
            x = y
        return x.float()

    def forget(self) -> None:
        super().forget()
        self._notes.clear()

    def backward(self, slope: Tensor, *, further: bool) -> Tensor:
        slope = slope.to(self._precision)
        for i in reversed(range(len(self._layers))):
            (product, activation), (x, a, y) = self._layers[i], self._notes[i]
            if activation is not None:
                slope = activation.back(slope, a, y)
            slope = product.backward(slope, x, further=further or i > 0)
        return slope.float()


class _BesideLinear(HalfByHand):
    """The linear path, in float32, and the layers beside it."""

    def __init__(self, half: LinearPathEncoder | LinearPathDecoder, layers: Stack | None) -> None:
        self.linear, self.layers = Product(half.linear, reduced=False), layers
        self.spread = half.spread

    def forget(self) -> None:
        super().forget()
        if self.layers is not None:
            self.layers.forget()

    def beside(self, x: Tensor, *, noted: bool) -> Tensor:
        """Return ``W x + b + f(x)``."""
        linear = self.linear.forward(x)
        return linear if self.layers is None else linear.add_(self.layers.forward(x, noted=noted))

    def back(self, slope: Tensor, x: Tensor, *, further: bool) -> Tensor:
        """Go back through that."""
        down = self.linear.backward(slope, x, further=further)
        if self.layers is None:
            return down
        beside = self.layers.backward(slope, further=further)
        return down.add_(beside) if further else slope


class EncoderBesideLinear(_BesideLinear):
    """``spread * (W x + b + f(x))``."""

    def _forth(self, x: Tensor, *, noted: bool) -> Tensor:
        return self.beside(x, noted=noted).mul_(self.spread)

    def backward(self, slope: Tensor, *, further: bool) -> Tensor:
        return self.back(slope * self.spread, self.x, further=further)


class DecoderBesideLinear(_BesideLinear):
    """``V u + c + g(u)`` of ``u = z / spread``."""

    def _forth(self, x: Tensor, *, noted: bool) -> Tensor:
        return self.beside(x / self.spread, noted=noted)

    def backward(self, slope: Tensor, *, further: bool) -> Tensor:
        return self.back(slope, self.x / self.spread, further=further) / self.spread


def half_by_hand(half: nn.Module, *, reduced: bool) -> HalfByHand | None:
    """Return a half of float32 weights written out; nothing where something in it is unknown.

    Products are made in bfloat16 where they are ``reduced``, the linear path never.
    """
    if isinstance(half, LinearPathEncoder | LinearPathDecoder):
        layers = None if half.layers is None else _stack(half.layers, reduced=reduced)
        unknown = layers is None and half.layers is not None
        if half.padded or unknown or not _is_plain(half.linear):
            return None
        encodes = isinstance(half, LinearPathEncoder)
        return (EncoderBesideLinear if encodes else DecoderBesideLinear)(half, layers)
    return _stack(half, reduced=reduced)


def is_hooked(module: nn.Module) -> bool:
    """Whether something of its user's is to be called beside a module."""
    hooks = ("forward_pre_hooks", "forward_hooks", "backward_pre_hooks", "backward_hooks")
    return any(getattr(module, f"_{each}") for each in hooks)


def _stack(module: nn.Module, *, reduced: bool) -> Stack | None:
    """Return a product, or a sequence that begins with one, as a stack; else nothing."""
    products: list[Product] = []
    activations: list[Activation | None] = []
    for each in module if type(module) is nn.Sequential else [module]:
        activation = _ACTIVATIONS.get(type(each))
        if _is_plain(each):
            products.append(Product(each, reduced=reduced))  # type: ignore[arg-type]
            activations.append(None)
        elif activation and products and activations[-1] is None and _is_usual(each):
            activations[-1] = activation
        else:
            return None
    return Stack(products, activations, reduced=reduced) if products else None


def _is_plain(layer: nn.Module) -> bool:
    """Whether a layer is a product in float32 with weights that are its own or another layer's."""
    own = type(layer) in (Linear, Transposed) and isinstance(layer.bias, nn.Parameter)
    return own and layer.bias.dtype == torch.float32


def _is_usual(activation: nn.Module) -> bool:
    """Whether an activation has the fields that it has unless told otherwise."""
    return repr(activation) == repr(type(activation)())
