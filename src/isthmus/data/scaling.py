"""The affine map between the user's units and the units that the network sees.

Shapes: B rows, D features.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ScalingName = Literal["isotropic", "standard", "none"]
SCALINGS: tuple[str, ...] = get_args(ScalingName)
UNLIKE = 100.0  # times the median feature's variance, that one feature's may be


class Scaling(nn.Module):
    """``scaled = (x - offset) / scale``, part of the model, so that nobody loses it.

    Parameters
    ----------
    offset : Tensor (D,)
        In the user's units.
    scale : Tensor () or (D,)
        In the user's units; one number keeps the geometry that PCA sees.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, offset: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """User's units to scaled, (B, D)."""
        return (x - self.offset) / self.scale

    def inverse(self, scaled: Tensor) -> Tensor:
        """Scaled to the user's units, (B, D)."""
        return scaled * self.scale + self.offset

    @property
    def changes(self) -> bool:
        """Whether scaled units differ from the user's."""
        return bool((self.offset != 0).any() or (self.scale != 1).any())

    def of_channels(self, n_channels: int) -> tuple[Tensor, Tensor]:
        """Return offset and scale of the channels of pictures, (C, 1, 1) each, in float32.

        All pixels of a channel have to be scaled alike: its first stands for it.
        """
        scale = self.scale.expand(self.offset.shape)
        offset, scale = (each.view(n_channels, -1)[:, :1, None] for each in (self.offset, scale))
        return offset.float(), scale.float()

    def distance(self, length: float) -> Tensor:
        """Express a length in the user's units, such as a standard deviation, in scaled ones."""
        return length / self.scale

    def log_volume(self) -> Tensor:
        """Log of the user's volume of a scaled unit cube, (): turns densities into the user's."""
        return torch.log(self.scale).expand(self.offset.shape).sum()


def is_uneven(variance: NDArray[np.floating[Any]]) -> bool:
    """Whether one feature drowns others, as where units differ; from the variances (D,)."""
    varying = variance[variance > 0]
    return len(varying) > 0 and bool(varying.max() >= UNLIKE * np.median(varying))


def scaling_of(name: str, mean: Tensor, variance: Tensor) -> Scaling:
    """Build the named scaling from the features' means and variances, (D,) in float64.

    ``"isotropic"``: centred, then one scale for all features, the root of their mean variance.
    ``"standard"``: centred, then each feature by its own standard deviation (constants by 1).
    ``"none"``: as it is.
    """
    if name == "none":
        return Scaling(torch.zeros_like(mean), torch.ones_like(mean[0]))
    spread = variance.mean() if name == "isotropic" else variance
    scale = spread.sqrt()
    return Scaling(mean, torch.where(scale > 0, scale, torch.ones_like(scale)))
