"""A trial of a model's parts: each answers rows of zeros by itself, as its slot says it should.

Penalties are not tried: they need a whole pass, and are held to theirs in each.
Shapes: B rows, D features, K code units, H head outputs, O outputs, S draws of a row.
"""

import torch
from torch import Tensor

from isthmus.fitting.model import Model
from isthmus.parts.answers import check_record, check_shape
from isthmus.parts.passes import Drawn, Seen

N_ROWS = 2  # B: enough to tell a row from a batch


@torch.no_grad()
def try_parts(model: Model) -> None:
    """Refuse a corruption, code or likelihood that answers in another shape than it should.

    Nothing is learned, and no stream of the fit is drawn from.

    Raises
    ------
    ParameterError
        With the part, what it gave and what is wanted.
    """
    generator = torch.Generator().manual_seed(0)
    model.memory.eval()
    model.spread.eval()
    rows = torch.zeros(N_ROWS, len(model.scaling.offset), dtype=torch.float32)
    _try_corruption(model, rows, generator)
    _try_code(model, generator)
    _try_likelihood(model, model.predicted(rows), generator)
    model.memory.train()
    model.spread.train()


def _try_corruption(model: Model, rows: Tensor, generator: torch.Generator) -> None:
    corruption = model.parts.corruption
    seen = corruption.see(rows, model.scaling, generator, model.shape)
    check_record(corruption, "see", seen, Seen)
    check_shape(corruption, "noisy rows", seen.rows, rows.shape, "that of the rows without noise")


def _try_code(model: Model, generator: torch.Generator) -> None:
    code, n_units = model.parts.code, model.n_components
    head = torch.zeros(N_ROWS, n_units * code.head_per_unit, dtype=torch.float32)
    n_drawn = N_ROWS * code.n_draws
    each = f"{n_units} numbers for each of {N_ROWS} rows"
    check_shape(code, "mean", code.mean(head, model.memory), (N_ROWS, n_units), each)
    drawn = code.draw(head, model.memory, generator)
    check_record(code, "draw", drawn, Drawn)
    check_shape(code, "drawn mean", drawn.mean, (N_ROWS, n_units), each)
    check_shape(code, "z", drawn.z, (n_drawn, n_units), f"{n_units} numbers for each draw")
    if drawn.divergence is not None:
        check_shape(code, "divergence", drawn.divergence, (n_drawn,), "nats of each draw")


def _try_likelihood(model: Model, rows: Tensor, generator: torch.Generator) -> None:
    likelihood, spread = model.parts.likelihood, model.spread
    output = rows.new_zeros(N_ROWS, rows.shape[1] * likelihood.outputs_per_feature)
    nll = likelihood.nll(output, rows, spread)
    check_shape(likelihood, "nll", nll, (N_ROWS,), "summed over the features of each row")
    answers = {
        "mean": likelihood.mean(output),
        "sample": likelihood.sample(output, generator, spread),
    }
    for method, answer in answers.items():
        check_shape(likelihood, method, answer, rows.shape, "that of the rows")
