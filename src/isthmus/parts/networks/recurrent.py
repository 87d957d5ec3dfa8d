"""The recurrent network: sequences to the state that they leave, and back step by step.

Shapes: B sequences of T steps of F features, D = T F, K code units, H head outputs, W a width.

A step of NaN is padding: it comes after the end of a sequence that is shorter than T.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from isthmus.errors import ParameterError
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.networks.layers import GRU, LSTM, Linear, exact, keep_size
from isthmus.parts.networks.linear_path import Asked, beside_linear, wants_pca
from isthmus.parts.networks.network import Network, Stage
from isthmus.parts.part import part
from isthmus.parts.slots import Code, Likelihood

CELLS: dict[str, type[GRU] | type[LSTM]] = {"gru": GRU, "lstm": LSTM}


@part("recurrent")
class Recurrent(Network):
    """Gated recurrent layers of widths ``hidden``: the code is read from the last state.

    The encoder reads a sequence, and a linear layer makes the head of what its last layer
    remembers at the end. The decoder begins from the code, is shown it again at every step, and a
    linear layer makes each step of what it remembers (Srivastava et al. 2015, the unconditioned
    decoder; GRU: Cho et al. 2014, LSTM: Hochreiter & Schmidhuber 1997).
    """

    cell: Annotated[Literal["gru", "lstm"], Field(description="what remembers")] = "gru"
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(
            min_length=1,
            max_length=1000,
            description="widths of the layers from the input to the code",
        ),
    ] = (128,)
    bidirectional: Annotated[
        bool, Field(description="whether the encoder also reads from the end")
    ] = False
    linear_path: Asked = "auto"

    sequences = True

    @property
    def hides(self) -> bool:
        return False

    @property
    def rows_apart(self) -> bool:
        return True

    def wants_pca(self, code: Code, likelihood: Likelihood) -> bool:
        return wants_pca(self.linear_path, code, likelihood)

    def build(self, sizes: Sizes, generator: torch.Generator, *, linear_path: bool) -> Halves:
        n_steps, n_features = sequence_shape(sizes.sample_shape, self.name)
        n_outputs = sizes.n_outputs // n_steps
        kind, ways = CELLS[self.cell], 2 if self.bidirectional else 1
        widths = [n_features, *self.hidden]
        down = [
            kind(n_in * (ways if i else 1), width, batch_first=True, bidirectional=ways == 2)
            for i, (n_in, width) in enumerate(pairwise(widths))
        ]
        widths = [sizes.n_components, *reversed(self.hidden)]
        up = [kind(n_in, width, batch_first=True) for n_in, width in pairwise(widths)]
        halves = Halves(
            SequenceEncoder(n_features, down, Linear(ways * self.hidden[-1], sizes.n_head)),
            SequenceDecoder(n_steps, up, Linear(self.hidden[0], n_outputs)),
        )
        for half in halves:
            for module in half.modules():
                _draw(module, generator)
        return beside_linear(halves, sizes, padded=True) if linear_path else halves

    def stages(
        self, halves: Halves, code: Code, memory: nn.Module, likelihood: Likelihood
    ) -> list[Stage]:
        return []


def sequence_shape(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    """Return (T, F).

    Raises
    ------
    ParameterError
        If samples of the shape are no sequences.
    """
    if len(shape) != 2:
        raise ParameterError(
            f"network {name!r} needs sequences, and a sample of X has the shape {shape}: give X of "
            f"shape (n, time, features) or a list of arrays (time, features), or say what the rows "
            f"are by sample_shape=(time, features)."
        )
    return shape[0], shape[1]


class SequenceEncoder(nn.Module):
    """Rows (B, T F) to heads (B, H)."""

    def __init__(self, n_features: int, layers: Sequence[nn.RNNBase], head: Linear) -> None:
        super().__init__()
        self.n_features = n_features
        self.layers, self.head = nn.ModuleList(layers), head

    def forward(self, x: Tensor) -> Tensor:
        steps = x.view(len(x), -1, self.n_features)
        n_steps = steps[:, :, 0].isnan().logical_not().sum(1).cpu()
        with exact(x):  # of a packed sequence no layer is made in reduced precision
            packed = pack_padded_sequence(
                steps.to(self.head.weight.dtype), n_steps, batch_first=True, enforce_sorted=False
            )
            for layer in self.layers:
                packed, state = layer(packed)
            hidden = state[0] if isinstance(state, tuple) else state  # (ways, B, W)
            head: Tensor = self.head(hidden.movedim(0, 1).flatten(1))
        return head


class SequenceDecoder(nn.Module):
    """Codes (B, K) to rows (B, T O)."""

    def __init__(self, n_steps: int, layers: Sequence[nn.RNNBase], last: Linear) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.layers, self.last = nn.ModuleList(layers), last

    def forward(self, z: Tensor) -> Tensor:
        steps = z.unsqueeze(1).expand(-1, self.n_steps, -1)
        with exact(z):
            for layer in self.layers:
                steps, _ = layer(steps.to(self.last.weight.dtype))
            rows: Tensor = self.last(steps).flatten(1)
        return rows


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of a layer: what comes in keeps its size, what is remembered its length."""
    if isinstance(module, Linear):
        keep_size(module, "identity", generator)
    if isinstance(module, nn.RNNBase):
        for name, weights in module.named_parameters():
            for gate in weights.chunk(len(weights) // module.hidden_size):
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(gate, generator=generator)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(gate, generator=generator)
