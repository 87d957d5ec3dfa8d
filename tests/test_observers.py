"""Observers: what they are told, what they write, and that none of them can break a fit."""

import builtins
import json
import math
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    DenoisingAutoencoder,
    StackedAutoencoder,
    datasets,
)
from isthmus.cli.main import isthmus
from isthmus.errors import FileError, MissingDependencyError, ParameterError, TrainingWarning
from isthmus.fitting.observers import NOTHING_HELD, Epoch
from isthmus.observers import JSONLines, MLflow, TensorBoard, WandB

X, Y = (part[:120] for part in datasets.digits())
SHORT = {"max_epochs": 2, "random_state": 0}
ESTIMATORS = [
    Autoencoder(3, hidden=(8,), **SHORT),
    Autoencoder(3, hidden=(8,), validation_fraction=0, **SHORT),
    StackedAutoencoder(3, hidden=(8,), pretraining="autoencoder(n_epochs=2)", **SHORT),
    StackedAutoencoder(
        3,
        hidden=(8,),
        pretraining="rbm(n_epochs=2)",
        likelihood="bernoulli",
        validation_fraction=0,
        **SHORT,
    ),
    BernoulliRBM(4, n_iter=3, random_state=0),
    AutoencoderClassifier(Autoencoder(3, hidden=(8,), **SHORT), **SHORT),
]


class Told(list):
    """An observer that keeps all that it is told."""

    n_closed = 0

    def epoch(self, epoch):
        self.append(epoch)

    def close(self):
        self.n_closed += 1


class Broken:
    """An observer that fails in its second epoch."""

    def __init__(self):
        self.n_told = 0

    def epoch(self, epoch):
        self.n_told += 1
        if epoch.number == 1:
            raise OSError("the disk is full")


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_observer_is_told_what_the_history_holds(estimator):
    told = Told()
    model = clone(estimator).fit(X, Y, observers=[told])
    order = ["stage", "epoch", "seconds"]  # of the history pretraining stands before the whole
    shown = [epoch.record for epoch in told]
    assert sorted(shown, key=lambda r: [r[k] for k in order]) == sorted(
        model.history_, key=lambda r: [r[k] for k in order]
    )
    assert told.n_closed >= 1


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_observer_changes_nothing_of_the_fit(estimator):
    watched = clone(estimator).fit(X, Y, observers=[Told()])
    np.testing.assert_array_equal(watched.transform(X), clone(estimator).fit(X, Y).transform(X))


def test_observers_reach_an_estimator_of_a_pipeline():
    told, same = Told(), FunctionTransformer()
    make_pipeline(same, clone(ESTIMATORS[1])).fit(X, autoencoder__observers=[told])
    assert [epoch.number for epoch in told] == [0, 1, 2]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_broken_observer_is_given_up_and_the_fit_goes_on(estimator):
    broken, told = Broken(), Told()
    with pytest.warns(TrainingWarning) as warned:
        model = clone(estimator).fit(X, Y, observers=[broken, told])
    (message,) = [str(each.message) for each in warned]
    assert re.fullmatch(
        r"The observer Broken failed at epoch 1 of '[\w ]+' \(OSError: the disk is full\): the fit "
        r"goes on without it\.",
        message,
    )
    assert broken.n_told <= 2
    assert len(told) == len(model.history_)


def test_observer_that_fails_to_close_is_reported():
    class Jammed(Told):
        def close(self):
            raise OSError("jammed")

    message = "^The observer Jammed failed at the end of the fit .OSError: jammed.: the fit goes on"
    with pytest.warns(TrainingWarning, match=message):
        model = clone(ESTIMATORS[1]).fit(X, observers=[Jammed()])
    assert model.transform(X).shape == (120, 3)


@pytest.mark.parametrize("estimator", ESTIMATORS[::2], ids=str)
@pytest.mark.parametrize(
    ("observers", "message"),
    [
        (3, "observers=3 is no list of observers: write observers=[...]."),
        (
            [Told(), "log.jsonl"],
            "observers[1]='log.jsonl' is no observer, an object with a method epoch(epoch): give "
            "one such as isthmus.observers.JSONLines('log.jsonl').",
        ),
        (
            [JSONLines],
            "observers[0]=<class 'isthmus.observers.JSONLines'> is no observer, an object with a "
            "method epoch(epoch): give one such as isthmus.observers.JSONLines('log.jsonl').",
        ),
    ],
)
def test_what_is_no_observer_is_refused(estimator, observers, message):
    with pytest.raises(ParameterError, match=f"^{re.escape(message)}$"):
        clone(estimator).fit(X, Y, observers=observers)


# Where they write -------------------------------------------------------------------------


def test_json_lines_are_the_history_and_are_added_to(tmp_path):
    log = JSONLines(tmp_path / "logs" / "run.jsonl")
    model = clone(ESTIMATORS[0]).fit(X, observers=[log])
    lines = log.path.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    (began,) = {record.pop("fit") for record in records}
    assert records == model.history_
    age = datetime.now(UTC) - datetime.fromisoformat(began)
    assert timedelta(0) <= age < timedelta(minutes=5)
    clone(ESTIMATORS[0]).fit(X, observers=[log])
    table = pd.read_json(log.path, lines=True)
    assert table.groupby("fit").size().tolist() == [len(lines)] * 2
    assert {"stage", "epoch", "loss", "held_out_loss"} <= set(table.columns)


def test_json_lines_write_no_number_that_json_does_not_know(tmp_path):
    log = JSONLines(tmp_path / "run.jsonl")
    terms = {"loss": math.inf, "nll": math.nan}
    log.epoch(Epoch(1, 2, 0.1, terms, NOTHING_HELD, True, 0.0, "training"))
    record = json.loads(log.path.read_text(), parse_constant=pytest.fail)
    assert (record["loss"], record["nll"]) == (None, None)


def test_tensorboard_reads_the_losses_back(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = DenoisingAutoencoder(3, hidden=(8,), validation_fraction=0, **SHORT)
    model.fit(X, observers=[TensorBoard(tmp_path / "run")])
    events = accumulators.EventAccumulator(str(tmp_path / "run")).Reload()
    read = {event.step: event.value for event in events.Scalars("all rows/loss")}
    written = {r["epoch"]: r["loss"] for r in model.history_ if "loss" in r}
    assert read == pytest.approx(written, rel=1e-6)
    assert "all rows/learning_rate" in events.Tags()["scalars"]


def test_tensorboard_writes_further_fits_beside_the_first(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = TensorBoard(tmp_path)
    clone(ESTIMATORS[4]).fit(X, observers=[board])
    clone(ESTIMATORS[1]).fit(X, observers=[board])
    assert len(list(tmp_path.glob("events.*"))) == 2
    for file in tmp_path.glob("events.*"):
        assert accumulators.EventAccumulator(str(file)).Reload().Tags()["scalars"]


@pytest.mark.filterwarnings("default")  # other people's
def test_mlflow_keeps_the_losses_of_a_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    with mlflow.start_run() as run:
        model = clone(ESTIMATORS[1]).fit(X, observers=[MLflow()])
    with mlflow.start_run() as other:
        pass
    clone(ESTIMATORS[1]).fit(X, observers=[MLflow(other)])
    written = {r["epoch"]: r["loss"] for r in model.history_ if "loss" in r}
    for each in (run, other):
        found = mlflow.MlflowClient().get_metric_history(each.info.run_id, "all rows/loss")
        assert {metric.step: metric.value for metric in found} == pytest.approx(written)


class Run:
    """What the observer uses of a wandb.Run, kept."""

    def __init__(self):
        self.defined, self.logged = {}, []

    def define_metric(self, name, step_metric):
        self.defined[name] = step_metric

    def log(self, values):
        self.logged.append(values)


def test_wandb_draws_each_stage_over_its_own_epochs():
    run = Run()
    model = clone(ESTIMATORS[0]).fit(X, observers=[WandB(run)])
    stages = {record["stage"] for record in model.history_}
    assert run.defined == {f"{stage}/*": f"{stage}/epoch" for stage in stages}
    last, record = run.logged[-1], model.history_[-1]
    assert last == {f"all rows/{name}": v for name, v in record.items() if name != "stage"}
    assert len(run.logged) == len(model.history_)


@pytest.mark.filterwarnings("default")  # other people's
def test_wandb_takes_the_losses_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=tmp_path) as run:
        model = clone(ESTIMATORS[1]).fit(X, observers=[WandB(run)])
        assert run.summary["all rows/loss"] == pytest.approx(model.history_[-1]["loss"])


@pytest.mark.parametrize(
    ("build", "package", "module"),
    [
        (lambda: TensorBoard("run"), "tensorboard", "torch.utils.tensorboard"),
        (MLflow, "mlflow", "mlflow"),
    ],
)
def test_missing_package_is_named_in_one_sentence(build, package, module, monkeypatch):
    real = builtins.__import__

    def without(name, *given, **named):
        if name == module:
            raise ImportError(name)
        return real(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError) as raised:
        build()
    assert re.fullmatch(
        rf"The observer \w+ needs {package}, which is not installed: pip install "
        rf"'isthmus\[{package}\]'\.",
        str(raised.value),
    )


# On the command line -----------------------------------------------------------------------


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    return tmp_path


def fit_with(log):
    line = ["fit", "rows.npy", "--model", "m", "--max-epochs", "1", "--hidden", "8", "--log", log]
    return CliRunner().invoke(isthmus, line)


def test_command_writes_a_log(rows):
    done = fit_with("logs/run.jsonl")
    assert done.exit_code == 0, done.output
    table = pd.read_json(rows / "logs" / "run.jsonl", lines=True)
    assert table["stage"].iloc[-1] == "all rows"


@pytest.mark.parametrize("log", ["rows.npy", "run.json", "folder.jsonl"])
def test_command_refuses_a_log_that_is_none(rows, log):
    (rows / "folder.jsonl").mkdir()
    done = fit_with(log)
    assert isinstance(done.exception, FileError)
    assert str(done.exception) == (f"{log} is no name of a log: give a file that ends in .jsonl.")
    assert not (rows / "m").exists()
