"""From parts to a model: built, begun as the PCA, and made ready for use."""

import copy
from typing import TypeVar

import torch

from isthmus.data.scaling import Scaling
from isthmus.fitting.learner import Learner
from isthmus.fitting.model import Model, Parts
from isthmus.fitting.pca import PCA
from isthmus.fitting.trial import try_parts
from isthmus.parts.halves import Halves, Sizes, Spectrum
from isthmus.parts.networks.custom import Custom
from isthmus.parts.networks.layers import InFloat32

L = TypeVar("L", bound=Learner)


def build(
    parts: Parts,
    n_components: int,
    scaling: Scaling,
    generator: torch.Generator,
    shape: tuple[int, ...] = (),
    *,
    padded: bool | None = None,
) -> Model:
    """Build the model of the parts with fresh weights, in float32; rows are of the `shape`.

    They may be padded; None: if the network takes sequences.
    """
    padded = parts.network.sequences if padded is None else padded
    n_features = len(scaling.offset)
    sizes = Sizes(
        n_features,
        n_components * parts.code.head_per_unit,
        n_components + parts.n_labels,
        n_features * parts.likelihood.outputs_per_feature,
        shape or (n_features,),
    )
    halves = parts.network.build(sizes, generator, linear_path=parts.starts_as_pca)
    memory = parts.code.memory(n_components)
    given = (parts, n_components, copy.deepcopy(scaling), halves, memory, shape)
    return Model(*given, padded=padded).float()


def assemble(
    parts: Parts,
    n_components: int,
    scaling: Scaling,
    pca: PCA,
    generator: torch.Generator,
    shape: tuple[int, ...] = (),
    *,
    padded: bool | None = None,
) -> Model:
    """Build the model of the parts, and try them; a linear path starts as the PCA.

    Where weights are fresh, penalties move them; those of a user's own modules stay.

    Raises
    ------
    ParameterError
        If a part answers in another shape than its slot says.
    """
    model = build(parts, n_components, scaling, generator, shape, padded=padded)
    try_parts(model)
    if parts.starts_as_pca:
        start_as_pca(model, pca)
    for penalty in () if isinstance(parts.network, Custom) else parts.penalties:
        if penalty.weight > 0:
            penalty.start(Halves(model.encoder, model.decoder))
    return model


def settle(model: L, scaling: Scaling) -> L:
    """Make the model ready for use: float64, so that a row's result does not depend on others.

    A network of convolutions stays in float32, which makes it ten times faster. The weights keep
    their float32 values; the scaling is the exact one.
    """
    if model.frozen is None:
        weights = model.named_parameters()
        model.frozen = frozenset(name for name, weight in weights if not weight.requires_grad)
    model.double().eval().requires_grad_(False)
    for part in model.modules():
        if isinstance(part, InFloat32):
            part.float()
    model.scaling = copy.deepcopy(scaling).to(model.scaling.offset.device)
    return model


@torch.no_grad()
def start_as_pca(model: Model, pca: PCA) -> None:
    """Set both linear paths, and what the likelihood learns, to the PCA."""
    rest = max(0.0, float(pca.total - pca.variances.sum()))
    spectrum = Spectrum(pca.variances, rest, len(pca.center))
    code, likelihood = model.parts.code, model.parts.likelihood
    units = code.begin(spectrum, likelihood.variance)
    model.spread = likelihood.memory(len(pca.center), units.noise).to(pca.center.device)
    for half in (model.encoder, model.decoder):
        half.start(pca.axes, pca.center, units)  # type: ignore[operator]
