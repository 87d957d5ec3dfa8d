"""Floor 2: the parts of an autoencoder, as immutable values and pure mathematics.

Anywhere a part is taken, its string is too: ``"gaussian(std=0.5)"`` is
``GaussianNoise(std=0.5)``. `docs/parts.md` lists them all.
"""

# Lists name parts in the order of these lines.
from isthmus.parts.penalty import ActivityKL, ActivityL1, DeadUnits, WeightL1, WeightL2

# isort: split
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
from isthmus.parts.halves import Around, Halves, Sizes, Spectrum, Units
from isthmus.parts.likelihood import Bernoulli, Laplace, Normal
from isthmus.parts.networks.conv import Conv
from isthmus.parts.networks.custom import Custom
from isthmus.parts.networks.dense import Dense
from isthmus.parts.networks.network import Network, Stage
from isthmus.parts.networks.recurrent import Recurrent
from isthmus.parts.part import Part, part
from isthmus.parts.passes import Drawn, Pass, Seen
from isthmus.parts.quantized import VectorQuantized
from isthmus.parts.slots import Code, Corruption, Likelihood, Nothing, Penalty
from isthmus.parts.variational import Gaussian, WassersteinMMD

__all__ = [
    "ActivityKL",
    "ActivityL1",
    "Around",
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
    "Drawn",
    "Gaussian",
    "GaussianNoise",
    "Halves",
    "Laplace",
    "Likelihood",
    "Masking",
    "Network",
    "Normal",
    "Nothing",
    "Part",
    "Pass",
    "Penalty",
    "Plain",
    "Rectified",
    "Recurrent",
    "SaltAndPepper",
    "Seen",
    "Sigmoid",
    "Sizes",
    "Spectrum",
    "Stage",
    "TopK",
    "Units",
    "VectorQuantized",
    "WassersteinMMD",
    "WeightL1",
    "WeightL2",
    "WinnerTakeAll",
    "part",
]
