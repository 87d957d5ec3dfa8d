"""What notebooks show of an estimator, and what the command line says of a fit."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    DenoisingAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    datasets,
    load,
)
from isthmus.estimators.summary import how_it_went

X, Y = (part[:120] for part in datasets.digits())
ESTIMATORS = [
    Autoencoder(3, hidden=(8,), max_epochs=3),
    Autoencoder(3, hidden=(8,), max_epochs=3, validation_fraction=0),
    StackedAutoencoder(3, hidden=(8,), pretraining="autoencoder(n_epochs=2)", max_epochs=3),
    BernoulliRBM(4, n_iter=3),
    AutoencoderClassifier(Autoencoder(3, hidden=(8,), max_epochs=3), max_epochs=3),
]


class Text(HTMLParser):
    """The text and the tags of a page, as a browser reads them."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(page)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


def shown(estimator):
    """Return the page, without the number that scikit-learn gives each of its diagrams."""
    pages = (estimator._repr_mimebundle_()["text/html"], estimator._repr_html_())
    first, second = (re.sub(r"(sk-\w+-id-)\d+", r"\1", page) for page in pages)
    assert first == second
    return first


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_unfitted_estimator_is_scikit_learns_diagram_alone(estimator):
    assert "<svg width=" not in shown(clone(estimator))
    assert shown(clone(estimator)).startswith("<style>")


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_fitted_estimator_shows_how_its_fit_went_above_the_diagram(estimator):
    model = clone(estimator).fit(X, Y)
    card, _, diagram = shown(model).partition("<style>")
    read = Text(card).text
    assert f"{type(model).__name__}, fitted" in read
    assert f"64 features to a code of {model._n_features_out}" in read
    for name, fact in how_it_went(model).items():
        assert f"{name}{fact}" in read
    assert "sk-container-id" in diagram


@pytest.mark.parametrize(
    ("fit", "reason"),
    [
        (lambda: Autoencoder(64, max_epochs=1).fit(X), "PCA of this width loses nothing"),
        (lambda: Autoencoder(3).partial_fit(X), "partial_fit holds no rows out"),
        (
            lambda: DenoisingAutoencoder(
                3, network="conv(channels=(2,), skip=True)", sample_shape=(8, 8), max_epochs=1
            ).fit(X),
            "the network has skips",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_not_compared_with_pca_says_why(fit, reason):
    assert how_it_went(fit())["against PCA"] == f"not compared ({reason})"


def test_labels_are_listed_under_their_name_as_many_as_fit():
    pandas = pytest.importorskip("pandas")
    quick = {"conditional": True, "max_epochs": 1, "validation_fraction": 0}
    few = VariationalAutoencoder(2, **quick).fit(X, pandas.Series(Y % 3, name="kind"))
    assert how_it_went(few)["labels"] == "kind: 0, 1, 2"
    many = VariationalAutoencoder(2, **quick).fit(X, np.arange(120) % 12)
    assert how_it_went(many)["labels"] == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (12)"


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_curve_has_a_point_for_each_epoch_inside_the_picture(estimator):
    model = clone(estimator).fit(X, Y)
    kept, *lines = re.findall(r'<polyline points="([^"]+)"', shown(model))
    assert lines
    assert len(kept.split()) == 2
    for line in lines:
        points = np.array([pair.split(",") for pair in line.split()], float)
        assert len(points) in (2, 3, 4)
        assert ((points >= 0) & (points <= (240, 60))).all()


def test_verdict_is_the_ratio_to_pca():
    model = clone(ESTIMATORS[0]).fit(X)
    ratio = f"{model.versus_pca_.ratio:.2f} times the error of PCA (held out, 120 rows)"
    assert how_it_went(model)["against PCA"] == ratio


@pytest.mark.parametrize(
    ("estimator", "words"),
    [(ESTIMATORS[1], "3 (it ran to max_epochs)"), (ESTIMATORS[3], "3 (it ran to n_iter)")],
    ids=str,
)
def test_end_of_a_fit_is_said_in_the_estimators_own_words(estimator, words):
    assert how_it_went(clone(estimator).fit(X))["epochs"] == words


def test_names_are_text_and_never_markup():
    names = ["<script>alert(1)</script>", '"><img src=x onerror=1>', *map(str, range(62))]
    model = clone(ESTIMATORS[1]).fit(pd.DataFrame(X, columns=names))
    card = shown(model).partition("<style>")[0]
    read = Text(card)
    assert names[0] in read.text
    assert names[1] in read.text
    assert set(read.tags) <= {
        *("div", "strong", "table", "tr", "td", "figure", "svg", "polyline", "figcaption")
    }


def test_fit_without_epochs_has_no_curve():
    model = Autoencoder(3, hidden=(8,), max_epochs=0, validation_fraction=0).fit(X)
    assert "<svg width=" not in shown(model)


def test_fitted_estimator_in_a_pipeline_stays_a_box_of_the_diagram():
    pipeline = make_pipeline(clone(ESTIMATORS[1])).fit(X)
    assert ", fitted</strong>" not in shown(pipeline)


def test_loaded_model_shows_the_same_card(tmp_path):
    model = clone(ESTIMATORS[0]).fit(X)
    model.save(tmp_path / "model")
    cards = [shown(each).partition("<style>")[0] for each in (model, load(tmp_path / "model"))]
    assert cards[0] == cards[1]
