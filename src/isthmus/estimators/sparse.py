"""The sparse autoencoder."""

import dataclasses
from typing import Annotated

from isthmus.errors import ParameterError, did_you_mean
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.parameters import Hidden, PartLike, estimator, meaning
from isthmus.estimators.shorthands import network_meant
from isthmus.fitting.model import Parts
from isthmus.parts.code import Sigmoid
from isthmus.parts.corruption import Clean
from isthmus.parts.part import parse
from isthmus.parts.slots import Code, Likelihood, Penalty

SHORT = {
    "kl": "activity_kl",
    "l1": "activity_l1",
    "weights": "weight_l1(half='encoder')",
}


@estimator
class SparseAutoencoder(BaseAutoencoder):
    """An autoencoder of which few units speak for a row, so that there may be many of them.

    ``minimise mean_x nll(decoder(z), x) + weight * penalty``, or exactly: of the head, the code
    keeps the k largest.

    ============================  ==========================================================
    sparsity                      what keeps the code sparse
    ============================  ==========================================================
    "kl"                          sigmoid units, KL from a small target to their mean activity
    "l1"                          sigmoid units, the sum of their activities
    "weights"                     sigmoid units, the sum of the encoder's absolute weights
    "topk(k=8)"                   each row keeps k units
    "batch_topk(k=8)"             k units a row on average
    "winner_take_all"             each unit keeps 5 % of the rows
    ============================  ==========================================================

    Any other penalty or code can be named, with its fields: ``"activity_kl(target=0.1,
    weight=3)"``.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import SparseAutoencoder, datasets
    >>> X = datasets.digits().images
    >>> model = SparseAutoencoder(128, sparsity="topk(k=10)", max_epochs=5).fit(X)
    >>> int((model.transform(X[:1]) != 0).sum())
    10

    References
    ----------
    Ng, A. (2011). Sparse autoencoder. CS294A lecture notes. Makhzani, A. & Frey, B. (2013).
    k-sparse autoencoders. Olshausen, B. & Field, D. (1996). Emergence of simple-cell receptive
    field properties by learning a sparse code for natural images.
    """

    n_components: Annotated[int, meaning("Width K of the code, of which few are used.", ge=1)] = (
        dataclasses.field(default=64, kw_only=False)
    )
    hidden: Annotated[
        Hidden | None,
        meaning("Shorthand for the network's hidden widths; () is one layer each way."),
    ] = ()
    sparsity: Annotated[
        PartLike,
        meaning("'kl', 'l1', 'weights', or a code or penalty such as 'topk(k=8)'."),
    ] = "kl"
    penalties: Annotated[
        PartLike | tuple[PartLike, ...],
        meaning("Further terms of the loss, such as ('weight_l2(weight=1e-4)',)."),
    ] = ()

    def parts(self) -> Parts:
        """Return what fills the slots."""
        code, penalties = sparse_parts(self.sparsity)
        return Parts(
            network=network_meant(self),
            corruption=Clean(),
            code=code,
            likelihood=Likelihood.of(self.likelihood),
            penalties=penalties + Penalty.all_of(self.penalties),
        )


def sparse_parts(sparsity: PartLike) -> tuple[Code, tuple[Penalty, ...]]:
    """Return the code and the penalty that a sparsity names.

    Raises
    ------
    ParameterError
        If it is unknown (with a guess), or a field of it is.
    """
    given = SHORT.get(sparsity, sparsity) if isinstance(sparsity, str) else sparsity
    name = parse(given, "sparsity")[0] if isinstance(given, str) else getattr(given, "name", "")
    if name in Code.kinds:
        return Code.of(given), ()
    if name in Penalty.kinds:
        return Sigmoid(), (Penalty.of(given),)
    known = [*SHORT, *(name for name, kind in Code.kinds.items() if kind.switches)]
    raise ParameterError(
        f"sparsity={sparsity!r} is unknown{did_you_mean(str(sparsity), known)} (known: "
        f"{', '.join(known)}, and every other code or penalty)."
    )
