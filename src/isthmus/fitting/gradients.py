"""How a batch's loss and its gradient are found: by autograd, or written out.

Shapes: B rows, D features, T numbers of a target, K code units, O outputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from isthmus.fitting.learner import Learner, Objective, Randomness
from isthmus.fitting.model import Model
from isthmus.parts.code import Plain, Rectified, Sigmoid
from isthmus.parts.halves import Through
from isthmus.parts.likelihood import Bernoulli, Laplace, Normal
from isthmus.parts.networks.by_hand import NOTHING_NOTED, HalfByHand, half_by_hand, is_hooked
from isthmus.parts.networks.layers import exact
from isthmus.parts.slots import Code, Corruption, Likelihood, risen
from isthmus.parts.variational import Gaussian, posterior


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


class Noted(NamedTuple):
    """What a pass of the training was at the code, and the slope that has come back to it."""

    head: Tensor  # (B, H)
    z: Tensor  # (B, K)
    slope: Tensor  # dL/dz, (B, K)
    share: float  # of a row in the loss
    at: float  # time of the training


def _gaussian(code: Gaussian, noted: Noted) -> Tensor:
    """Go back through ``z = m + s e`` and ``beta KL(Normal(m, s^2) || Normal(0, 1))``."""
    mean, log_variance = posterior(noted.head)
    weight = noted.share * code.beta * risen(noted.at, code.warmup)
    to_mean, to_log = noted.slope, noted.slope * (noted.z - mean) / 2  # s e, to rounding
    if weight > 0:
        to_mean = torch.add(to_mean, mean, alpha=weight)
        to_log = torch.add(to_log, torch.expm1(log_variance), alpha=weight / 2)
    return torch.cat([to_mean, to_log], 1)


def _normal(part: Normal, output: Tensor, x: Tensor, memory: nn.Module, share: float) -> Tensor:
    apart = output - x
    if isinstance(part.std, str):
        return apart.mul_(share / part.variance_of(apart.square(), memory))
    return apart.mul_(share / part.std**2)


_aten = torch.ops.aten
# By what fills a slot itself: a part derived from it may be something else.
_CODES: dict[type[Code], Callable[[Any, Noted], Tensor]] = {  # to dL/dhead
    Plain: lambda code, noted: noted.slope,
    Sigmoid: lambda code, noted: _aten.sigmoid_backward(noted.slope, noted.z),
    Rectified: lambda code, noted: _aten.threshold_backward(noted.slope, noted.z, 0),
    Gaussian: _gaussian,
}
# part, output, x, memory and a row's share in the loss to dL/d output
_LIKELIHOODS: dict[type[Likelihood], Callable[[Any, Tensor, Tensor, nn.Module, float], Tensor]] = {
    Normal: _normal,
    Laplace: lambda part, output, x, _, share: (output - x).sign_().mul_(share / part.width),
    Bernoulli: lambda part, output, x, _, share: torch.sigmoid(output).sub_(x).mul_(share),
}


class ByHand(Way):
    """A model of halves, code and likelihood whose derivatives are known, without penalties.

    The numbers are autograd's, to rounding; what is saved is its graph, and the calls of modules.
    """

    learner: Model

    def __init__(self, model: Model, encoder: HalfByHand, decoder: HalfByHand) -> None:
        super().__init__(model)
        self._encoder, self._decoder = encoder, decoder
        parts = model.parts
        self._code_back = _CODES[type(parts.code)]
        self._nll_back = _LIKELIHOODS[type(parts.likelihood)]
        self._alike = not (parts.code.random or parts.likelihood.learns)  # training and use

    def train(self, mode: bool = True) -> None:
        self._forget()
        if not self._alike:
            self.learner.train(mode)
        elif self.learner.training:
            self.learner.eval()

    def objective(
        self, x: Tensor, target: Tensor, randomness: Randomness, at: float = 1.0
    ) -> Objective:
        noted = torch.is_grad_enabled()
        halves = (partial(half.forward, noted=noted) for half in (self._encoder, self._decoder))
        with torch.no_grad(), exact(x):
            objective = self.learner.forward(x, target, randomness, at, Through(*halves))
        if noted:
            self._target, self._at = target[:, : x.shape[1]], at
        return objective

    @torch.no_grad()
    def back(self, objective: Objective) -> None:
        model, output = self.learner, objective.output
        parts, share = model.parts, 1 / len(output)
        with exact(output):
            clean = self._encoder.x if parts.corruption.redraws else self._target
            x = model.predicted(clean)
            slope = self._nll_back(parts.likelihood, output, x, model.spread, share)
            slope = self._decoder.backward(slope, further=True)
            # Labels may follow the code.
            z, slope = (each[:, : model.n_components] for each in (self._decoder.x, slope))
            noted = Noted(self._encoder.y, z, slope, share, self._at)
            self._encoder.backward(self._code_back(parts.code, noted), further=False)
        self._forget()

    def _forget(self) -> None:
        """Free what was noted: the way back is gone, or will never be."""
        self._target = NOTHING_NOTED
        for half in (self._encoder, self._decoder):
            half.forget()


def way_of(learner: Learner, *, reduced: bool = False) -> Way:
    """Return the faster way through a learner, with its weights where they are now.

    Products are made in bfloat16 where they are ``reduced``.
    """
    if type(learner) is Model and _is_known(learner) and not any(map(is_hooked, learner.modules())):
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
    code, likelihood = parts.code, parts.likelihood
    known = type(code) in _CODES and type(likelihood) in _LIKELIHOODS
    if isinstance(code, Gaussian):
        bound = code.free_bits > 0 or code.capacity is not None
        known = known and code.samples == code.prior_components == 1 and not bound
    judges_all = type(parts.corruption).see is Corruption.see
    return known and judges_all and not (parts.penalties or model.padded)
