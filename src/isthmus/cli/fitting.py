"""``isthmus fit``: from a file to a saved model, and what came of it."""

import contextlib
import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import isthmus
from isthmus.cli.following import next_command, using_command
from isthmus.cli.options import ESTIMATORS, at_the_shell
from isthmus.cli.outputs import check_log, check_model, facts, how_it_went, plain_console, say
from isthmus.cli.own_options import OWN
from isthmus.cli.photographs import (
    advising_to_clean,
    are_photographs,
    fit_photographs,
    usual_to_clean,
)
from isthmus.cli.rows import Rows, is_column, read_labels, read_rows
from isthmus.cli.stopping import stopping
from isthmus.data.artefact import CONFIG
from isthmus.data.pictures import is_picture
from isthmus.data.tables import ALL, Columns, as_typed
from isthmus.errors import DataError, IsthmusError, ParameterError
from isthmus.estimators.inputs import check_domain
from isthmus.estimators.parameters import check, declared
from isthmus.estimators.resuming import came_to, interrupted
from isthmus.estimators.saving import load
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.schedules import Schedule
from isthmus.observers import JSONLines

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder
    from isthmus.fitting.checkpoint import Checkpoint

SHORTHANDS = ("network", "hidden", "activation")
# How parameters that only some estimators have are typed, and the kind that each asks for.
TYPED = {name: own.flags[0] for name, own in OWN.items()} | {
    "target": "--blind",
    "conditional": "--labels",
}
ASKED_FOR = {name: own.kind for name, own in OWN.items()} | {
    "target": "denoising",
    "conditional": "variational",
}


class Given(NamedTuple):
    """What a command names to fit to."""

    data: Path
    target: Path | None = None  # clean rows, where `data` is noisy
    validation: Path | None = None  # rows to stop by
    validation_target: Path | None = None  # their clean rows, needed where there is a `target`
    columns: Columns = ALL  # of a table, those to fit to; the model remembers their names
    labels: str | None = None  # that the decoder is told: a column of the table, or a file

    def features(self) -> Columns:
        """Return the columns to fit to: all that are asked for but the labels."""
        if self.labels is None or not is_column(self.labels, self.data):
            return self.columns
        return self.columns._replace(drop=(*self.columns.drop, self.labels))

    def typed(self) -> list[str]:
        """Return it as it is typed."""
        options = {
            "--target": self.target,
            "--validation": self.validation,
            "--validation-target": self.validation_target,
            "--columns": as_typed(self.columns.keep or ()),
            "--drop": as_typed(self.columns.drop),
            "--labels": self.labels,
        }
        pairs = [(name, str(value)) for name, value in options.items() if value]
        return [str(self.data), *(word for pair in pairs for word in pair)]


def fit(
    given: Given,
    model: Path,
    *,
    checkpoint: Path | None = None,
    log: Path | None = None,
    force: bool = False,
    **options: Any,
) -> int:
    """Fit an estimator to the rows of a file, save it and tell what came of it.

    Parameters
    ----------
    model : folder to save to.
    checkpoint : folder to keep the fit in while it lasts.
    log : JSON lines, to which each epoch adds one.
    force : whether a saved model at `model` may be replaced.
    options : the estimator's kind and its parameters, as `assemble` takes them.

    Returns
    -------
    int
        The exit code: 0, or that of the signal that stopped the fit.

    Raises
    ------
    IsthmusError
        If a file, an option or the rows cannot be used.
    """
    _check_pairs(given)
    check_model(model, force=force)
    noisy = given.target is not None or options.get("blind") or options.get("corruption")
    named = any(name in options for name in SHORTHANDS)
    generates = given.labels is not None or options.get("estimator") == "variational"
    pictures = given.data.is_dir() or is_picture(given.data)
    if noisy and not named and not generates and pictures:
        options = usual_to_clean(given.data, options)
    observers = [] if log is None else [JSONLines(check_log(log))]
    built = assemble(**options, labelled=given.labels is not None)
    with advising_to_clean(plain=not (noisy or named or generates)):
        return _run(built, given, model, checkpoint, observers)


def resume(checkpoint: Path, given: Given, model: Path, *, force: bool = False) -> int:
    """Go on with a fit that a folder keeps, save what it comes to and tell about it.

    Nothing is left to do where that is at `model` already.

    Returns
    -------
    int
        The exit code, as that of `fit`.

    Raises
    ------
    IsthmusError
        If there is no such fit, or a file or the rows are others than it had.
    """
    _check_pairs(given)
    if not force and _is_done(checkpoint, model):
        say(f"The fit in {checkpoint} is finished, and {model} holds its model.")
        return 0
    check_model(model, force=force)
    estimator = interrupted(checkpoint)
    if type(estimator).__name__ not in ESTIMATORS.values():
        raise ParameterError(
            f"{checkpoint} keeps a fit of {type(estimator).__name__}, which this command does not "
            f"make: go on in Python, by isthmus.resume({str(checkpoint)!r}, X)."
        )
    if getattr(estimator, "conditional", False) != (given.labels is not None):
        change = "leave out" if given.labels else "add"
        raise ParameterError(
            f"{checkpoint} keeps a fit {'without' if given.labels else 'with'} labels: {change} "
            f"--labels."
        )
    if is_picture(given.data) and estimator.parts().network.crop is None:
        raise ParameterError(
            f"{checkpoint} keeps a fit to rows, and {given.data} is a single picture: give the "
            f"data that it was fitted to."
        )
    return _run(estimator.set_params(verbose=1), given, model, checkpoint)


def _is_done(checkpoint: Path, model: Path) -> bool:
    """Whether a folder holds the model that a fit came to."""
    with contextlib.suppress(IsthmusError):
        return (model / CONFIG).exists() and came_to(checkpoint, load(model))
    return False


def _run(
    estimator: "BaseAutoencoder",
    given: Given,
    model: Path,
    checkpoint: Path | None,
    observers: Sequence[JSONLines] = (),
) -> int:
    """Fit, save, and say what came of it; return the exit code."""
    data, target, validation, validation_target, *_ = given
    words = ["isthmus", "resume", str(checkpoint), *given.typed(), "--model", str(model)]
    again = shlex.join(words)
    if given.labels is not None and are_photographs(data):
        raise ParameterError(
            f"--labels are told of rows of one shape, and {data} holds pictures of several, or "
            f"large ones: leave it out."
        )
    if estimator.parts().network.crop is not None and are_photographs(data):
        with stopping(checkpoint, again) as stop:
            pairs = (target, validation, validation_target)
            fit_photographs(estimator, data, model, *pairs, stop.checkpoint, observers=observers)
        say(f"Next: {using_command(data, model, denoises=True)}")
        return stop.code
    if is_picture(data):
        raise ParameterError(
            f"{data} is a single picture, enough to learn to take its noise off alone: add --blind "
            f"or --noise, or give a folder of pictures."
        )
    with stopping(checkpoint, again) as stop:
        rows, seconds = _fit(estimator, given, stop.checkpoint, observers)
    estimator.save(model)
    _tell(estimator, rows, model, seconds)
    denoises = target is not None or estimator.model_.parts.corruption.hides
    say(f"Next: {next_command(estimator, data, model, denoises=denoises)}")
    return stop.code


def _fit(
    estimator: "BaseAutoencoder",
    given: Given,
    checkpoint: "Checkpoint | None",
    observers: Sequence[JSONLines],
) -> tuple[Rows, float]:
    """Fit to the rows that are given; return those of the data, and the seconds of the fit."""
    data, target, validation, validation_target, *_ = given
    rows = read_rows(data, given.features(), estimator)
    if len(rows.shape) == 2 and estimator.sample_shape is None:  # grey pictures, or sequences
        estimator.set_params(sample_shape=rows.shape)
    labels = None if given.labels is None else _labels(given.labels, rows)
    if target is None:
        check_domain(rows.values, estimator.parts().likelihood, str(data))
    clean = None if target is None else _beside(rows, target, estimator, rows).named()
    held_out = None
    if validation is not None:
        held_out = _held_out(rows, validation, validation_target, estimator)
    began = time.perf_counter()
    estimator.fit(
        rows.named(),
        labels,
        target=clean,
        validation=held_out,
        checkpoint=checkpoint,
        observers=observers,
    )
    return rows, time.perf_counter() - began


def _labels(given: str, rows: Rows) -> Any:
    """Read the rows' labels; a column of their table under its name, for samples to have it."""
    labels = read_labels(given, rows.path)
    if len(labels) != len(rows.values):
        raise DataError(
            f"{given} has {len(labels)} labels and {rows.path} {len(rows.values)} rows: give one "
            f"label for each row."
        )
    if not is_column(given, rows.path):
        return labels
    import polars as pl

    return pl.Series(given, labels)


def assemble(
    estimator: str | None, *, blind: bool = False, labelled: bool = False, **options: Any
) -> "BaseAutoencoder":
    """Return the estimator that the options describe, its parameters checked.

    A ``blind`` one is to learn from noisy pictures alone; the decoder of a ``labelled`` one is
    told labels.

    Noise alone asks for a denoising autoencoder, a sparsity for a sparse one; a code or penalties
    for the general one.

    Raises
    ------
    ParameterError
        If an option is unknown, out of range, or another estimator's.
    """
    own = {name: options.pop(name, None) for name in OWN}
    own |= {"target": "blind" if blind else None, "conditional": labelled or None}
    given = {name: value for name, value in own.items() if value not in (None, ())}
    kind = estimator or _kind_with(given)
    cls = getattr(isthmus, ESTIMATORS[kind])
    strange = [TYPED[name] for name in given if name not in declared(cls)]
    if strange and estimator is None and len(given) > 1:
        typed = " and ".join(TYPED[name] for name in given)
        raise ParameterError(f"{typed} are options of different estimators: leave one out.")
    if strange:
        raise ParameterError(
            f"{strange[0]} is no option of --estimator {kind}: leave one of the two out."
        )
    built: BaseAutoencoder = cls(**given, **options)
    # `fit` refuses all this too, but only once a large file is read.
    check(built)
    built.parts()
    Optimizer.of(built.optimizer)
    Schedule.of(built.schedule)
    return built


def _kind_with(given: Iterable[str]) -> str:
    """Return the kind that an option asks for and that has all of them, else the general one."""
    for kind in map(ASKED_FOR.__getitem__, given):
        if all(name in declared(getattr(isthmus, ESTIMATORS[kind])) for name in given):
            return kind
    return "autoencoder"


def _check_pairs(given: Given) -> None:
    """Refuse clean rows without noisy ones, and rows to stop by that lack theirs, or labels."""
    if None not in (given.labels, given.validation):
        raise ParameterError("--validation has no labels, and DATA has: leave one of the two out.")
    if given.validation_target is not None and given.validation is None:
        raise ParameterError("--validation-target needs the noisy rows too: add --validation.")
    if None not in (given.target, given.validation) and given.validation_target is None:
        raise ParameterError(
            "--validation has no clean rows, and the data have --target: add --validation-target."
        )


def _held_out(rows: Rows, path: Path, target: Path | None, estimator: "BaseAutoencoder") -> Any:
    """Read the rows to stop by, or the pair of them and their clean ones."""
    noisy = _beside(rows, path, estimator)
    if target is None:
        return noisy.named()
    return noisy.named(), _beside(rows, target, estimator, noisy).named()


def _beside(
    rows: Rows, path: Path, estimator: "BaseAutoencoder", noisy: Rows | None = None
) -> Rows:
    """Read rows that `fit` takes besides its first: the clean ones of `noisy`, if it is given."""
    further = read_rows(path, rows.meant(), estimator)
    names = (further.names, None if noisy is None else noisy.names)
    if noisy is not None and None not in names and names[0] != names[1]:
        raise DataError(
            f"{path} and {noisy.path} hold pictures of different names: "
            "give one clean picture of the same name for each noisy one."
        )
    return further._replace(columns=rows.columns)


def _tell(estimator: "BaseAutoencoder", rows: Rows, model: Path, seconds: float) -> None:
    n_rows, n_features = rows.values.shape
    pairs: dict[str, object] = {
        "rows": n_rows,
        "features": n_features,
        "code width": estimator.n_components_,
        **how_it_went(estimator),
        "seconds": f"{seconds:.1f}",
    }
    plain_console().print(facts(f"{type(estimator).__name__}, saved to {model}", pairs))
    for finding in estimator.diagnose(rows.named()):
        say(f"! {at_the_shell(str(finding))}")
