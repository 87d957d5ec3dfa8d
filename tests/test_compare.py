"""Models side by side: the figures are those of each alone, and of the rows in the user's units."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from isthmus import Autoencoder, AutoencoderClassifier, compare, datasets
from isthmus.errors import DataError, MissingDependencyError, ParameterError
from isthmus.evaluation.review import review

DIGITS = datasets.digits()
X, Y = DIGITS.images[:300], DIGITS.labels[:300]
QUICK = {"hidden": (), "max_epochs": 2, "random_state": 0}
WIDE, NARROW = (Autoencoder(k, **QUICK).fit(X) for k in (8, 3))
LINEAR = PCA(5).fit(X)
MODELS = {"wide": WIDE, "narrow": NARROW, "PCA": LINEAR}


def test_figures_are_those_of_each_model_alone():
    rows = {row["model"]: row for row in compare(MODELS, X, Y).rows}
    assert list(rows) == list(MODELS)
    for name in ("wide", "narrow"):
        model, made = MODELS[name], review(MODELS[name], X, Y)
        assert rows[name]["error"] == pytest.approx(model.reconstruction_error(X).mean())
        assert rows[name]["held_out"] == model.versus_pca_.ratio
        assert rows[name]["times_pca"] == made.versus.ratio.value
        assert rows[name]["probe"] == made.quality.code.probe
        assert rows[name]["findings"] == len(model.diagnose(X))
        assert rows[name]["width"] == model.n_components
    rebuilt = LINEAR.inverse_transform(LINEAR.transform(X))
    assert rows["PCA"]["error"] == pytest.approx(np.square(rebuilt - X).sum(axis=1).mean())
    assert rows["PCA"]["times_pca"] == pytest.approx(1, abs=1e-5)
    assert rows["PCA"]["held_out"] is None


def test_dead_units_of_scikit_learns_pca_are_a_finding():
    flat = X[:, :2] @ np.ones((2, 4)) + np.outer(X[:, 20], np.arange(4))
    row = compare({"PCA": PCA(4).fit(flat)}, flat).rows[0]
    assert (row["dead"], row["findings"]) == (2, 1)


def test_each_error_is_divided_by_the_least():
    table = compare(MODELS, X)
    errors = {row["model"]: row["error"] for row in table.rows}
    assert table.best.name == min(errors, key=errors.get) == "wide"
    for model in table.models:
        expected = errors[model.name] / errors["wide"]
        assert model.times_best.value == pytest.approx(expected)
        assert model.times_best.low <= expected <= model.times_best.high
    assert table.headline() == "“wide” errs least."


def test_models_that_are_the_same_may_be_so_by_chance():
    table = compare({"a": WIDE, "b": WIDE}, X)
    assert table.headline() == "“a” errs least, which may be chance."


def test_standardised_models_are_compared_in_standard_deviations():
    rows = X[:, 20:26] * [1, 10, 100, 1, 1, 1]
    both = {k: Autoencoder(k, scaling="standard", **QUICK).fit(rows) for k in (2, 3)}
    table = compare({str(k): model for k, model in both.items()}, rows)
    rebuilt = (both[2].reconstruct(rows) - rows) / rows.std(axis=0)
    assert table.standardised
    assert table.rows[0]["error"] == pytest.approx(np.square(rebuilt).sum(axis=1).mean())
    mixed = compare({"2": both[2], "PCA": PCA(2).fit(rows)}, rows)
    assert not mixed.standardised
    assert mixed.rows[0]["error"] == pytest.approx(both[2].reconstruction_error(rows).mean())


def test_table_prints_a_line_for_each_measure_that_one_of_them_has():
    lines = repr(compare(MODELS, X)).splitlines()
    assert lines[0].split() == ["wide", "narrow", "PCA"]
    titles = [re.split(r"\s{2,}", line.strip())[0] for line in lines[1:]]
    assert titles[:3] == ["kind", "numbers in the code", "squared error"]
    assert not any("labels" in title for title in titles)
    assert len({len(line) for line in lines}) == 1


def test_frame_holds_the_same_figures():
    frame = compare(MODELS, X).to_frame()
    assert frame.index.tolist() == list(MODELS)
    pd.testing.assert_frame_equal(frame, pd.DataFrame(compare(MODELS, X).rows).set_index("model"))


def test_classifier_stands_among_them_with_what_it_has():
    model = AutoencoderClassifier(Autoencoder(4, **QUICK), max_epochs=2, random_state=0).fit(X, Y)
    (row,) = compare({"c": model}, X, Y).rows
    assert row["error"] is None
    assert row["probe"] > 0.5


def test_page_holds_the_table_and_asks_nobody_for_anything(tmp_path):
    names = {"<script>alert(1)</script>": WIDE, "": NARROW, "שלום": LINEAR}
    table = compare(names, X, Y, path=tmp_path / "c.html")
    text = table.path.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    for line in table.cells()[1:]:
        assert all(f">{cell}</td>" in text for cell in line[1:])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: compare({}, X),
            ParameterError,
            "models is empty: give one fitted model or more, by name.",
        ),
        (
            lambda: compare([3], X),
            ParameterError,
            "models has the type list: give fitted models by name, "
            "{'first': model, 'second': other}.",
        ),
        (
            lambda: compare({"a": 3}, X),
            ParameterError,
            "3 is no fitted transformer: give an estimator of isthmus, after fit.",
        ),
        (
            lambda: compare(MODELS, X, Y[:3]),
            DataError,
            "y has 3 labels and X has 300 rows: give one label for each row.",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()


def test_frame_says_that_pandas_is_missing(monkeypatch):
    table = compare({"wide": WIDE}, X)
    monkeypatch.setitem(sys.modules, "pandas", None)
    message = "to_frame needs pandas, which is not installed: pip install pandas."
    with pytest.raises(MissingDependencyError, match=f"^{re.escape(message)}$"):
        table.to_frame()


def test_page_says_that_jinja_is_missing_before_it_looks(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    message = "Writing a comparison needs Jinja2, which is not installed: "
    with pytest.raises(MissingDependencyError, match=message):
        compare({"a": 3}, X, path=tmp_path / "c.html")
