"""The contractive autoencoder."""

import dataclasses
from typing import Annotated

from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.parameters import Hidden, PartLike, estimator, meaning
from isthmus.estimators.shorthands import network_meant
from isthmus.fitting.model import Parts
from isthmus.parts.code import Sigmoid
from isthmus.parts.contraction import Contraction
from isthmus.parts.corruption import Clean
from isthmus.parts.slots import Likelihood


@estimator
class ContractiveAutoencoder(BaseAutoencoder):
    """An autoencoder whose code hardly moves when its input does.

    ``minimise mean_x nll(decoder(z), x) + weight * |dz / dx|_F^2``, z = sigmoid units

    Rebuilding asks the code to tell rows apart, the penalty to be flat in every direction; what
    remains are the directions in which the data vary.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import ContractiveAutoencoder, datasets
    >>> X = datasets.digits().images
    >>> model = ContractiveAutoencoder(32, weight=0.1, max_epochs=5).fit(X)
    >>> model.transform(X).shape
    (1797, 32)

    References
    ----------
    Rifai, S., Vincent, P., Muller, X., Glorot, X. & Bengio, Y. (2011). Contractive
    auto-encoders: explicit invariance during feature extraction.
    """

    n_components: Annotated[int, meaning("Width K of the code.", ge=1)] = dataclasses.field(
        default=64, kw_only=False
    )
    network: Annotated[
        PartLike, meaning("Architecture; tied weights keep the decoder from undoing the flatness.")
    ] = "dense(tied=True)"
    hidden: Annotated[
        Hidden | None,
        meaning("Shorthand for the network's hidden widths; () is one layer each way."),
    ] = ()
    weight: Annotated[float, meaning("Strength of the penalty.", ge=0)] = 0.1

    def parts(self) -> Parts:
        """Return what fills the slots."""
        return Parts(
            network=network_meant(self),
            corruption=Clean(),
            code=Sigmoid(),
            likelihood=Likelihood.of(self.likelihood),
            penalties=(Contraction(weight=self.weight),),
        )
