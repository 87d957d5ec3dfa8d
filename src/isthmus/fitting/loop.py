"""The one training loop.

Shapes: N training rows, M held-out rows, B rows of a batch, D features.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from isthmus.data.rows import Selection
from isthmus.fitting.model import Model, Randomness
from isthmus.fitting.observers import Epoch, Held, Observer, Terms
from isthmus.fitting.plan import Plan, uses_bfloat16
from isthmus.fitting.streams import Streams
from isthmus.parts.networks.dropout import Dropout

EVALUATION_BATCH = 4096
NOISY_ROWS = 1000  # held-out rows are corrupted anew until there are about as many


class Outcome(NamedTuple):
    """What a fit came to; the model holds the best weights."""

    best_epoch: int
    n_epochs: int
    reason: str  # "limit", "patience", "diverged" or "interrupted"
    start: Held  # before the first step
    best: Held


class Draws(NamedTuple):
    """The streams of training, each at its own place; none of them is a global one."""

    order: torch.Generator
    dropout: torch.Generator
    randomness: Randomness

    @classmethod
    def begin(cls, streams: Streams, device: str) -> "Draws":
        """Start every stream."""
        randomness = Randomness(
            streams.generator("corruption", device), streams.generator("code", device)
        )
        return cls(streams.generator("order"), streams.generator("dropout", device), randomness)


def train(
    model: Model,
    training: Selection,
    held_out: Selection,
    plan: Plan,
    streams: Streams,
    observers: Sequence[Observer] = (),
) -> Outcome:
    """Fit `model` to the training rows; leave it with the weights that were best held out.

    Epoch 0, the model as it came, counts among them; without held-out rows the last epoch is
    the best. A loss that is not finite ends the fit before its step is taken.
    """
    optimizer = plan.optimizer.build(model.parameters(), plan.rate)
    draws = Draws.begin(streams, plan.device)
    began = time.perf_counter()

    def tell(number: int, terms: Terms, held: Held, *, better: bool) -> None:
        rate, seconds = optimizer.param_groups[0]["lr"], time.perf_counter() - began
        for observer in observers:
            observer.epoch(Epoch(number, plan.max_epochs, rate, terms, held, better, seconds))

    # The model as it came
    best = start = evaluate(model, held_out, streams)
    best_epoch, weights, epoch, reason = 0, snapshot(model), 0, "interrupted"
    tell(0, {}, start, better=True)

    with lent(model, draws.dropout), contextlib.suppress(KeyboardInterrupt):
        while True:
            # Whether to go on
            if epoch >= plan.stop_after:
                reason = "limit"
                break
            if plan.patience is not None and epoch - best_epoch >= plan.patience:
                reason = "patience"
                break

            # One pass over the training rows, in a new order
            epoch += 1
            terms = run_epoch(model, training, plan, optimizer, draws, epoch)
            held = evaluate(model, held_out, streams)
            if terms is None or math.isnan(held.loss):
                reason = "diverged"
                break

            # Whether it was good
            better = held.loss < best.loss or not held_out.n_rows
            if better:
                best, best_epoch, weights = held, epoch, snapshot(model)
            tell(epoch, terms, held, better=better)

    model.load_state_dict(weights)
    return Outcome(best_epoch, epoch, reason, start, best)


def run_epoch(
    model: Model, training: Selection, plan: Plan, optimizer: Optimizer, draws: Draws, epoch: int
) -> Terms | None:
    """Take one step per batch; return the terms averaged over rows, None if the loss broke."""
    order = torch.randperm(training.n_rows, generator=draws.order).to(plan.device)
    shuffled = training.at(training.index[order])
    sums: dict[str, Tensor] = {}
    done = 0
    model.train()
    reduced = uses_bfloat16(plan, sum(weight.numel() for weight in model.parameters()))
    for x, target in shuffled.batches(plan.batch_size):
        at = (epoch - 1 + done / training.n_rows) / plan.max_epochs
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * plan.schedule.factor(at)
        terms = take_step(model, x, target, optimizer, draws.randomness, reduced=reduced)
        if terms is None:
            return None
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value * len(x)
        done += len(x)
    means = {name: float(total) / done for name, total in sums.items()}
    return {"loss": sum(means.values()), **means}


def take_step(
    model: Model,
    x: Tensor,
    target: Tensor,
    optimizer: Optimizer,
    randomness: Randomness,
    *,
    reduced: bool,
) -> dict[str, Tensor] | None:
    """Step down the gradient of one batch; None, and no step, if its loss is not finite."""
    first: dict[str, Tensor] = {}

    def closure() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=reduced):
            objective = model(x, target, randomness)
        if not first:
            first.update({name: term.detach() for name, term in objective.terms.items()})
            if not torch.isfinite(objective.loss):
                raise FloatingPointError
        objective.loss.backward()
        return objective.loss

    try:
        optimizer.step(closure)
    except FloatingPointError:
        return None
    return first


@torch.no_grad()
def evaluate(model: Model, held_out: Selection, streams: Streams) -> Held:
    """Judge the held-out rows, with the same noise at every call."""
    n_rows, device = held_out.n_rows, held_out.rows.device
    if not n_rows:
        return Held(torch.empty(0), torch.empty(0), {}, math.inf)
    model.eval()
    noise = streams.generator("held_out", device)
    randomness = Randomness(noise, noise)
    n_draws = min(8, -(-NOISY_ROWS // n_rows)) if model.parts.corruption.hides else 1
    rows = torch.zeros(n_rows, device=device)
    errors = torch.zeros(n_rows, device=device)
    sums: dict[str, Tensor] = {}
    for _ in range(n_draws):
        done = 0
        for x, target in held_out.batches(EVALUATION_BATCH):
            objective = model(x, target, randomness)
            part = slice(done, done + len(x))
            rows[part] += objective.rows / n_draws
            errors[part] += model.squared_errors(objective.output, target) / n_draws
            done += len(x)
            for name, value in objective.terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(x)
    terms = {name: float(total) / (n_rows * n_draws) for name, total in sums.items()}
    loss = sum(terms.values())
    return Held(rows.cpu(), errors.cpu(), {"loss": loss, **terms}, loss)


def snapshot(model: Model) -> dict[str, Tensor]:
    """Return a copy of everything that the model has learned."""
    return {name: value.clone() for name, value in model.state_dict().items()}


@contextlib.contextmanager
def lent(model: Model, generator: torch.Generator) -> Iterator[None]:
    """Lend the dropout layers their generator while the training lasts."""
    layers = [layer for layer in model.modules() if isinstance(layer, Dropout)]
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            layer.generator = None
