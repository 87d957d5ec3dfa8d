"""The layers that networks are made of, drawn from a stream of their own."""

import contextlib
import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal[
    "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid", "identity"
]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
# Glorot & Bengio (2010) for the symmetric ones, He et al. (2015) for the rectifiers.
_GAIN = {"tanh": 5 / 3, "sigmoid": 1.0, "identity": 1.0}


class _ZeroAtFirst(nn.Module):
    """A layer of torch's in float32 that begins at zero.

    Torch's own starts with draws from the global generator, in the type that its user has set.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, dtype=torch.float32, **kwargs)

    def reset_parameters(self) -> None:
        for weights in self.parameters():
            nn.init.zeros_(weights)


class Linear(_ZeroAtFirst, nn.Linear):
    """``x W^T + b``."""


class Conv2d(_ZeroAtFirst, nn.Conv2d):
    """A convolution, (B, C, H, W)."""


class ConvTranspose2d(_ZeroAtFirst, nn.ConvTranspose2d):
    """The transposed convolution, (B, C, H, W)."""


class GRU(_ZeroAtFirst, nn.GRU):
    """Gated recurrent units, (B, T, F)."""


class LSTM(_ZeroAtFirst, nn.LSTM):
    """Long short-term memory, (B, T, F)."""


class InFloat32(nn.Module):
    """What stays in float32 in use, as training left it, where all else is float64."""


class Transposed(nn.Module):
    """``x W + b`` with the weights W of another layer: the decoder's half of a tied pair."""

    def __init__(self, mirror: nn.Linear) -> None:
        super().__init__()
        # In a tuple, so that the weight is registered (and saved) once, in the encoder.
        self._mirror = (mirror,)
        self.bias = nn.Parameter(mirror.weight.new_zeros(mirror.in_features))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self._mirror[0].weight.T, self.bias)


Product = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def silence(network: nn.Module) -> None:
    """Make a network answer nothing at first: its last product becomes zero."""
    products = [layer for layer in network.modules() if isinstance(layer, Product)]
    nn.init.zeros_(products[-1].weight)


def exact(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Leave the reduced precision, for what must lose nothing: PCA, codes, penalties."""
    device = x.device.type
    reduced = torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if reduced else contextlib.nullcontext()


def initialise(layer: nn.Module, activation: str, generator: torch.Generator) -> None:
    """Draw a layer's weights for the activation that follows it; biases are zero."""
    if not isinstance(layer, nn.Linear):
        return
    nn.init.zeros_(layer.bias)
    if activation in _GAIN:
        nn.init.xavier_uniform_(layer.weight, gain=_GAIN[activation], generator=generator)
    else:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)


def keep_size(layer: Product, activation: str, generator: torch.Generator) -> None:
    """Draw a layer's weights so that what goes forward keeps its size, however wide it becomes."""
    n_inputs = layer.weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):  # of its weights a pixel meets one in stride^2
        n_inputs = layer.in_channels * layer.weight[0, 0].numel() // layer.stride[0] ** 2
    bound = math.sqrt(3 / n_inputs) * _GAIN.get(activation, math.sqrt(2))
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
