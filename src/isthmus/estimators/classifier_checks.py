"""What a classifier cannot be taught by."""

from typing import TYPE_CHECKING

from isthmus.errors import ParameterError
from isthmus.estimators import inputs
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.boltzmann import BaseRBM
from isthmus.fitting.classifier import Encoder
from isthmus.fitting.plan import Plan
from isthmus.parts.slots import Corruption

if TYPE_CHECKING:
    from isthmus.estimators.classifier import AutoencoderClassifier


def check_pairs(classifier: "AutoencoderClassifier") -> None:
    """Refuse parameters that are at odds with each other.

    Raises
    ------
    ParameterError
        If some are.
    """
    given = classifier.autoencoder
    if given is not None and not isinstance(given, BaseAutoencoder | BaseRBM):
        raise ParameterError(
            f"autoencoder={given!r} is no autoencoder of this library: write one such as "
            f"StackedAutoencoder(30), or leave it out."
        )
    if getattr(given, "conditional", False):
        raise ParameterError(
            f"autoencoder={given!r} is told labels itself, and a classifier has none to tell it: "
            f"write conditional=False."
        )
    corruption = Corruption.of(classifier.corruption)
    if corruption.blind:
        raise ParameterError(
            f"corruption={str(classifier.corruption)!r} judges the pixels that it hides, and a "
            f"classifier judges labels: write corruption='masking'."
        )
    if corruption.hides and not classifier.fine_tune:
        raise ParameterError(
            f"corruption={str(classifier.corruption)!r} needs an encoder that is trained, and "
            f"fine_tune=False leaves it as it is: write fine_tune=True, or corruption='clean'."
        )


def check_crops(classifier: "AutoencoderClassifier") -> None:
    """Refuse pictures that the autoencoder would learn crop by crop.

    Raises
    ------
    ParameterError
        If they are larger than its crops.
    """
    network, shape = inputs.network_of(classifier), classifier.sample_shape_
    crop = None if network is None else network.crop
    if crop is not None and len(shape) > 1 and max(shape[-2:]) > crop:
        raise ParameterError(
            f"network {str(network)!r} learns from crops of {crop} x {crop} pixels, and a sample "
            f"of X has the shape {shape}: write side={max(shape[-2:])} in it."
        )


def check_batches(classifier: "AutoencoderClassifier", encoder: Encoder, plan: Plan) -> None:
    """Refuse batches of one row where the encoder mixes rows.

    Raises
    ------
    ParameterError
        If it is trained by such.
    """
    if classifier.fine_tune and plan.batch_size == 1 and not encoder.rows_apart:
        raise ParameterError(
            "The autoencoder's network mixes the rows of a batch, and the batch has one: raise "
            "batch_size, or write norm='layer'."
        )
