"""What a network is built from, how a linear one begins, and what is built.

Shapes: B rows of a batch, D features, K code units, H head outputs, O outputs of the decoder.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn


class Sizes(NamedTuple):
    """The widths that a network has to join.

    Attributes
    ----------
    n_features : int
        D.
    n_head : int
        H: ``n_components`` times what the code asks for per unit.
    n_components : int
        K, and the labels that the decoder is told beside the code, if any.
    n_outputs : int
        O: ``n_features`` times what the likelihood asks for per feature.
    sample_shape : tuple of int
        What the D numbers of a row are: ``(D,)``, ``(height, width)``, ``(channels, height,
        width)`` or ``(time, features)``.
    """

    n_features: int
    n_head: int
    n_components: int
    n_outputs: int
    sample_shape: tuple[int, ...] = ()


class Halves(NamedTuple):
    """A built network.

    Attributes
    ----------
    encoder : nn.Module
        Scaled rows (B, D) to heads (B, H), or to `Around`.
    decoder : nn.Module
        Codes (B, K), and what went around them, to natural parameters (B, O).
    """

    encoder: nn.Module
    decoder: nn.Module


class Around(NamedTuple):
    """What the encoder of a network with skips returns.

    Attributes
    ----------
    head : Tensor (B, H)
        What the code is made of.
    beside : tuple of Tensor
        What the decoder is given after the code, an argument each.
    """

    head: Tensor
    beside: tuple[Tensor, ...]


def around(answer: Tensor | Around) -> Around:
    """Return what an encoder answered as head and what goes around the code: mostly nothing."""
    return answer if isinstance(answer, Around) else Around(answer, ())


class Through(NamedTuple):
    """A way through the halves of a model."""

    encoder: Callable[[Tensor], Tensor | Around]
    decoder: Callable[..., Tensor]


class Spectrum(NamedTuple):
    """What the PCA of the training rows, scaled, knows of their variance.

    Attributes
    ----------
    variances : Tensor (K,) of float64
        Along the axes, widest first.
    rest : float
        Summed over all other directions.
    n_features : int
        D.
    """

    variances: Tensor
    rest: float
    n_features: int


class Units(NamedTuple):
    """How a linear network with its code begins, given the axes of the PCA.

    The head of a row x is ``down * axes (x - center)``, then ``beside``; a code z gives back
    ``axes^T (up * z) + center``.

    Attributes
    ----------
    down : Tensor (K,)
        Of the encoder.
    up : Tensor (K,)
        Of the decoder.
    beside : Tensor (H - K,)
        Outputs of the head besides a unit's first, the same for all rows.
    size : Tensor (K,)
        Of the units of the code, at which their weights learn.
    noise : float
        Variance of what a feature keeps beside that.
    """

    down: Tensor
    up: Tensor
    beside: Tensor
    size: Tensor
    noise: float
