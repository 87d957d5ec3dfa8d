"""The slots of an autoencoder: what each kind of part is, once, with its shapes.

::

    seen          = corruption(x)                 training only, in the user's units
    head          = encoder(scale(seen))          network
    z, mean, D    = code(head)                    D: divergence in nats, or nothing
    output        = decoder(z)                    natural parameters, never squashed here
    loss          = likelihood.nll(output, x) + D + sum_i weight_i * penalty_i

Shapes: B rows of a batch, D features, K code units, H head outputs, O outputs of the decoder.
Randomness is always an argument; a part holds no state.
"""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from isthmus.data.scaling import Scaling
from isthmus.parts.part import Part


class Drawn(NamedTuple):
    """What a code makes of the encoder's head."""

    z: Tensor  # (B, K) what the decoder sees
    mean: Tensor  # (B, K) the deterministic code
    divergence: Tensor | None  # (B,) nats, or nothing


class Pass(NamedTuple):
    """One forward pass, as penalties see it."""

    x: Tensor  # (B, D) the clean rows, scaled
    seen: Tensor  # (B, D) the rows that the encoder saw, scaled
    head: Tensor  # (B, H)
    code: Drawn
    output: Tensor  # (B, O)


class Sizes(NamedTuple):
    """The widths that a network has to join."""

    n_features: int  # D
    n_head: int  # H: n_components times what the code asks for per unit
    n_components: int  # K
    n_outputs: int  # O: n_features times what the likelihood asks for per feature


class Halves(NamedTuple):
    """A built network."""

    encoder: nn.Module  # (B, D) -> (B, H)
    decoder: nn.Module  # (B, K) -> (B, O)


class Corruption(Part):
    """Noise that training puts on the rows before the encoder sees them."""

    slot = "corruption"

    @property
    @abstractmethod
    def hides(self) -> bool:
        """Whether copying the input no longer solves the task."""

    @abstractmethod
    def corrupt(self, x: Tensor, scaling: Scaling, generator: torch.Generator) -> Tensor:
        """Return `x` (B, D) with noise; `x` is scaled, the part's fields are in user's units."""


class Code(Part):
    """The isthmus: how the encoder's head becomes the code."""

    slot = "code"
    low: ClassVar[float] = float("-inf")  # the range of each unit
    high: ClassVar[float] = float("inf")
    linear: ClassVar[bool]  # whether the code is the head itself
    hides: ClassVar[bool]  # whether it keeps a wide code from copying
    head_per_unit: ClassVar[int] = 1  # H / K

    @abstractmethod
    def mean(self, head: Tensor) -> Tensor:
        """Return the deterministic code (B, K), which `transform` and exports use."""

    @abstractmethod
    def draw(self, head: Tensor, generator: torch.Generator) -> Drawn:
        """Return the code of training, drawn where the code is random."""


class Likelihood(Part):
    """The distribution of a row given the decoder's output: link, domain, loss and sampling.

    Location likelihoods predict scaled values and are scaled back; the others predict the
    user's values. `nll` and `mean` are in those units.
    """

    slot = "likelihood"
    location: ClassVar[bool]  # predicts scaled values
    squared_error: ClassVar[
        bool
    ]  # nll is squared error up to constants, so PCA is its linear optimum
    outputs_per_feature: ClassVar[int] = 1  # O / D
    low: ClassVar[float] = float("-inf")  # the domain of the user's values
    high: ClassVar[float] = float("inf")

    @abstractmethod
    def nll(self, output: Tensor, x: Tensor) -> Tensor:
        """Return -log p(x | output), nats per sample, summed over features, (B,)."""

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor:
        """Return the expected row, (B, D)."""

    @abstractmethod
    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a row, (B, D)."""


class Penalty(Part):
    """A term of the loss besides the likelihood; its strength is the field ``weight``."""

    slot = "penalty"
    hides: ClassVar[bool]  # whether it keeps a wide code from copying
    weight: float

    @abstractmethod
    def value(self, halves: Halves, seen: Pass) -> Tensor:
        """Return the term before its weight, averaged over the batch, ()."""


class Network(Part):
    """The architecture: an encoder and a decoder that mirrors it."""

    slot = "network"

    @property
    @abstractmethod
    def hides(self) -> bool:
        """Whether it keeps a wide code from copying, as dropout does."""

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
        """Return freshly initialised modules, the same for the same generator state."""
