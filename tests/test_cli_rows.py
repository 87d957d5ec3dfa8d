"""Rows that are typed: padded sequences and messy tables on the command line."""

import numpy as np
import polars as pl
import pytest

from isthmus import Autoencoder, load
from isthmus.cli import main

T = 12
QUICK = {"network": "recurrent(hidden=(4,))", "max_epochs": 2, "random_state": 0}
QUICKLY = ["-k", "3", "--max-epochs", "2", "--random-state", "0"]
RECURRENT = ["--network", "recurrent(hidden=(4,))"]


def waves():
    """Return sequences (N, T, 2), NaN after the end of those that are shorter; one is whole."""
    rng, steps = np.random.default_rng(0), np.linspace(0, 6, T)
    values = np.stack([[np.sin(steps * f), np.cos(steps * f)] for f in rng.uniform(0.5, 2, 20)])
    values = values.transpose(0, 2, 1)
    for sequence in values[1:]:
        sequence[rng.integers(4, T) :] = np.nan
    return values


WAVES = waves()


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Type a command in a folder of its own; return its exit code and what it says."""
    monkeypatch.chdir(tmp_path)

    def typed(*args):
        code = main.run([str(each) for each in args])
        said = capsys.readouterr()
        return code, said.out + said.err

    return typed


def refused(run, *args):
    """Return the sentence with which a command is refused."""
    code, said = run(*args)
    assert code == 2, said
    return said.removeprefix("Error: ").rstrip("\n")


# Sequences


@pytest.fixture
def sequences(run):
    """Files of padded sequences, and a model of them."""
    np.save("waves.npy", WAVES)
    np.save("flat.npy", WAVES.reshape(20, -1))
    np.save("short.npy", WAVES[:, :8])
    code, said = run("fit", "waves.npy", *RECURRENT, *QUICKLY, "--model", "model")
    assert code == 0, said
    return Autoencoder(3, **QUICK).fit(WAVES)


def test_padded_sequences_are_fitted_as_in_python(run, sequences):
    np.testing.assert_array_equal(load("model").transform(WAVES), sequences.transform(WAVES))
    shape = ["--sample-shape", f"{T},2"]
    code, said = run("fit", "flat.npy", *RECURRENT, *QUICKLY, *shape, "--model", "flat")
    assert code == 0, said
    np.testing.assert_array_equal(load("flat").transform(WAVES), sequences.transform(WAVES))


def test_padded_sequences_go_through_a_saved_model_as_in_python(run, sequences):
    for name in ("waves", "flat", "short"):
        given = np.load(f"{name}.npy")
        for command, answer in {
            "transform": sequences.transform(given),
            "denoise": sequences.reconstruct(given),
        }.items():
            out = f"{command}-{name}.npy"
            assert run(command, f"{name}.npy", out, "--model", "model")[0] == 0
            np.testing.assert_array_equal(np.load(out), answer)
        assert run("score", f"{name}.npy", "--model", "model", "--out", f"{name}.csv")[0] == 0
        likely = pl.read_csv(f"{name}.csv")["log_likelihood"].to_numpy()
        np.testing.assert_allclose(likely, sequences.score_samples(given))


def test_padded_sequences_may_be_stopped_by(run, sequences):
    fit = ["fit", "waves.npy", *RECURRENT, *QUICKLY, "--validation", "short.npy", "--model", "m"]
    assert run(*fit)[0] == 0
    alike = Autoencoder(3, **QUICK).fit(WAVES, validation=WAVES[:, :8])
    np.testing.assert_array_equal(load("m").transform(WAVES), alike.transform(WAVES))


def test_sequences_are_reported_as_sequences(run, sequences):
    np.save("whole.npy", np.nan_to_num(WAVES))
    code, said = run("report", "model", "whole.npy")
    assert code == 0, said
    assert ", channel " in said


def test_what_is_no_padding_is_refused_under_the_files_name(run, sequences):
    holes = WAVES.copy()
    holes[0, 2] = np.nan
    np.save("holes.npy", holes)
    assert refused(run, "transform", "holes.npy", "z.npy", "--model", "model") == (
        "holes.npy[0] has NaN within the sequence, infinity, or no step at all: fill such values "
        "in, and leave NaN to what follows the end."
    )
    fit = ["fit", "flat.npy", *RECURRENT, "--model", "m", "--sample-shape"]
    assert refused(run, *fit, "5,2") == (
        "--sample-shape 5,2 holds 10 numbers, and a sample of X has 24: give the shape of one "
        "sample of X."
    )


@pytest.mark.parametrize("network", [[], RECURRENT])
def test_padding_is_refused_where_rows_are_no_sequences(run, network):
    np.save("flat.npy", WAVES.reshape(20, -1))
    column = int(np.isnan(WAVES[1].ravel()).argmax())
    assert f"flat.npy has NaN at row 1, column {column}: " in refused(
        run, "fit", "flat.npy", *network, "--model", "m"
    )
