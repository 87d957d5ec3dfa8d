"""A classifier on a code: an autoencoder's encoder with a softmax head, trained by the one loop.

Shapes: N labelled rows, B rows of a batch, D features, H head outputs of the encoder, K code
units, C classes. Labels travel as the target rows, (N, 1), numbers 0 to C - 1.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from isthmus.data.rows import Rows, Selection, fit_scaling
from isthmus.data.scaling import Scaling
from isthmus.fitting.counting import count_products
from isthmus.fitting.learner import Learner, Objective, Randomness
from isthmus.fitting.loop import Outcome, train
from isthmus.fitting.memory import rows_at_once
from isthmus.fitting.observers import Observer
from isthmus.fitting.plan import Plan
from isthmus.fitting.pretraining import identity
from isthmus.fitting.streams import Streams
from isthmus.parts.boltzmann import RestrictedBoltzmann, Units
from isthmus.parts.code import Plain
from isthmus.parts.halves import around
from isthmus.parts.networks.dropout import Dropout
from isthmus.parts.networks.layers import Linear, exact
from isthmus.parts.slots import Code, Corruption


class Encoder(NamedTuple):
    """What a fitted autoencoder or machine lends to a classifier: its own copies."""

    scaling: Scaling
    network: nn.Module  # scaled rows (B, D) to heads (B, H)
    code: Code
    memory: nn.Module  # the code's
    n_components: int  # K
    rows_apart: bool  # whether a row's code depends on no other row of its batch
    padded: bool = False  # whether NaN in a row stands for nothing


def layer_of(rbm: RestrictedBoltzmann) -> nn.Module:
    """Return a machine's ``E[h | v]`` as a layer of float32 weights, (B, D) to (B, K)."""
    n_hidden, n_visible = rbm.weight.shape
    layer = Linear(n_visible, n_hidden).requires_grad_(False)
    layer.weight.copy_(rbm.weight)
    layer.bias.copy_(rbm.hidden_bias - rbm.weight @ rbm.visible_offset)
    inside = [nn.Hardtanh(0.0, 1.0)] if rbm.visible.binary else []
    return nn.Sequential(*inside, layer, Means(rbm.hidden)).to(rbm.weight)


class Means(nn.Module):
    """The expected states of independent units in a field, (B, K)."""

    def __init__(self, units: Units) -> None:
        super().__init__()
        self.units = units

    def forward(self, field: Tensor) -> Tensor:
        """Return them."""
        return self.units.mean(field)


class Head(NamedTuple):
    """What stands on the code, and what training does to it besides the cross-entropy."""

    n_classes: int  # C
    corruption: Corruption  # of the rows, in training
    dropout: float  # of the code's units
    weight_l2: float


class Classifier(Learner):
    """``p(class | x) = softmax(V (z - offset) / scale + c)``, z the deterministic code of x.

    ``minimise mean_x -log p(class of x | x) + weight_l2 |V|^2``

    Offset and scale are those of the training codes, so that the head learns alike on every code,
    and what dropout silences is at its mean; V and c begin at zero: all classes are equally likely.
    """

    def __init__(self, encoder: Encoder, codes: Scaling, head: Head) -> None:
        super().__init__()
        self.scaling = encoder.scaling
        self.encoder = encoder.network
        self.code = encoder.code
        self.memory = encoder.memory
        self.codes = codes
        self.dropout = Dropout(head.dropout)
        self.head = Linear(encoder.n_components, head.n_classes)
        self.corruption, self.padded = head.corruption, encoder.padded
        self.weight_l2 = head.weight_l2

    @property
    def noisy(self) -> bool:
        """Never: held-out rows are seen as they are."""
        return False

    # What users call; rows in the user's units -------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """User's rows (B, D) to their codes (B, K)."""
        return self.code_of(self.scaling(x))

    def scores(self, x: Tensor) -> Tensor:
        """User's rows (B, D) to log-probabilities up to a constant for each row, (B, C)."""
        return self.scores_of(self.encode(x))

    # What the loop calls; rows scaled ----------------------------------------------------

    def output_of(self, x: Tensor) -> Tensor:
        """Scaled rows (B, D) to scores (B, C)."""
        return self.scores_of(self.code_of(x))

    def code_of(self, x: Tensor) -> Tensor:
        """Scaled rows (B, D) to their codes (B, K)."""
        return self.code.mean(around(self.encoder(x)).head, self.memory)

    def scores_of(self, z: Tensor) -> Tensor:
        """Codes (B, K) to scores (B, C)."""
        return self.head(self.dropout(self.codes(z)))

    def forward(
        self, x: Tensor, target: Tensor, randomness: Randomness, at: float = 1.0
    ) -> Objective:
        """Return the objective of scaled rows (B, D) whose classes are `target`, (B, 1)."""
        if self.training:
            seen = self.corruption.corrupt(x, self.scaling, randomness.corruption)
            x = torch.where(x.isnan(), x, seen) if self.padded else seen
        z = self.code_of(x).float()
        with exact(x):
            output = self.scores_of(z)
            rows = functional.cross_entropy(output, target[:, 0].long(), reduction="none")
            penalty = self.weight_l2 * self.head.weight.square().sum()
        terms = {"cross_entropy": rows.mean(), "weight_l2": penalty}
        return Objective(rows, terms, terms["cross_entropy"] + penalty, output)

    def errors(self, output: Tensor, target: Tensor) -> Tensor:
        """Return 1 for each row whose likeliest class is not its own, else 0, (B,)."""
        return (output.argmax(1) != target[:, 0]).float()


class Lesson(NamedTuple):
    """What a classifier learns from, and how."""

    training: Selection  # scaled rows, with their labels as targets
    held_out: Selection  # others of the same rows
    plan: Plan
    streams: Streams
    observers: Sequence[Observer]

    def teach(self, classifier: Classifier) -> Outcome:
        """Train; leave the classifier with the weights that were best held out."""
        classifier.to(self.plan.device, torch.float32)
        return train(
            classifier, self.training, self.held_out, self.plan, self.streams, self.observers
        )


class Taught(NamedTuple):
    """A trained classifier and how its training went."""

    classifier: Classifier
    outcome: Outcome


def fine_tune(encoder: Encoder, head: Head, lesson: Lesson) -> Taught:
    """Train encoder and head together."""
    codes = fit_scaling("isotropic", codes_of(encoder, lesson))
    classifier = Classifier(encoder, codes, head)
    return Taught(classifier, lesson.teach(classifier))


def teach_head(encoder: Encoder, head: Head, lesson: Lesson) -> Taught:
    """Train the head alone, on codes that are computed once."""
    codes = codes_of(encoder, lesson)
    scaling = fit_scaling("isotropic", codes)
    none, stay = nn.Identity(), identity(torch.from_numpy(codes[:0]))
    alone = Classifier(encoder._replace(scaling=stay, network=none, code=Plain()), scaling, head)
    rows = Rows(codes, stay, lesson.plan.device)
    training, held_out = (
        dataclasses.replace(each, rows=rows) for each in (lesson.training, lesson.held_out)
    )
    outcome = lesson._replace(training=training, held_out=held_out).teach(alone)
    classifier = Classifier(encoder, alone.codes, head).to(lesson.plan.device)
    classifier.head = alone.head
    return Taught(classifier, outcome)


@torch.no_grad()
def codes_of(encoder: Encoder, lesson: Lesson) -> NDArray[np.float32]:
    """Return the codes of all rows, whether they have labels or not, (rows, K)."""
    whole, device = lesson.training, lesson.plan.device
    network, memory = (
        copy.deepcopy(module).to(device, torch.float32).eval()
        for module in (encoder.network, encoder.memory)
    )
    everything = whole.at(torch.arange(len(whole.rows)))
    row = torch.zeros_like(encoder.scaling.offset, dtype=torch.float32, device=device)[None]
    size = rows_at_once(count_products(network, row))
    codes = [
        encoder.code.mean(around(network(x)).head, memory).cpu()
        for x, _ in everything.batches(size)
    ]
    return torch.cat(codes).numpy()


def hold_out(labels: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Return the places of a share of each class's rows; of a small class it may be none.

    Parameters
    ----------
    labels : (N,) the class of each row, -1 where it has none.
    """
    order = torch.randperm(len(labels), generator=generator)
    held = [order[:0]]
    for number in range(int(labels.max()) + 1):
        own = order[labels[order] == number]
        held.append(own[: min(round(fraction * len(own)), len(own) - 1)])
    return torch.cat(held).sort().values
