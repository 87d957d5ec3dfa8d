"""Pictures for notebooks: axes in, axes out, and on them what the report computes."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

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
STANDARD = Autoencoder(2, hidden=(), scaling="standard", max_epochs=2, random_state=0).fit(TABLE)
MACHINE = BernoulliRBM(8, n_iter=2, random_state=0).fit(X)
CURVES = Autoencoder(2, hidden=(), max_epochs=1, random_state=0).fit(X.reshape(-1, 32, 2))

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
    "samples": lambda **to: plots.samples(MODEL, 20, **to),
    "samples of a table": lambda **to: plots.samples(TABULAR, 20, **to),
    "samples of a machine": lambda **to: plots.samples(MACHINE, 3, n_steps=5, **to),
    "samples of curves": lambda **to: plots.samples(CURVES, 3, **to),
    "interpolation": lambda **to: plots.interpolation(MODEL, X[0], X[1], **to),
    "interpolation of a table": lambda **to: plots.interpolation(
        TABULAR, TABLE.iloc[0], TABLE.iloc[1], **to
    ),
    "activity": lambda **to: plots.activity(MODEL, X, **to),
}


@pytest.mark.parametrize("name", [name for name in DRAWN if name.endswith("of a table")])
def test_drawings_of_tables_name_the_features(name):
    axes = DRAWN[name]()
    axis = axes.yaxis if name.startswith("feature_errors") else axes.xaxis
    shown = {label.get_text() for label in axis.get_ticklabels()}
    assert {r"a \$x\$", "b", "<i>"} <= shown


def test_curves_say_their_unit_their_kind_and_which_are_true():
    axes = plots.reconstructions(STANDARD, TABLE, n_each=1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["true", "rebuilt"]
    kinds = [label.get_text().split(":")[0] for label in axes.get_yticklabels()]
    assert kinds == ["best", "usual", "worst"]
    assert plots.samples(STANDARD, 3).get_ylabel() == "value, in standard deviations"
    assert plots.samples(TABULAR, 3).get_ylabel() == "value"


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
    image = plots.filters(MACHINE).get_images()[0].get_array()
    assert image.shape == (9, 72)  # eight side by side, with a line between
    strongest = MACHINE.components_[np.linalg.norm(MACHINE.components_, axis=1).argmax()]
    np.testing.assert_allclose(image[:8, :8], (strongest / np.abs(strongest).max()).reshape(8, 8))


def test_samples_are_those_of_the_model_in_lines_of_eight():
    made = MODEL.sample(11, "kde", random_state=3)
    image = plots.samples(MODEL, 11, method="kde", random_state=3).get_images()[0].get_array()
    assert image.shape == (2 * 9, 8 * 9)
    low, high = np.quantile(made, [0.005, 0.995])
    low, high = (0, 1) if low >= 0 and high <= 1 else (low, high)
    expected = np.clip((made[[1, 10]].reshape(2, 8, 8) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(image[:8, 9:17], expected[0], atol=1e-6)
    np.testing.assert_allclose(image[9:17, 18:26], expected[1], atol=1e-6)
    assert (image[9:, 27:] == 1).all()  # nothing, where there is no sample
    again = plots.samples(MODEL, 11, method="kde", random_state=3).get_images()[0].get_array()
    np.testing.assert_array_equal(again, image)


def test_interpolation_shows_the_way_between_the_two_as_they_are():
    axes = plots.interpolation(MODEL, X[0], X[1], n_steps=3, path="sphere")
    image = axes.get_images()[0].get_array()
    way = MODEL.interpolate(X[0], X[1], 3, path="sphere")
    for i, row in enumerate([X[0], *way, X[1]]):
        tile = image[:8, 9 * i : 9 * i + 8]
        np.testing.assert_allclose(tile, np.clip(row, 0, 1).reshape(8, 8), atol=1e-6)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_curves_of_columns_with_scales_of_their_own_are_scaled():
    lines = plots.samples(STANDARD, 5).get_lines()
    values = TABLE.to_numpy()
    spread = np.where(np.ptp(values, axis=0) > 0, values.std(axis=0), 1)
    made = (STANDARD.sample(5, random_state=0) - values.mean(axis=0)) / spread
    np.testing.assert_allclose([line.get_ydata() for line in lines], made, atol=1e-5)
    raw = plots.samples(TABULAR, 5).get_lines()
    np.testing.assert_allclose(
        [line.get_ydata() for line in raw], TABULAR.sample(5, random_state=0), atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plots.interpolation(MACHINE, X[0], X[1]),
            "BernoulliRBM cannot interpolate: give a fitted autoencoder of isthmus.",
        ),
        (
            lambda: plots.samples(PCA(2).fit(X)),
            "PCA cannot sample: give a fitted autoencoder of isthmus.",
        ),
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
