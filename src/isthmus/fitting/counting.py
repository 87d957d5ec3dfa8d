"""How many multiplications a row takes on its way forward, whatever the modules are."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

_ATEN = torch.ops.aten


def _count_matrices(x: Sequence[int], *others: Any, **_: Any) -> int:
    """Return the operations of a layer that multiplies each time of x (B, T, F) by its matrices."""
    matrices = [shape for shape in others if isinstance(shape, torch.Size) and len(shape) == 2]
    return 2 * x[0] * x[1] * sum(map(math.prod, matrices))


def _count_cells(x: Sequence[int], *others: Any, **_: Any) -> int:
    """Return the operations of a layer of cells, whose states are matrices too."""
    return _count_matrices(x, *others[:2])


# Layers that torch makes at once on a processor, for which it has no formula of its own.
_AT_ONCE = {
    _ATEN.mkldnn_rnn_layer: _count_cells,
    _ATEN._transformer_encoder_layer_fwd: _count_matrices,
    _ATEN._native_multi_head_attention: _count_matrices,
}
_FORMULAS = {**flop_registry, **{name: shape_wrapper(each) for name, each in _AT_ONCE.items()}}  # type: ignore[no-untyped-call]


def count_products(forward: Callable[[Tensor], object], row: Tensor) -> int:
    """Return the multiplications by which a row (1, D) goes forward."""
    with torch.no_grad(), _Counter() as counter:
        forward(row)
    return counter.n_operations // 2  # a product and a sum each


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by torch's own formulas, as its `FlopCounterMode`, which imports its compiler."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled: to say so would import the compiler, a second

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        options = kwargs or {}
        formula = _FORMULAS.get(func.overloadpacket)
        if formula is None:  # perhaps an operator of several, which are counted one by one
            with self:
                made = func.decompose(*args, **options)
            return func(*args, **options) if made is NotImplemented else made
        made = func(*args, **options)
        self.n_operations += formula(*args, **options, out_val=made)
        return made
