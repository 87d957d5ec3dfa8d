"""Parts that do not go together, refused from what they declare."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ParameterError
from isthmus.fitting.model import Parts
from isthmus.fitting.plan import Plan
from isthmus.parts.slots import Penalty


def check_together(parts: Parts, *, paired: bool = False) -> None:
    """Refuse skips that invite to copy, and what code, network or likelihood cannot serve.

    Where the rows are ``paired`` with clean ones, nothing can be copied.
    """
    if parts.needs_target and not paired:
        raise ParameterError(
            "target='noise2noise' learns from pairs of noisy shots, and fit was given one of each: "
            "give the others by fit(X, target=...), or write target='blind'."
        )
    if parts.network.skips and not (paired or parts.corruption.hides):
        raise ParameterError(
            f"network {str(parts.network)!r} leads its input around the code, and nothing keeps it "
            f"from copying: add a corruption such as 'gaussian(std=0.1)', or write skip=False."
        )
    if parts.corruption.blind and not parts.likelihood.location:
        raise ParameterError(
            f"corruption {parts.corruption.name!r} needs a likelihood of squared or absolute "
            f"error, and it is {str(parts.likelihood)!r}: write likelihood='normal'."
        )
    if parts.corruption.blind and parts.network.sequences:
        raise ParameterError(
            f"corruption {parts.corruption.name!r} guesses pixels from those around, and network "
            f"{str(parts.network)!r} takes sequences: write corruption='masking', or give pairs of "
            f"noisy and clean ones by fit(X, target=...)."
        )
    if parts.corruption.redraws and (
        paired or (parts.likelihood.low, parts.likelihood.high) != (0, 1)
    ):
        raise ParameterError(
            f"corruption {parts.corruption.name!r} draws what should come out too, of values "
            f"that are probabilities: write likelihood='bernoulli', and give no target."
        )
    if parts.likelihood.learns and parts.corruption.blind:
        raise ParameterError(
            f"likelihood {str(parts.likelihood)!r} learns from whole rows, and blind spots are "
            f"parts of a row: write a number, such as likelihood='normal(std=0.5)'."
        )
    if parts.code.idle:
        raise ParameterError(parts.code.idle)
    if not (parts.likelihood.isotropic or parts.code.random):
        raise ParameterError(
            f"likelihood {str(parts.likelihood)!r} pays for columns that a code copies without "
            f"noise, and code {str(parts.code)!r} does: fit a VariationalAutoencoder, or write "
            f"likelihood='normal(std=learned)'."
        )
    for penalty in parts.penalties:
        _check_penalty(penalty, parts)


def _check_penalty(penalty: Penalty, parts: Parts) -> None:
    """Refuse a penalty of what the code or the network does not have."""
    code = parts.code
    said = f"penalty {penalty.name!r}"
    if code.low < penalty.low or code.high > penalty.high:
        raise ParameterError(
            f"{said} needs a code from {penalty.low:g} to {penalty.high:g}, and code "
            f"{str(code)!r} is not: write code='sigmoid'."
        )
    if penalty.switched and not code.switches:
        raise ParameterError(
            f"{said} needs a code that sets units to zero, and code {str(code)!r} does not: "
            f"write code='topk(k=8)', or leave the penalty out."
        )
    if penalty.judges_draws and code.n_draws > 1:
        raise ParameterError(
            f"{said} judges one code of a row, and code {str(code)!r} draws {code.n_draws}: "
            f"write samples=1, or leave the penalty out."
        )
    if penalty.decodes and parts.network.skips:
        raise ParameterError(
            f"{said} decodes codes alone, and network {str(parts.network)!r} leads part of its "
            f"input around them: write skip=False, or leave the penalty out."
        )
    if penalty.slopes and code.flat:
        raise ParameterError(
            f"{said} needs a code that follows its input, and code {str(code)!r} leaps: write "
            f"code='sigmoid', or leave the penalty out."
        )
    if penalty.rows_apart and not parts.network.rows_apart:
        raise ParameterError(
            f"{said} needs rows that do not depend on each other, and network "
            f"{str(parts.network)!r} mixes those of a batch: write norm='layer' or no norm."
        )


def check_steps(parts: Parts, plan: Plan) -> None:
    """Refuse steps that the parts cannot be trained by.

    Line searches of a likelihood that moves; batches of one row, where rows are mixed.
    """
    if plan.optimizer.whole and not parts.likelihood.isotropic:
        raise ParameterError(
            f"likelihood {str(parts.likelihood)!r} goes on learning while optimizer "
            f"{str(plan.optimizer)!r} searches along a line: write optimizer='adam'."
        )
    if plan.batch_size == 1 and not parts.network.rows_apart:
        raise ParameterError(
            f"network {str(parts.network)!r} mixes the rows of a batch, and the batch has one: "
            f"raise batch_size, give more rows, or write norm='layer'."
        )


def check_width(parts: Parts, n_components: float, n_features: int) -> None:
    """Refuse a code that is wider than the input and has nothing to keep it from copying."""
    if n_components > n_features and not parts.hides:
        raise ParameterError(
            f"n_components={n_components} is more than the {n_features} feature(s) of X, and "
            f"nothing keeps a code that wide from copying its input: lower it to at most "
            f"{n_features}, or add a corruption such as 'gaussian(std=0.1)'."
        )


def check_shape(parts: Parts, shape: tuple[int, ...]) -> None:
    """Refuse blind spots in rows that are no pictures, where neighbours mean nothing."""
    if parts.corruption.blind and len(shape) < 2:
        raise ParameterError(
            f"corruption {parts.corruption.name!r} guesses pixels from those around, and a sample "
            f"of X has the shape {shape}: give pictures, or say by sample_shape what the rows are."
        )


def check_padded(parts: Parts, rows: NDArray[Any]) -> None:
    """Refuse sequences that end early where the likelihood cannot leave values out."""
    ragged = parts.network.sequences and bool(np.isnan(rows[:, -1]).any())
    if ragged and (parts.likelihood.learns or not parts.likelihood.location):
        raise ParameterError(
            f"likelihood {str(parts.likelihood)!r} cannot leave values out, and X has sequences of "
            f"differing lengths: write likelihood='normal', or cut them to one length."
        )
