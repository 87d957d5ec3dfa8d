"""Greedy layer-wise pretraining: every layer learns to rebuild what the layer below makes.

Shapes: N rows, D features, W units of a layer.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from isthmus.data.rows import Selection, select
from isthmus.data.scaling import Scaling
from isthmus.errors import ParameterError, caution
from isthmus.fitting.contrastive import ContrastiveOptions, train_rbm
from isthmus.fitting.loop import train
from isthmus.fitting.memory import MOST_ROWS as CHUNK
from isthmus.fitting.model import Model, Parts
from isthmus.fitting.observers import History
from isthmus.fitting.pairs import check_together
from isthmus.fitting.pca import mean_row
from isthmus.fitting.start import NoPretraining, Pretrained, Pretraining, Surroundings, no_noise
from isthmus.parts.boltzmann import RestrictedBoltzmann
from isthmus.parts.halves import Halves
from isthmus.parts.networks.network import Stage
from isthmus.parts.part import part
from isthmus.parts.slots import Code, Corruption, Likelihood, Penalty

__all__ = ["GreedyAutoencoders", "NoPretraining", "Pretraining"]

Epochs = Annotated[int, Field(ge=1, description="passes over the rows, each layer")]
Each = str | tuple[str, ...]
Several = str | tuple[str, ...] | tuple[tuple[str, ...], ...]


@part("autoencoder")
class GreedyAutoencoders(Pretraining):
    """Each layer and its mirror image are trained as an autoencoder of one hidden layer.

    With a corruption this makes stacked denoising autoencoders, with the penalties
    ``"contraction"`` or ``"activity_kl"`` contractive or sparse ones. A tuple of corruptions is
    given layer by layer, from the input on, and so is a tuple of tuples of penalties.

    References
    ----------
    Bengio, Y. et al. (2007). Greedy layer-wise training of deep networks. Vincent, P. et al.
    (2010). Stacked denoising autoencoders. Section 3.5.
    """

    n_epochs: Epochs = 15
    learning_rate: Annotated[
        Annotated[float, Field(gt=0)] | Literal["auto"], Field(description="auto: that of the fit")
    ] = "auto"
    corruption: Annotated[Each, Field(description="of each layer's input")] = "clean"
    penalties: Annotated[Several, Field(description="of each layer")] = ()

    trains = True

    @property
    def hides(self) -> bool:
        layers = range(len(self.penalties) if isinstance(self.penalties, tuple) else 1)
        terms = [term for number in layers for term in Penalty.all_of(self._penalties(number))]
        noises = Corruption.all_of(self.corruption)
        return any(noise.hides for noise in noises) or any(term.hides for term in terms)

    def corrupted(self, corruption: str | tuple[str, ...]) -> Pretraining:
        return self.but(corruption=corruption)

    def run(self, model: Model, around: Surroundings) -> Pretrained:
        rate = around.plan.rate if self.learning_rate == "auto" else self.learning_rate
        plan = around.plan._replace(
            rate=rate, max_epochs=self.n_epochs, stop_after=self.n_epochs, patience=None
        )
        records: list[dict[str, Any]] = []
        rows, scaling = around.rows, model.scaling
        stages = layered(model, self)
        layers = [self._layer(model, *each) for each in enumerate(stages)]
        for number, layer in enumerate(layers):
            if number > 0:
                rows, scaling = encoded(stages[number - 1], rows)
            layer.scaling = scaling
            history = History(f"layer {number + 1} of {len(layers)}", around.observers)
            streams, nothing = around.streams.child(history.stage), rows.at(rows.index[:0])
            outcome = train(layer, rows, nothing, plan, streams, [history])
            warn(history.stage, outcome.reason)
            records += history.records
            if outcome.reason == "interrupted":
                return Pretrained(records, interrupted=True)
        return Pretrained(records)

    def _corruption(self, number: int) -> str:
        if isinstance(self.corruption, str):
            return self.corruption
        return self.corruption[number] if number < len(self.corruption) else "clean"

    def _penalties(self, number: int) -> str | Sequence[str]:
        if isinstance(self.penalties, str):
            return self.penalties
        each = [given for given in self.penalties if isinstance(given, tuple)]
        if each:
            return each[number] if number < len(each) else ()
        return [given for given in self.penalties if isinstance(given, str)]

    def _layer(self, model: Model, number: int, stage: Stage) -> Model:
        """Return a layer and its mirror image as a model; the weights are those of the whole."""
        parts = Parts(
            network=model.parts.network,
            corruption=Corruption.of(self._corruption(number)),
            code=stage.code,
            likelihood=stage.likelihood,
            penalties=Penalty.all_of(self._penalties(number)),
        )
        check_together(parts)
        halves = Halves(stage.encoder, stage.decoder)
        return Model(parts, stage.width, model.scaling, halves, stage.memory)


def warn(stage: str, reason: str) -> None:
    """Say that the training of a layer broke off."""
    if reason == "diverged":
        caution(
            f"The pretraining of {stage} diverged: its weights of the last good epoch are kept. "
            f"Lower learning_rate, of the pretraining or of the fit.",
        )


def layered(model: Model, pretraining: Pretraining) -> list[Stage]:
    """Return the model's stages, or refuse a network that has none."""
    stages = model.stages()
    if not stages:
        raise ParameterError(
            f"pretraining={str(pretraining)!r} needs a network of layers, and "
            f"{str(model.parts.network)!r} is none: write network='dense', or leave it out."
        )
    return stages


@part("rbm")
class GreedyRBMs(Pretraining):
    """Each layer is trained as a restricted Boltzmann machine, then all are unrolled.

    The decoder begins with the transposed weights and the visible biases; from there on they
    are its own. Units between 0 and 1 are binary, linear ones normal with unit variance.

    References
    ----------
    Hinton, G. & Salakhutdinov, R. (2006). Reducing the dimensionality of data with neural
    networks.
    """

    n_epochs: Epochs = 10
    learning_rate: Annotated[float, Field(gt=0, description="where both sides are binary")] = 0.1
    linear_rate: Annotated[float, Field(gt=0, description="where one is linear")] = 0.001
    n_steps: Annotated[int, Field(ge=1, description="of Gibbs sampling: the k of CD-k")] = 1
    weight_decay: Annotated[float, Field(ge=0, description="of the weights")] = 2e-4
    batch_size: Annotated[int, Field(ge=1, description="rows per step")] = 100
    centred: Annotated[bool, Field(description="whether offsets follow the units' means")] = True

    trains = True

    @property
    def hides(self) -> bool:
        return True  # hidden units are drawn

    def corrupted(self, corruption: str | tuple[str, ...]) -> Pretraining:
        raise no_noise(self, corruption)

    def run(self, model: Model, around: Surroundings) -> Pretrained:
        stages = layered(model, self)
        self._check(stages)
        records: list[dict[str, Any]] = []
        rows = around.rows
        for number, stage in enumerate(stages):
            if number > 0:
                rows, _ = encoded(stages[number - 1], rows)
            history = History(f"layer {number + 1} of {len(stages)}", around.observers)
            streams = around.streams.child(history.stage)
            # Binary units speak of the user's values, not of scaled ones.
            scaling = model.scaling if number == 0 and not stage.likelihood.location else None
            seen = rows if scaling is None else natural(rows, scaling)
            rbm = RestrictedBoltzmann.begin(
                *(mean_row(seen).float(), stage.width),
                *(UNITS[_range(stage.likelihood)], UNITS[_range(stage.code)]),
                streams.generator("init"),
                centred=self.centred,
            ).to(around.plan.device)
            options = self._options(rbm, around)
            reason = train_rbm(rbm, seen, options, streams, [history]).reason
            warn(history.stage, reason)
            unroll(rbm, stage, scaling)
            records += history.records
            if reason == "interrupted":
                return Pretrained(records, interrupted=True)
        return Pretrained(records)

    def _check(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            known = _range(stage.code) in UNITS and _range(stage.likelihood) in UNITS
            layers = (stage.encoder, stage.decoder)
            own = all(isinstance(layer, nn.Linear) for layer in layers)
            if not (known and stage.code.elementwise and own):
                raise ParameterError(
                    f"pretraining={str(self)!r} needs binary or linear units: write "
                    f"activation='sigmoid', a plain or sigmoid code, likelihood='bernoulli' or "
                    f"'normal', untied weights, and neither dropout nor norm."
                )

    def _options(self, rbm: RestrictedBoltzmann, around: Surroundings) -> ContrastiveOptions:
        binary = rbm.visible.binary and rbm.hidden.binary
        return ContrastiveOptions(
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate if binary else self.linear_rate,
            n_steps=self.n_steps,
            persistent=False,
            offset_rate=0.01 if self.centred else 0.0,
            weight_decay=self.weight_decay,
            precision=around.plan.precision,
            device=around.plan.device,
            keeper=around.plan.keeper,
        )


# The units whose states have this range.
UNITS = {(0.0, 1.0): "bernoulli", (-math.inf, math.inf): "gaussian"}


def _range(part: Code | Likelihood) -> tuple[float, float]:
    return part.low, part.high


@torch.no_grad()
def natural(rows: Selection, scaling: Scaling) -> Selection:
    """Return the clean rows in the user's units."""
    values = [scaling.inverse(target) for _, target in rows.batches(CHUNK)]
    return unscaled(torch.cat(values).clamp(0, 1), rows)


@torch.no_grad()
def unroll(rbm: RestrictedBoltzmann, stage: Stage, scaling: Scaling | None) -> None:
    """Give a layer and its mirror image the machine's weights.

    ``field = W v + c`` of ``v = scale * x + offset`` is ``(W scale) x + (c + W offset)``.
    """
    rbm.recentre(torch.zeros_like(rbm.visible_offset), torch.zeros_like(rbm.hidden_offset))
    weight, bias = rbm.weight, rbm.hidden_bias
    stage.decoder.weight.copy_(weight.T)  # type: ignore[operator]
    stage.decoder.bias.copy_(rbm.visible_bias)  # type: ignore[operator]
    if scaling is not None:
        weight, bias = weight * scaling.scale, bias + weight @ scaling.offset.to(weight)
    stage.encoder.weight.copy_(weight)  # type: ignore[operator]
    stage.encoder.bias.copy_(bias)  # type: ignore[operator]


@torch.no_grad()
def encoded(stage: Stage, rows: Selection) -> tuple[Selection, Scaling]:
    """Return what a layer makes of the clean rows (N, W), and the scaling that leaves it so."""
    stage.encoder.eval()
    codes = [
        stage.code.mean(stage.encoder(target), stage.memory) for _, target in rows.batches(CHUNK)
    ]
    array = torch.cat(codes)
    return unscaled(array, rows), identity(array)


def identity(values: Tensor) -> Scaling:
    """Return the scaling that leaves values (N, W) as they are."""
    return Scaling(values.new_zeros(values.shape[1]), values.new_ones(()))


def unscaled(values: Tensor, like: Selection) -> Selection:
    """Select all of these values (N, W), as they are, on the device of other rows."""
    array = values.cpu().numpy()
    return select(array, array, identity(values.cpu()), str(like.index.device))
