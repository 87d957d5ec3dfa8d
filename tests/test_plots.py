"""Pictures for notebooks: axes in, axes out, and on them what the report computes."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from isthmus import Autoencoder, AutoencoderClassifier, BernoulliRBM, datasets, plots
from isthmus.errors import MissingDependencyError, ParameterError
from isthmus.evaluation.review import review

mpl.use("Agg")
from matplotlib import pyplot as plt

DIGITS = datasets.digits()
X, Y = DIGITS.images[:200], DIGITS.labels[:200]
MODEL = Autoencoder(4, hidden=(8,), max_epochs=4, random_state=0).fit(X)
NAMES = ["a $x$", "b", "", "שלום", "<i>", "f" * 90]
TABLE = pd.DataFrame(X[:, 20:26], columns=NAMES)
TABULAR = Autoencoder(2, hidden=(), max_epochs=2, random_state=0).fit(TABLE)

DRAWN = {
    "reconstructions": lambda **to: plots.reconstructions(MODEL, X, **to),
    "reconstructions of noise": lambda **to: plots.reconstructions(MODEL, X + 0.1, target=X, **to),
    "reconstructions of a table": lambda **to: plots.reconstructions(TABULAR, TABLE, **to),
    "training_curve": lambda **to: plots.training_curve(MODEL, **to),
    "against_pca": lambda **to: plots.against_pca(MODEL, X, **to),
    "code_map": lambda **to: plots.code_map(MODEL, X, Y, **to),
    "code_map by error": lambda **to: plots.code_map(MODEL, X, **to),
    "code_map by numbers": lambda **to: plots.code_map(MODEL, X, X[:, 20] + 0.5, **to),
    "feature_errors": lambda **to: plots.feature_errors(MODEL, X, **to),
    "feature_errors of a table": lambda **to: plots.feature_errors(TABULAR, TABLE, **to),
    "directions": lambda **to: plots.directions(MODEL, X, **to),
    "directions of a table": lambda **to: plots.directions(TABULAR, TABLE, **to),
    "traversal": lambda **to: plots.traversal(MODEL, X, 2, **to),
    "traversal of a table": lambda **to: plots.traversal(TABULAR, TABLE, **to),
    "filters": lambda **to: plots.filters(MODEL, **to),
    "activity": lambda **to: plots.activity(MODEL, X, **to),
}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_every_picture_is_listed():
    assert {name.split()[0] for name in DRAWN} == set(plots.__all__)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.filterwarnings("ignore:Glyph")  # of scripts that the default font lacks
def test_picture_is_drawn_on_new_axes_or_on_those_that_are_given(name):
    axes = DRAWN[name]()
    assert isinstance(axes, plt.Axes)
    assert axes.has_data()
    axes.figure.canvas.draw()
    given = plt.figure(figsize=(12, 12)).subplots()
    n_figures = len(plt.get_fignums())
    assert DRAWN[name](ax=given) is given
    assert given.has_data()
    assert len(plt.get_fignums()) == n_figures


@pytest.mark.parametrize("name", DRAWN)
def test_picture_says_that_matplotlib_is_missing_before_it_looks(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr("isthmus.evaluation.subject.look", lambda *_, **__: pytest.fail("late"))
    message = "Drawing pictures needs matplotlib, which is not installed: pip install"
    with pytest.raises(MissingDependencyError, match=message):
        DRAWN[name]()


def test_training_curve_is_the_history():
    axes = plots.training_curve(MODEL)
    history = pd.DataFrame(MODEL.history_)
    fold = history[history.stage == "fold 1 of 4"]
    held_out = next(line for line in axes.get_lines() if line.get_label() == "held out")
    np.testing.assert_array_equal(held_out.get_xdata(), fold.epoch)
    np.testing.assert_array_equal(held_out.get_ydata(), fold.held_out_loss)
    assert f"kept: epoch {MODEL.n_iter_}" in axes.get_legend_handles_labels()[1]


def test_pictures_show_what_the_report_computes():
    made = review(MODEL, X, Y)
    bars = plots.feature_errors(TABULAR, TABLE).containers[0].datavalues
    explained = review(TABULAR, TABLE).features.explained
    np.testing.assert_allclose(bars, np.sort(explained[np.isfinite(explained)]))
    heights = plots.activity(MODEL, X).containers[0].datavalues
    np.testing.assert_allclose(heights, made.activity.spread)
    curve, model, *_ = plots.against_pca(MODEL, X).get_lines()
    np.testing.assert_allclose(curve.get_ydata(), made.versus.curve[: len(curve.get_ydata())])
    assert model.get_xydata().tolist() == [[4, made.versus.error.value]]
    places = np.vstack([each.get_offsets() for each in plots.code_map(MODEL, X, Y).collections])
    np.testing.assert_allclose(np.sort(places, axis=0), np.sort(made.map.places, axis=0))


def test_filters_of_a_machine_are_its_weights():
    machine = BernoulliRBM(8, n_iter=2, random_state=0).fit(X)
    image = plots.filters(machine).get_images()[0].get_array()
    assert image.shape == (9, 72)  # eight side by side, with a line between
    strongest = machine.components_[np.linalg.norm(machine.components_, axis=1).argmax()]
    np.testing.assert_allclose(image[:8, :8], (strongest / np.abs(strongest).max()).reshape(8, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.traversal(MODEL, X, 4), "unit=4 is none of the model's: write 0 to 3."),
        (
            lambda: plots.filters(TABULAR),
            "filters draws the weights of pictures: give sample_shape=(height, width, colours), "
            "or use directions(model, X).",
        ),
        (
            lambda: plots.reconstructions(
                AutoencoderClassifier(TABULAR, max_epochs=1).fit(TABLE, Y), TABLE
            ),
            "AutoencoderClassifier does not rebuild rows: give the autoencoder that it stands on "
            "(autoencoder_).",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ParameterError) as refused:
        call()
    assert str(refused.value) == message
