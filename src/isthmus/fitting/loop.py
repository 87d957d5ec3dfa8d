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
from torch.nn import functional
from torch.optim import Optimizer

from isthmus.data.rows import Selection
from isthmus.fitting.learner import Learner, Randomness
from isthmus.fitting.memory import halving, tell_smaller
from isthmus.fitting.observers import NOTHING_HELD, Epoch, Held, Observer, Terms
from isthmus.fitting.plan import Plan, threads_for, uses_bfloat16
from isthmus.fitting.streams import Streams
from isthmus.parts.networks.dropout import Dropout

EVALUATION_BATCH = 4096
WILD = 1000.0  # times the loss at the start, from where no fit comes back
BEYOND_CHANCE = 2.0  # standard errors, by which rows are worse than at the start
SLIGHT = 0.01  # of the loss at the start, by which nobody calls them worse
JUDGED = 500  # training rows that stand in where none are held out
FLUSH_EVERY = 200  # steps: 0.9^200 of what vanished just not is still a normal number
VANISHED = 1e-25
NOISY_ROWS = 1000  # held-out rows are corrupted anew until there are about as many


class Outcome(NamedTuple):
    """What a fit came to; the model holds the best weights."""

    best_epoch: int
    n_epochs: int
    reason: str  # "limit", "patience", "diverged" or "interrupted"
    start: Held  # before the first step; empty where nothing was held out
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
            streams.generator("corruption", device),
            streams.generator("code", device),
            streams.generator("penalty", device),
        )
        return cls(streams.generator("order"), streams.generator("dropout", device), randomness)

    def place(self) -> list[Tensor]:
        """Return where the streams of a step stand."""
        return [stream.get_state() for stream in (self.dropout, *self.randomness)]

    def rewind(self, place: list[Tensor]) -> None:
        """Go back to a place."""
        for stream, state in zip((self.dropout, *self.randomness), place, strict=True):
            stream.set_state(state)


def train(
    model: Learner,
    training: Selection,
    held_out: Selection,
    plan: Plan,
    streams: Streams,
    observers: Sequence[Observer] = (),
) -> Outcome:
    """Fit `model` to the training rows; leave it with the weights that were best held out.

    Epoch 0, the model as it came, counts among them. Without held-out rows a fit that runs to
    its limit keeps its last weights, unless they are worse than those it came with. A loss that is
    not finite ends the fit. Batches that the device has no room for are halved.
    """
    optimizer = plan.optimizer.build(model.parameters(), plan.rate)
    draws = Draws.begin(streams, plan.device)
    n_products = model.n_products
    reduced = uses_bfloat16(plan, n_products)
    # A few training rows stand in where none are held out: for soundness, not for choosing.
    judged = held_out.n_rows > 0
    judge = held_out if judged else training.at(training.index[:JUDGED])
    began = time.perf_counter()

    def tell(number: int, terms: Terms, held: Held, *, better: bool) -> None:
        rate, seconds = optimizer.param_groups[0]["lr"], time.perf_counter() - began
        shown = held if judged else NOTHING_HELD
        for observer in observers:
            observer.epoch(Epoch(number, plan.max_epochs, rate, terms, shown, better, seconds))

    def one_pass(size: int) -> Terms | None:
        smaller = plan._replace(batch_size=size)
        return run_epoch(model, training, smaller, optimizer, draws, epoch, reduced=reduced)

    # The model as it came
    best = start = evaluate(model, judge, streams)
    best_epoch, weights, epoch, reason = 0, snapshot(model), 0, "interrupted"
    size = plan.batch_size

    with (
        threads_for(plan, n_products),
        lent(model, draws.dropout),
        contextlib.suppress(KeyboardInterrupt),
    ):
        tell(0, {}, start, better=True)
        while True:
            # Whether to go on
            if epoch >= plan.stop_after:
                reason = "limit"
                break
            if plan.patience is not None and judged and epoch - best_epoch >= plan.patience:
                reason = "patience"
                break

            # One pass over the training rows, in a new order
            epoch += 1
            terms, size = halving(one_pass, size, least=min(size, 2))
            held = evaluate(model, judge, streams)
            lost = is_lost(held, None if judged else start, last=epoch == plan.stop_after)
            if terms is None or lost:
                reason = "diverged"
                break

            # Whether it was good
            better = held.loss < best.loss
            if better:
                best, best_epoch, weights = held, epoch, snapshot(model)
            tell(epoch, terms, held, better=better)

    tell_smaller(plan.batch_size, size)
    if not judged and reason == "limit":
        best_epoch = epoch
    else:
        model.load_state_dict(weights)
    return Outcome(
        best_epoch, epoch, reason, *((start, best) if judged else (NOTHING_HELD, NOTHING_HELD))
    )


def run_epoch(
    model: Learner,
    training: Selection,
    plan: Plan,
    optimizer: Optimizer,
    draws: Draws,
    epoch: int,
    *,
    reduced: bool,
) -> Terms | None:
    """Take one step per batch; return the terms averaged over rows, None if the loss broke."""
    shuffled = training.shuffled(draws.order)
    sums: dict[str, Tensor] = {}
    done = 0
    model.train()
    earlier = (epoch - 1) * training.n_batches(plan.batch_size)
    for number, (x, target) in enumerate(shuffled.batches(plan.batch_size), earlier):
        if number % FLUSH_EVERY == FLUSH_EVERY - 1:
            flush(optimizer)
        middle = done + len(x) / 2  # so that a warm-up does not waste its first step
        at = (epoch - 1 + middle / training.n_rows) / plan.max_epochs
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * plan.schedule.factor(at)
        terms = take_step(model, x, target, optimizer, draws, reduced=reduced, at=at)
        if terms is None:
            return None
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value * len(x)
        done += len(x)
    means = {name: float(total) / done for name, total in sums.items()}
    return {"loss": sum(means.values()), **means}


@torch.no_grad()
def flush(optimizer: Optimizer) -> None:
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
    model: Learner,
    x: Tensor,
    target: Tensor,
    optimizer: Optimizer,
    draws: Draws,
    *,
    reduced: bool,
    at: float = 1.0,
) -> dict[str, Tensor] | None:
    """Step down the gradient of one batch; None, and no step, if its loss is not finite."""
    first: dict[str, Tensor] = {}
    before = draws.place()

    def closure() -> Tensor:
        if first:  # a line search looks again: at the same noise
            draws.rewind(before)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=reduced):
            objective = model(x, target, draws.randomness, at)
        if not first:
            first.update({name: term.detach() for name, term in objective.terms.items()})
            if not math.isfinite(objective.loss.item()):
                raise FloatingPointError
        objective.loss.backward()
        return objective.loss

    try:
        optimizer.step(closure)  # type: ignore[arg-type]  # torch says float and takes tensors
    except FloatingPointError:
        return None
    return first


def is_lost(held: Held, start: Held | None, *, last: bool = False) -> bool:
    """Whether a loss is where no fit comes back from, or is above the `start` at the ``last``.

    Where held-out rows choose the best epoch, only what is not finite is lost.
    """
    if not math.isfinite(held.loss) or start is None:
        return not math.isfinite(held.loss)
    unit = max(abs(start.loss), 1.0)
    return held.loss > start.loss + WILD * unit or (last and _losses(held, start) > SLIGHT * unit)


def _losses(held: Held, start: Held) -> float:
    """Return what rows have surely lost since the start, on average."""
    losses = held.rows - start.rows
    chance = float(losses.std()) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    return float(losses.mean()) - BEYOND_CHANCE * chance


def evaluate(model: Learner, held_out: Selection, streams: Streams) -> Held:
    """Judge the held-out rows, with the same noise at every call."""
    return halving(lambda size: _evaluate(model, held_out, streams, size), EVALUATION_BATCH)[0]


@torch.no_grad()
def _evaluate(model: Learner, held_out: Selection, streams: Streams, size: int) -> Held:
    n_rows, device = held_out.n_rows, held_out.rows.device
    model.eval()
    noise = streams.generator("held_out", device)
    randomness = Randomness(noise, noise, noise)
    n_draws = min(8, -(-NOISY_ROWS // n_rows)) if model.noisy else 1
    rows = torch.zeros(n_rows, device=device)
    errors = torch.zeros(n_rows, device=device)
    sums: dict[str, Tensor] = {}
    for _ in range(n_draws):
        done = 0
        for x, target in held_out.batches(max(1, size // model.n_draws)):
            objective = model(x, target, randomness)
            part = slice(done, done + len(x))
            rows[part] += objective.rows / n_draws
            errors[part] += model.errors(objective.output, target) / n_draws
            done += len(x)
            for name, value in objective.terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(x)
    terms = {name: float(total) / (n_rows * n_draws) for name, total in sums.items()}
    loss = sum(terms.values())
    rows = rows.cpu()
    rows += loss - float(rows.mean())  # the penalties count too, the same for every row
    return Held(rows, errors.cpu(), {"loss": loss, **terms}, loss)


def snapshot(model: Learner) -> dict[str, Tensor]:
    """Return a copy of everything that the model has learned."""
    return {name: value.clone() for name, value in model.state_dict().items()}


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
