"""The dense network: a multilayer perceptron, its mirror image, and the linear path beside them.

Shapes: B rows, D features, H head outputs, K code units, O outputs.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from isthmus.errors import ParameterError
from isthmus.parts.code import Plain, Rectified, Sigmoid
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.likelihood import Bernoulli, Normal
from isthmus.parts.networks.dropout import Dropout
from isthmus.parts.networks.layers import (
    ACTIVATIONS,
    Activation,
    Linear,
    Transposed,
    initialise,
)
from isthmus.parts.networks.linear_path import Asked, beside_linear, wants_pca
from isthmus.parts.networks.network import Network, Stage
from isthmus.parts.part import part
from isthmus.parts.slots import Code, Likelihood, Nothing


@part("dense")
class Dense(Network):
    """Fully connected layers ``hidden`` down to the code and mirrored up again.

    With the linear path, ``head = W x + f(x)`` and ``output = V z + g(z)``, where W and V are
    the PCA of the training rows and the last layers of f and g begin at zero: the network
    starts as the PCA of its own width.
    """

    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(
            max_length=1000,
            description="widths from the input to the code; () is a linear autoencoder",
        ),
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
    linear_path: Asked = "auto"

    @property
    def linear(self) -> bool:
        return not self.hidden

    @property
    def hides(self) -> bool:
        return self.dropout > 0 and bool(self.hidden)

    @property
    def rows_apart(self) -> bool:
        return self.norm != "batch"

    def wants_pca(self, code: Code, likelihood: Likelihood) -> bool:
        return wants_pca(self.linear_path, code, likelihood, tied=self.tied)

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
        halves = Halves(encoder, decoder)
        return beside_linear(halves, sizes) if linear_path else halves

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
        plain = [type(module) for module in layer] == [Linear, ACTIVATIONS[self.activation]]
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
        layers.append(ACTIVATIONS[self.activation]())
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


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
