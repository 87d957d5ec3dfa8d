"""The stacked autoencoder: deep, and pretrained layer by layer."""

import dataclasses
from typing import Annotated

from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.parameters import Components, Hidden, PartLike, estimator, meaning
from isthmus.estimators.shorthands import network_meant
from isthmus.fitting.model import Parts
from isthmus.fitting.pretraining import Pretraining
from isthmus.parts.corruption import Clean
from isthmus.parts.slots import Code, Corruption, Likelihood


@estimator
class StackedAutoencoder(BaseAutoencoder):
    """A deep autoencoder whose layers are trained one by one before the whole is.

    First each layer learns to rebuild what the layer below makes of the rows, as an autoencoder
    (denoising with a ``corruption``) or as an RBM. Then encoder and decoder, the mirror image,
    are unrolled and trained together. `history_` names the stages.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import StackedAutoencoder, datasets
    >>> X = datasets.digits().images
    >>> model = StackedAutoencoder(
    ...     10, hidden=(50, 25), pretraining="autoencoder(n_epochs=2)", likelihood="bernoulli",
    ...     max_epochs=2, validation_fraction=0,
    ... ).fit(X)
    >>> list(dict.fromkeys(record["stage"] for record in model.history_))
    ['layer 1 of 3', 'layer 2 of 3', 'layer 3 of 3', 'all rows']

    References
    ----------
    Hinton, G. & Salakhutdinov, R. (2006). Reducing the dimensionality of data with neural
    networks. Bengio, Y. et al. (2007). Greedy layer-wise training of deep networks. Vincent, P.
    et al. (2010). Stacked denoising autoencoders.
    """

    n_components: Components = dataclasses.field(default=30, kw_only=False)
    hidden: Annotated[
        Hidden | None, meaning("Widths of the layers from the input to the code.")
    ] = (1000, 500, 250)
    activation: Annotated[str | None, meaning("Of the hidden layers; RBMs ask for 'sigmoid'.")] = (
        "sigmoid"
    )
    code: Annotated[PartLike, meaning("What the encoder's head becomes: 'plain', 'sigmoid'.")] = (
        "plain"
    )
    pretraining: Annotated[
        PartLike | None,
        meaning("'autoencoder', 'rbm', with fields such as 'rbm(n_epochs=10)', or None."),
    ] = "autoencoder"
    corruption: Annotated[
        PartLike | tuple[PartLike, ...],
        meaning("Noise on the input of each layer while it is pretrained by itself, or of all."),
    ] = "clean"

    def parts(self) -> Parts:
        """Return what fills the slots."""
        pretraining = Pretraining.of(self.pretraining or "none")
        noises = tuple(str(noise) for noise in Corruption.all_of(self.corruption))
        if any(noise != "clean" for noise in noises):
            each = noises if isinstance(self.corruption, tuple | list) else noises[0]
            pretraining = pretraining.corrupted(each)
        return Parts(
            network=network_meant(self),
            corruption=Clean(),
            code=Code.of(self.code),
            likelihood=Likelihood.of(self.likelihood),
            penalties=(),
            pretraining=pretraining,
        )
