"""The plan of a fit: what is decided once about size, time, precision and place."""

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch

from isthmus.errors import ParameterError
from isthmus.fitting.keeping import KEEPS_NOTHING, Keeper
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.schedules import Schedule

# Below this many multiplications of a row a step is bound by calls: half-size numbers would cost
# accuracy and win nothing.
WORTH_BFLOAT16 = 200_000


# Below this many multiplications a step is over before a second thread has begun, and on a busy
# machine it would wait for it.
WORTH_THREADS = 3e8


class Pace(Protocol):
    """What decides how a step is computed; a `Plan` is one."""

    @property
    def batch_size(self) -> int:
        """Rows per step."""

    @property
    def precision(self) -> str:
        """One of "auto", "float32" and "bfloat16"."""

    @property
    def device(self) -> str:
        """Where the step is computed."""


class Plan(NamedTuple):
    """How a fit runs."""

    optimizer: Optimizer
    rate: float
    schedule: Schedule
    batch_size: int
    max_epochs: int  # the schedule runs over these
    stop_after: int  # of them, the most that are run
    patience: int | None  # epochs without a better held-out loss; None: never stop early
    precision: str  # "auto", "float32" or "bfloat16"
    device: str
    keeper: Keeper = KEEPS_NOTHING


def pick_device(name: str) -> str:
    """Return a device that exists: "auto" is the first accelerator, or the processor.

    Raises
    ------
    ParameterError
        If the device is unknown or absent.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError):
        raise ParameterError(
            f"device={name!r} is not there: write 'cpu', or 'auto' for the best one present."
        ) from None
    return name


def uses_bfloat16(plan: Pace, n_products: int) -> bool:
    """Return whether products are made in bfloat16; a row goes forward by so many."""
    if plan.precision == "auto":
        return n_products >= WORTH_BFLOAT16 and multiplies_bfloat16(plan.device)
    return plan.precision == "bfloat16"


class _Threads:
    """The number of threads of torch, lent by several fits at a time.

    Only the first fit in sees the user's number; torch's is that of the thread that sets it, so
    that every fit puts it back for its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_fits = 0
        self._before = 1

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Run on one thread."""
        with self._lock:
            if self._n_fits == 0:
                self._before = torch.get_num_threads()
            self._n_fits += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self._lock:
                self._n_fits -= 1
                torch.set_num_threads(self._before)


_THREADS = _Threads()


def one_thread() -> contextlib.AbstractContextManager[None]:
    """Run on one thread of torch."""
    return _THREADS.one()


def threads_for(
    plan: Pace, n_products: int, *, passes: int = 3
) -> contextlib.AbstractContextManager[None]:
    """Run small steps on one thread; put the number of threads back at the end.

    A row goes forward by so many multiplications; of such passes a network has three: forward,
    to the weights, to the input.
    """
    is_small = passes * n_products * plan.batch_size < WORTH_THREADS
    return one_thread() if is_small else contextlib.nullcontext()


def multiplies_bfloat16(device: str) -> bool:
    """Return whether the device multiplies bfloat16 natively (elsewhere it is slower)."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def pick_batch_size(size: int | str, n_rows: int, *, whole: bool) -> int:
    """Return the rows per batch: "auto" gives small data many steps, large data large ones."""
    if size != "auto":
        return min(int(size), n_rows)
    if whole:
        return min(n_rows, 10_000)
    return min(n_rows, max(32, min(256, 2 ** round(math.log2(n_rows / 6)))))


def pick_max_epochs(epochs: int | str, n_rows: int, batch_size: int) -> int:
    """Return the most passes: "auto" is 100, or what makes 20,000 steps, but 10 at the least."""
    if epochs != "auto":
        return int(epochs)
    steps = -(-n_rows // batch_size)
    return min(100, max(10, 20_000 // steps))
