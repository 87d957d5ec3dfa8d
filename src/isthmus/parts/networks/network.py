"""The slot of networks. Shapes: B rows, D features, K code units, W outputs of a layer."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from isthmus.data.tiles import Tiling
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.part import Part
from isthmus.parts.slots import Code, Likelihood


class Stage(NamedTuple):
    """A layer and its mirror image: an autoencoder of its own for what the layer below makes.

    Attributes
    ----------
    width : int
        W.
    encoder : nn.Module
        (B, W below) to (B, W).
    code : Code
        Of the encoder's output.
    memory : nn.Module
        The code's.
    decoder : nn.Module
        (B, W) to (B, outputs for the W below).
    likelihood : Likelihood
        Of what the layer below makes.
    """

    width: int
    encoder: nn.Module
    code: Code
    memory: nn.Module
    decoder: nn.Module
    likelihood: Likelihood


class Network(Part):
    """The architecture: an encoder and a decoder that mirrors it.

    To write: `hides`, `rows_apart`, `wants_pca`, `build` and `stages`. A network of two modules
    needs no class: it is a `Custom`.

    Attributes
    ----------
    sequences : bool, False
        Whether it takes sequences, whose padding is NaN.
    """

    slot = "network"
    sequences: ClassVar[bool] = False

    @property
    def skips(self) -> bool:
        """Whether part of the input goes around the code, so that codes alone say little."""
        return False

    @property
    def linear(self) -> bool:
        """Whether it is a product with a matrix, each way."""
        return False

    @property
    @abstractmethod
    def hides(self) -> bool:
        """Whether it keeps a wide code from copying, as dropout does."""

    @property
    @abstractmethod
    def rows_apart(self) -> bool:
        """Whether a row's output depends on no other row of its batch."""

    @property
    def tiling(self) -> Tiling | None:
        """How pictures of any size are divided for it; nothing where it takes one size alone."""
        return None

    @property
    def crop(self) -> int | None:
        """Side of the crops that larger pictures are trained on, if it takes any size."""
        return None

    @abstractmethod
    def wants_pca(self, code: Code, likelihood: Likelihood) -> bool:
        """Whether the network starts as the PCA of its width, given the other parts.

        Raises
        ------
        ParameterError
            If it was asked for and does not go together with them.
        """

    @abstractmethod
    def build(self, sizes: Sizes, generator: torch.Generator, *, linear_path: bool) -> Halves:
        """Return freshly initialised modules, the same for the same generator state.

        Where ``linear_path``, each has a method ``start(axes, center, units)`` that makes it the
        PCA: axes (K, D), center (D,) and `Units`.
        """

    @abstractmethod
    def stages(
        self, halves: Halves, code: Code, memory: nn.Module, likelihood: Likelihood
    ) -> list[Stage]:
        """Return the layers of a built network from the input on; they share its weights.

        Empty where the network cannot be trained layer by layer.
        """
