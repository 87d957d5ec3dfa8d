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

Each slot says under "To write" what a part of its own must have, and under "Attributes" what it
states in its class where it differs; all else is inherited.
"""

from abc import abstractmethod
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from isthmus.data.scaling import Scaling
from isthmus.parts.answers import check_shape
from isthmus.parts.halves import Halves, Spectrum, Units
from isthmus.parts.part import Part, with_fields
from isthmus.parts.passes import Drawn, Pass, Seen


class Corruption(Part):
    """Noise that training puts on the rows before the encoder sees them.

    To write: `hides` and `corrupt`; `see` too, where not all values are judged. Shapes: B rows, D
    features.

    Attributes
    ----------
    blind : bool, False
        Whether only what it hid is judged.
    redraws : bool, False
        Whether what it drew is also what should come out.
    """

    slot = "corruption"
    blind: ClassVar[bool] = False
    redraws: ClassVar[bool] = False

    @property
    @abstractmethod
    def hides(self) -> bool:
        """Whether copying the input no longer solves the task."""

    @abstractmethod
    def corrupt(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        """Return the rows with noise, (B, D); without strength, as they were.

        Parameters
        ----------
        x : Tensor (B, D), scaled.
        scaling : takes rows of the user's units, in which the part's fields are, to scaled ones,
            ``scaling(rows)``, and back, ``scaling.inverse(x)``; ``scaling.distance(std)`` scales
            a width.
        generator : where all chance comes from.
        shape : of the sample that a row is; () is flat.
        """

    def see(
        self, x: Tensor, scaling: Scaling, generator: torch.Generator, shape: tuple[int, ...] = ()
    ) -> Seen:
        """Return what `corrupt` does, and what is judged of it."""
        return Seen(self.corrupt(x, scaling, generator, shape))


class Code(Part):
    """The isthmus: how the encoder's head becomes the code.

    To write: `memory` (for most ``return Nothing()``), `mean` and `draw`; `begin` too, where it is
    linear and not the PCA's code. Shapes: B rows, H outputs of the encoder, K code units.

    Attributes
    ----------
    head_per_unit : int, 1
        H / K: outputs of the head for each unit.
    low, high : float, -inf and inf
        The range of each unit.
    linear : bool, False
        Whether the best of linear networks with it is known: what `begin` says.
    elementwise : bool, False
        Whether each unit depends on its own output of the head alone.
    bears_copies : bool, False
        Whether a row comes to the same beside copies of itself and of the others.
    switches : bool, False
        Whether it sets most units of a row to zero.
    hides : bool, False
        Whether it keeps a wide code from copying.
    flat : bool, False
        Whether a small change of the head changes nothing.
    random : bool, False
        Whether `draw` draws, though `mean` does not.
    prior : bool, False
        Whether training holds codes to a distribution to draw new ones from: that of its memory,
        which then is a `NormalPrior` or like it.
    """

    slot = "code"
    low: ClassVar[float] = float("-inf")
    high: ClassVar[float] = float("inf")
    linear: bool = False  # no ClassVar, for some know it by their fields
    elementwise: ClassVar[bool] = False
    bears_copies: ClassVar[bool] = False
    switches: ClassVar[bool] = False
    hides: ClassVar[bool] = False
    head_per_unit: ClassVar[int] = 1
    flat: ClassVar[bool] = False
    random: ClassVar[bool] = False
    prior: ClassVar[bool] = False

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
        """Return the deterministic code (B, K) of heads (B, H), which `transform` and exports use.

        ``memory`` is what the method `memory` returned, as the training has left it.
        """

    def begin(self, spectrum: Spectrum, noise: float | None) -> Units:
        """Return the best linear network with a linear code, of a normal likelihood.

        Parameters
        ----------
        spectrum : of the training rows.
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
        """Return the code of training for heads (B, H), drawn where the code is random.

        All chance comes from ``generator``. ``at`` is the time of the training, on which the weight
        of the divergence may depend. What the code learns, it learns here, while
        ``memory.training``.
        """


class Nothing(nn.Module):
    """The memory of a part that learns nothing."""


NOTHING = Nothing()


class Likelihood(Part):
    """The distribution of a row given the decoder's output: link, domain, loss and sampling.

    Location likelihoods predict scaled values and are scaled back; the others predict the
    user's values. `nll`, `mean` and `sample` are in those units.

    To write: `location`, `nll`, `mean` and `sample`. Shapes: B rows, D features, O outputs of the
    decoder.

    Attributes
    ----------
    location : bool
        Whether it predicts scaled values. Each has to say so.
    squared_error : bool, False
        Whether the loss is that, up to constants, and weights where it is not isotropic.
    outputs_per_feature : int, 1
        O / D: numbers of the decoder for each feature.
    low, high : float, -inf and inf
        The domain of the user's values; rows outside are refused.
    """

    slot = "likelihood"
    location: ClassVar[bool]
    squared_error: ClassVar[bool] = False
    outputs_per_feature: ClassVar[int] = 1
    low: ClassVar[float] = float("-inf")
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

        Of rows (B, D) given outputs (B, O), normalising constants included. What the likelihood
        learns, it learns here, while ``memory.training``.
        """

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor:
        """Return the expected rows (B, D) of outputs (B, O)."""

    @abstractmethod
    def sample(
        self, output: Tensor, generator: torch.Generator, memory: nn.Module = NOTHING
    ) -> Tensor:
        """Draw rows (B, D) from outputs (B, O); all chance comes from ``generator``."""


def risen(at: float, share: float) -> float:
    """Return how far what rises over the first ``share`` of the training has come, 0 to 1."""
    return min(1.0, at / share) if share > 0 else 1.0


Weight = Annotated[float, Field(ge=0, description="strength of the term")]
Warmup = Annotated[
    float, Field(ge=0, le=1, description="share of the training over which it grows from 0")
]


@with_fields
class Penalty(Part):
    """A term of the loss besides the likelihood, ``weight(t) * value``.

    To write: `value`, and `start` where fresh weights can be nearer to what it wants. Every penalty
    has the fields ``weight`` and ``warmup``, after its own; ``weight = 0.01`` in its class is
    another default.

    Attributes
    ----------
    weight : float, 1
        Strength of the term.
    warmup : float, 0
        Share of the training over which it grows from 0.
    hides : bool, False
        Whether it keeps a wide code from copying.
    low, high : float, -inf and inf
        The range that the code must keep to.
    rows_apart : bool, False
        Whether it needs codes that depend on no other row of the batch.
    switched : bool, False
        Whether it needs a code that sets units to zero.
    judges_draws : bool, False
        Whether it looks at ``seen.code.z``, the codes as they are drawn, and needs one of a row.
    decodes : bool, False
        Whether it decodes codes, with nothing beside them.
    slopes : bool, False
        Whether it looks at the slope of the code.
    """

    slot = "penalty"
    hides: ClassVar[bool] = False
    rows_apart: ClassVar[bool] = False
    switched: ClassVar[bool] = False
    judges_draws: ClassVar[bool] = False
    decodes: ClassVar[bool] = False
    slopes: ClassVar[bool] = False
    low: ClassVar[float] = float("-inf")
    high: ClassVar[float] = float("inf")

    weight: Weight = 1.0
    warmup: Warmup = 0.0

    def strength(self, at: float) -> float:
        """Return the weight at a time of the training: it rises linearly over ``warmup``."""
        return self.weight * risen(at, self.warmup)

    def start(self, halves: Halves) -> None:
        """Move fresh weights nearer to what the term wants, in place; by default they stay."""
        return

    @abstractmethod
    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        """Return the term before its weight, averaged over the batch, a tensor of shape ().

        Parameters
        ----------
        halves : the network; ``halves.encoder`` and ``halves.decoder`` are torch modules.
        seen : the pass of this batch: rows, codes and outputs. The codes are ``seen.code.z``.
        generator : where all chance comes from.
        """

    def term(
        self, halves: Halves, seen: Pass, generator: torch.Generator, at: float = 1.0
    ) -> Tensor:
        """Return the term as the loss has it, ``strength(at) * value``, ().

        Raises
        ------
        ParameterError
            If `value` gives something else than a tensor of shape ().
        """
        value = self.value(halves, seen, generator)
        check_shape(self, "value", value, (), "averaged over the batch")
        return self.strength(at) * value
