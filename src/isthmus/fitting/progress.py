"""Where a training stands, so that it can be taken down after any step, and taken up."""

import dataclasses
import time
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.fitting.fused import Stepper
from isthmus.fitting.observers import NOTHING_HELD, Held


@dataclasses.dataclass
class Lap:
    """An epoch under way."""

    order: Tensor  # where the stream of orders stood before it
    n_steps: int = 0
    n_rows: int = 0
    sums: dict[str, Tensor] = dataclasses.field(default_factory=dict)  # of terms, over the rows


@dataclasses.dataclass
class Progress:
    """All that a training's next step depends on, besides its rows and its plan."""

    model: nn.Module
    optimizer: Stepper
    streams: tuple[torch.Generator, ...]  # the first is that of the orders
    memory: dict[str, Tensor] = dataclasses.field(default_factory=dict)  # chains, where there are
    size: int = 0  # rows of a batch, fewer than planned where memory is short
    epoch: int = 0  # the one under way, or the last
    lap: Lap | None = None  # between two epochs there is none
    start: Held = NOTHING_HELD
    best: Held = NOTHING_HELD
    best_epoch: int = 0
    weights: dict[str, Tensor] = dataclasses.field(default_factory=dict)  # of the best epoch
    reason: str | None = None  # why it is over
    began: float = dataclasses.field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """How long it has lasted, in all processes."""
        return time.perf_counter() - self.began

    def begin_epoch(self) -> Lap:
        """Start the next epoch, or go on with the one under way."""
        if self.lap is None:
            self.epoch += 1
            self.lap = Lap(self.streams[0].get_state())
        return self.lap

    def keep_weights(self) -> None:
        """Note that the weights of now are the best."""
        self.best_epoch, self.weights = self.epoch, snapshot(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Return all of it; of a training that is over, no more than what it came to."""
        state = {
            "device": self._device,
            "model": self.model.state_dict(),
            "weights": self.weights,
            "size": self.size,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "start": self.start._asdict(),
            "best": self.best._asdict(),
            "reason": self.reason,
            "seconds": self.seconds,
        }
        if self.reason is not None:
            return state
        return {
            **state,
            "optimizer": self.optimizer.state_dict(),
            "streams": [stream.get_state() for stream in self.streams],
            "memory": self.memory,
            "lap": None if self.lap is None else vars(self.lap),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where a state was taken.

        Raises
        ------
        ParameterError
            If that was on another device, whose streams are of another kind, or of a model with
            other weights.
        """
        if state["device"] != self._device:
            raise ParameterError(
                f"The fit was kept on device {state['device']!r} and would go on on "
                f"{self._device!r}: resume it on a machine of the first kind, or begin anew in "
                f"another folder."
            )
        if shapes(state["model"]) != shapes(self.model.state_dict()):
            raise ParameterError(
                "The fit was kept by another version of Isthmus, in which its model has other "
                "weights: begin anew in another folder."
            )
        self.model.load_state_dict(state["model"])
        self.model.eval()
        self.weights, self.epoch = state["weights"], state["epoch"]
        self.size = state["size"]
        self.best_epoch, self.reason = state["best_epoch"], state["reason"]
        self.start, self.best = Held(**state["start"]), Held(**state["best"])
        self.began = time.perf_counter() - state["seconds"]
        if self.reason is None:
            self.optimizer.load_state_dict(state["optimizer"])
            for stream, place in zip(self.streams, state["streams"], strict=True):
                stream.set_state(place)
            for name, value in state["memory"].items():
                self.memory[name] = value.to(self.memory[name].device)
            self.lap = None if state["lap"] is None else Lap(**state["lap"])

    @property
    def _device(self) -> str:
        return self.streams[-1].device.type


def shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of each of a model's tensors."""
    return {name: value.shape for name, value in weights.items()}


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of everything that a model has learned."""
    return {name: value.clone() for name, value in model.state_dict().items()}
