"""What is told of a model: its methods say the same, and failures are called what they are."""

import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from skimage.metrics import structural_similarity
from sklearn.base import is_classifier
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

import isthmus
from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    DenoisingAutoencoder,
    SparseAutoencoder,
    datasets,
    report,
)
from isthmus.errors import DataError, MissingDependencyError, ParameterError
from isthmus.estimators import ESTIMATORS
from isthmus.estimators.provenance import papers, spelled
from isthmus.evaluation.code_map import code_map
from isthmus.evaluation.examples import similarity
from isthmus.evaluation.labels import labels_of
from isthmus.evaluation.origin import fingerprint
from isthmus.evaluation.review import review
from isthmus.evaluation.subject import drawn, look
from isthmus.evaluation.units import activity, histogram, traversal, units
from isthmus.evaluation.verdict import KeyFigure
from isthmus.evaluation.words import count, figure, named, percent, times

DIGITS = datasets.digits()
X, Y = DIGITS.images[:300], DIGITS.labels[:300]
QUICK = {"hidden": (), "max_epochs": 2, "random_state": 0}


def whole(text):
    return f"^{re.escape(text)}$"


def fitted(name):
    """Return one of each of the public estimators, fitted to digits in a moment."""
    kind = getattr(isthmus, name)
    options = {"max_epochs": 2, "random_state": 0}
    if name.endswith("RBM"):
        options = {"n_components": 8, "n_iter": 2, "random_state": 0}
    if name == "AutoencoderClassifier":
        return kind(Autoencoder(4, **QUICK), **options).fit(X, Y)
    if name == "StackedAutoencoder":
        options |= {"n_components": 4, "hidden": (8,), "pretraining": "autoencoder(n_epochs=1)"}
    return kind(**options).fit(X)


@pytest.fixture(scope="module")
def models():
    return {name: fitted(name) for name in ESTIMATORS}


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_judged_in_three_sentences(name, labelled, models):
    made = review(models[name], X, Y if labelled else None)
    assert len(made.verdict.sentences) == 3
    assert all(sentence.endswith(".") for sentence in made.verdict.sentences)
    assert re.search(r"\d", made.verdict.sentences[0])
    assert made.verdict.headline in repr(made)
    assert made.training is not None
    assert made.activity.n_units == made.subject.codes.shape[1]
    assert (made.quality.code.probe is not None) == labelled


@pytest.mark.parametrize("name", ESTIMATORS)
def test_figures_are_those_of_the_models_methods(name, models):
    model = models[name]
    made = review(model, X, Y)
    np.testing.assert_array_equal(made.subject.codes, model.transform(X.astype(np.float64)))
    if hasattr(model, "diagnose"):
        own = [each for each in made.findings if each.name != "adds to the noise"]
        assert own == model.diagnose(X)
    if is_classifier(model):
        assert made.versus is None
        assert made.examples is None
        assert made.classes is not None
        assert made.classes.accuracy == pytest.approx(model.score(X, Y))
    elif not made.subject.noisy and not made.subject.standardised:
        rebuilt = model.inverse_transform(model.transform(X.astype(np.float64)))
        errors = np.square(rebuilt - X).sum(axis=1)
        np.testing.assert_allclose(made.subject.errors, errors, rtol=1e-6)
        assert made.versus is not None
        assert made.versus.error.value == pytest.approx(errors.mean(), rel=1e-6)


def test_figures_of_an_autoencoder_are_its_error_score_and_versus_pca():
    model = Autoencoder(6, hidden=(32,), max_epochs=10, random_state=0).fit(X)
    made = review(model, X)
    assert made.versus.error.value == pytest.approx(model.reconstruction_error(X).mean())
    assert made.explained == pytest.approx(model.score(X))
    per_feature = model.reconstruction_error(X, per_feature=True).mean(axis=0)
    np.testing.assert_allclose(made.features.errors, per_feature)
    varying = X.var(axis=0) > 0
    np.testing.assert_allclose(
        made.features.explained[varying], 1 - per_feature[varying] / X[:, varying].var(axis=0),
        rtol=1e-5,
    )  # fmt: skip
    assert np.isnan(made.features.explained[~varying]).all()
    assert f"{figure(model.versus_pca_.ratio)} times" in made.verdict.sentences[0]
    errors = model.reconstruction_error(X)
    assert made.examples.worst.tolist() == np.argsort(-errors, kind="stable")[:4].tolist()
    assert made.examples.best.tolist() == np.argsort(errors, kind="stable")[:4].tolist()


# Prepared failures -----------------------------------------------------------------------


def failure(model, rows):
    made = review(model, rows)
    return made.verdict, " ".join(f"{each.what} {each.change}" for each in made.findings)


def test_input_that_is_not_scaled_is_what_the_verdict_says():
    table = load_wine(as_frame=True).data
    verdict, said = failure(Autoencoder(3, random_state=0, max_epochs=20).fit(table), table)
    assert (verdict.headline, verdict.tone) == ("A few columns drown the others.", "bad")
    assert "'proline' alone makes" in said
    assert verdict.sentences[2].endswith("write scaling='standard'.")


def test_code_that_copies_is_what_the_verdict_says():
    verdict, said = failure(Autoencoder(64, **QUICK).fit(X), X)
    assert (verdict.headline, verdict.tone) == ("The code is wide enough to copy.", "bad")
    assert "64 units for 64 features" in said
    assert "a PCA of that width loses nothing" in verdict.sentences[0]
    assert "lower n_components" in verdict.sentences[2]


@pytest.mark.filterwarnings("ignore:The loss leapt:isthmus.errors.TrainingWarning")
def test_learning_rate_far_too_high_is_what_the_verdict_says():
    model = Autoencoder(8, learning_rate=3.0, max_epochs=8, random_state=0).fit(X)
    verdict, said = failure(model, X)
    assert (verdict.headline, verdict.tone) == ("The learning rate is too high.", "bad")
    assert "leapt from" in said
    assert "lower learning_rate (now 3.0)" in verdict.sentences[2]


def test_model_that_is_worse_than_the_mean_keeps_no_negative_share():
    network = "dense(hidden=(16,), linear_path=none)"
    model = Autoencoder(2, network=network, max_epochs=0, random_state=0).fit(X)
    made = review(model, 2 * X.mean(axis=0) - 3 * X)
    times_the_mean = times(1 - made.explained)
    assert made.explained < 0
    assert made.verdict.sentences[1].startswith(
        f"Its error is {times_the_mean} times that of the mean of every feature: "
    )
    assert KeyFigure(times_the_mean, "times the squared error of the mean") in made.verdict.figures
    assert "the mean of every feature would do better" in made.verdict.sentences[0]


def test_gravest_finding_stands_first():
    made = review(Autoencoder(64, **QUICK).fit(X), X)
    assert made.findings[0].name == "free to copy"
    assert len(made.findings) > 1


def test_good_fit_earned_its_place():
    model = Autoencoder(4, max_epochs=40, random_state=0).fit(DIGITS.images)
    made = review(model, DIGITS.images, DIGITS.labels)
    assert (made.verdict.headline, made.verdict.tone) == ("It earned its place.", "good")
    assert "a PCA would need" in made.verdict.sentences[0]


def test_fit_that_is_pca_says_so():
    verdict, _ = failure(Autoencoder(3, hidden=(), max_epochs=0, random_state=0).fit(X), X)
    assert verdict.headline == "It is as good as PCA, and no better."


def test_codes_that_aim_elsewhere_are_not_called_failures():
    sparse = SparseAutoencoder(32, sparsity="topk(k=3)", max_epochs=5, random_state=0).fit(X)
    assert failure(sparse, X)[0].headline == "PCA rebuilds better: its code has to be worth it."
    plain = Autoencoder(8, code="sigmoid", max_epochs=2, random_state=0).fit(X)
    assert failure(plain, X)[0].headline == "PCA would have served better."


# What the model is shown -----------------------------------------------------------------


def test_denoising_model_that_adds_to_the_noise_is_told_so_first():
    model = DenoisingAutoencoder(1, corruption="gaussian(std=0.1)", max_epochs=2, random_state=0)
    made = review(model.fit(X), X)
    left = np.square(made.subject.rebuilt - X).sum() / np.square(made.subject.seen - X).sum()
    assert left > 1
    assert made.findings[0].name == "adds to the noise"
    assert made.findings[0].change.startswith("Raise n_components or max_epochs, or let what pict")
    as_table = review(model, X, sample_shape=(64,))
    assert as_table.findings[0].change == "Raise n_components or max_epochs."
    assert f"{left:.3g} times the squared error" in made.findings[0].what
    assert made.verdict.headline == "It adds to the noise."
    assert made.verdict.tone == "bad"


def test_denoising_model_is_shown_the_noise_of_its_training_the_same_each_time():
    model = DenoisingAutoencoder(8, corruption="gaussian(std=0.3)", **QUICK).fit(X)
    first, again = look(model, X), look(model, X)
    np.testing.assert_array_equal(first.seen, again.seen)
    assert (first.seen - first.clean).std() == pytest.approx(0.3, rel=0.02)
    assert first.noise == "gaussian(std=0.3)"
    np.testing.assert_array_equal(first.codes, model.transform(X.astype(np.float64)))
    np.testing.assert_allclose(first.rebuilt, model.denoise(first.seen))
    errors = np.square(model.denoise(first.seen) - X).sum(axis=1)
    np.testing.assert_allclose(first.errors, errors, rtol=1e-6)


def test_noisy_rows_of_ones_own_are_judged_by_their_clean_ones():
    noisy = X + 0.2 * np.random.default_rng(0).normal(size=X.shape)
    model = DenoisingAutoencoder(8, **QUICK).fit(noisy, target=X)
    made = review(model, noisy, target=X)
    errors = np.square(model.denoise(noisy) - X).sum(axis=1)
    np.testing.assert_allclose(made.subject.errors, errors, rtol=1e-6)
    np.testing.assert_array_equal(made.subject.codes, model.transform(noisy))
    assert made.decibels.cleaned > made.decibels.noisy


def test_many_rows_are_judged_by_a_part_always_the_same():
    rows = drawn(50_000, 64, 0)
    assert len(rows) == 10_000
    np.testing.assert_array_equal(rows, drawn(50_000, 64, 0))
    assert (np.diff(rows) > 0).all()
    assert len(drawn(50_000, 100_000, 0)) == 200
    assert drawn(30, 4, 0).tolist() == list(range(30))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_keep_the_names_of_their_columns_and_do_not_warn(frame):
    table = frame({f"column {i}": X[:, 20 + i] for i in range(6)})
    model = Autoencoder(2, **QUICK).set_output(transform="pandas").fit(table)
    made = review(model, table, ["a", "b"] * 150)
    assert made.subject.name_of(2) == "column 2"
    assert made.subject.shape == (6,)
    assert isinstance(made.subject.codes, np.ndarray)


def test_square_rows_without_names_are_pictures_unless_told_otherwise():
    model = Autoencoder(2, **QUICK).fit(X)
    assert look(model, X).shape == (8, 8, 1)
    assert look(model, X, sample_shape=(8, 8)).shape == (8, 8, 1)
    assert look(model, X, sample_shape=(64,)).shape == (64,)
    assert look(model, X, sample_shape=(32, 2)).series
    model.sample_shape_ = (16, 4)
    assert look(model, X).shape == (16, 4)
    small = Autoencoder(2, **QUICK).fit(X[:, :36])
    assert look(small, X[:, :36]).shape == (36,)


REFUSED = [
    (
        lambda: review(PCA(2).fit(X), X),
        ParameterError,
        "report takes a fitted estimator of isthmus, not PCA: put others beside one by compare.",
    ),
    (
        lambda: look(3, X),
        ParameterError,
        "3 is no fitted transformer: give an estimator of isthmus, after fit.",
    ),
    (
        lambda: review(Autoencoder(2, **QUICK).fit(X), X, Y[:5]),
        DataError,
        "y has 5 labels and X has 300 rows: give one label for each row.",
    ),
    (
        lambda: review(Autoencoder(2, **QUICK).fit(X), X, np.full(300, -1)),
        DataError,
        "y has no label for any of the 300 rows: leave it out.",
    ),
    (
        lambda: review(Autoencoder(2, **QUICK).fit(X), X, target=X[:4]),
        DataError,
        "target has 4 rows and X has 300: give one clean row for each noisy one, in the same "
        "order.",
    ),
    (
        lambda: look(Autoencoder(2, **QUICK).fit(X), X, sample_shape=(8, 9)),
        ParameterError,
        "sample_shape=(8, 9) cannot hold the 64 features of X: give height, width and "
        "colours, 1 or 3, or steps and channels, or 64 alone.",
    ),
    (
        lambda: code_map(look(Autoencoder(3, **QUICK).fit(X), X), "umpa"),
        ParameterError,
        "projection='umpa' is unknown (did you mean 'umap'?): it must be 'auto', 'pca' or 'umap'.",
    ),
    (
        lambda: code_map(look(Autoencoder(3, **QUICK).fit(X), X[:20]), "umap"),
        ParameterError,
        "projection='umap' needs at least 50 rows, and there are 20: write 'pca'.",
    ),
    (
        lambda: look(fitted("AutoencoderClassifier"), X).misses,
        ParameterError,
        "AutoencoderClassifier does not rebuild rows: give the autoencoder that it stands on "
        "(autoencoder_).",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_what_cannot_be_judged_is_refused(call, kind, message):
    with pytest.raises(kind, match=whole(message)):
        call()


def test_model_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        report(Autoencoder(2), X)


# Labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "classes", "known"),
    [
        (["b", "a", "b", None], ("a", "b"), [1, 1, 1, 0]),
        ([10, 9, -1, 9], ("9", "10"), [1, 1, 0, 1]),
        ([1, -1, 1, -1], ("-1", "1"), [1, 1, 1, 1]),
        ([2.0, np.nan, 1.0, 1.0], ("1", "2"), [1, 0, 1, 1]),
        ([True, False, True, True], ("False", "True"), [1, 1, 1, 1]),
        ([0.5, -1, np.nan, 2], (), [1, 1, 0, 1]),
    ],
)
def test_labels_are_classes_or_numbers(y, classes, known):
    labels = labels_of(y, 4)
    assert labels.classes == classes
    assert labels.known.tolist() == list(map(bool, known))


def test_many_whole_numbers_are_a_quantity():
    assert labels_of(np.arange(60), 60).classes == ()
    assert len(labels_of(np.arange(60) % 50, 60).classes) == 50


# Units -----------------------------------------------------------------------------------


def test_directions_of_a_linear_decoder_are_its_columns_times_the_spread():
    model = Autoencoder(3, hidden=(), max_epochs=1, random_state=0).fit(X)
    subject = look(model, X)
    found = units(subject)
    columns = model.inverse_transform(np.eye(3)) - model.inverse_transform(np.zeros((3, 3)))
    expected = columns * subject.codes.std(axis=0)[:, None] / float(subject.scaling.scale)
    np.testing.assert_allclose(found.directions, expected[found.chosen], atol=1e-6)
    assert found.strength.sum() == pytest.approx(1)
    assert (np.diff(found.strength) <= 0).all()


def test_units_that_say_the_same_are_paired_and_the_dead_are_counted():
    model = Autoencoder(4, **QUICK).fit(X)
    subject = look(model, X)
    codes = np.random.default_rng(0).normal(size=(300, 4))
    codes[:, 2] = -3 * codes[:, 0] + 0.01 * codes[:, 1]
    codes[:, 3] = 0.5
    used = activity(subject._replace(codes=codes))
    assert [(pair.first, pair.second) for pair in used.pairs] == [(0, 2)]
    assert used.pairs[0].correlation == pytest.approx(-1, abs=1e-3)
    assert used.dead.tolist() == [3]
    assert used.silent.tolist() == [0, 0, 0, 0]


def test_histogram_of_a_mostly_silent_unit_counts_the_rest():
    model = Autoencoder(1, **QUICK).fit(X)
    codes = np.zeros((300, 1))
    codes[:30, 0] = np.linspace(1, 2, 30)
    drawn_ = histogram(look(model, X)._replace(codes=codes), 0)
    assert (drawn_.active, drawn_.counts.sum(), drawn_.low, drawn_.high) == (0.1, 30, 1, 2)


def test_traversal_moves_one_unit_and_leaves_the_others_at_their_means():
    model = Autoencoder(3, **QUICK).fit(X)
    subject = look(model, X)
    way = traversal(subject, 1, n_steps=5)
    low, high = np.percentile(subject.codes[:, 1], (2.5, 97.5))
    np.testing.assert_allclose(way.values, np.linspace(low, high, 5))
    codes = np.tile(subject.codes.mean(axis=0), (5, 1))
    codes[:, 1] = way.values
    np.testing.assert_allclose(way.rows, model.inverse_transform(codes))


def test_map_of_two_units_is_the_code_itself():
    model = Autoencoder(2, **QUICK).fit(X)
    found = code_map(look(model, X))
    np.testing.assert_array_equal(found.places, model.transform(X.astype(np.float64)))


def test_map_of_wider_codes_is_their_pca():
    model = Autoencoder(5, **QUICK).fit(X)
    found = code_map(look(model, X), "pca")
    expected = PCA(2).fit_transform(model.transform(X.astype(np.float64)))
    np.testing.assert_allclose(np.abs(found.places), np.abs(expected), atol=1e-6)


def test_umap_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    message = "projection='umap' needs umap-learn, which is not installed: pip install umap-learn."
    with pytest.raises(MissingDependencyError, match=whole(message)):
        code_map(look(Autoencoder(3, **QUICK).fit(X), X), "umap")


# Where it comes from ---------------------------------------------------------------------


def test_fingerprint_is_of_the_values_and_the_shape_whatever_holds_them():
    rows = np.arange(12.0).reshape(4, 3)
    same = fingerprint(rows)
    assert len(same) == 64
    assert fingerprint(rows.astype(np.float32)) == same
    assert fingerprint(np.asfortranarray(rows)) == same
    assert fingerprint(rows.reshape(3, 4)) != same
    rows[3, 2] += 1e-9
    assert fingerprint(rows) != same


def test_code_that_repeats_a_page_makes_the_same_model():
    model = DenoisingAutoencoder(3, corruption="gaussian(std=0.2)", hidden=(8,), max_epochs=1)
    model.set_params(random_state=0).fit(X)
    code = review(model, X).origin.code
    names = {"rows": X, "X": X, "report": lambda *_: None}
    exec(code.replace("import DenoisingAutoencoder, report", "import DenoisingAutoencoder"), names)
    np.testing.assert_array_equal(names["model"].transform(X), model.transform(X))


def test_estimator_within_another_is_spelled_too():
    model = AutoencoderClassifier(BernoulliRBM(4, n_iter=2, random_state=0), max_epochs=2)
    assert spelled(model) == (
        "AutoencoderClassifier(autoencoder=BernoulliRBM(n_components=4, n_iter=2, "
        "random_state=0), max_epochs=2)"
    )


def test_references_are_those_of_the_docstrings():
    model = SparseAutoencoder(16, sparsity="topk(k=2)", max_epochs=1, random_state=0).fit(X)
    found = " ".join(review(model, X).origin.references)
    assert "Ng, A. (2011)" in found
    assert "k-sparse autoencoders. Section 2." in found
    assert "optimal sigma-VAE" not in found  # of a width that is learned alone
    assert papers(review) == ""


def test_settings_say_which_were_changed():
    model = Autoencoder(3, **QUICK).fit(X)
    settings = {each.name: each for each in review(model, X).origin.settings}
    assert (settings["n_components"].value, settings["n_components"].changed) == ("3", True)
    assert (settings["optimizer"].value, settings["optimizer"].changed) == ("'adam'", False)
    assert set(settings) == set(model.get_params())


# Words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.48349, "0.483"), (12.345, "12.3"), (1234.5, "1,234"), (1e-9, "10⁻⁹"),
     (2e12, "2 \u00d7 10¹²"), (4.955e15, "5 \u00d7 10¹⁵"),
     (-0.5, "-0.5"), (float("inf"), "infinite"), (float("nan"), "unknown")],
)  # fmt: skip
def test_figures_have_three_digits(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0%"), (1, "100%"), (0.934, "93%"), (0.9981, "99.8%"), (0.99999, "over 99.9%"),
     (0.004, "0.4%"), (1e-6, "under 0.1%"), (-0.2, "-20%"), (float("nan"), "unknown")],
)  # fmt: skip
def test_percentages_are_never_all_or_nothing_unless_they_are(share, text):
    assert percent(share) == text


def test_counts_times_and_names_read_well():
    assert [count(n, "row") for n in (0, 1, 1797)] == ["0 rows", "1 row", "1,797 rows"]
    assert [times(n) for n in (0.5, 2e9, float("inf"))] == ["0.5", "over 1,000", "over 1,000"]
    assert [named(text) for text in ("", " \u202e\x00", "a\nb")] == ["(no name)"] * 2 + ["a b"]
    assert len(named("x" * 500)) == 48


def test_colours_that_the_network_has_first_are_drawn_last():
    stream = np.random.default_rng(0)
    pictures = stream.random((60, 3, 8, 10))
    model = Autoencoder(4, network="conv(channels=(4,))", max_epochs=1, random_state=0)
    subject = look(model.fit(pictures), pictures)
    assert subject.shape == (8, 10, 3)
    np.testing.assert_allclose(subject.laid_out(subject.clean), np.moveaxis(pictures, 1, -1))


def test_channels_that_are_no_colours_are_drawn_one_below_the_other():
    pictures = np.random.default_rng(0).random((60, 2, 8, 10))
    model = Autoencoder(4, network="conv(channels=(4,))", max_epochs=1, random_state=0)
    subject = look(model.fit(pictures), pictures)
    assert subject.shape == (16, 10, 1)
    np.testing.assert_allclose(subject.laid_out(subject.clean[0])[8:, :, 0], pictures[0, 1])


@pytest.mark.parametrize("noise", ["clean", "gaussian(std=0.2)"])
def test_similarity_is_the_mean_ssim_of_evenly_spread_pictures(noise, monkeypatch):
    monkeypatch.setattr("isthmus.evaluation.examples.MOST_COMPARED", 20)
    rows = datasets.digits().images[:60]
    model = Autoencoder(4, hidden=(8,), corruption=noise, max_epochs=1, random_state=0).fit(rows)
    subject = look(model, rows)
    found = similarity(subject)
    each = [
        structural_similarity(true, out, data_range=1)
        for true, out in zip(
            rows[::3].reshape(-1, 8, 8).astype(float),
            np.clip(subject.rebuilt, 0, 1)[::3].reshape(-1, 8, 8),
            strict=True,
        )
    ]
    assert found.rebuilt == pytest.approx(np.mean(each))
    assert found.n_rows == 20
    assert (found.noisy is None) == (noise == "clean")


def test_similarity_is_of_pictures_alone():
    rows = np.random.default_rng(0).normal(size=(60, 5))
    assert similarity(look(Autoencoder(2, hidden=(), max_epochs=1).fit(rows), rows)) is None


def test_clean_rows_that_are_the_rows_are_looked_at():
    model = DenoisingAutoencoder(4, **QUICK).fit(DIGITS.images)
    assert np.isnan(look(model, DIGITS.images, target=DIGITS.images).noise_left)
