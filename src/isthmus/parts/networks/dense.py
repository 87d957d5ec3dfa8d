"""The dense network: a multilayer perceptron, its mirror image, and the linear path beside them.

Shapes: B rows, D features, H head outputs, K code units, O outputs.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn
from torch.nn import functional

from isthmus.errors import ParameterError
from isthmus.parts.code import Plain, Rectified, Sigmoid
from isthmus.parts.likelihood import Bernoulli, Normal
from isthmus.parts.networks.dropout import Dropout
from isthmus.parts.part import part
from isthmus.parts.slots import Code, Halves, Likelihood, Network, Nothing, Sizes, Stage

Activation = Literal[
    "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid", "identity"
]
_ACTIVATIONS: dict[str, type[nn.Module]] = {
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


@part("dense")
class Dense(Network):
    """Fully connected layers ``hidden`` down to the code and mirrored up again.

    With the linear path, ``head = W x + f(x)`` and ``output = V z + g(z)``, where W and V are
    the PCA of the training rows and the last layers of f and g begin at zero: the network
    starts as the PCA of its own width.
    """

    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(description="widths from the input to the code; () is a linear autoencoder"),
    ] = (256, 128)
    activation: Annotated[Activation, Field(description="of the hidden layers")] = "silu"
    tied: Annotated[
        bool, Field(description="the decoder's weights are the encoder's, transposed")
    ] = False
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="chance of a hidden unit to be dropped")
    ] = 0.0
    norm: Annotated[
        Literal["batch", "layer"] | None, Field(description="normalisation of the hidden layers")
    ] = None
    linear_path: Annotated[
        Literal["auto", "pca", "none"],
        BeforeValidator(lambda value: "none" if value is None else value),  # linear_path=none
        Field(description="auto: the PCA where code and likelihood are those of PCA"),
    ] = "auto"

    @property
    def hides(self) -> bool:
        return self.dropout > 0 and bool(self.hidden)

    @property
    def rows_apart(self) -> bool:
        return self.norm != "batch"

    def wants_pca(self, code: Code, likelihood: Likelihood) -> bool:
        fits = code.linear and likelihood.squared_error and not self.tied
        if self.linear_path == "pca" and not fits:
            raise ParameterError(
                f"linear_path='pca' needs a plain code, a normal likelihood and untied weights; "
                f"got code={str(code)!r}, likelihood={str(likelihood)!r}, tied={self.tied}: "
                f"write linear_path='none'."
            )
        return fits and self.linear_path != "none"

    def build(self, sizes: Sizes, generator: torch.Generator, *, linear_path: bool) -> Halves:
        down = [sizes.n_features, *self.hidden, sizes.n_head]
        up = [sizes.n_components, *reversed(self.hidden), sizes.n_outputs]
        if self.tied and sizes.n_head != sizes.n_components:
            raise ParameterError(
                "tied=True needs a code with one head output per unit; write tied=False."
            )
        if self.tied and sizes.n_outputs != sizes.n_features:
            raise ParameterError(
                "tied=True needs a likelihood with one output per feature; write tied=False."
            )
        encoder = self._stack(down, generator)
        decoder = self._stack(up, generator, tied_to=encoder if self.tied else None)
        if not linear_path:
            return Halves(encoder, decoder)
        return Halves(LinearPathEncoder(encoder, down), LinearPathDecoder(decoder, up))

    def stages(
        self, halves: Halves, code: Code, memory: nn.Module, likelihood: Likelihood
    ) -> list[Stage]:
        if not all(isinstance(half, nn.Sequential) for half in halves):  # with a linear path
            return []
        down, up = (_layers(half) for half in halves)
        stages, below = [], likelihood
        for number, (layer, mirror) in enumerate(zip(down, reversed(up), strict=True)):
            last = number == len(down) - 1
            inner, encoder = self._code_of(layer)
            stages.append(
                Stage(
                    layer[0].out_features,  # type: ignore[arg-type]
                    encoder,
                    code if last else inner,
                    memory if last else Nothing(),
                    # Natural parameters of what is below: no activation after logits.
                    mirror[0] if isinstance(below, Bernoulli) or number == 0 else mirror,
                    below,
                )
            )
            below = Bernoulli() if isinstance(inner, Sigmoid) else Normal()
        return stages

    def _code_of(self, layer: nn.Sequential) -> tuple[Code, nn.Module]:
        """Split a layer into its product and the code that its activation is, if it is one."""
        if len(layer) == 1:
            return Plain(), layer[0]
        code = {"sigmoid": Sigmoid(), "relu": Rectified()}.get(self.activation)
        plain = [type(module) for module in layer] == [Linear, _ACTIVATIONS[self.activation]]
        return (code, layer[0]) if code is not None and plain else (Plain(), layer)

    def _stack(
        self, widths: Sequence[int], generator: torch.Generator, tied_to: nn.Module | None = None
    ) -> nn.Sequential:
        """Return linear layers with norm, activation and dropout between them."""
        mirrors = _linears(tied_to)[::-1] if tied_to is not None else []
        layers: list[nn.Module] = []
        last = len(widths) - 2
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            layer = Transposed(mirrors[i]) if mirrors else Linear(n_in, n_out)
            initialise(layer, self.activation if i < last else "identity", generator)
            layers.append(layer)
            if i < last:
                layers += self._between(n_out)
        return nn.Sequential(*layers)

    def _between(self, width: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        if self.norm is not None:
            layers.append({"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[self.norm](width))
        layers.append(_ACTIVATIONS[self.activation]())
        if self.dropout > 0:
            layers.append(Dropout(self.dropout))
        return layers


def _layers(half: nn.Module) -> list[nn.Sequential]:
    """Divide a half before each of its products."""
    layers: list[list[nn.Module]] = []
    for module in half.children():
        if isinstance(module, Linear | Transposed):
            layers.append([])
        layers[-1].append(module)
    return [nn.Sequential(*layer) for layer in layers]


class Linear(nn.Linear):
    """torch's linear layer, zero at first: its own start would draw from the global generator."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class Transposed(nn.Module):
    """``x W + b`` with the weights W of another layer: the decoder's half of a tied pair."""

    def __init__(self, mirror: nn.Linear) -> None:
        super().__init__()
        # In a tuple, so that the weight is registered (and saved) once, in the encoder.
        self._mirror = (mirror,)
        self.bias = nn.Parameter(torch.zeros(mirror.in_features))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self._mirror[0].weight.T, self.bias)


class _LinearPath(nn.Module):
    """The two things that both linear paths share: an affine map and the spread of each unit."""

    spread: Tensor

    def __init__(self, layers: nn.Sequential, n_in: int, n_out: int, n_components: int) -> None:
        super().__init__()
        self.linear = Linear(n_in, n_out)
        self.register_buffer("spread", torch.ones(n_components))
        self.layers = layers if len(layers) > 1 else None
        if self.layers is not None:
            nn.init.zeros_(_linears(self.layers)[-1].weight)

    def correction(self, x: Tensor) -> Tensor:
        """Return f(x), zero at the start; nothing where the network is linear."""
        return self.layers(x) if self.layers is not None else x.new_zeros(())


class LinearPathEncoder(_LinearPath):
    """``head = spread * (W x + b + f(x))``: each unit learns at the scale of its own spread."""

    def __init__(self, layers: nn.Sequential, widths: Sequence[int]) -> None:
        super().__init__(layers, widths[0], widths[-1], widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        with exact(x):
            linear = self.linear(x)
        return self.spread * (linear + self.correction(x))

    def start(self, axes: Tensor, center: Tensor, spread: Tensor) -> None:
        """Begin as ``axes (x - center)``; axes (K, D) orthonormal, center (D,), spread (K,)."""
        self.spread.copy_(spread)
        self.linear.weight.data.copy_(axes / spread[:, None])
        self.linear.bias.data.copy_(-(axes @ center) / spread)


class LinearPathDecoder(_LinearPath):
    """``output = V z / spread + c + g(z / spread)``."""

    def __init__(self, layers: nn.Sequential, widths: Sequence[int]) -> None:
        super().__init__(layers, widths[0], widths[-1], widths[0])

    def forward(self, z: Tensor) -> Tensor:
        u = z / self.spread
        with exact(u):
            linear = self.linear(u)
        return linear + self.correction(u)

    def start(self, axes: Tensor, center: Tensor, spread: Tensor) -> None:
        """Begin as ``axes^T z + center``."""
        self.spread.copy_(spread)
        self.linear.weight.data.copy_((axes * spread[:, None]).T)
        self.linear.bias.data.copy_(center)


def affine_weight(module: nn.Module) -> Tensor | None:
    """Return the matrix (outputs, inputs) of a network that is one affine map, else nothing."""
    if isinstance(module, LinearPathEncoder) and module.layers is None:
        return module.spread[:, None] * module.linear.weight
    if isinstance(module, nn.Sequential) and len(module) == 1 and isinstance(module[0], nn.Linear):
        return module[0].weight
    return None


def exact(x: Tensor) -> torch.autocast:
    """Leave the reduced precision, for what must lose nothing: PCA, codes, penalties."""
    return torch.autocast(x.device.type, enabled=False)


def initialise(layer: nn.Module, activation: str, generator: torch.Generator) -> None:
    """Draw a linear layer's weights for the activation that follows it; biases are zero."""
    if not isinstance(layer, nn.Linear):
        return
    nn.init.zeros_(layer.bias)
    if activation in _GAIN:
        nn.init.xavier_uniform_(layer.weight, gain=_GAIN[activation], generator=generator)
    else:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
