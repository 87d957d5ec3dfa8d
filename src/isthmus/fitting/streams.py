"""Random streams: one generator per role, all derived from `random_state`.

No role disturbs another: a corruption at zero strength draws its numbers and leaves batches,
initial weights and splits bitwise as they are. The global generators are never touched.
"""

import functools
import zlib
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch

from isthmus.errors import ParameterError

Role = Literal[
    "init",
    "split",
    "order",
    "corruption",
    "code",
    "penalty",
    "held_out",
    "pca",
    "dropout",
    "gibbs",
    "kept",
    "labels",
]
RandomState = int | np.random.RandomState | np.random.Generator | None


class Streams:
    """Generators by role.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        An int gives the same streams each time; a generator gives its next draw; None is fresh.
    """

    def __init__(self, random_state: RandomState = None) -> None:
        self.entropy = _entropy(random_state)

    def seed(self, role: Role) -> int:
        """Return the role's seed, 0 to 2^63 - 1."""
        return _seed(self.entropy, role)

    def child(self, name: str) -> "Streams":
        """Return streams of their own, such as those of a layer that is trained by itself."""
        key = zlib.crc32(name.encode())
        state = np.random.SeedSequence(self.entropy, spawn_key=(key,)).generate_state(4)
        return Streams(int.from_bytes(state.tobytes(), "little"))

    def generator(self, role: Role, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a new generator at the start of the role's stream."""
        return torch.Generator(device).manual_seed(self.seed(role))


@functools.lru_cache(maxsize=1000)  # a small fit asks for one at every epoch
def _seed(entropy: int, role: Role) -> int:
    sequence = np.random.SeedSequence(entropy, spawn_key=(zlib.crc32(role.encode()),))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def _entropy(random_state: RandomState) -> int:
    if random_state is None:
        return int(np.random.SeedSequence().entropy)  # type: ignore[arg-type]
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    seed: Any = random_state
    if not isinstance(seed, Integral) or int(seed) < 0:
        raise ParameterError(
            f"random_state={random_state!r} is no seed: write a whole number from 0, or None."
        )
    return int(seed)
