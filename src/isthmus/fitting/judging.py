"""What a model makes of rows that it is not trained on, and whether it is lost.

Shapes: M held-out rows.
"""

import math

import torch
from torch import Tensor

from isthmus.data.rows import Selection
from isthmus.fitting.gradients import Way
from isthmus.fitting.learner import Randomness
from isthmus.fitting.memory import halving, rows_at_once
from isthmus.fitting.observers import Held
from isthmus.fitting.streams import Streams

WILD = 1000.0  # times the loss at the start, from where no fit comes back
BEYOND_CHANCE = 2.0  # standard errors, by which rows are worse than at the start
SLIGHT = 0.01  # of the loss at the start, by which nobody calls them worse
NOISY_ROWS = 1000  # held-out rows are corrupted anew until there are about as many


def evaluate(
    way: Way,
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
    model = way.learner
    size = max(rows_at_once(model.n_products), at_least * model.n_draws)
    n_draws = min(8, -(-NOISY_ROWS // held_out.n_rows)) if model.noisy and not once else 1
    return halving(lambda size: _evaluate(way, held_out, streams, size, n_draws), size)[0]


@torch.no_grad()
def _evaluate(way: Way, held_out: Selection, streams: Streams, size: int, n_draws: int) -> Held:
    n_rows, device = held_out.n_rows, held_out.rows.device
    model = way.learner
    way.train(False)
    noise = streams.generator("held_out", device)
    randomness = Randomness(noise, noise, noise)
    rows = torch.zeros(n_rows, device=device, dtype=torch.float32)
    errors = torch.zeros(n_rows, device=device, dtype=torch.float32)
    sums: dict[str, Tensor] = {}
    together = model.bears_copies and size >= n_draws * model.n_draws
    n_copies = n_draws if together else 1
    for _ in range(n_draws // n_copies):
        done = 0
        for x, target in held_out.batches(max(1, size // (n_copies * model.n_draws))):
            part = slice(done, done + len(x))
            if n_copies > 1:
                x, target = x.repeat(n_copies, 1), target.repeat(n_copies, 1)
            objective = way.objective(x, target, randomness)
            wrong = model.errors(objective.output, target)
            rows[part] += objective.rows.view(n_copies, -1).sum(0) / n_draws
            errors[part] += wrong.view(n_copies, -1).sum(0) / n_draws
            done = part.stop
            for name, value in objective.terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(x)
    terms = {name: float(total) / (n_rows * n_draws) for name, total in sums.items()}
    loss = sum(terms.values())
    rows = rows.cpu()
    rows += loss - float(rows.mean())  # the penalties count too, the same for every row
    return Held(rows, errors.cpu(), {"loss": loss, **terms}, loss)


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
