"""The code of vector quantisation. B rows, K code units, G groups of units, V vectors of each."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.parts.part import part
from isthmus.parts.passes import Drawn
from isthmus.parts.slots import Code

IDLE = 0.01  # times its fair share of a batch, below which a vector begins anew


@part("vector_quantized")
class VectorQuantized(Code):
    """``z`` = the nearest of ``n_codes`` learned vectors, group by group of the code's units.

    So a row's code is ``groups`` whole numbers. Gradients pass to the head as if nothing had been
    done; the divergence ``commitment |head - z|^2`` keeps it near its vectors. A vector is the
    sliding mean of the heads it stands for, of which a batch leaves ``ema``; one that stands for
    nothing any more begins anew at a head of the batch.

    References
    ----------
    van den Oord, A., Vinyals, O. & Kavukcuoglu, K. (2017). Neural discrete representation
    learning. Section 3, appendix A.1.
    """

    n_codes: Annotated[int, Field(ge=2, description="vectors V of each group")] = 256
    groups: Annotated[int, Field(ge=1, description="groups G that share the units evenly")] = 1
    ema: Annotated[float, Field(ge=0, lt=1, description="share of a vector a batch leaves")] = 0.99
    commitment: Annotated[float, Field(ge=0, description="pull of the head to its vectors")] = 0.25

    hides = flat = bears_copies = True
    linear = elementwise = switches = False

    def memory(self, n_components: int) -> nn.Module:
        if n_components % self.groups:
            raise ParameterError(
                f"code={str(self)!r} divides n_components={n_components} units into {self.groups} "
                f"groups of differing sizes: write groups={_divisor(n_components, self.groups)}."
            )
        return Codebook(self.groups, self.n_codes, n_components // self.groups)

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        vectors = memory.get_buffer("vectors").to(head)
        return _of(vectors, nearest(_in_groups(head, vectors), vectors)).view_as(head)

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        if memory.training:
            memory.learn(head.detach(), self.ema, generator)  # type: ignore[operator]
        z = self.mean(head.detach(), memory)
        straight = z + (head - head.detach())  # the value of z, the gradient of the head
        pull = self.commitment * (head - z).square().sum(1) if self.commitment > 0 else None
        return Drawn(straight, z, pull)


class Codebook(nn.Module):
    """The vectors of each group, (G, V, K / G), and how many rows of a batch each stands for."""

    vectors: Tensor
    counts: Tensor  # (G, V) of a batch, on the average

    def __init__(self, n_groups: int, n_codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(n_groups, n_codes, width, dtype=torch.float32))
        self.register_buffer("counts", torch.zeros(n_groups, n_codes, dtype=torch.float32))

    @torch.no_grad()
    def learn(self, head: Tensor, keep: float, generator: torch.Generator) -> None:
        """Move the vectors to the heads (B, K) of one batch that are nearest to them."""
        grouped = _in_groups(head.to(self.vectors), self.vectors)  # (G, B, K / G)
        n_codes = self.vectors.shape[1]
        fair = len(head) / n_codes
        self._renew(grouped, self.counts < IDLE * fair, fair, generator)
        which = nearest(grouped, self.vectors)
        chosen = torch.nn.functional.one_hot(which, n_codes).to(self.vectors)  # (G, B, V)
        counts = keep * self.counts + (1 - keep) * chosen.sum(1)
        sums = keep * self.counts[..., None] * self.vectors + (1 - keep) * chosen.mT @ grouped
        seen = counts[..., None] > 0
        self.vectors.copy_(torch.where(seen, sums / counts[..., None], self.vectors))
        self.counts.copy_(counts)

    def _renew(self, heads: Tensor, idle: Tensor, fair: float, generator: torch.Generator) -> None:
        """Begin the vectors that stand for nothing anew, each at a head drawn from the batch."""
        index = torch.randint(heads.shape[1], idle.shape, generator=generator, device=heads.device)
        fresh = torch.take_along_dim(heads, index[..., None], 1)
        self.vectors.copy_(torch.where(idle[..., None], fresh, self.vectors))
        self.counts.copy_(torch.where(idle, fair, self.counts))


def nearest(heads: Tensor, vectors: Tensor) -> Tensor:
    """Return the number of the vector nearest to each head, (G, B)."""
    lengths = vectors.square().sum(2)[:, None]
    return (lengths - 2 * heads @ vectors.mT).argmin(2)


def _in_groups(head: Tensor, vectors: Tensor) -> Tensor:
    """Return heads (B, K) as (G, B, K / G)."""
    groups: Tensor = head.unflatten(1, (len(vectors), -1))  # type: ignore[no-untyped-call]
    return groups.transpose(0, 1)


def _of(vectors: Tensor, which: Tensor) -> Tensor:
    """Return the chosen vectors of all groups, (B, K)."""
    return torch.take_along_dim(vectors, which[..., None], 1).transpose(0, 1).flatten(1)


def _divisor(n_components: int, groups: int) -> int:
    return max(size for size in range(1, groups + 1) if n_components % size == 0)
