"""How a model's weights come about before the training of the whole: the slot and its nothing."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from isthmus.errors import ParameterError
from isthmus.parts.part import Part, part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isthmus.data.rows import Selection
    from isthmus.fitting.model import Model
    from isthmus.fitting.observers import Observer
    from isthmus.fitting.plan import Plan
    from isthmus.fitting.streams import Streams


class Surroundings(NamedTuple):
    """What a pretraining is given besides the model."""

    rows: "Selection"
    plan: "Plan"  # of the fit that follows
    streams: "Streams"
    observers: "Sequence[Observer]"


class Pretrained(NamedTuple):
    """What came of a pretraining, besides the weights."""

    records: list[dict[str, Any]]  # of its stages
    interrupted: bool = False  # the user ended it; what would follow is left out


class Pretraining(Part):
    """Layer by layer, before the whole is trained."""

    slot = "pretraining"
    trains: ClassVar[bool]  # whether it changes weights

    @property
    @abstractmethod
    def hides(self) -> bool:
        """Whether something keeps a wide layer from copying while it is pretrained."""

    @abstractmethod
    def corrupted(self, corruption: str | tuple[str, ...]) -> "Pretraining":
        """Return the same with noise on the input of every layer, or of each its own.

        Raises
        ------
        ParameterError
            If its layers take no noise.
        """

    @abstractmethod
    def run(self, model: "Model", around: Surroundings) -> Pretrained:
        """Set the weights of `model`, in place, layer by layer until all are or the user ends it.

        Raises
        ------
        ParameterError
            If the network or another part does not go together with it.
        """


@part("none")
class NoPretraining(Pretraining):
    """The whole is trained from its random (or its PCA) start."""

    trains = False

    @property
    def hides(self) -> bool:
        return False

    def corrupted(self, corruption: str | tuple[str, ...]) -> Pretraining:
        raise no_noise(self, corruption)

    def run(self, model: "Model", around: Surroundings) -> Pretrained:
        return Pretrained([])


def no_noise(pretraining: Pretraining, corruption: str | tuple[str, ...]) -> ParameterError:
    """Return the refusal of a corruption."""
    return ParameterError(
        f"corruption={corruption!r} needs pretraining='autoencoder', and it is "
        f"{str(pretraining)!r}: write that, or corruption='clean'."
    )
