"""Options of `isthmus fit` that only some estimators have, and the kind each asks for by itself.

They stand here, and not with the estimators that declare them, since a help text may not import
torch; a test holds the two together.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class Own(NamedTuple):
    """A parameter that not all estimators have, as it is typed."""

    kind: str  # of the estimator that it asks for where no --estimator is given
    flags: tuple[str, ...]
    values: type | str  # what they are read as: a part's name and fields, where it is "PART"
    sentence: str
    several: bool = False  # whether it can be given again


OWN = {
    "corruption": Own(
        "denoising",
        ("--noise", "--corruption"),
        "PART",
        "Noise on the training rows, in their units (pictures: 0 to 1): 'gaussian(std=0.1)'.",
    ),
    "code": Own(
        "autoencoder", ("--code",), "PART", "What the encoder's head becomes: 'plain', 'sigmoid'."
    ),
    "penalties": Own(
        "autoencoder",
        ("--penalty",),
        "PART",
        "Further term of the loss: 'weight_l2(weight=1e-4)'; can be given again.",
        several=True,
    ),
    "pretraining": Own(
        "autoencoder",
        ("--pretraining",),
        "PART",
        "Layer by layer, before the whole: 'autoencoder', 'rbm(n_epochs=10)'.",
    ),
    "sparsity": Own(
        "sparse", ("--sparsity",), "PART", "Of a sparse one: 'kl', 'l1', 'topk(k=8)', ..."
    ),
    "weight": Own(
        "contractive", ("--weight",), float, "Of a contractive one's penalty.  [default: 0.1]"
    ),
    "beta": Own(
        "variational",
        ("--beta",),
        float,
        "Of a variational one, or a detector: weight of the KL.  [default: 1]",
    ),
    "prior_components": Own(
        "variational",
        ("--prior-components",),
        int,
        "Of a variational one: Gaussians of the prior, learned where they are several.  "
        "[default: 1]",
    ),
    "importance_samples": Own(
        "variational",
        ("--importance-samples",),
        int,
        "Of a variational one: draws of the importance-weighted bound.  [default: 1]",
    ),
    "growth": Own(
        "variational",
        ("--growth",),
        float,
        "Of a variational one: share of the training over which these draws rise from 1.  "
        "[default: 0]",
    ),
    "warmup": Own(
        "variational",
        ("--warmup",),
        float,
        "Of a variational one: share of the training over which beta rises from 0.  [default: "
        "0.1, and 0 where it starts as PCA]",
    ),
    "free_bits": Own(
        "variational",
        ("--free-bits",),
        float,
        "Of a variational one: nats of each unit that cost nothing.  [default: 0]",
    ),
    "capacity": Own(
        "variational",
        ("--capacity",),
        float,
        "Of a variational one: nats that the code should hold, to which beta pulls.",
    ),
    "contamination": Own(
        "outlier",
        ("--contamination",),
        float,
        "Of an outlier detector: share of the rows.  [default: 0.1]",
    ),
}


def own_options(command: Command) -> Command:
    """Give a command all of these."""
    for name, own in reversed(OWN.items()):
        reading: dict[str, Any] = (
            {"metavar": "PART"} if own.values == "PART" else {"type": own.values}
        )
        command = click.option(
            *own.flags, name, multiple=own.several, help=own.sentence, **reading
        )(command)
    return command
