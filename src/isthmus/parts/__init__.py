"""Floor 2: the parts of an autoencoder, as immutable values and pure mathematics.

Anywhere a part is taken, its string is too: ``"gaussian(std=0.5)"`` is
``GaussianNoise(std=0.5)``. `docs/parts.md` lists them all.
"""

from isthmus.parts.code import Plain, Sigmoid
from isthmus.parts.corruption import Clean, GaussianNoise, Masking, SaltAndPepper
from isthmus.parts.likelihood import Bernoulli, Laplace, Normal
from isthmus.parts.networks.dense import Dense
from isthmus.parts.part import Part, part
from isthmus.parts.penalty import WeightL1, WeightL2
from isthmus.parts.slots import Code, Corruption, Likelihood, Network, Penalty

__all__ = [
    "Bernoulli",
    "Clean",
    "Code",
    "Corruption",
    "Dense",
    "GaussianNoise",
    "Laplace",
    "Likelihood",
    "Masking",
    "Network",
    "Normal",
    "Part",
    "Penalty",
    "Plain",
    "SaltAndPepper",
    "Sigmoid",
    "WeightL1",
    "WeightL2",
    "part",
]
