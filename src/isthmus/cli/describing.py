"""``isthmus info`` and ``isthmus parts``: what a saved model is, and what one can be made of."""

import inspect
from pathlib import Path
from typing import Any

from rich.table import Table

import isthmus
from isthmus.cli.denoising import takes_any_size
from isthmus.cli.outputs import facts, how_it_went, plain_console, titled
from isthmus.data import artefact
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.parameters import changed
from isthmus.estimators.saving import load
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.pretraining import Pretraining
from isthmus.fitting.schedules import Schedule
from isthmus.parts import Code, Corruption, Likelihood, Network, Part, Penalty

SLOTS: tuple[type[Part], ...] = (
    Network,
    Corruption,
    Code,
    Likelihood,
    Penalty,
    Pretraining,
    Optimizer,
    Schedule,
)
FEW = 6  # column names that are listed


def info(model: Path) -> None:
    """Print what a saved model is and how its fit went.

    Raises
    ------
    ArtefactError
        If there is no saved model there, or it is damaged.
    """
    estimator = load(model)
    config, _ = artefact.read(model)
    given = [f"{name}={value!r}" for name, value in changed(estimator).items()]
    pairs: dict[str, object] = {
        "estimator": type(estimator).__name__,
        "parameters": "\n".join(given) or "all at their defaults",
        **_taken(estimator),
        "code width": len(estimator.get_feature_names_out()),
        **how_it_went(estimator),
        "saved by": f"Isthmus {config['versions']['isthmus']} (this is {isthmus.__version__})",
    }
    plain_console().print(facts(str(model), pairs))


def _taken(estimator: "BaseAutoencoder") -> dict[str, object]:
    """Return what the model takes, and how much of it there was in training."""
    n_seen = estimator.n_samples_seen_ or "unknown"
    if not takes_any_size(estimator):
        return {"features": _features(estimator), "rows of training": n_seen}
    n_channels, height, width = (1, *estimator.sample_shape_)[-3:]
    crops = height == width == estimator.model_.parts.network.crop
    return {
        "takes": f"pictures of any size, {n_channels} channel{'s' * (n_channels > 1)}",
        "pictures of training": n_seen,
        "trained on": f"{'crops' if crops else 'whole ones'} of {height} x {width} pixels",
    }


def _features(estimator: "BaseAutoencoder") -> str:
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    listed = ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")
    return f"{estimator.n_features_in_}" + (f" ({listed})" if names else "")


def parts() -> None:
    """Print every slot's parts with their sentences, fields and defaults."""
    console = plain_console()
    for slot in SLOTS:
        console.print(_table(slot))
    console.print("Write a part by its name, or with fields: --noise 'gaussian(std=0.5)'.")


def _table(slot: type[Part]) -> Table:
    table = titled(f"--{slot.slot}: {sentence(slot).split('. ')[0]}", lines=True)
    table.add_column("part", style="bold", no_wrap=True)
    table.add_column("what it is", ratio=1)
    table.add_column("fields and their defaults", ratio=1)
    for name, kind in slot.kinds.items():
        table.add_row(name, sentence(kind), "\n".join(fields(kind)))
    return table


def sentence(cls: type[Any]) -> str:
    """Return the first line of a class's docstring, without its code marks."""
    return inspect.getdoc(cls).splitlines()[0].replace("``", "")  # type: ignore[union-attr]


def fields(kind: type[Any]) -> list[str]:
    """Return each field of a part with its default, ... where it has none, and its sentence."""
    stated = kind.__pydantic_fields__
    return [
        f"{name}={'...' if field.is_required() else repr(field.default)}: {field.description}"
        for name, field in stated.items()
    ]
