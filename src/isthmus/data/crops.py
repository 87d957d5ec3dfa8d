"""Random crops of pictures, turned and mirrored, as the rows of one long table.

Shapes: P pictures of C channels and any size, crops of S x S pixels, D = C S S, B rows of a batch.

Every place and each of the eight turns of every picture is a row of that table. So a crop is a
number, an epoch is a draw of numbers, and what is drawn can be repeated.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.scaling import Scaling, scaling_of
from isthmus.data.tiles import to_light

N_TURNS = 8  # four quarter turns, mirrored or not

Picture = NDArray[np.generic]  # (C, h, w)


class Crops:
    """The table of all crops, scaled float32; the pictures stay as they are."""

    def __init__(
        self, pictures: Sequence[Picture], side: int, scaling: Scaling, device: str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self._pictures, self._side = pictures, side
        places = [(h - side + 1) * (w - side + 1) * N_TURNS for _, h, w in map(np.shape, pictures)]
        self._ends = torch.tensor(places).cumsum(0)
        self._offset, self._scale = scaling.of_channels(len(pictures[0]))

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def n_features(self) -> int:
        """D."""
        return len(self._pictures[0]) * self._side**2

    def take(self, index: Tensor) -> Tensor:
        """Return the crops of these numbers (B,), scaled, float32 (B, D)."""
        which = torch.searchsorted(self._ends, index, right=True)
        pairs = zip(which.tolist(), index.tolist(), strict=True)
        batch = torch.stack([self._crop(*pair) for pair in pairs])
        scaled = (batch - self._offset) / self._scale
        return scaled.flatten(1).to(self.device)

    def _crop(self, which: int, number: int) -> Tensor:
        picture, side = self._pictures[which], self._side
        place, turn = divmod(number - int(self._ends[which - 1] if which else 0), N_TURNS)
        y, x = divmod(place, picture.shape[2] - side + 1)
        crop = picture[:, y : y + side, x : x + side]
        turned = np.rot90(crop, turn % 4, axes=(1, 2))
        turned = turned[:, :, ::-1] if turn >= 4 else turned
        return torch.from_numpy(to_light(turned))


def n_covering(pictures: Sequence[Picture], side: int) -> int:
    """Return how many crops cover all pictures once."""
    return sum(-(-picture[0].size // side**2) for picture in pictures)


def fit_crop_scaling(name: str, pictures: Sequence[Picture], side: int) -> Scaling:
    """Build the named scaling from all pixels, those of a channel alike, for crops (D,)."""
    n_pixels = sum(picture[0].size for picture in pictures)
    sums = (to_light(each).sum((1, 2), dtype=np.float64) for each in pictures)
    mean = sum(sums) / n_pixels
    apart = (to_light(each) - mean[:, None, None] for each in pictures)
    squares = (np.square(each).sum((1, 2)) for each in apart)
    mean, variance = torch.from_numpy(mean), torch.from_numpy(sum(squares) / n_pixels)
    return scaling_of(name, mean.repeat_interleave(side**2), variance.repeat_interleave(side**2))
