"""Axes, ticks and training charts of the page."""

import numpy as np
import pytest

from isthmus import Autoencoder, datasets
from isthmus.evaluation.page import charts
from isthmus.evaluation.review import review

X = datasets.digits().images[:300]


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (-1, 1, ["-1", "-0.5", "0", "0.5", "1"]),
        (3.2, 3.9, ["3.2", "3.4", "3.6", "3.8"]),
        (0, 0, ["0"]),
        (1e6, 5e6, ["1,000,000", "2,000,000", "3,000,000", "4,000,000", "5,000,000"]),
    ],
)
def test_ticks_are_round(low, high, texts):
    assert [tick.text for tick in charts.Axis(low, high).ticks()] == texts


def test_whole_ticks_have_no_fractions():
    assert [tick.text for tick in charts.Axis(0, 2).ticks(whole=True)] == ["0", "1", "2"]


def test_logarithmic_ticks_are_powers_of_ten():
    axis = charts.Axis(0.5, 2000, log=True)
    assert [tick.text for tick in axis.ticks()] == ["1", "10", "100", "1,000"]
    assert axis.at(0.5) == 0
    assert axis.at(np.sqrt(0.5 * 2000)) == 50


def test_places_are_percent_of_the_axis():
    assert [charts.Axis(10, 20).at(value) for value in (10, 15, 20)] == [0, 50, 100]


def test_training_chart_marks_the_epoch_that_was_kept():
    model = Autoencoder(3, hidden=(8,), max_epochs=6, random_state=0).fit(X)
    made = review(model, X)
    folds, whole = charts.training_charts(made.training)
    assert [mark.text for mark in folds.marks] == [f"kept: epoch {model.n_iter_}"]
    assert whole.marks == []
    assert {line.name for line in folds.lines} == {"training", "held out"}


def test_terms_of_the_loss_have_a_chart_each():
    model = Autoencoder(
        3, hidden=(), max_epochs=3, penalties="weight_l2(weight=0.1)", random_state=0
    ).fit(X)
    titles = [chart.title for chart in charts.training_charts(review(model, X).training)]
    assert titles[:3] == ["Folds: loss", "Folds: nll", "Folds: weight l2"]
