"""An epoch of the training loop, step by step.

Shapes: N training rows, B rows of a batch, D features.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from isthmus.data.rows import Selection
from isthmus.fitting.fused import Stepper
from isthmus.fitting.gradients import Way
from isthmus.fitting.holding import hold_back
from isthmus.fitting.learner import Learner, Randomness
from isthmus.fitting.observers import Terms
from isthmus.fitting.plan import Plan
from isthmus.fitting.progress import Lap
from isthmus.fitting.streams import Streams
from isthmus.parts.networks.dropout import Dropout

FLUSH_EVERY = 200  # steps: 0.9^200 of what vanished just not is still a normal number
VANISHED = 1e-25


class Draws(NamedTuple):
    """The streams of training, each at its own place; none of them is a global one."""

    order: torch.Generator
    dropout: torch.Generator
    randomness: Randomness

    @classmethod
    def begin(cls, streams: Streams, device: str) -> "Draws":
        """Start every stream."""
        randomness = Randomness(
            streams.generator("corruption", device),
            streams.generator("code", device),
            streams.generator("penalty", device),
        )
        return cls(streams.generator("order"), streams.generator("dropout", device), randomness)

    def each(self) -> tuple[torch.Generator, ...]:
        """Return all streams, that of the orders first."""
        return self.order, self.dropout, *self.randomness

    def place(self) -> list[Tensor]:
        """Return where the streams of a step stand."""
        return [stream.get_state() for stream in (self.dropout, *self.randomness)]

    def rewind(self, place: list[Tensor]) -> None:
        """Go back to a place."""
        for stream, state in zip((self.dropout, *self.randomness), place, strict=True):
            stream.set_state(state)


def run_epoch(
    way: Way,
    training: Selection,
    plan: Plan,
    optimizer: Stepper,
    draws: Draws,
    epoch: int,
    lap: Lap | None = None,
    after_step: Callable[[], None] = lambda: None,
    *,
    risen: bool = False,
) -> Terms | None:
    """Take one step per batch; return the terms averaged over rows, None if the loss broke.

    The steps of `lap`, which were taken before, are left out. What rises in the course of a fit,
    such as a weight, has ``risen`` where one came before.
    """
    lap = lap or Lap(draws.order.get_state())
    draws.order.set_state(lap.order)
    shuffled = training.shuffled(draws.order)
    way.train()
    earlier = (epoch - 1) * training.n_batches(plan.batch_size)
    for x, target in shuffled.batches(plan.batch_size, lap.n_steps):
        if (earlier + lap.n_steps) % FLUSH_EVERY == FLUSH_EVERY - 1:
            flush(optimizer)
        middle = lap.n_rows + len(x) / 2  # so that a warm-up does not waste its first step
        at = (epoch - 1 + middle / training.n_rows) / max(1, plan.max_epochs)
        at = max(at, 1.0) if risen else at
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * plan.schedule.factor(at)
        terms = take_step(way, x, target, optimizer, draws, at=at)
        if terms is None:
            return None
        for name, value in terms.items():
            lap.sums[name] = lap.sums.get(name, 0.0) + value * len(x)
        lap.n_steps, lap.n_rows = lap.n_steps + 1, lap.n_rows + len(x)
        after_step()
    means = {name: float(total) / lap.n_rows for name, total in lap.sums.items()}
    return {"loss": sum(means.values()), **means}


@torch.no_grad()
def flush(optimizer: Stepper) -> None:
    """Set to zero what the optimiser remembers of gradients that have long been zero.

    Such averages decay into subnormal numbers, with which a processor is ten times slower; as
    parts of a step they vanish beside the optimiser's own epsilon.
    """
    for member in getattr(optimizer, "members", [optimizer]):
        for state in member.state.values():
            for value in state.values():
                if isinstance(value, Tensor) and value.ndim > 0:
                    value.copy_(functional.hardshrink(value, VANISHED))


def take_step(
    way: Way, x: Tensor, target: Tensor, optimizer: Stepper, draws: Draws, *, at: float = 1.0
) -> dict[str, Tensor] | None:
    """Step down the gradient of one batch; None, and no step, if its loss is not finite."""
    first: dict[str, Tensor] = {}
    searches = isinstance(optimizer, torch.optim.LBFGS)
    before = draws.place() if searches else []

    def closure() -> Tensor:
        if first:  # a line search looks again: at the same noise
            draws.rewind(before)
        optimizer.zero_grad(set_to_none=True)
        objective = way.objective(x, target, draws.randomness, at)
        if not first:
            first.update({name: term.detach() for name, term in objective.terms.items()})
            if not math.isfinite(objective.loss.item()):
                raise FloatingPointError
        way.back(objective)
        if way.learner.steep:
            hold_back(way.learner, optimizer)
        return objective.loss

    try:
        optimizer.step(closure)
    except FloatingPointError:
        return None
    return first


@contextlib.contextmanager
def lent(model: Learner, generator: torch.Generator) -> Iterator[None]:
    """Lend the dropout layers their generator while the training lasts."""
    layers = [layer for layer in model.modules() if isinstance(layer, Dropout)]
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            layer.generator = None
