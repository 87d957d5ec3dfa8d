"""The general autoencoder: any filling of every slot."""

from typing import Annotated

from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.parameters import PartLike, estimator, meaning
from isthmus.estimators.shorthands import network_meant
from isthmus.fitting.model import Parts
from isthmus.fitting.pretraining import Pretraining
from isthmus.parts.slots import Code, Corruption, Likelihood, Penalty


@estimator
class Autoencoder(BaseAutoencoder):
    """A network that rebuilds its input from a narrow code.

    ``minimise mean_x nll(decoder(code(encoder(x))), x) + sum_i weight_i penalty_i``

    With the default parts it starts as the PCA of its width and leaves it only for what does
    better on held-out rows: it is never worse than PCA, beyond chance, and `versus_pca_` says
    by how much it is better.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import Autoencoder, datasets
    >>> X = datasets.digits().images
    >>> model = Autoencoder(8, max_epochs=5, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 8)

    References
    ----------
    Bourlard, H. & Kamp, Y. (1988). Auto-association by multilayer perceptrons and singular
    value decomposition. Hinton, G. & Salakhutdinov, R. (2006). Reducing the dimensionality of
    data with neural networks.
    """

    corruption: Annotated[
        PartLike, meaning("Noise on the training rows, such as 'masking(fraction=0.3)'.")
    ] = "clean"
    code: Annotated[PartLike, meaning("What the encoder's head becomes: 'plain', 'sigmoid'.")] = (
        "plain"
    )
    penalties: Annotated[
        PartLike | tuple[PartLike, ...],
        meaning("Further terms of the loss, such as ('weight_l2(weight=1e-4)',)."),
    ] = ()
    pretraining: Annotated[
        PartLike | None, meaning("Layer by layer before the whole: 'autoencoder', 'rbm' or None.")
    ] = None

    def parts(self) -> Parts:
        """Return what fills the slots."""
        return Parts(
            network=network_meant(self),
            corruption=Corruption.of(self.corruption),
            code=Code.of(self.code),
            likelihood=Likelihood.of(self.likelihood),
            penalties=Penalty.all_of(self.penalties),
            pretraining=Pretraining.of(self.pretraining or "none"),
        )
