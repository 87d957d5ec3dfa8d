"""The convolutional network: levels of shrinking pictures down to the code, and up again.

Shapes: B pictures, C channels of H x W pixels, K code units, D = C H W; a *map* is (B, C, H, W).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from isthmus.data.tiles import Tiling
from isthmus.errors import ParameterError
from isthmus.parts.halves import Around, Halves, Sizes
from isthmus.parts.networks.layers import (
    ACTIVATIONS,
    Activation,
    Conv2d,
    ConvTranspose2d,
    InFloat32,
    Linear,
    Product,
    keep_size,
    silence,
)
from isthmus.parts.networks.linear_path import Asked, beside_linear, wants_pca
from isthmus.parts.networks.network import Network, Stage
from isthmus.parts.part import part
from isthmus.parts.slots import Code, Likelihood

Shape = tuple[int, int, int]  # (C, H, W)
COLOURS, SMALLEST = (3, 4), 8  # channels, where a picture of so many pixels a side has them last
TILE, FARTHEST = 512, 64  # pixels of a tile, and of its margin: beyond, little depends on little


@part("conv")
class Conv(Network):
    """Convolutions of 3 x 3 on levels of ``channels``; after each level the picture is halved.

    Without skips a linear layer makes the code of the smallest map, and another the smallest map
    of the code. With ``skip=True`` each level also goes around the code to its mirror image, as
    does the picture itself, to which the last layer adds its correction (Ronneberger et al. 2015,
    Zhang et al. 2017): the network for removing noise, from pictures of any size. Its code, the
    mean over the pixels of the smallest map, sums a picture up and cannot be decoded alone.
    """

    channels: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(
            min_length=1, max_length=16, description="of each level, from the picture to the code"
        ),
    ] = (32, 64)
    blocks: Annotated[
        int, Field(ge=1, le=1000, description="convolutions of a level, each way")
    ] = 1
    activation: Annotated[Activation, Field(description="after each convolution")] = "silu"
    norm: Annotated[
        Literal["batch", "layer"] | None, Field(description="normalisation of the maps")
    ] = None
    skip: Annotated[bool, Field(description="whether levels go around the code")] = False
    residual: Annotated[
        bool, Field(description="blocks of two convolutions that correct their input")
    ] = False
    patch: Annotated[
        int, Field(ge=1, description="side of the pixels that the first level sees as channels")
    ] = 1
    side: Annotated[
        int, Field(ge=8, description="with skips: of the crops that larger pictures train by")
    ] = 64
    linear_path: Asked = "auto"

    @property
    def crop(self) -> int | None:
        return self.side if self.skip else None

    @property
    def tiling(self) -> Tiling | None:
        if not self.skip:
            return None
        margin, blend = min(self.reach, FARTHEST), 16
        side = max(TILE, 4 * margin)
        return Tiling(-(-side // self._shrink) * self._shrink, margin, blend, self._shrink)

    @property
    def reach(self) -> int:
        """Pixels around one that its answer depends on, to each side, at most."""
        n_convolutions = self.blocks * (2 if self.residual else 1)
        levels = [self.patch * 2**level for level in range(len(self.channels) + 1)]
        down_and_up = sum(2 * (n_convolutions + 1) * pixel for pixel in levels)
        return down_and_up + 2 * self.patch

    @property
    def skips(self) -> bool:
        return self.skip

    @property
    def hides(self) -> bool:
        return False

    @property
    def rows_apart(self) -> bool:
        return self.norm != "batch"

    def wants_pca(self, code: Code, likelihood: Likelihood) -> bool:
        if self.skip and self.linear_path == "pca":
            raise ParameterError(
                "linear_path='pca' needs a code that everything goes through: write skip=False, or "
                "linear_path='none'."
            )
        return wants_pca(self.linear_path, code, likelihood) and not self.skip

    def build(self, sizes: Sizes, generator: torch.Generator, *, linear_path: bool) -> Halves:
        shape = picture_shape(sizes.sample_shape, self.name)
        halves = (self._around if self.skip else self._through)(
            shape, sizes, Drawn(self, generator)
        )
        halves = beside_linear(halves, sizes) if linear_path else halves
        return Halves(*(half.to(memory_format=torch.channels_last) for half in halves))  # type: ignore[call-overload]

    def stages(
        self, halves: Halves, code: Code, memory: nn.Module, likelihood: Likelihood
    ) -> list[Stage]:
        return []

    def _through(self, shape: Shape, sizes: Sizes, drawn: "Drawn") -> Halves:
        """Return halves between which only the code passes."""
        widths = [*self.channels, self.channels[-1]]
        small = (widths[-1], *(-(-length // self._shrink) for length in shape[1:]))
        n_small = small[0] * small[1] * small[2]
        down = nn.Sequential(
            AsMaps(shape, self._shrink), *drawn.down(shape[0], widths), nn.Flatten()
        )
        up = [*drawn.up(widths, n_maps(sizes, shape)), AsRows(shape)]
        down.append(drawn.layer(Linear(n_small, sizes.n_head)))
        first = drawn.layer(Linear(sizes.n_components, n_small))
        return Halves(Float32(down), Float32(nn.Sequential(first, nn.Unflatten(1, small), *up)))

    def _around(self, shape: Shape, sizes: Sizes, drawn: "Drawn") -> Halves:
        """Return halves with skips; the code is as wide as the smallest map has channels."""
        if sizes.n_head != sizes.n_components:
            raise ParameterError(
                "skip=True needs a code with one head output per unit; write skip=False."
            )
        widths = [*self.channels, sizes.n_components]
        down, up = drawn.down(shape[0], widths), drawn.up(widths, n_maps(sizes, shape))
        silence(up[-1])
        bottom = drawn.blocks(sizes.n_components)
        encoder = SkipEncoder(AsMaps(shape, self._shrink), down, bottom)
        return Halves(encoder, SkipDecoder(up))

    @property
    def _shrink(self) -> int:
        """Pixels that become one pixel of the smallest map."""
        return self.patch * 2 ** len(self.channels)


class Drawn:
    """The layers of a `Conv`, with weights drawn as they are made."""

    def __init__(self, options: Conv, generator: torch.Generator) -> None:
        self.options, self.generator = options, generator

    def layer(self, layer: Product, activation: str = "identity") -> nn.Module:
        """Return the layer with weights for the activation that follows it."""
        keep_size(layer, activation, self.generator)
        return layer

    def down(self, n_channels: int, widths: Sequence[int]) -> list[nn.Module]:
        """Return the stem, then the blocks of each level and what halves it, in turns."""
        patch = self.options.patch
        stem = self.layer(Conv2d(n_channels * patch**2, widths[0], 3, padding=1))
        layers: list[nn.Module] = [nn.Sequential(nn.PixelUnshuffle(patch), stem)]
        for width, wider in pairwise(widths):
            layers += [self.blocks(width), self.layer(Conv2d(width, wider, 2, stride=2))]
        return layers

    def up(self, widths: Sequence[int], n_outputs: int) -> list[nn.Module]:
        """Return what doubles each level and its blocks, in turns, then the last convolution."""
        layers: list[nn.Module] = []
        for width, narrower in pairwise(reversed(widths)):
            doubling = self.layer(ConvTranspose2d(width, narrower, 2, stride=2))
            layers += [doubling, self.blocks(narrower)]
        patch = self.options.patch
        last = self.layer(Conv2d(widths[0], n_outputs * patch**2, 3, padding=1))
        return [*layers, nn.Sequential(last, nn.PixelShuffle(patch))]

    def blocks(self, width: int) -> nn.Sequential:
        """Return the blocks of a level."""
        return nn.Sequential(*(self._block(width) for _ in range(self.options.blocks)))

    def _block(self, width: int) -> nn.Module:
        options = self.options
        norms: dict[str | None, list[nn.Module]] = {
            None: [],
            "batch": [nn.BatchNorm2d(width)],
            "layer": [nn.GroupNorm(1, width)],
        }
        first = self.layer(Conv2d(width, width, 3, padding=1), options.activation)
        block = nn.Sequential(first, *norms[options.norm], ACTIVATIONS[options.activation]())
        return Residual(block, Conv2d(width, width, 3, padding=1)) if options.residual else block


def n_maps(sizes: Sizes, shape: Shape) -> int:
    """Return the channels of the output."""
    return sizes.n_outputs // (shape[1] * shape[2])


def picture_shape(shape: tuple[int, ...], name: str) -> Shape:
    """Return (C, H, W).

    Raises
    ------
    ParameterError
        If samples of the shape are no pictures, or have their colours last.
    """
    if len(shape) not in (2, 3):
        raise ParameterError(
            f"network {name!r} needs pictures, and a sample of X has the shape {shape}: give X of "
            f"shape (n, height, width) or (n, channels, height, width), or say what the rows are "
            f"by sample_shape=(channels, height, width)."
        )
    if colours_last(shape):
        raise ParameterError(
            f"network {name!r} takes pictures as (channels, height, width), and a sample of X has "
            f"the shape {shape}, with its colours last: give numpy.moveaxis(X, -1, 1)."
        )
    n_channels, height, width = (1, *shape)[-3:]
    return n_channels, height, width


def colours_last(shape: tuple[int, ...]) -> bool:
    """Whether a picture of the shape is (height, width, channels) by all appearance."""
    return len(shape) == 3 and shape[2] in COLOURS and min(shape[:2]) >= SMALLEST


class Residual(nn.Module):
    """``x + f(x)``, f zero at first."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        corrected: Tensor = x + self.layers(x)
        return corrected


class AsMaps(nn.Module):
    """Flat rows (B, D), or maps of any size, to maps whose sides a number of pixels divides."""

    def __init__(self, shape: Shape, side: int) -> None:
        super().__init__()
        self.shape, self.side = shape, side

    def forward(self, x: Tensor) -> Tensor:
        maps = x.view(-1, *self.shape) if x.ndim == 2 else x
        missing = [-length % self.side for length in maps.shape[2:]]
        if any(missing):
            maps = functional.pad(maps, (0, missing[1], 0, missing[0]), mode="replicate")
        return maps.contiguous(memory_format=torch.channels_last)


class AsRows(nn.Module):
    """Maps to flat rows (B, D) of the pixels that were asked for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, maps: Tensor) -> Tensor:
        return maps[:, :, : self.shape[-2], : self.shape[-1]].flatten(1)


class Float32(InFloat32):
    """Layers in float32, whatever the precision of their input is."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(x.float())
        return answer.to(x.dtype)


class SkipEncoder(InFloat32):
    """Rows or maps to the mean of the smallest map, (B, K), and all maps on the way to it."""

    def __init__(self, entry: AsMaps, down: list[nn.Module], bottom: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.stem, self.down, self.bottom = down[0], nn.ModuleList(down[1:]), bottom

    def forward(self, x: Tensor) -> Around:
        seen = x.view(-1, *self.entry.shape) if x.ndim == 2 else x
        maps = self.stem(self.entry(seen.float()))
        kept = []
        for blocks, halving in zip(self.down[::2], self.down[1::2], strict=True):
            maps = blocks(maps)
            kept.append(maps)
            maps = halving(maps)
        maps = self.bottom(maps)
        head = maps.float().mean((2, 3))
        return Around(head.to(x.dtype), (seen, maps - head[:, :, None, None].to(maps), *kept))


class SkipDecoder(InFloat32):
    """The code and the maps that went around it to rows, (B, O)."""

    def __init__(self, up: list[nn.Module]) -> None:
        super().__init__()
        self.up, self.last = nn.ModuleList(up[:-1]), up[-1]

    def forward(self, z: Tensor, seen: Tensor, bottom: Tensor, *kept: Tensor) -> Tensor:
        maps = bottom + z[:, :, None, None].to(bottom)
        for doubling, blocks, skip in zip(self.up[::2], self.up[1::2], kept[::-1], strict=True):
            maps = blocks(doubling(maps) + skip)
        correction = self.last(maps)[:, :, : seen.shape[2], : seen.shape[3]]
        n_copies = correction.shape[1] // seen.shape[1]
        return (seen.repeat(1, n_copies, 1, 1) + correction.to(seen.dtype)).flatten(1)
