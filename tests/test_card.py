"""The README.md of a saved model: it says what the model is, in Markdown that no name breaks."""

import re

import numpy as np
import pandas as pd
import pytest
from test_contract import ESTIMATORS

from isthmus import Autoencoder, AutoencoderClassifier, BernoulliRBM, SparseAutoencoder, load
from isthmus.estimators.card import card, code
from isthmus.parts import Custom

X = np.random.default_rng(0).uniform(size=(60, 4))
SHORT = {"hidden": (4,), "max_epochs": 2, "random_state": 0}


def rows_of(text, section):
    """Return the cells of the tables of a section."""
    (body,) = re.findall(rf"^## {section}\n\n(.*?)(?=\n## |\Z)", text, re.DOTALL | re.MULTILINE)
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: str(each)[:60])
def test_card_of_every_estimator_has_its_sections(estimator):
    fitted = estimator.fit(X, np.arange(60) % 2)
    text = card(fitted)
    assert text.startswith(f"# {type(fitted).__name__}: 4 features to ")
    titles = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert titles[:5] == ["Use", "Data", "Parameters", "Figures", "Made with"]
    assert ["rows of training", "60"] in rows_of(text, "Data")
    for section in ("Data", "Parameters", "Figures"):
        widths = {len(row) for row in rows_of(text, section)}
        assert len(widths) == 1


def test_card_says_what_the_model_was_fitted_to(tmp_path):
    table = pd.DataFrame(X, columns=["a", "b", "c", "größe"]).astype({"a": "float32"})
    Autoencoder(2, scaling="standard", **SHORT).fit(table).save(tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    rows = rows_of(text, "Data")
    assert ["`a`", "`float32`"] in rows
    assert ["`größe`", "`float64`"] in rows
    assert ["scaling, within the model", "`standard`"] in rows


def test_card_lists_what_is_not_at_its_default():
    model = SparseAutoencoder(3, sparsity="activity_l1(weight=0.1)", **SHORT).fit(X)
    rows = dict(rows_of(card(model), "Parameters")[2:])
    assert rows == {
        "`n_components`": "`3`",
        "`sparsity`": "`'activity_l1(weight=0.1)'`",
        "`hidden`": "`(4,)`",
        "`max_epochs`": "`2`",
        "`random_state`": "`0`",
    }
    assert "All at their defaults." in card(BernoulliRBM().fit(X > 0.5))


def test_card_gives_the_figures_of_the_fit():
    model = Autoencoder(2, **SHORT).fit(X)
    rows = {name: value for name, value, _ in rows_of(card(model), "Figures")}
    assert rows["error beside PCA"] == f"{model.versus_pca_.ratio:.3g}"
    assert rows["epochs"].startswith(f"{model.n_iter_} (")
    kept = [r["held_out_nll"] for r in model.history_ if r["epoch"] == model.n_iter_ and len(r) > 4]
    assert rows["held-out nll"] == f"{np.mean(kept):.4g}"


def test_code_of_the_card_loads_the_model(tmp_path, monkeypatch):
    model = Autoencoder(2, **SHORT).fit(X)
    model.save(tmp_path / "this folder")
    text = (tmp_path / "this folder" / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {"X": X}
    exec(block.replace("model.transform", "Z = model.transform"), names)
    np.testing.assert_array_equal(names["Z"], model.transform(X))


def test_card_names_the_papers_of_the_parts():
    text = card(SparseAutoencoder(5, sparsity="topk(k=2)", **SHORT).fit(X))
    assert "Makhzani, A. & Frey, B. (2013). k-sparse autoencoders." in text


@pytest.mark.parametrize(
    "name",
    ["a|b", "`a`", "a\nb", "<script>alert(1)</script>", "[a](http://b)", "# a", "", " ", "\ud800"],
)
def test_no_name_of_a_column_breaks_the_card(name, tmp_path):
    table = pd.DataFrame(X, columns=[name, "b", "c", "d"])
    model = Autoencoder(2, **SHORT).fit(table)
    model.save(tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    (row,) = [row for row in rows_of(text, "Data") if row[1] == "`float64`"][:1]
    assert len(row) == 2
    fence = re.match("`+", row[0])[0]
    assert row[0].endswith(fence)
    assert fence not in row[0][len(fence) : -len(fence)]
    assert load(tmp_path / "model").feature_names_in_[0] == name


def test_card_of_many_columns_is_short():
    names = [f"x{i}" for i in range(300)]
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 300)), columns=names)
    text = card(Autoencoder(2, **SHORT).fit(wide))
    assert "`x99`" in text
    assert "`x100`" not in text
    assert "and 200 more, in `config.json`." in text


def test_card_of_own_modules_says_that_they_are_needed():
    from torch import nn

    own = Custom(nn.Linear(4, 2), nn.Linear(2, 4))
    assert "network=Custom(encoder, decoder)" in card(
        Autoencoder(2, network=own, max_epochs=1).fit(X)
    )


def test_card_of_a_classifier_lists_its_classes():
    y = np.where(X[:, 0] > 0.5, "yes", "no|")
    model = AutoencoderClassifier(Autoencoder(2, **SHORT), max_epochs=2).fit(X, y)
    assert ["classes", "`no\\|`, `yes`"] in rows_of(card(model), "Data")
    assert "model.predict(X)" in card(model)


def test_edit_of_the_card_is_no_damage(tmp_path):
    model = Autoencoder(2, **SHORT).fit(X)
    model.save(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("My notes")
    np.testing.assert_array_equal(load(tmp_path / "model").transform(X), model.transform(X))
    (tmp_path / "model" / "README.md").unlink()
    np.testing.assert_array_equal(load(tmp_path / "model").transform(X), model.transform(X))


def test_span_of_code_holds_what_is_given():
    assert code("a") == "`a`"
    assert code("a``b") == "``` a``b ```"
    assert code("a\n b") == "`a b`"
