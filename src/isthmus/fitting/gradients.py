"""How a batch's loss and its gradient are found: by autograd, or written out.

Shapes: B rows, D features, T numbers of a target, K code units, O outputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from isthmus.fitting.learner import Learner, Objective, Randomness
from isthmus.fitting.model import Model
from isthmus.parts.code import Plain, Rectified, Sigmoid
from isthmus.parts.likelihood import Bernoulli, Laplace, Normal
from isthmus.parts.networks.by_hand import HalfByHand, half_by_hand
from isthmus.parts.networks.layers import exact
from isthmus.parts.slots import Code, Likelihood


class Way(ABC):
    """The way through a learner to its loss, and back."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def train(self, mode: bool = True) -> None:
        """Let all that differs between training and use be in training, or not."""
        self.learner.train(mode)

    @abstractmethod
    def objective(
        self, x: Tensor, target: Tensor, randomness: Randomness, at: float = 1.0
    ) -> Objective:
        """Return the objective of scaled rows (B, D) that should give a target (B, T)."""

    @abstractmethod
    def back(self, objective: Objective) -> None:
        """Leave with the weights the gradients of what was returned last."""


class ByAutograd(Way):
    """Any learner; products in bfloat16 where they are ``reduced``."""

    def __init__(self, learner: Learner, *, reduced: bool = False) -> None:
        super().__init__(learner)
        self._reduced = reduced

    def objective(
        self, x: Tensor, target: Tensor, randomness: Randomness, at: float = 1.0
    ) -> Objective:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._reduced):
            return self.learner(x, target, randomness, at)

    def back(self, objective: Objective) -> None:
        if objective.loss.requires_grad:  # of frozen modules alone it does not
            objective.loss.backward()  # type: ignore[no-untyped-call]


_aten = torch.ops.aten
# The ways back, by what fills a slot itself: a part derived from it may be something else.
_CODES: dict[type[Code], Callable[[Tensor, Tensor], Tensor]] = {  # dL/dz, z to dL/dhead
    Plain: lambda slope, z: slope,
    Sigmoid: _aten.sigmoid_backward,
    Rectified: lambda slope, z: _aten.threshold_backward(slope, z, 0),
}
# part, output, x and the row's share in the loss to dL/d output
_LIKELIHOODS: dict[type[Likelihood], Callable[[Any, Tensor, Tensor, float], Tensor]] = {
    Normal: lambda part, output, x, share: (output - x).mul_(share / part.std**2),
    Laplace: lambda part, output, x, share: (output - x).sign_().mul_(share / part.width),
    Bernoulli: lambda part, output, x, share: torch.sigmoid(output).sub_(x).mul_(share),
}


class ByHand(Way):
    """A model of halves, code and likelihood whose derivatives are known, without penalties.

    The numbers are autograd's; what is saved is its graph, and the calls of modules.
    """

    learner: Model

    def __init__(self, model: Model, encoder: HalfByHand, decoder: HalfByHand) -> None:
        super().__init__(model)
        self._encoder, self._decoder = encoder, decoder
        self._code_back = _CODES[type(model.parts.code)]
        self._nll_back = _LIKELIHOODS[type(model.parts.likelihood)]

    def train(self, mode: bool = True) -> None:
        if self.learner.training:  # nothing differs
            self.learner.eval()

    def objective(
        self, x: Tensor, target: Tensor, randomness: Randomness, at: float = 1.0
    ) -> Objective:
        model, noted = self.learner, torch.is_grad_enabled()
        parts = model.parts
        with torch.no_grad(), exact(x):
            seen = model.see(x, randomness.corruption).rows
            z = parts.code.mean(self._encoder.forward(seen, noted=noted), model.memory)
            output = self._decoder.forward(z, noted=noted)
            clean = seen if parts.corruption.redraws else target[:, : x.shape[1]]  # without labels
            predicted = model.predicted(clean)
            rows = parts.likelihood.nll(output, predicted)
            loss = rows.mean()
        if noted:
            self._z, self._predicted = z, predicted
        return Objective(rows, {"nll": loss}, loss, output)

    @torch.no_grad()
    def back(self, objective: Objective) -> None:
        output = objective.output
        with exact(output):
            likelihood, share = self.learner.parts.likelihood, 1 / len(output)
            slope = self._nll_back(likelihood, output, self._predicted, share)
            slope = self._decoder.backward(slope, further=True)
            self._encoder.backward(self._code_back(slope, self._z), further=False)


def way_of(learner: Learner, *, reduced: bool = False) -> Way:
    """Return the faster way through a learner, with its weights where they are now.

    Products are made in bfloat16 where they are ``reduced``.
    """
    if type(learner) is Model and _is_known(learner):
        halves = (
            half_by_hand(half, reduced=reduced) for half in (learner.encoder, learner.decoder)
        )
        encoder, decoder = halves
        if encoder is not None and decoder is not None:
            return ByHand(learner, encoder, decoder)
    return ByAutograd(learner, reduced=reduced)


def _is_known(model: Model) -> bool:
    """Whether every derivative outside the halves is written out."""
    parts = model.parts
    known = type(parts.code) in _CODES and type(parts.likelihood) in _LIKELIHOODS
    more = parts.penalties or parts.n_labels or parts.corruption.blind or parts.likelihood.learns
    return known and not more and not model.padded
