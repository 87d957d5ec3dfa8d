"""The slots of an autoencoder: what each kind of part is, once, with its shapes.

::

    seen          = corruption(x)                 training only, in the user's units
    head          = encoder(scale(seen))          network
    z, mean, D    = code(head)                    D: divergence in nats, or nothing
    output        = decoder(z)                    natural parameters, never squashed here
    loss          = likelihood.nll(output, x) + D + sum_i weight_i(t) * penalty_i

Shapes: B rows of a batch, D features, K code units, H head outputs, O outputs of the decoder,
S draws of a row's code, 1 for most codes.
Randomness is always an argument; a part holds no state. t is the time of the training, 0 to 1.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from isthmus.data.scaling import Scaling
from isthmus.data.tiles import Tiling
from isthmus.parts.part import Part


class Drawn(NamedTuple):
    """What a code makes of the encoder's head."""

    z: Tensor  # (B S, K) what the decoder sees: S draws of each row, or those that count
    mean: Tensor  # (B, K) the deterministic code
    divergence: Tensor | None  # (B S,) nats, weighted, or nothing
    log_q_weight: float = 0.0  # in it, where the gradient of log q(z|x) goes by way of z alone


class Spectrum(NamedTuple):
    """What the PCA of the training rows, scaled, knows of their variance."""

    variances: Tensor  # (K,) along the axes, widest first, float64
    rest: float  # summed over all other directions
    n_features: int  # D


class Units(NamedTuple):
    """How a linear network with its code begins, given the axes of the PCA.

    The head of a row x is ``down * axes (x - center)``, then ``beside``; a code z gives back
    ``axes^T (up * z) + center``.
    """

    down: Tensor  # (K,)
    up: Tensor  # (K,)
    beside: Tensor  # (H - K,)
    size: Tensor  # (K,) of the units of the code, at which their weights learn
    noise: float  # variance of what a feature keeps beside that


class Pass(NamedTuple):
    """One forward pass, as penalties see it."""

    x: Tensor  # (B, D) the clean rows, scaled
    seen: Tensor  # (B, D) the rows that the encoder saw, scaled
    head: Tensor  # (B, H)
    code: Drawn
    output: Tensor  # (B S, O)
    encode: Callable[[Tensor], Tensor]  # scaled rows (B, D) to deterministic codes (B, K)
    mean: Callable[[Tensor], Tensor]  # heads (B, H) to deterministic codes (B, K)
    elementwise: bool  # whether each code unit depends on its own output of the head alone
    nll: Callable[[Tensor], Tensor]  # outputs (B, O) to nats for these clean rows (B,)


class Sizes(NamedTuple):
    """The widths that a network has to join."""

    n_features: int  # D
    n_head: int  # H: n_components times what the code asks for per unit
    n_components: int  # K
    n_outputs: int  # O: n_features times what the likelihood asks for per feature
    sample_shape: tuple[int, ...] = ()  # S: what a row is when it is not flat; D numbers


class Halves(NamedTuple):
    """A built network."""

    encoder: nn.Module  # (B, D) -> (B, H), or `Around` of it
    decoder: nn.Module  # (B, K), and what went around the code -> (B, O)


class Around(NamedTuple):
    """What the encoder of a network with skips returns."""

    head: Tensor  # (B, H)
    beside: tuple[Tensor, ...]  # what the decoder is given besides the code


def around(answer: Tensor | Around) -> Around:
    """Return what an encoder answered as head and what goes around the code: mostly nothing."""
    return answer if isinstance(answer, Around) else Around(answer, ())


class Stage(NamedTuple):
    """A layer and its mirror image: an autoencoder of its own for what the layer below makes."""

    width: int  # W
    encoder: nn.Module  # (B, W below) -> (B, W)
    code: "Code"  # of the encoder's output
    memory: nn.Module  # the code's
    decoder: nn.Module  # (B, W) -> (B, outputs for the W below)
    likelihood: "Likelihood"  # of what the layer below makes


class Seen(NamedTuple):
    """Rows as the encoder is to see them."""

    rows: Tensor  # (B, D) scaled
    judged: Tensor | None = None  # (B, D) whether a value is judged; None: all are


class Corruption(Part):
    """Noise that training puts on the rows before the encoder sees them."""

    slot = "corruption"
    blind: ClassVar[bool] = False  # whether only what it hid is judged
    redraws: ClassVar[bool] = False  # whether what it drew is also what should come out

    @property
    @abstractmethod
    def hides(self) -> bool:
        """Whether copying the input no longer solves the task."""

    @abstractmethod
    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        """Return `x` (B, D) with noise; `x` is scaled, the part's fields are in user's units.

        A row is a sample of the ``shape``.
        """

    def see(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Seen:
        """Return what `corrupt` does, and what is judged of it."""
        return Seen(self.corrupt(x, scaling, generator, shape))


class Code(Part):
    """The isthmus: how the encoder's head becomes the code."""

    slot = "code"
    low: ClassVar[float] = float("-inf")  # the range of each unit
    high: ClassVar[float] = float("inf")
    linear: bool  # whether the best of linear networks is known, PCA or what `begin` says
    elementwise: ClassVar[bool]  # whether each unit depends on its own output of the head alone
    switches: ClassVar[bool]  # whether it sets most units of a row to zero
    hides: ClassVar[bool]  # whether it keeps a wide code from copying
    head_per_unit: ClassVar[int] = 1  # H / K
    flat: ClassVar[bool] = False  # whether a small change of the head changes nothing
    random: ClassVar[bool] = False  # whether `draw` draws, though `mean` does not
    prior: ClassVar[bool] = False  # whether training holds codes to one, to draw from

    @property
    def n_draws(self) -> int:
        """S: how many codes of each row the training looks at."""
        return 1

    @property
    def idle(self) -> str | None:
        """Which field does nothing beside the others, and what to do, in a sentence."""
        return None

    @abstractmethod
    def memory(self, n_components: int) -> nn.Module:
        """Return what the code learns besides the network, at its start; `Nothing` for most.

        Raises
        ------
        ParameterError
            If the code cannot have so few units.
        """

    @abstractmethod
    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        """Return the deterministic code (B, K), which `transform` and exports use."""

    def begin(self, spectrum: Spectrum, noise: float | None) -> Units:
        """Return the best linear network with a linear code, of a normal likelihood.

        Parameters
        ----------
        noise : variance of the likelihood; None: the likeliest.
        """
        raise NotImplementedError

    def project(self, z: Tensor, memory: nn.Module) -> Tensor:
        """Return the codes that numbers (B, K) near codes stand for.

        Where only some are codes, a code is its own; elsewhere all within the range are.
        """
        return self.mean(z, memory) if self.switches or self.flat else z.clamp(self.low, self.high)

    @abstractmethod
    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        """Return the code of training, drawn where the code is random.

        ``at`` is the time of the training, on which the weight of the divergence may depend.
        What the code learns, it learns here, while ``memory.training``.
        """


class Nothing(nn.Module):
    """The memory of a part that learns nothing."""


NOTHING = Nothing()


class Likelihood(Part):
    """The distribution of a row given the decoder's output: link, domain, loss and sampling.

    Location likelihoods predict scaled values and are scaled back; the others predict the
    user's values. `nll` and `mean` are in those units.
    """

    slot = "likelihood"
    location: ClassVar[bool]  # predicts scaled values
    squared_error: ClassVar[bool]  # up to constants, and weights where it is not isotropic
    outputs_per_feature: ClassVar[int] = 1  # O / D
    low: ClassVar[float] = float("-inf")  # the domain of the user's values
    high: ClassVar[float] = float("inf")

    @property
    def learns(self) -> bool:
        """Whether something of it is learned, from whole rows."""
        return False

    @property
    def isotropic(self) -> bool:
        """Whether all features weigh alike, so that a squared error's linear optimum is PCA."""
        return True

    @property
    def variance(self) -> float | None:
        """Variance of a squared error's likelihood, in scaled units; None where it is learned."""
        return None

    def memory(self, n_features: int, variance: float = 1.0) -> nn.Module:
        """Return what the likelihood learns besides the network, at its start.

        ``variance`` is that of what the network misses of a feature then, in scaled units.
        """
        return Nothing()

    @abstractmethod
    def nll(self, output: Tensor, x: Tensor, memory: nn.Module = NOTHING) -> Tensor:
        """Return -log p(x | output), nats per sample, summed over features, (B,).

        What the likelihood learns, it learns here, while ``memory.training``.
        """

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor:
        """Return the expected row, (B, D)."""

    @abstractmethod
    def sample(
        self, output: Tensor, generator: torch.Generator, memory: nn.Module = NOTHING
    ) -> Tensor:
        """Draw a row, (B, D)."""


def risen(at: float, share: float) -> float:
    """Return how far what rises over the first ``share`` of the training has come, 0 to 1."""
    return min(1.0, at / share) if share > 0 else 1.0


class Penalty(Part):
    """A term of the loss besides the likelihood, ``weight(t) * value``."""

    slot = "penalty"
    hides: ClassVar[bool]  # whether it keeps a wide code from copying
    rows_apart: ClassVar[bool] = False  # needs codes that depend on no other row of the batch
    switched: ClassVar[bool] = False  # needs a code that sets units to zero
    judges_draws: ClassVar[bool] = False  # looks at the codes as they are drawn, one of a row
    decodes: ClassVar[bool] = False  # decodes codes, with nothing beside them
    slopes: ClassVar[bool] = False  # looks at the slope of the code
    low: ClassVar[float] = float("-inf")  # the range that the code must keep to
    high: ClassVar[float] = float("inf")
    weight: float
    warmup: float

    def strength(self, at: float) -> float:
        """Return the weight at a time of the training: it rises linearly over ``warmup``."""
        return self.weight * risen(at, self.warmup)

    @abstractmethod
    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        """Return the term before its weight, averaged over the batch, ()."""


class Network(Part):
    """The architecture: an encoder and a decoder that mirrors it."""

    slot = "network"
    sequences: ClassVar[bool] = False  # takes sequences, whose padding is NaN

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
        """Return freshly initialised modules, the same for the same generator state."""

    @abstractmethod
    def stages(
        self, halves: Halves, code: Code, memory: nn.Module, likelihood: Likelihood
    ) -> list[Stage]:
        """Return the layers of a built network from the input on; they share its weights.

        None where the network cannot be trained layer by layer.
        """
