"""Either a right answer or one typed error, whatever rows are handed over.

The oracle is the same estimator on a plain C-contiguous float64 array of the same values: its
answer is the right one, and what it refuses has to be refused. Nothing is ever changed.
"""

import copy
import functools
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import polars as pl
import torch
from hypothesis import strategies as st

from fuzz.labels import LABELS
from fuzz.rows import REFUSED, TYPES, Given, Interface, given_rows, plain_rows
from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    DenoisingAutoencoder,
    GaussianRBM,
    SparseAutoencoder,
    VariationalAutoencoder,
    load,
)
from isthmus.errors import IsthmusError, TrainingWarning

SECONDS = 10.0  # that an input may take
D = 4  # features of the fitted models
SHORT: dict[str, Any] = {"hidden": (3,), "max_epochs": 1, "random_state": 0}
ONCE: dict[str, Any] = {**SHORT, "validation_fraction": 0}  # nothing is chosen by a hair's breadth

MODELS: dict[str, Callable[[], Any]] = {
    "Autoencoder": lambda: Autoencoder(2, **ONCE),
    "standard": lambda: Autoencoder(2, **ONCE, scaling="standard", likelihood="laplace"),
    "raw": lambda: Autoencoder(2, **ONCE, scaling="none"),
    "folds": lambda: Autoencoder(1, **SHORT),
    "shares": lambda: Autoencoder(2, **ONCE, likelihood="bernoulli"),
    "denoising": lambda: DenoisingAutoencoder(2, **ONCE, corruption="gaussian(std=0.1)"),
    "sparse": lambda: SparseAutoencoder(3, **ONCE, sparsity="topk(k=1)"),
    "variational": lambda: VariationalAutoencoder(2, **ONCE),
    "BernoulliRBM": lambda: BernoulliRBM(2, n_iter=1, random_state=0),
    "range": lambda: BernoulliRBM(2, n_iter=1, random_state=0, scaling="range"),
    "GaussianRBM": lambda: GaussianRBM(2, n_iter=1, random_state=0),
}
CALLS = ("transform", "reconstruct", "score_samples", "denoise", "reconstruction_error", "score")
CALLS += ("free_energy", "predict_proba", "predict")
# Between zero and one, so that every machine takes them.
TRAINING = np.random.default_rng(0).random((40, D))


@functools.cache
def fitted(name: str) -> Any:
    """Return a model that has seen ordinary rows of four features."""
    if name == "classifier":
        labels = (TRAINING[:, 0] > 0.5).astype(int)
        stack = Autoencoder(2, **ONCE)
        return AutoencoderClassifier(stack, max_epochs=1, random_state=0).fit(TRAINING, labels)
    return MODELS[name]().fit(TRAINING)


class WrongError(AssertionError):
    """An answer that is neither right nor refused in one sentence."""


def answer_of(function: Callable[[Any], Any], value: Any) -> Any:
    """Return what a function answers, or the typed error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", TrainingWarning)
        warnings.filterwarnings("ignore", message="A column-vector y was passed")
        warnings.filterwarnings("ignore", message="X (has|does not have valid) feature names")
        try:
            return function(value)
        except IsthmusError as error:
            sentence = str(error)
            if not re.fullmatch(r"(?!.*\. [A-Z])[^\n]{1,400}\.", sentence):
                raise WrongError(f"not one sentence: {sentence!r}") from error
            return error


def held(value: Any) -> bytes:
    """Return what a value holds, as bytes to compare."""
    if isinstance(value, np.ma.MaskedArray):
        return value.data.tobytes() + np.ma.getmaskarray(value).tobytes()
    if isinstance(value, np.ndarray):
        return b"" if value.dtype.hasobject else value.tobytes()
    if isinstance(value, torch.Tensor):
        return value.detach().to_dense().to(torch.complex128).numpy().tobytes()
    if isinstance(value, pd.DataFrame | pl.DataFrame):
        return repr((list(value.columns), value.to_numpy().tolist())).encode()
    return repr(value).encode() if isinstance(value, list | tuple) else b""


def check(function: Callable[[Any], Any], given: Given, *, tolerance: float = 1e-6) -> str:
    """Compare the answers to what is given and to its plain values; return what came of it."""
    before = held(given.value)
    answer = answer_of(function, given.value)
    if held(given.value) != before:
        raise WrongError("the input was modified")
    if given.plain is REFUSED:
        if not isinstance(answer, IsthmusError):
            raise WrongError(f"was answered, and is no rows: {answer!r}")
        return "refused"
    right = answer_of(function, np.array(given.plain, order="C"))
    if isinstance(right, IsthmusError) or isinstance(answer, IsthmusError):
        if type(right) is not type(answer):
            raise WrongError(f"plain rows give {right!r}, and these {answer!r}")
        return "refused"
    compare(answer, right, tolerance)
    return "answered"


def compare(answer: Any, right: Any, tolerance: float) -> None:
    """Raise where two answers differ, or are not finite."""
    answer, right = np.asarray(answer), np.asarray(right)
    if answer.shape != right.shape:
        raise WrongError(f"shape {answer.shape} and not {right.shape}")
    if right.dtype.kind != "f":
        np.testing.assert_array_equal(answer, right)
        return
    if not (np.isfinite(answer).all() and np.isfinite(right).all()):
        raise WrongError(f"not finite: {answer!r}, {right!r}")
    scale = np.abs(right).max(initial=0.0)
    np.testing.assert_allclose(
        answer.astype(np.float64), right, rtol=tolerance, atol=tolerance * scale
    )


# What is asked of the estimators -----------------------------------------------------------


def use(name: str, call: str) -> Callable[[Any], Any]:
    return lambda rows: getattr(fitted(name), call)(rows)


def learn(name: str, method: str) -> Callable[[Any], Any]:
    """Fit, save and load, and say what the model makes of ordinary rows and of those of the fit."""

    def run(rows: Any) -> Any:
        model = getattr(MODELS[name](), method)(rows)
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/model")
            loaded = load(f"{folder}/model")
        codes = model.transform(rows)
        np.testing.assert_array_equal(codes, loaded.transform(rows))
        tensors = model.model_.state_dict().values()
        if not all(tensor.isfinite().all() for tensor in tensors):
            raise WrongError("weights that are not finite")
        return codes

    return run


def go_on(name: str) -> Callable[[Any], Any]:
    """Adapt a fitted model to further rows."""

    def run(rows: Any) -> Any:
        model = copy.deepcopy(fitted(name)).partial_fit(rows)
        return model.transform(TRAINING)

    return run


def learn_classes(rows: Any) -> Any:
    model = AutoencoderClassifier(Autoencoder(2, **ONCE), max_epochs=1, random_state=0)
    return model.fit(rows, np.arange(_n_rows(rows)) % 2).predict_proba(rows)


def _n_rows(rows: Any) -> int:
    """Return how many rows there are, or 3 where they cannot be counted."""
    if shape := getattr(rows.rows if isinstance(rows, Interface) else rows, "shape", None):
        return int(shape[0])
    return len(rows) if isinstance(rows, list | tuple) else 3


def learn_labels(labels: Any) -> Any:
    model = AutoencoderClassifier(Autoencoder(2, **ONCE), max_epochs=1, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        model.fit(TRAINING[:12], labels).save(f"{folder}/model")
        loaded = load(f"{folder}/model")
    if len(set(loaded.predict(TRAINING)) - set(model.classes_)) > 0:
        raise WrongError("the loaded model has other classes")
    return loaded.predict_proba(TRAINING)


@functools.cache
def cleaner() -> Any:
    """Return a model for pictures of any size."""
    network = "conv(channels=(2,), skip=True, side=8)"
    model = DenoisingAutoencoder(
        2, network=network, target="blind", max_epochs=1, validation_fraction=0, random_state=0
    )
    return model.fit(list(np.random.default_rng(0).random((3, 12, 10))))


@functools.cache
def reader() -> Any:
    """Return a model of sequences of two features."""
    model = Autoencoder(2, network="recurrent(hidden=(3,))", max_epochs=1, random_state=0)
    return model.fit(TRAINING.reshape(8, 10, 2))


def read_sequences(rows: Any) -> Any:
    """Rebuild a sequence of the given rows, and a longer one beside it."""
    return np.vstack(reader().reconstruct([rows, TRAINING[:10, :2]]))


def first_of(given: Given) -> Given:
    """Return the first row of what is given, where it can be told."""
    dense = getattr(given.value, "layout", torch.strided) is torch.strided
    if isinstance(given.value, np.ndarray | torch.Tensor) and given.value.ndim == 2 and dense:
        plain = None if given.plain is REFUSED else given.plain[:1].ravel()
        return Given(given.name, given.value[:1].reshape(-1), plain)
    return given._replace(plain=REFUSED)


def interpolate(row: Any) -> Any:
    return fitted("variational").interpolate(row, TRAINING[0])


def learn_pair(rows: Any) -> Any:
    """Fit with clean rows, and rows to stop by, that are hostile too."""
    model = DenoisingAutoencoder(2, **SHORT, corruption="clean")
    return model.fit(TRAINING[:4], target=rows, validation=(TRAINING[:4], rows)).transform(TRAINING)


TASKS = ("use", "use", "codes", "learn", "learn", "go on", "classes", "labels", "pair")
TASKS += ("picture", "sequence", "ways")
# Of pictures whole numbers are light, and what is no number of a known white is refused.
OTHER_PICTURES = {*(f"dtype {name}" for name in TYPES), "truth values", "objects", "fractions"}
OTHER_PICTURES |= {
    "decimals",
    "polars whole",
    "structured",
    *(f"pandas {x}" for x in ("Float64", "Int64", "categories", "objects", "missing")),
}
OTHER_PICTURES |= {"pandas with one name"}


@st.composite
def cases(draw: Any) -> tuple[str, Callable[[], str]]:
    """Draw something to ask, and hostile rows to ask it of."""
    task = draw(st.sampled_from(TASKS))
    if task == "labels":
        name = draw(st.sampled_from(sorted(LABELS)))
        return _case("classifier.fit to labels", learn_labels, Given(name, *LABELS[name]), 0.05)
    if task == "picture":
        given = draw(_rows(5).filter(lambda given: given.name not in OTHER_PICTURES))
        return _case("denoise_picture", lambda rows: cleaner().denoise_picture(rows), given, 1e-3)
    if task == "sequence":
        given = draw(_rows(2).filter(lambda given: given.plain is not REFUSED))
        return _case("sequences", read_sequences, given, 1e-3)
    if task == "use":
        name = draw(st.sampled_from([*MODELS, "classifier"]))
        calls = [call for call in CALLS if hasattr(fitted(name), call)]
        call = draw(st.sampled_from(calls if name != "classifier" else calls[-2:]))
        given, function = draw(_rows(D)), use(name, call)
        return _case(f"{name}.{call}", function, given, 1e-3)
    if task == "codes":
        name = draw(st.sampled_from(list(MODELS)))
        given = draw(_rows(fitted(name).n_components))
        return _case(f"{name}.inverse_transform", use(name, "inverse_transform"), given, 1e-3)
    if task == "learn":
        name = draw(st.sampled_from(list(MODELS)))
        method = draw(st.sampled_from(["fit", "partial_fit"]))
        return _case(f"{name}.{method}", learn(name, method), draw(_rows(None)), 0.05)
    if task == "go on":
        name = draw(st.sampled_from(list(MODELS)))
        return _case(f"{name}.partial_fit again", go_on(name), draw(_rows(D)), 0.05)
    if task == "classes":
        return _case("classifier.fit", learn_classes, draw(_rows(None)), 0.05)
    if task == "ways":
        given = draw(given_rows(plain_rows(D)))
        return _case("variational.interpolate", interpolate, first_of(given), 1e-3)
    return _case("pair.fit", learn_pair, draw(_rows(D)), 0.05)


def _rows(n_features: int | None) -> st.SearchStrategy[Given]:
    return given_rows(plain_rows(n_features))


def _case(
    name: str, function: Callable[[Any], Any], given: Given, tolerance: float
) -> tuple[str, Callable[[], str]]:
    return f"{name} of {given.name}", lambda: check(function, given, tolerance=tolerance)


def run_cases(n_cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run so many cases; return how often each thing came of them, and what was wrong."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n_cases,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases())
    def run(case: tuple[str, Callable[[], str]]) -> None:
        name, function = case
        began = time.perf_counter()
        try:
            outcome = function()
        except Exception as error:
            outcome = "wrong"
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        counts["hang" if time.perf_counter() - began > SECONDS else outcome] += 1

    run()
    return counts, wrong
