"""Rows that are typed: padded sequences and messy tables on the command line."""

from pathlib import Path

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
    assert f"flat.npy has NaN at row 1, column {column} (the first of" in refused(
        run, "fit", "flat.npy", *network, "--model", "m"
    )


# Tables


MESSY = """id,age,income,rate,age,city
p0,1,2,3,4,Rome
p1,2,,3,5,Oslo
p2,3,5,,6,Oslo
p3,4,4,1,7,Oslo
"""


@pytest.fixture
def messy():
    """Write a table with text, a name that stands twice and missing cells."""
    Path("messy.csv").write_text(MESSY)


def test_messy_table_is_cleared_up_in_as_many_rounds_as_it_has_kinds_of_mess(run, messy):
    fit = ["fit", "messy.csv", "--model", "m"]
    assert refused(run, *fit) == (
        "Columns 2 and 5 of messy.csv are both called 'age': rename one, or leave them out "
        "(--drop age)."
    )
    assert refused(run, *fit, "--drop", "age") == (
        "2 columns of messy.csv hold no numbers ('id' and 'city'), for example 'p0' in row 0 (from "
        "0) of 'id': leave them out (--drop age,id,city), or encode each as numbers "
        "(sklearn.preprocessing.OneHotEncoder)."
    )
    assert refused(run, *fit, "--drop", "age,id,city") == (
        "messy.csv has NaN at row 1, column 'income' (the first of 2 such cells, in columns "
        "'income' and 'rate'): fill such values in (sklearn.impute.SimpleImputer) or drop these "
        "rows."
    )


def test_columns_of_one_name_hinder_nobody_who_does_not_use_them(run, messy):
    Path("messy.csv").write_text(MESSY.replace(",,", ",3,"))
    code, said = run("fit", "messy.csv", "--columns", "income,rate", "-k", "1", "--model", "m")
    assert code == 0, said
    assert list(load("m").feature_names_in_) == ["income", "rate"]
    assert run("transform", "messy.csv", "z.csv", "--model", "m")[0] == 0


def test_name_of_a_column_is_guessed_only_where_it_is_near(run, messy):
    fit = ["fit", "messy.csv", "--model", "m", "--drop"]
    assert refused(run, *fit, "nope") == "messy.csv has no column 'nope': correct the name."
    assert "(did you mean 'city'?)" in refused(run, *fit, "cty")
