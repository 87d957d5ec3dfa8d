"""What an exported file computes: one part of a fitted model in float32, its scaling included.

Shapes: B rows, D features, S the shape of a sample, K code units, C classes.
"""

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from isthmus.data.scaling import Scaling
from isthmus.errors import ExportError, ParameterError, guess
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.boltzmann import BaseRBM
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.export.sequences import unpacked
from isthmus.export.signatures import PARTS

Function = Callable[[Tensor], Tensor]
N_PASSES = 8  # in which a graph flips the features of a pseudo-likelihood


def check_ours(model: Any) -> None:
    """Refuse what is no estimator of this library.

    Raises
    ------
    ParameterError
        If it is none.
    """
    if not isinstance(model, BaseAutoencoder | BaseRBM | AutoencoderClassifier):
        raise ParameterError(
            f"{type(model).__name__} is no estimator of isthmus: give a fitted one, or load one."
        )


def check_part(model: Any, part: str) -> None:
    """Refuse a part that a fitted estimator has not.

    Raises
    ------
    ParameterError
        If there is no such part, or the estimator has none.
    """
    offered = [name for name, each in PARTS.items() if hasattr(model, each.method)]
    if part not in offered:
        raise ParameterError(
            f"part={part!r} is none that {type(model).__name__} has{guess(str(part), offered)}: "
            f"use {', '.join(offered)}."
        )
    parts = getattr(model.model_, "parts", None)  # machines have none
    if part == "decode" and parts is not None and parts.n_labels:
        raise ParameterError(
            "part='decode' of a conditional model would need a label beside each code, for which "
            "the file has no place: use encode, reconstruct, score."
        )


class Graph(nn.Module):
    """Samples (B, *S), or codes (B, K), to what a part answers."""

    def __init__(self, function: Function, shape: tuple[int, ...], *uses: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.shape = shape  # of an answer
        self.uses = nn.ModuleList(uses)  # what the function is made of

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers, (B, *shape)."""
        return self.function(x.flatten(1)).reshape(-1, *self.shape)


def graph_of(model: Any, part: str) -> Graph:
    """Return a part of a fitted estimator as a module in float32, on the CPU.

    Raises
    ------
    ExportError
        If no graph can hold it.
    """
    shape = answer_shape(model, part)
    net: Any = unpacked(copy.deepcopy(model.model_).cpu().float().eval())
    if isinstance(model, BaseRBM):
        return _graph_of_machine(model, net, part, shape)
    net.scaling = as_scaling(InTwo(model.model_.scaling))
    functions: dict[str, Function] = {
        "encode": lambda x: net.encode(x),
        "decode": lambda z: net.decode(z),
        "reconstruct": lambda x: net.reconstruct(x),
        "score": lambda x: model._row_scores(net, x),
        "classify": lambda x: torch.softmax(net.scores(x), dim=1),
    }
    return Graph(functions[part], shape, net)


def _graph_of_machine(model: BaseRBM, net: Any, part: str, shape: tuple[int, ...]) -> Graph:
    if part == "score" and not net.hidden.in_torch:
        raise ExportError(
            f"The score of {net.hidden.name} hidden units has a dilogarithm in it, which no ONNX "
            f"operator computes: export part='encode', or fit with other hidden units."
        )
    net.n_flipped = -(-model.n_features_in_ // N_PASSES)
    scaling, twin = InTwo(model._scaling), copy.copy(model)
    twin.model_, twin._scaling = net, as_scaling(scaling)
    functions: dict[str, Function] = {
        "encode": lambda x: net.mean_hidden(twin._see(x)),
        "decode": lambda h: scaling.inverse(net.mean_visible(h)),
        "score": lambda x: twin._score(twin._see(x)),
    }
    return Graph(functions[part], shape, net, scaling)


def given_shape(model: Any, part: str) -> tuple[int, ...]:
    """Return the shape of one sample, or code, that a part takes."""
    codes = PARTS[part].given == "codes"
    return (model._n_features_out,) if codes else tuple(model._given_shape)


def answer_shape(model: Any, part: str) -> tuple[int, ...]:
    """Return the shape of the answer to one sample."""
    if part in ("decode", "reconstruct"):
        return tuple(model._given_shape)
    if part == "classify":
        return (len(model.classes_),)
    return (model._n_features_out,) if part == "encode" else ()


class InTwo(nn.Module):
    """`Scaling` in float32 alone, whose offset is the sum of two numbers.

    A mean of 1,000,000 has no digit behind the point in float32; ``x`` less the first number is
    exact near it (Sterbenz 1974), and the second is what the first has lost.
    """

    offset: Tensor
    rest: Tensor
    scale: Tensor

    def __init__(self, exact: Scaling) -> None:
        super().__init__()
        offset = exact.offset.detach().cpu().double()
        self.register_buffer("offset", offset.float())
        self.register_buffer("rest", (offset - offset.float()).float())
        self.register_buffer("scale", exact.scale.detach().cpu().float())

    def forward(self, x: Tensor) -> Tensor:
        """User's units to scaled, (B, D)."""
        return (x - self.offset - self.rest) / self.scale

    def inverse(self, scaled: Tensor) -> Tensor:
        """Scaled to the user's units, (B, D)."""
        return scaled * self.scale + self.rest + self.offset

    def log_volume(self) -> Tensor:
        """Log of the user's volume of a scaled unit cube, ()."""
        return torch.log(self.scale).expand(self.offset.shape).sum()


def as_scaling(scaling: InTwo) -> Scaling:
    """Return it as what a model takes for its scaling."""
    return cast(Scaling, scaling)
