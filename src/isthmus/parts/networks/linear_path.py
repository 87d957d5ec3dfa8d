"""The linear path: a network that begins as the PCA of its own width.

Shapes: B rows, D features, K code units.
"""

from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.parts.halves import Halves, Sizes, Units
from isthmus.parts.networks.layers import Linear, exact, silence
from isthmus.parts.slots import Code, Likelihood

Asked = Annotated[
    Literal["auto", "pca", "none"],
    BeforeValidator(lambda value: "none" if value is None else value),  # linear_path=none
    Field(description="auto: the PCA where code and likelihood have one"),
]


class _LinearPath(nn.Module):
    """The two things that both linear paths share: an affine map and the spread of each unit."""

    spread: Tensor
    padded = False  # whether NaN may stand for nothing

    def __init__(self, layers: nn.Module | None, n_in: int, n_out: int, n_components: int) -> None:
        super().__init__()
        self.linear = Linear(n_in, n_out)
        self.register_buffer("spread", torch.ones(n_components, dtype=torch.float32))
        self.layers = layers
        if layers is not None:
            silence(layers)

    def correction(self, x: Tensor) -> Tensor:
        """Return f(x), zero at the start; nothing where the network is linear."""
        return self.layers(x) if self.layers is not None else x.new_zeros(())


class LinearPathEncoder(_LinearPath):
    """``head = spread * (W x + b + f(x))``: each unit learns at the scale of its own spread."""

    def __init__(self, layers: nn.Module | None, sizes: Sizes) -> None:
        super().__init__(layers, sizes.n_features, sizes.n_head, sizes.n_head)

    def forward(self, x: Tensor) -> Tensor:
        with exact(x):  # padding counts as the mean
            linear = self.linear(x.nan_to_num(0) if self.padded else x)
        return self.spread * (linear + self.correction(x))

    def start(self, axes: Tensor, center: Tensor, units: Units) -> None:
        """Begin as the units say; axes (K, D) orthonormal, center (D,)."""
        n_units, scale = len(units.size), units.down / units.size
        self.spread[:n_units] = units.size
        self.linear.weight.data[:n_units] = scale[:, None] * axes
        self.linear.bias.data[:n_units] = -scale * (axes @ center)
        self.linear.bias.data[n_units:] = units.beside


class LinearPathDecoder(_LinearPath):
    """``output = V z / spread + c + g(z / spread)``."""

    def __init__(self, layers: nn.Module | None, sizes: Sizes) -> None:
        super().__init__(layers, sizes.n_components, sizes.n_outputs, sizes.n_components)

    def forward(self, z: Tensor) -> Tensor:
        u = z / self.spread
        with exact(u):
            linear = self.linear(u)
        return linear + self.correction(u)

    def start(self, axes: Tensor, center: Tensor, units: Units) -> None:
        """Begin as the units say; axes (K, D) orthonormal, center (D,)."""
        self.spread.copy_(units.size)
        self.linear.weight.data.copy_(axes.T * (units.up * units.size))
        self.linear.bias.data.copy_(center)


def beside_linear(corrections: Halves, sizes: Sizes, *, padded: bool = False) -> Halves:
    """Put the linear path beside both halves; one that is a product alone corrects nothing."""
    encoder, decoder = (None if _is_product(half) else half for half in corrections)
    down, up = LinearPathEncoder(encoder, sizes), LinearPathDecoder(decoder, sizes)
    down.padded = padded
    return Halves(down, up)


def wants_pca(asked: str, code: Code, likelihood: Likelihood, *, tied: bool = False) -> bool:
    """Return whether a network begins as PCA, given what its field asks for.

    Raises
    ------
    ParameterError
        If it is asked for and the parts are not those of PCA.
    """
    fits = code.linear and likelihood.squared_error and not tied
    if asked == "pca" and not fits:
        raise ParameterError(
            f"linear_path='pca' needs a code that PCA has (plain; or gaussian without free_bits, "
            f"capacity and a learned prior, of several samples with beta=1), a normal likelihood "
            f"and untied weights; "
            f"got code={str(code)!r}, likelihood={str(likelihood)!r}, tied={tied}: "
            f"write linear_path='none'."
        )
    return fits and asked != "none"


def affine_weight(module: nn.Module) -> Tensor | None:
    """Return the matrix (outputs, inputs) of a network that is one affine map, else nothing."""
    if isinstance(module, LinearPathEncoder) and module.layers is None:
        return module.spread[:, None] * module.linear.weight
    if _is_product(module):
        weight: Tensor = module[0].weight  # type: ignore[index]
        return weight
    return None


def _is_product(module: nn.Module) -> bool:
    """Whether a network is a product with a weight matrix of its own, and nothing else."""
    return (
        isinstance(module, nn.Sequential) and len(module) == 1 and isinstance(module[0], nn.Linear)
    )
