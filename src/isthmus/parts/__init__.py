"""Floor 2: the parts of an autoencoder, as immutable values and pure mathematics.

Anywhere a part is taken, its string is too: ``"gaussian(std=0.5)"`` is
``GaussianNoise(std=0.5)``. `docs/parts.md` lists them all.
"""

from isthmus.parts.code import BatchTopK, Plain, Rectified, Sigmoid, TopK, WinnerTakeAll
from isthmus.parts.contraction import Contraction
from isthmus.parts.corruption import (
    Binarised,
    BlindSpot,
    Clean,
    GaussianNoise,
    Masking,
    SaltAndPepper,
)
from isthmus.parts.likelihood import Bernoulli, Laplace, Normal
from isthmus.parts.networks.conv import Conv
from isthmus.parts.networks.custom import Custom
from isthmus.parts.networks.dense import Dense
from isthmus.parts.networks.recurrent import Recurrent
from isthmus.parts.part import Part, part
from isthmus.parts.penalty import ActivityKL, ActivityL1, DeadUnits, WeightL1, WeightL2
from isthmus.parts.quantized import VectorQuantized
from isthmus.parts.slots import Code, Corruption, Likelihood, Network, Penalty
from isthmus.parts.variational import Gaussian, WassersteinMMD

__all__ = [
    "ActivityKL",
    "ActivityL1",
    "BatchTopK",
    "Bernoulli",
    "Binarised",
    "BlindSpot",
    "Clean",
    "Code",
    "Contraction",
    "Conv",
    "Corruption",
    "Custom",
    "DeadUnits",
    "Dense",
    "Gaussian",
    "GaussianNoise",
    "Laplace",
    "Likelihood",
    "Masking",
    "Network",
    "Normal",
    "Part",
    "Penalty",
    "Plain",
    "Rectified",
    "Recurrent",
    "SaltAndPepper",
    "Sigmoid",
    "TopK",
    "VectorQuantized",
    "WassersteinMMD",
    "WeightL1",
    "WeightL2",
    "WinnerTakeAll",
    "part",
]
