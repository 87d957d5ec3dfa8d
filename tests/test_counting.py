"""How many multiplications a row takes, beside counts by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from isthmus.fitting.counting import count_products

T, D, H = 5, 4, 6  # of the sequences
MODULES = {
    "a product": (nn.Linear(7, 5), (7,), 7 * 5),
    "a convolution": (nn.Conv2d(3, 8, 3, padding=1), (3, 6, 6), 36 * 8 * 3 * 9),
    "gated units": (nn.GRU(D, H, batch_first=True), (T, D), T * 3 * H * (D + H)),
    "memory cells": (nn.LSTM(D, H, batch_first=True), (T, D), T * 4 * H * (D + H)),
    "layers of cells": (
        nn.LSTM(D, H, 2, batch_first=True, bidirectional=True),
        (T, D),
        2 * T * 4 * H * (D + H) + 2 * T * 4 * H * (2 * H + H),
    ),
}
each_module = pytest.mark.parametrize("name", MODULES)


@each_module
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_products_are_counted_as_by_hand(name, precision):
    module, shape, wanted = MODULES[name]
    module = module.to(precision)
    assert count_products(module, torch.zeros(1, *shape, dtype=precision)) == wanted
    with torch.inference_mode():
        assert count_products(module, torch.zeros(1, *shape, dtype=precision)) == wanted


def test_layers_that_torch_makes_at_once_are_counted():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    assert count_products(layer, torch.zeros(1, T, 8)) == T * (8 * 3 * 8 + 8 * 8 + 2 * 8 * 16)
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    counted = count_products(lambda x: attention(x, x, x), torch.zeros(1, T, 8))
    assert counted == T * (8 * 3 * 8 + 8 * 8)


def test_counts_are_those_of_torchs_counter():
    weight = torch.randn(3, 7)

    def forward(x):
        return functional.linear(x.exp(), weight).softmax(1) @ weight

    row = torch.zeros(1, 7)
    with FlopCounterMode(display=False) as counter:
        forward(row)
    assert count_products(forward, row) == counter.get_total_flops() // 2 == 2 * 3 * 7
