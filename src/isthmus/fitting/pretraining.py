"""Greedy layer-wise pretraining: every layer learns to rebuild what the layer below makes.

Shapes: N rows, D features, W units of a layer.
"""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from isthmus.data.rows import Selection, select
from isthmus.data.scaling import Scaling
from isthmus.errors import ParameterError
from isthmus.fitting.loop import train
from isthmus.fitting.model import Model, Parts, check_together
from isthmus.fitting.observers import History
from isthmus.fitting.start import NoPretraining, Pretraining, Surroundings
from isthmus.parts.part import part
from isthmus.parts.slots import Corruption, Halves, Penalty, Stage

__all__ = ["GreedyAutoencoders", "NoPretraining", "Pretraining"]

Epochs = Annotated[int, Field(ge=1, description="passes over the rows, each layer")]
Each = str | tuple[str, ...]


@part("autoencoder")
class GreedyAutoencoders(Pretraining):
    """Each layer and its mirror image are trained as an autoencoder of one hidden layer.

    With a corruption this makes stacked denoising autoencoders, with the penalties
    ``"contraction"`` or ``"activity_kl"`` contractive or sparse ones. What a tuple gives is
    given layer by layer, from the input on.

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
    penalties: Annotated[Each, Field(description="of each layer")] = ()

    trains = True

    def run(self, model: Model, around: Surroundings) -> list[dict[str, Any]]:
        rate = around.plan.rate if self.learning_rate == "auto" else self.learning_rate
        plan = around.plan._replace(
            rate=rate, max_epochs=self.n_epochs, stop_after=self.n_epochs, patience=None
        )
        records: list[dict[str, Any]] = []
        rows, scaling = around.rows, model.scaling
        layers = [self._layer(model, *each) for each in enumerate(layered(model, self))]
        for number, layer in enumerate(layers):
            layer.scaling = scaling
            history = History(f"layer {number + 1} of {len(layers)}")
            streams, nothing = around.streams.child(history.stage), rows.at(rows.index[:0])
            train(layer, rows, nothing, plan, streams, [history, *around.observers])
            records += history.records
            rows, scaling = encoded(layer, rows)
        return records

    def _layer(self, model: Model, number: int, stage: Stage) -> Model:
        """Return a layer and its mirror image as a model; the weights are those of the whole."""
        penalties = nth(self.penalties, number)
        parts = Parts(
            network=model.parts.network,
            corruption=Corruption.of(nth(self.corruption, number) or "clean"),
            code=stage.code,
            likelihood=stage.likelihood,
            penalties=(Penalty.of(penalties),) if penalties else (),
        )
        check_together(parts)
        return Model(parts, model.scaling, Halves(stage.encoder, stage.decoder), stage.memory)


def layered(model: Model, pretraining: Pretraining) -> list[Stage]:
    """Return the model's stages, or refuse a network that has none."""
    stages = model.stages()
    if not stages:
        raise ParameterError(
            f"pretraining={str(pretraining)!r} needs a network of layers, and "
            f"{str(model.parts.network)!r} is none: write network='dense', or leave it out."
        )
    return stages


def nth(given: Each, number: int) -> str | None:
    """Return what a layer is given: the same for all, or its own where there is a tuple."""
    if isinstance(given, str):
        return given
    return given[number] if number < len(given) else None


@torch.no_grad()
def encoded(layer: Model, rows: Selection) -> tuple[Selection, Scaling]:
    """Return what a layer makes of the clean rows (N, W), and the scaling that leaves it so."""
    layer.eval()
    codes = torch.cat([layer.code_of(target) for _, target in rows.batches(4096)])
    scaling = Scaling(codes.new_zeros(codes.shape[1]), codes.new_ones(()))
    array = codes.cpu().numpy()
    return select(array, array, scaling, str(rows.index.device)), scaling
