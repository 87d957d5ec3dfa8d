"""The one training loop.

Shapes: N training rows, M held-out rows, B rows of a batch, D features.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from isthmus.data.rows import Selection
from isthmus.fitting.holding import hold_back
from isthmus.fitting.learner import Learner, Randomness
from isthmus.fitting.memory import halving, rows_at_once, tell_smaller
from isthmus.fitting.observers import NOTHING_HELD, Epoch, Held, Observer, Terms
from isthmus.fitting.plan import Plan, threads_for, uses_bfloat16
from isthmus.fitting.progress import Lap, Progress
from isthmus.fitting.streams import Streams
from isthmus.parts.networks.dropout import Dropout

WILD = 1000.0  # times the loss at the start, from where no fit comes back
BEYOND_CHANCE = 2.0  # standard errors, by which rows are worse than at the start
SLIGHT = 0.01  # of the loss at the start, by which nobody calls them worse
JUDGED = 200  # training rows that stand in where none are held out
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
    run = Progress(model, optimizer, draws.each())
    look = functools.partial(evaluate, model, judge, streams, once=not judged)
    stage = plan.keeper.stage(run, observers)

    def tell(terms: Terms, held: Held, *, better: bool) -> None:
        rate, shown = optimizer.param_groups[0]["lr"], held if judged else NOTHING_HELD
        stage.tell(Epoch(run.epoch, plan.max_epochs, rate, terms, shown, better, run.seconds))

    one_pass = functools.partial(
        run_epoch,
        model,
        training,
        optimizer=optimizer,
        draws=draws,
        after_step=stage.step,
        reduced=reduced,
    )

    # The model as it came
    begins = not run.weights
    if begins:
        run.size = plan.batch_size
        run.start = run.best = look(at_least=run.size)
        run.keep_weights()

    reason = "interrupted"
    with (
        threads_for(plan, n_products),
        lent(model, draws.dropout),
        contextlib.suppress(KeyboardInterrupt),
    ):
        if begins:
            tell({}, run.start, better=True)
        while True:
            # Whether to go on
            run.reason = run.reason or _ending(run, plan, judged=judged)
            if run.reason:
                break
            stage.step()

            # One pass over the training rows, in a new order
            terms = _in_room(one_pass, run, plan)
            held = look(at_least=run.size)
            run.lap = None
            last = run.epoch == plan.stop_after
            if terms is None or is_lost(held, None if judged else run.start, last=last):
                run.reason = "diverged"
                continue

            # Whether it was good
            better = held.loss < run.best.loss
            if better:
                run.best = held
                run.keep_weights()
            tell(terms, held, better=better)
        stage.end()
        reason = run.reason

    if reason == "interrupted":
        plan.keeper.give_up()
    tell_smaller(plan.batch_size, run.size)
    best_epoch = run.best_epoch
    if not judged and reason == "limit":
        best_epoch = run.epoch
    else:
        model.load_state_dict(run.weights)
    seen = (run.start, run.best) if judged else (NOTHING_HELD, NOTHING_HELD)
    return Outcome(best_epoch, run.epoch, reason, *seen)


def _in_room(one_pass: Callable[..., Terms | None], run: Progress, plan: Plan) -> Terms | None:
    """Run an epoch, begun anew with half the rows in a batch where the device has no room."""

    def attempt(size: int) -> Terms | None:
        lap = run.begin_epoch()
        if size != run.size:
            run.size, run.lap = size, (lap := Lap(lap.order))
        smaller = plan._replace(batch_size=size)
        return one_pass(plan=smaller, epoch=run.epoch, lap=lap)

    return halving(attempt, run.size, least=min(run.size, 2))[0]


def _ending(run: Progress, plan: Plan, *, judged: bool) -> str | None:
    """Return why no further epoch is begun, if none is."""
    if run.lap is not None:
        return None
    if run.epoch >= plan.stop_after:
        return "limit"
    waited = run.epoch - run.best_epoch
    return "patience" if plan.patience is not None and judged and waited >= plan.patience else None


def run_epoch(
    model: Learner,
    training: Selection,
    plan: Plan,
    optimizer: Optimizer,
    draws: Draws,
    epoch: int,
    lap: Lap | None = None,
    after_step: Callable[[], None] = lambda: None,
    *,
    reduced: bool,
) -> Terms | None:
    """Take one step per batch; return the terms averaged over rows, None if the loss broke.

    The steps of `lap`, which were taken before, are left out.
    """
    lap = lap or Lap(draws.order.get_state())
    draws.order.set_state(lap.order)
    shuffled = training.shuffled(draws.order)
    model.train()
    earlier = (epoch - 1) * training.n_batches(plan.batch_size)
    for x, target in shuffled.batches(plan.batch_size, lap.n_steps):
        if (earlier + lap.n_steps) % FLUSH_EVERY == FLUSH_EVERY - 1:
            flush(optimizer)
        middle = lap.n_rows + len(x) / 2  # so that a warm-up does not waste its first step
        at = (epoch - 1 + middle / training.n_rows) / max(1, plan.max_epochs)
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * plan.schedule.factor(at)
        terms = take_step(model, x, target, optimizer, draws, reduced=reduced, at=at)
        if terms is None:
            return None
        for name, value in terms.items():
            lap.sums[name] = lap.sums.get(name, 0.0) + value * len(x)
        lap.n_steps, lap.n_rows = lap.n_steps + 1, lap.n_rows + len(x)
        after_step()
    means = {name: float(total) / lap.n_rows for name, total in lap.sums.items()}
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
        if model.steep:
            hold_back(model, optimizer)
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


def evaluate(
    model: Learner,
    held_out: Selection,
    streams: Streams,
    *,
    once: bool = False,
    at_least: int = 1,
) -> Held:
    """Judge the held-out rows, with the same noise at every call.

    The noise is drawn but `once` where the rows tell soundness alone. At least so many rows go
    forward at a time, since as many as train together have room.
    """
    size = max(rows_at_once(model.n_products), at_least * model.n_draws)
    n_draws = min(8, -(-NOISY_ROWS // held_out.n_rows)) if model.noisy and not once else 1
    return halving(lambda size: _evaluate(model, held_out, streams, size, n_draws), size)[0]


@torch.no_grad()
def _evaluate(
    model: Learner, held_out: Selection, streams: Streams, size: int, n_draws: int
) -> Held:
    n_rows, device = held_out.n_rows, held_out.rows.device
    model.eval()
    noise = streams.generator("held_out", device)
    randomness = Randomness(noise, noise, noise)
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
