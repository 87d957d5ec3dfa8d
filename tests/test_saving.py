"""Saving and loading: the same to the bit, or one sentence about what is wrong."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from isthmus import Autoencoder, DenoisingAutoencoder, export_onnx, load, resume
from isthmus.cli.outputs import check_model
from isthmus.errors import ArtefactError, DataError, FileError
from isthmus.parts import Dense, Masking, Normal, Sigmoid, WeightL2

X = np.random.default_rng(0).uniform(size=(60, 4))
SHORT = {"hidden": (4,), "max_epochs": 2, "random_state": 0, "validation_fraction": 0}
BASE = {"n_components": 2, **SHORT}
MODELS = {
    "default": Autoencoder(**BASE),
    "held out": Autoencoder(**{**BASE, "validation_fraction": 0.1, "patience": 1}),
    "parts": Autoencoder(
        **{**BASE, "hidden": None},
        network=Dense(hidden=(5, 3), activation="tanh", norm="batch"),
        corruption=Masking(fraction=0.3),
        code=Sigmoid(),
        likelihood=Normal(std=0.5),
        penalties=(WeightL2(weight=0.01), "weight_l1"),
    ),
    "tied": Autoencoder(**{**BASE, "hidden": None}, network="dense(hidden=(4,), tied=True)"),
    "bernoulli": Autoencoder(**BASE, likelihood="bernoulli"),
    "standard": Autoencoder(**BASE, scaling="standard"),
    "linear": Autoencoder(**{**BASE, "hidden": ()}, scaling="none"),
    "denoising": DenoisingAutoencoder(**{**BASE, "n_components": 5}, corruption="gaussian(0.2)"),
    "numpy": Autoencoder(
        **{**BASE, "n_components": np.int64(3), "learning_rate": np.float32(0.01)}
    ),
    "generator": Autoencoder(**{**BASE, "random_state": np.random.RandomState(0)}),
}
FILES = ["README.md", "config.json", "model.safetensors"]
CHECKED = FILES[1:]


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


@pytest.fixture
def folder(tmp_path):
    Autoencoder(**BASE).fit(X).save(tmp_path / "model")
    return tmp_path / "model"


def answers(model, rows):
    codes = model.transform(rows)
    return {
        "transform": codes,
        "inverse_transform": model.inverse_transform(codes),
        "reconstruct": model.reconstruct(rows),
        "reconstruction_error": model.reconstruction_error(rows),
        "per_feature": model.reconstruction_error(rows, per_feature=True),
        "score_samples": model.score_samples(rows),
        "score": model.score(rows),
        "mean_": model.mean_,
    }


# There and back ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_loaded_model_answers_the_same_to_the_bit(name, dtype, tmp_path):
    rows = X.astype(dtype)
    fitted = MODELS[name].fit(rows)
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert type(loaded) is type(fitted)
    before, after = answers(fitted, rows), answers(loaded, rows)
    for method, expected in before.items():
        np.testing.assert_array_equal(after[method], expected, err_msg=method)
        assert np.asarray(after[method]).dtype == np.asarray(expected).dtype
    assert [str(finding) for finding in loaded.diagnose(rows)] == [
        str(finding) for finding in fitted.diagnose(rows)
    ]


@pytest.mark.parametrize("name", MODELS)
def test_loaded_model_knows_how_it_was_made(name, tmp_path):
    fitted = MODELS[name].fit(X)
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    facts = ("n_iter_", "stopped_by_", "versus_pca_", "history_", "n_features_in_")
    for fact in (*facts, "n_samples_seen_"):
        assert getattr(loaded, fact) == getattr(fitted, fact), fact
    assert loaded.parts() == fitted.parts()
    for parameter, value in loaded.get_params().items():
        given = getattr(fitted, parameter)
        if parameter == "random_state" and not isinstance(given, int):
            assert value is None
        elif isinstance(value, str) and not isinstance(given, str):
            assert value == str(given)
        elif parameter != "penalties":
            assert value == given, parameter


def test_loaded_model_can_be_fitted_again_the_same(tmp_path):
    fitted = MODELS["parts"].fit(X)
    fitted.save(tmp_path / "model")
    again = load(tmp_path / "model").fit(X)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))


def test_loaded_model_goes_on_by_partial_fit(folder):
    model = load(folder)
    before = model.transform(X)
    model.partial_fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert not np.array_equal(model.transform(X), before)


def test_feature_names_are_kept_and_asked_for(tmp_path):
    table = pd.DataFrame(X, columns=["a", "b", "c", "ü"])
    Autoencoder(**BASE).fit(table).save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert list(loaded.feature_names_in_) == ["a", "b", "c", "ü"]
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.transform(table.rename(columns={"c": "k"}))
    cure = re.escape("their order: X[list(model.feature_names_in_)].") + "$"
    for wrong in (table[["b", "a", "c", "ü"]], table.assign(more=1)):
        with pytest.raises(DataError, match=cure):
            loaded.transform(wrong)
        again = loaded.transform(wrong[list(loaded.feature_names_in_)])
        np.testing.assert_array_equal(again, loaded.transform(table))


def test_fresh_process_gives_the_same_codes(folder):
    np.save(folder.parent / "X.npy", X)
    code = (
        "import sys, numpy as np, isthmus; "
        "np.save('Z.npy', isthmus.load('model').transform(np.load('X.npy')))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder.parent, check=True)
    np.testing.assert_array_equal(np.load(folder.parent / "Z.npy"), load(folder).transform(X))


def test_folder_holds_three_files_and_no_pickle(folder):
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["format"] == 3
    header = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    assert "mean" in json.loads(header[8 : 8 + length])


@pytest.mark.parametrize(
    "changes", [{"activation": "tanh"}, {"hidden": (3,)}, {"n_components": 3}, {"scaling": "none"}]
)
def test_what_is_saved_is_what_was_fitted_whatever_was_set_since(changes, tmp_path):
    fitted = Autoencoder(**BASE).fit(X)
    fitted.save(tmp_path / "before")
    expected = fitted.transform(X)
    fitted.set_params(**changes).save(tmp_path / "after")
    np.testing.assert_array_equal(load(tmp_path / "after").transform(X), expected)
    for name in FILES:
        before, after = ((tmp_path / when / name).read_bytes() for when in ("before", "after"))
        assert before == after


def test_list_that_changes_after_the_fit_changes_nothing_that_is_saved(tmp_path):
    widths = [6]
    model = Autoencoder(**{**BASE, "hidden": widths}).fit(X)
    widths.append(3)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").transform(X), model.transform(X))


def test_two_saves_of_one_model_are_the_same_bytes(folder):
    load(folder).save(folder.parent / "again")
    for name in FILES:
        assert (folder / name).read_bytes() == (folder.parent / "again" / name).read_bytes()


# Over something ---------------------------------------------------------------------------


def test_saving_over_a_model_replaces_it(folder):
    other = Autoencoder(**{**BASE, "n_components": 3}).fit(X)
    other.save(folder)
    np.testing.assert_array_equal(load(folder).transform(X), other.transform(X))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_over_something_else_is_refused_and_leaves_it(tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("years")
    model = Autoencoder(**BASE).fit(X)
    sentence = (
        f"{tmp_path / 'papers'} is a folder that holds something and no config.json, so it is "
        f"not replaced: give the path of a new or an empty folder."
    )
    with pytest.raises(FileError, match=exactly(sentence)):
        model.save(tmp_path / "papers")
    assert (tmp_path / "papers" / "thesis.tex").read_text() == "years"
    with pytest.raises(FileError, match=r"is a file: give the path of a folder"):
        model.save(tmp_path / "papers" / "thesis.tex")
    assert [path.name for path in (tmp_path / "papers").iterdir()] == ["thesis.tex"]


class Mine(Autoencoder):
    pass


@pytest.mark.parametrize("kind", [Mine, type("Autoencoder", (Autoencoder,), {})])
def test_class_that_load_would_not_know_is_refused_when_it_is_saved(kind, tmp_path):
    sentence = (
        f"{kind.__qualname__} of {kind.__module__} cannot be saved, for load knows the estimators "
        f"of isthmus only: save one of those, or pickle it."
    )
    model = kind(**BASE).fit(X)
    with pytest.raises(FileError, match=exactly(sentence)):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_loading_draws_no_random_numbers(folder):
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


# Ends the process as a folder has left its name and the new one has not yet got it.
KILLED = """
import os, signal, sys
from isthmus import load
path = sys.argv[1]

def kill(event, given):
    if event == "os.rename" and str(given[1]) == path:
        os.kill(os.getpid(), signal.SIGKILL)

model = load(path)
sys.addaudithook(kill)
model.save(path)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the system knows no SIGKILL")
def test_model_whose_replacement_was_killed_is_whole_where_load_says(tmp_path):
    path = tmp_path / "model"
    rows = np.random.default_rng(0).normal(size=(50, 4))
    model = Autoencoder(2, max_epochs=1, random_state=0).fit(rows)
    model.save(path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(ArtefactError, match="which lies whole in") as refused:
        load(path)
    before = tmp_path / ".model.before"
    assert str(before) in str(refused.value)
    np.testing.assert_array_equal(load(before).transform(rows), model.transform(rows))
    model.save(path)
    assert not before.exists()
    np.testing.assert_array_equal(load(path).transform(rows), model.transform(rows))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a\0b", "'a\\x00b' holds a null character: give a path without."),
        ("a" * 300, f"{'a' * 300} is too long a name for the system: give a shorter one; nothing "
         "was changed."),
    ],
)  # fmt: skip
def test_paths_that_no_system_takes_are_refused(tmp_path, monkeypatch, path, said):
    monkeypatch.chdir(tmp_path)
    model = Autoencoder(1, max_epochs=0).fit(np.eye(5, 3, dtype=np.float32))
    calls = [
        model.save,
        lambda path: model.fit(np.eye(5, 3), checkpoint=path),
        lambda path: check_model(Path(path), force=False),
    ]
    for call in calls:
        with pytest.raises(FileError, match=f"^{re.escape(said)}$"):
            call(path)
    with pytest.raises(FileError):
        export_onnx(model, f"{path}.onnx")
    for read in (load, lambda path: resume(path, np.eye(5, 3))):
        with pytest.raises(ArtefactError):
            read(path)
