"""Codes that are functions of the encoder's head. B rows, K code units."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.parts.averages import SlidingMean
from isthmus.parts.halves import Spectrum, Units
from isthmus.parts.part import part
from isthmus.parts.passes import Drawn
from isthmus.parts.slots import Code, Nothing

# Of the widest component: what is narrower learns no faster.
LEAST_STD = 1e-3


@part("plain")
class Plain(Code):
    """``z = head``: a linear code, as in PCA."""

    linear = elementwise = bears_copies = True
    switches = hides = False

    def begin(self, spectrum: Spectrum, noise: float | None) -> Units:
        stds = spectrum.variances.sqrt()
        floor = LEAST_STD * float(stds.max())
        as_it_is = torch.ones_like(stds)
        return Units(
            down=as_it_is,
            up=as_it_is,
            beside=stds.new_empty(0),
            size=stds.clamp(min=floor) if floor > 0 else as_it_is,
            noise=spectrum.rest / spectrum.n_features,
        )

    def memory(self, n_components: int) -> nn.Module:
        return Nothing()

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        return head

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        return Drawn(head, head, None)


@part("sigmoid")
class Sigmoid(Code):
    """``z = 1 / (1 + exp(-head))``: each unit between 0 and 1, as in an RBM's hidden layer."""

    low = 0.0
    high = 1.0
    elementwise = bears_copies = True
    linear = switches = hides = False

    def memory(self, n_components: int) -> nn.Module:
        return Nothing()

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        return torch.sigmoid(head)

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        z = torch.sigmoid(head)
        return Drawn(z, z, None)


@part("rectified")
class Rectified(Code):
    """``z = max(head, 0)``: units that an L1 penalty can hold at exactly zero."""

    low = 0.0
    elementwise = bears_copies = True
    linear = switches = hides = False

    def memory(self, n_components: int) -> nn.Module:
        return Nothing()

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        return torch.relu(head)

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        z = torch.relu(head)
        return Drawn(z, z, None)


@part("topk")
class TopK(Code):
    """``z = head`` where it is among the k largest of its row, 0 elsewhere: k-sparse.

    ``alpha`` keeps ``alpha * k`` units in use, which the paper found to make better features.

    References
    ----------
    Makhzani, A. & Frey, B. (2013). k-sparse autoencoders. Section 2.
    """

    k: Annotated[int, Field(ge=1, description="units that a row keeps")] = 8
    alpha: Annotated[float, Field(ge=1, description="times k are kept in use")] = 1.0

    linear = elementwise = False
    bears_copies = switches = hides = True

    def memory(self, n_components: int) -> nn.Module:
        enough(self, n_components)
        return Nothing()

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        return largest(head, min(head.shape[1], round(self.alpha * self.k)))

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        z = largest(head, self.k)
        return Drawn(z, z if self.alpha == 1 else self.mean(head, memory), None)


@part("batch_topk")
class BatchTopK(Code):
    """``z = head`` where it is among the B k largest of the batch, 0 elsewhere.

    Rows may use more or fewer than k units. In use each value has to exceed a threshold, the
    average of what the training's batches kept at the least, so that a row's code depends on
    no other row.

    References
    ----------
    Bussmann, B., Leask, P. & Nanda, N. (2024). BatchTopK sparse autoencoders.
    """

    k: Annotated[int, Field(ge=1, description="units that a row keeps on average")] = 8

    linear = elementwise = False
    switches = hides = True

    def memory(self, n_components: int) -> nn.Module:
        enough(self, n_components)
        return SlidingMean()

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        return above(head, memory.get_buffer("values"))

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        z = largest(head.reshape(1, -1), self.k * len(head)).view_as(head)
        if memory.training:
            least = head.masked_fill(z == 0, torch.inf).detach().min()
            if least.isfinite():  # of a batch that says nothing, nothing is learned
                memory.learn(least)  # type: ignore[operator]
        return Drawn(z, self.mean(head, memory), None)


@part("winner_take_all")
class WinnerTakeAll(Code):
    """``z = max(head, 0)`` where it is among a unit's largest of the batch, 0 elsewhere.

    Lifetime sparsity: every unit wins for a fraction of the rows, so none can die. In use
    either nothing is switched off (``"rectified"``, the paper's features) or each unit has to
    exceed its own threshold, learned as in `BatchTopK`.

    References
    ----------
    Makhzani, A. & Frey, B. (2015). Winner-take-all autoencoders. Section 2.
    """

    fraction: Annotated[
        float, Field(gt=0, le=1, description="share of the rows for which a unit is active")
    ] = 0.05
    use: Annotated[Literal["threshold", "rectified"], Field(description="what decides in use")] = (
        "threshold"
    )

    low = 0.0
    linear = elementwise = False
    switches = hides = True

    def memory(self, n_components: int) -> nn.Module:
        return SlidingMean(n_components)

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        active = torch.relu(head)
        return active if self.use == "rectified" else above(active, memory.get_buffer("values"))

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        active = torch.relu(head)
        z = largest(active.T, max(1, round(self.fraction * len(head)))).T
        if memory.training:
            kept = active.masked_fill(z == 0, torch.inf).detach().amin(0)
            memory.learn(torch.where(kept.isfinite(), kept, 0.0))  # type: ignore[operator]
        return Drawn(z, self.mean(head, memory), None)


def enough(code: "TopK | BatchTopK", n_components: int) -> None:
    """Refuse to keep more units than there are."""
    if code.k > n_components:
        raise ParameterError(
            f"code={str(code)!r} keeps {code.k} units, and n_components={n_components} is fewer: "
            f"lower k, or raise n_components."
        )


def largest(values: Tensor, k: int) -> Tensor:
    """Keep the k largest of each row, exactly k where some are even, and set the rest to 0."""
    if k == values.shape[1]:
        return values
    index = values.topk(k, dim=1, sorted=False).indices
    return torch.zeros_like(values).scatter(1, index, values.gather(1, index))


def above(values: Tensor, thresholds: Tensor) -> Tensor:
    """Keep what reaches its threshold."""
    return torch.where(values >= thresholds.to(values), values, 0.0)
