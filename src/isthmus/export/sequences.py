"""Recurrent encoders without packed sequences, which no graph of fixed operators has.

Shapes: B sequences of T steps of F features, W a width; n_steps (B,) is how many are no padding.
"""

from typing import Any

import torch
from torch import Tensor, nn

from isthmus.parts.networks.recurrent import SequenceEncoder


def unpacked(module: nn.Module) -> nn.Module:
    """Return the module with each recurrent encoder in it replaced by one that packs nothing."""
    if isinstance(module, SequenceEncoder):
        return UnpackedEncoder(module)
    for name, child in module.named_children():
        setattr(module, name, unpacked(child))
    return module


class UnpackedEncoder(nn.Module):
    """What `SequenceEncoder` computes: rows (B, T F) to heads (B, H).

    Every sequence is read to step T, and its state is looked up where it ended. The way back reads
    it reversed within its own length.
    """

    def __init__(self, packed: SequenceEncoder) -> None:
        super().__init__()
        self.n_features, self.head = packed.n_features, packed.head
        layers = [_ways(layer) for layer in packed.layers]
        self.n_ways = len(layers[0])
        self.layers = nn.ModuleList(way for ways in layers for way in ways)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heads."""
        steps = x.view(x.shape[0], -1, self.n_features)
        n_steps = steps[:, :, 0].isnan().logical_not().sum(1)
        steps = steps.nan_to_num(0)
        for i in range(0, len(self.layers), self.n_ways):
            ways = self.layers[i : i + self.n_ways]
            steps = torch.cat([_read(w, steps, n_steps, k > 0) for k, w in enumerate(ways)], 2)
        width = steps.shape[2] // self.n_ways
        end = (n_steps - 1)[:, None, None].expand(-1, 1, width)
        forward, back = steps[..., :width].gather(1, end)[:, 0], steps[:, 0, width:]
        head: Tensor = self.head(torch.cat([forward, back], 1))
        return head


def _ways(layer: Any) -> list[nn.Module]:
    """Return a layer of two ways as two of one."""
    ways: list[nn.Module] = []
    for ending in ["", "_reverse"] if layer.bidirectional else [""]:
        way = type(layer)(layer.input_size, layer.hidden_size, batch_first=True)
        way.load_state_dict({name: getattr(layer, name + ending) for name in way.state_dict()})
        ways.append(way.to(layer.weight_ih_l0))
    return ways


def _read(way: nn.Module, steps: Tensor, n_steps: Tensor, back: bool) -> Tensor:
    """Return what a layer remembers at each step (B, T, W), read from the end or the start."""
    if not back:
        remembered: Tensor = way(steps)[0]
        return remembered
    places = torch.arange(steps.shape[1], device=steps.device)
    turned = (n_steps[:, None] - 1 - places).clamp(min=0)[:, :, None]
    answer: Tensor = way(steps.gather(1, turned.expand(-1, -1, steps.shape[2])))[0]
    return answer.gather(1, turned.expand(-1, -1, answer.shape[2]))
