"""``isthmus report`` and ``isthmus compare``: from files to a page."""

import re
import shlex
import struct
import sys

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits, load_iris

from isthmus import Autoencoder, load
from isthmus.cli.main import isthmus as command_line
from isthmus.cli.main import run
from isthmus.cli.reporting import read_labels
from isthmus.data.writing import write, write_pictures
from isthmus.evaluation.review import review

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
IRIS, KINDS = load_iris(return_X_y=True)
WORDS = [["setosa", "versicolor", "virginica"][kind] for kind in KINDS]
LIGHT = (load_digits().images[:60] / 16).astype(np.float32)
QUICKLY = ["--hidden", "()", "--max-epochs", "2", "--random-state", "0"]


def invoke(*args):
    """Run a command that succeeds and return what it prints."""
    result = CliRunner().invoke(command_line, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Iris with a column of words, digits, and models of both."""
    home = tmp_path_factory.mktemp("home")
    frame = pl.DataFrame(IRIS, schema=NAMES, orient="row")
    frame.with_columns(species=pl.Series(WORDS)).write_csv(home / "iris.csv")
    write(home / "iris.npy", IRIS)
    pl.DataFrame({"kind": WORDS}).write_csv(home / "words.csv")
    np.save(home / "kinds.npy", KINDS)
    header = bytes([0, 0, 8, 1]) + struct.pack(">I", len(KINDS))
    (home / "kinds-idx1-ubyte").write_bytes(header + KINDS.astype(np.uint8).tobytes())
    write_pictures(home / "digits", LIGHT, [f"{i:02}.png" for i in range(60)])
    for k in (2, 3):
        model = home / f"iris{k}"
        invoke("fit", home / "iris.csv", "--drop", "species", "-k", k, "--model", model, *QUICKLY)
    invoke("fit", home / "digits", "-k", 4, "--model", home / "strokes", *QUICKLY)
    return home


@pytest.fixture
def refusal(capsys):
    """Run a command that is refused and return its sentence."""

    def refusal(*args):
        assert run([str(arg) for arg in args]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err.removeprefix("Error: ").rstrip("\n")

    return refusal


def test_report_prints_the_verdict_and_writes_the_page(home, tmp_path):
    out = tmp_path / "page.html"
    printed = invoke(
        "report", home / "iris2", home / "iris.csv", "--labels", "species", "--out", out
    )
    expected = review(load(home / "iris2"), pl.DataFrame(IRIS, schema=NAMES, orient="row"), WORDS)
    assert printed.splitlines() == [str(expected.verdict), f"{out}: open it in a browser."]
    text = out.read_text(encoding="utf-8")
    assert "petal_length" in text
    assert "virginica" in text
    assert expected.origin.sha256 in text


def test_page_says_the_command_that_makes_it_again(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invoke("report", home / "iris2", home / "iris.csv", "--labels", "species")
    first = (tmp_path / "report.html").read_bytes()
    (typed,) = re.findall(r"<code>(isthmus report .*?)</code>", first.decode())
    invoke(*shlex.split(typed.replace("&#39;", "'"))[1:], "--force")
    assert (tmp_path / "report.html").read_bytes() == first


@pytest.mark.parametrize("labels", ["words.csv", "kinds.npy", "kinds-idx1-ubyte"])
def test_labels_may_be_a_file(labels, home):
    known = WORDS if labels.endswith("csv") else KINDS.tolist()
    assert list(read_labels(str(home / labels), home / "iris.npy")) == known


def test_report_on_pictures_draws_them(home, tmp_path):
    out = tmp_path / "page.html"
    invoke("report", home / "strokes", home / "digits", "--out", out)
    assert "Which pixels are explained" in out.read_text(encoding="utf-8")
    invoke("report", home / "strokes", home / "digits", "--shape", "64", "--out", out, "--force")
    assert "Which features are explained" in out.read_text(encoding="utf-8")


def test_report_takes_clean_rows(home, tmp_path):
    noisy = tmp_path / "noisy.npy"
    write(noisy, LIGHT.reshape(60, 64) + 0.1)
    np.save(tmp_path / "clean.npy", LIGHT.reshape(60, 64))
    out = tmp_path / "page.html"
    options = ["--target", tmp_path / "clean.npy", "--out", out]
    invoke("report", home / "strokes", noisy, *options)
    assert "Mean PSNR" in out.read_text(encoding="utf-8")


def test_compare_prints_a_table_and_writes_a_page(home, tmp_path):
    out = tmp_path / "both.html"
    models = [home / "iris2", home / "iris3"]
    printed = invoke("compare", *models, home / "iris.csv", "--labels", "species", "--out", out)
    lines = printed.splitlines()
    assert lines[0].split() == ["iris2", "iris3"]
    assert any(line.startswith("labels told by a linear rule") for line in lines)
    assert lines[-1] == f"{out}: open it in a browser."
    assert "errs least" in out.read_text(encoding="utf-8")
    alone = invoke("compare", home / "iris2", home / "iris.csv").splitlines()
    assert alone[0].split() == ["iris2"]


def test_models_of_the_same_name_are_called_by_their_paths(home, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "iris2").symlink_to(home / "iris2")
    printed = invoke("compare", home / "iris2", tmp_path / "other" / "iris2", home / "iris.csv")
    assert printed.splitlines()[2].split()[-2:] == ["2", "2"]


def test_what_cannot_be_reported_is_refused_in_one_sentence(home, refusal, tmp_path):
    model, table = home / "iris2", home / "iris.csv"
    assert refusal("report", model, table, "--out", tmp_path / "page.pdf") == (
        f"{tmp_path / 'page.pdf'} is no name of a page: give one that ends in .html."
    )
    (tmp_path / "page.html").touch()
    assert refusal("report", model, table, "--out", tmp_path / "page.html") == (
        f"{tmp_path / 'page.html'} exists already: add --force to replace it, or give another path."
    )
    out = ["--out", tmp_path / "new.html"]
    assert refusal("report", model, table, "--labels", "specis", *out) == (
        f"{table} has no column 'specis' (did you mean 'species'?): correct the name."
    )
    assert refusal("report", model, home / "iris.npy", "--labels", "species", *out) == (
        f"--labels species is no file, and {home / 'iris.npy'} has no columns: give a file of "
        f"labels, such as a .csv of one column."
    )
    assert refusal("report", model, table, "--labels", table, *out) == (
        f"{table} has 5 columns: leave one, which holds the labels."
    )
    assert refusal("report", model, table, "--labels", home / "iris.npy", *out) == (
        f"{home / 'iris.npy'} has shape (150, 4): labels are a list, (n,)."
    )
    assert refusal("report", model, table, "--shape", "2,a", *out) == (
        "Invalid value for '--shape': '2,a' is no list of whole numbers, such as 28,28,1; see "
        "'isthmus report --help'."
    )
    assert not (tmp_path / "new.html").exists()


def test_models_of_other_columns_are_not_compared(home, refusal, tmp_path):
    other = tmp_path / "other"
    options = ["--columns", "petal_width,petal_length", "-k", "1", "--model", other]
    invoke("fit", home / "iris.csv", *options, *QUICKLY)
    assert refusal("compare", home / "iris2", other, home / "iris.csv") == (
        "iris2 takes 4 columns ('sepal_length', 'sepal_width', 'petal_length', 'petal_width'), and "
        "other 2 columns ('petal_width', 'petal_length'): give models of the same columns."
    )
    wide = tmp_path / "wide"
    Autoencoder(1, max_epochs=0).fit(pl.DataFrame(np.eye(4, 7))).save(wide)
    path = tmp_path / "wide.csv"
    pl.DataFrame(np.eye(4, 7)).with_columns(**dict.fromkeys(NAMES, 0.0)).write_csv(path)
    assert refusal("compare", wide, home / "iris2", path).startswith(
        "wide takes 7 columns ('column_0', 'column_1', 'column_2', 'column_3', 'column_4', ...), "
    )


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "hand", "iris2", "iris.csv"],
        ["export", "hand", "hand.onnx", "--data", "iris.csv"],
    ],
)
def test_model_of_another_width_is_named_before_a_cell_is_blamed(
    home, refusal, command, monkeypatch
):
    monkeypatch.chdir(home)
    Autoencoder(1, max_epochs=0).fit(IRIS).save("hand")
    assert refusal(*command) == (
        "iris.csv has 5 values in a row and the model hand 4: give rows of 4 values."
    )


def test_models_with_and_without_names_are_compared_on_bare_rows(home, tmp_path):
    Autoencoder(1, max_epochs=0).fit(IRIS).save(tmp_path / "hand")
    printed = invoke("compare", tmp_path / "hand", home / "iris2", home / "iris.npy")
    assert printed.splitlines()[0].split() == ["hand", "iris2"]


def test_model_that_is_given_twice_is_refused(home, refusal, monkeypatch):
    monkeypatch.chdir(home)
    assert refusal("compare", "iris2", "iris3", "./iris2/", "iris.csv") == (
        "iris2 is given twice: give each model once."
    )


@pytest.mark.parametrize(
    "command",
    [
        ["transform", "words.csv", "codes.npy", "--model", "iris2"],
        ["compare", "iris2", "words.csv"],
        ["export", "iris2", "m.onnx", "--data", "words.csv"],
    ],
)
def test_text_in_a_column_of_the_models_is_not_to_be_dropped(
    home, refusal, command, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris2").symlink_to(home / "iris2")
    frame = pl.read_csv(home / "iris.csv").with_columns(petal_width=pl.Series(WORDS))
    frame.write_csv("words.csv")
    assert refusal(*command) == (
        f"Column 'petal_width' of words.csv holds text, for example {WORDS[0]!r} in row 0 (from "
        "0), and the model iris2 needs it: encode it as numbers "
        "(sklearn.preprocessing.OneHotEncoder)."
    )


def test_missing_extra_is_named_before_the_model_is_read(refusal, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    (tmp_path / "data.npy").write_bytes(b"\x93NUMPY")
    out = ["--out", tmp_path / "page.html"]
    assert refusal("report", tmp_path / "none", tmp_path / "data.npy", *out) == (
        "Writing a report needs Jinja2, which is not installed: pip install 'isthmus[report]'."
    )
