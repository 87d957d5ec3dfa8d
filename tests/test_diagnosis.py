"""Findings: each appears for a failure that was prepared, with its figures, and not otherwise."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    DenoisingAutoencoder,
    GaussianRBM,
    OutlierDetector,
    SparseAutoencoder,
    VariationalAutoencoder,
    datasets,
)
from isthmus.errors import TrainingWarning
from isthmus.estimators.diagnosis.training import Leap, highest_leap
from isthmus.evaluation.review import review

DRAW = np.random.default_rng(0)
# Three directions in six features, so that three units are all needed.
X = DRAW.normal(size=(200, 3)) @ DRAW.normal(size=(3, 6)) + 0.05 * DRAW.normal(size=(200, 6))
LINEAR = {"hidden": (), "max_epochs": 2, "random_state": 0}


def model(**parameters):
    return Autoencoder(**{"n_components": 3, **LINEAR, **parameters})


def found(estimator, rows):
    return {finding.name: str(finding) for finding in estimator.diagnose(rows)}


def unit_with(estimator, unit, weight, bias):
    """Set what a unit of the last encoding layer is made of."""
    layer = estimator.model_.encoder[-1]
    layer.weight[unit], layer.bias[unit] = weight, bias


def test_good_fit_has_no_findings():
    assert model().fit(X).diagnose(X) == []


def test_feature_that_drowns_the_others_is_named():
    rows = X.copy()
    rows[:, 2] *= 1000
    table = pd.DataFrame(rows, columns=["a", "b", "income", "d", "e", "f"])
    text = found(model().fit(table), table)["input not scaled"]
    assert text == (
        "Feature 'income' alone makes 100% of the variance: the model sees little else. "
        "If the features have different units, write scaling='standard'."
    )
    assert found(model().fit(rows), rows)["input not scaled"].startswith("Feature 2 alone")
    assert "input not scaled" not in found(model(scaling="standard").fit(rows), rows)


def test_loss_that_leaps_is_told_with_its_heights():
    with pytest.warns(TrainingWarning, match="^The loss leapt from "):
        estimator = model(hidden=(8,), max_epochs=10, learning_rate=3.0).fit(X)
    table = pd.DataFrame(estimator.history_).dropna(subset="held_out_loss")
    top = table.loc[table.held_out_loss.idxmax()]
    start = table[table.stage == top.stage].held_out_loss.iloc[0]
    highest, epoch = top.held_out_loss, int(top.epoch)
    assert highest > 3 * start
    assert highest > 1e6  # its size is enough
    size = f"{highest:.0e}".replace("e+0", "e")
    assert estimator.n_iter_ == 0
    assert found(estimator, X)["learning rate too high"] == (
        f"The loss leapt from {start:.4g} to {size} at epoch {epoch}. No epoch was better "
        "than the start, which is kept. Lower learning_rate (now 3.0) to a tenth, or leave it at "
        "'auto'."
    )


@pytest.mark.parametrize(
    ("losses", "leap"),
    [
        ([5.0, 4.0, 3.0], None),
        ([5.0, 14.9, 3.0], None),
        ([5.0, 15.1, 3.0, 16.0], Leap(16.0, 5.0, 3)),
        ([-5.0, 4.9], None),  # likelihoods may be densities
        ([-5.0, 5.1], Leap(5.1, -5.0, 1)),
        ([0.0, 1.9], None),  # a start near nothing
        ([0.0, 2.1], Leap(2.1, 0.0, 1)),
    ],
)
def test_leap_is_three_times_the_start(losses, leap):
    history = [
        {"stage": "training", "epoch": epoch, "held_out_loss": loss}
        for epoch, loss in enumerate(losses)
    ]
    assert highest_leap(history) == leap


def test_leap_is_measured_from_the_start_of_its_own_stage():
    stages = {"layer 1 of 2": [1.0, 0.5], "training": [50.0, 40.0]}
    history = [
        {"stage": stage, "epoch": epoch, "loss": loss}
        for stage, losses in stages.items()
        for epoch, loss in enumerate(losses)
    ]
    assert highest_leap(history) is None


def test_repeated_rows_are_counted():
    rows = np.vstack([X, X[:50]])
    assert found(model().fit(rows), rows)["repeated rows"] == (
        "50 of 250 rows repeat an earlier one. If they were not observed as often as that, drop "
        "the copies: they weigh more in the training."
    )
    few = np.vstack([X, X[:20]])
    assert "repeated rows" not in found(model().fit(few), few)


def test_dead_units_are_counted_and_listed():
    estimator = model(code="sigmoid").fit(X)
    assert "dead units" not in found(estimator, X)
    unit_with(estimator, 1, 0.0, 0.3)
    assert found(estimator, X)["dead units"] == (
        "1 of 3 code units are the same for every row (1). "
        "Lower n_components or the penalties, or lower learning_rate."
    )


def test_saturated_units_are_counted_and_listed():
    estimator = model(code="sigmoid").fit(X)
    assert "saturated units" not in found(estimator, X)
    for unit, bias in [(0, 10.0), (2, -10.0)]:
        unit_with(estimator, unit, estimator.model_.encoder[-1].weight[unit], bias)
    text = found(estimator, X)["saturated units"]
    assert text.startswith("2 of 3 code units stand at an end of their range for over 95% of the")
    assert "(0, 2)" in text


def test_sparse_units_may_be_silent_but_not_always_on():
    estimator = model(code="sigmoid", penalties="activity_kl").fit(X)
    for unit, bias in [(0, 10.0), (2, -10.0)]:
        unit_with(estimator, unit, estimator.model_.encoder[-1].weight[unit], bias)
    text = found(estimator, X)["saturated units"]
    assert text.startswith("1 of 3 code units stand at an end of their range for over 95% of the")
    assert "(0)" in text


def test_code_that_may_copy_is_told():
    wide = model(n_components=6).fit(X)
    assert found(wide, X)["free to copy"] == (
        "The code has 6 units for 6 features and nothing keeps it from copying them. "
        "Lower n_components, or add a corruption such as 'gaussian(std=0.1)'."
    )
    noisy = model(n_components=6, corruption="gaussian(std=0.1)").fit(X)
    assert "free to copy" not in found(noisy, X)
    detector = OutlierDetector(6, max_epochs=1, random_state=0).fit(X)
    assert "free to copy" not in found(detector, X)


def test_training_that_was_cut_off_is_told():
    short = model(code="sigmoid", max_epochs=2).fit(X)
    assert short.n_iter_ == 2
    assert found(short, X)["stopped at its limit"] == (
        "The training ended at its limit and was still getting better (best epoch: 2). "
        "Raise max_epochs (now 2)."
    )


def test_rate_that_was_left_to_auto_is_told_as_a_number():
    estimator = model(max_epochs=1, optimizer="sgd").fit(X)
    estimator.history_ = [{"stage": "training", "epoch": i, "loss": 10.0**i} for i in range(3)]
    text = found(estimator, X)["learning rate too high"]
    assert text.endswith("Lower learning_rate (now 0.001) to a tenth.")


def test_limit_that_was_left_to_auto_is_told_as_a_number():
    rows = np.random.default_rng(0).normal(size=(60, 6))
    short = model(code="sigmoid", max_epochs="auto", optimizer="sgd", learning_rate=1e-4).fit(rows)
    assert found(short, rows)["stopped at its limit"].endswith("Raise max_epochs (now 100).")


def test_training_that_got_no_better_is_not_called_cut_off():
    """The folds found an early epoch best, and only so many were trained on all rows."""
    rows = np.random.default_rng(0).normal(size=(60, 6))
    steady = {"schedule": "constant", "learning_rate": 0.3, "patience": None}
    estimator = model(code="sigmoid", hidden=(32,), max_epochs=40, **steady).fit(rows)
    assert estimator.stopped_by_ == "limit"
    assert 0 < estimator.n_iter_ == estimator.history_[-1]["epoch"] < 35
    assert "stopped at its limit" not in found(estimator, rows)


@pytest.mark.parametrize(
    "fitted",
    [
        lambda: model(code="sigmoid", validation_fraction=0).fit(X),
        lambda: model(code="sigmoid").partial_fit(X),
        lambda: model(code="sigmoid").fit(X).partial_fit(X),
    ],
    ids=["no held-out rows", "partial_fit", "fit, then partial_fit"],
)
def test_training_that_nothing_judged_is_not_called_cut_off(fitted):
    estimator = fitted()
    assert estimator.stopped_by_ == "limit"
    assert "stopped at its limit" not in found(estimator, X)


@pytest.mark.parametrize("validation_fraction", [0, 0.1])
def test_training_that_diverged_is_told(validation_fraction):
    parameters = {"optimizer": "sgd", "learning_rate": 1e20, "hidden": (4,), "max_epochs": 5}
    estimator = model(**parameters, validation_fraction=validation_fraction)
    with pytest.warns(TrainingWarning, match=r"^The training diverged: "):
        estimator.fit(X)
    assert np.isfinite(estimator.transform(X)).all()
    findings = estimator.diagnose(X)
    assert findings[0].name == "diverged"
    assert re.search(r"after epoch \d+\. Lower learning_rate", str(findings[0]))


def test_model_that_is_worse_than_pca_is_told_with_the_ratio():
    estimator = model(code="sigmoid").fit(X)
    ratio = estimator.versus_pca_.ratio
    assert ratio > 1.01
    text = found(estimator, X)["worse than PCA"]
    assert text.startswith(
        f"The squared error on held out rows is {ratio:.2f} times that of PCA of the same width."
    )


def test_rate_that_is_too_high_is_never_answered_by_more_epochs():
    with pytest.warns(TrainingWarning, match="^The loss leapt from "):
        estimator = model(
            code="sigmoid", hidden=(8,), max_epochs=10, learning_rate=50.0, random_state=0
        ).fit(X)
    advice = found(estimator, X)
    assert estimator.versus_pca_.ratio > 1.01
    assert advice["worse than PCA"].endswith(
        "Lower learning_rate (now 50.0) to a tenth, or leave it at 'auto'."
    )
    assert not any("max_epochs" in text for text in advice.values())


@pytest.mark.parametrize(
    ("estimator", "advised"),
    [
        (
            model(code="sigmoid", max_epochs=1),
            "start from PCA: likelihood='normal', code='plain', network='dense(linear_path=pca)'.",
        ),
        (
            DenoisingAutoencoder(
                2, corruption="gaussian(std=2)", network="dense(linear_path=none)", max_epochs=1
            ),
            "start from PCA: likelihood='normal', network='dense(linear_path=pca)'.",
        ),
        (SparseAutoencoder(4, max_epochs=1), "or fit an Autoencoder, which starts as PCA."),
    ],
)
def test_advice_beside_pca_is_what_the_estimator_takes(estimator, advised):
    fitted = estimator.set_params(random_state=0).fit(X)
    assert found(fitted, X)["worse than PCA"].endswith(advised)
    changed = dict(re.findall(r"(\w+)='([^']+)'", advised))
    fitted.set_params(**changed).fit(X)


def test_probabilistic_pca_is_not_called_worse_than_the_plain_one():
    """Its codes are shrunk, so that it rebuilds less well by design."""
    estimator = VariationalAutoencoder(2, hidden=(), random_state=0).fit(X)
    assert (estimator.stopped_by_, estimator.versus_pca_.ratio > 1.01) == ("solved", True)
    assert "worse than PCA" not in found(estimator, X)
    headline = review(estimator, X).verdict.headline
    assert headline == "It says how rows are distributed, and PCA rebuilds better."
    narrow = VariationalAutoencoder(2, hidden=(), beta=2, random_state=0).fit(X)
    assert found(narrow, X)["worse than PCA"].endswith(
        "lower beta, or fit an Autoencoder, which pays none."
    )
    random = {"likelihood": "laplace", "max_epochs": 1, "random_state": 0}
    assert "worse than PCA" in found(VariationalAutoencoder(2, **random).fit(X), X)
    told = VariationalAutoencoder(2, conditional=True, **random).fit(X, np.arange(len(X)) % 2)
    assert (told.versus_pca_.ratio > 1.01, "worse than PCA" in found(told, X)) == (True, False)


def test_noise_in_another_unit_is_found():
    loud = DenoisingAutoencoder(2, corruption="gaussian(std=25)", max_epochs=1, random_state=0)
    text = found(loud.fit(X / 255), X / 255)["noise too strong"]
    assert text.startswith("The noise has a standard deviation of 25, and no feature one above 0.0")
    fair = DenoisingAutoencoder(2, corruption="gaussian(std=0.5)", max_epochs=1, random_state=0)
    assert "noise too strong" not in found(fair.fit(X), X)


@pytest.mark.parametrize(
    ("corruption", "said"),
    [
        (
            "gaussian(std=0.1)",
            "has a standard deviation of 0.1 in every feature's units: 0.0001 times that of "
            "feature 'a' and 0.1 times that of feature 'b'.",
        ),
        (
            "gaussian(std=100)",
            "has a standard deviation of 100 in every feature's units: 0.1 times that of feature "
            "'a' and 100 times that of feature 'b'.",
        ),
        ("masking(fraction=0.3)", "writes 0, 20 standard deviations off the mean of 'b'."),
    ],
)
def test_noise_that_suits_some_units_and_not_others_is_found(corruption, said):
    rows = np.random.default_rng(0).normal(size=(80, 3))
    rows = (rows - rows.mean(0)) / rows.std(0) * [1000, 1, 2] + [0, 20, 0]
    table = pd.DataFrame(rows, columns=["a", "b", "c"])
    fields = {"corruption": corruption, "max_epochs": 1, "random_state": 0}
    of_units = DenoisingAutoencoder(2, scaling="standard", **fields).fit(table)
    text = found(of_units, table)["noise uneven"]
    assert text.startswith(f"The noise {said} Standardise the columns before the fit")
    alike = (table - table.mean()) / table.std()
    if corruption != "gaussian(std=100)":
        fair = DenoisingAutoencoder(2, scaling="standard", **fields).fit(alike)
        assert "noise uneven" not in found(fair, alike)


def test_feature_that_counts_the_rows_is_found():
    table = pd.DataFrame(X, columns=list("abcdef"))
    table.insert(0, "row", np.arange(len(X)))
    text = found(model().fit(table), table)["row numbers"]
    assert text.startswith(f"Feature 'row' counts the rows, from 0 to {len(X) - 1}. Drop it")
    shuffled = table.sample(frac=1, random_state=0)
    assert "row numbers" not in found(model().fit(shuffled), shuffled)
    assert "row numbers" not in found(model().fit(X), X)


def test_exact_rows_are_not_called_worse_than_pca():
    exact = X[:, :2] @ np.random.default_rng(1).normal(size=(2, 6))
    assert "worse than PCA" not in found(model(n_components=3, hidden=(4,)).fit(exact), exact)


def test_frames_do_not_warn():
    table = pd.DataFrame(X, columns=list("abcdef"))
    estimator = model().fit(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimator.diagnose(table) == []


def test_finding_reads_as_its_two_sentences():
    finding = model(n_components=6).fit(X).diagnose(X)[-1]
    assert str(finding) == f"{finding.what} {finding.change}"
    assert re.search(r"\d", finding.what)


def test_rows_of_truth_values_are_looked_at():
    flags = DRAW.random((40, 5)) < 0.4
    flags[:, 3] = True  # something to find
    fitted = model(**LINEAR).fit(flags)
    assert found(fitted, flags)
    assert found(fitted, flags) == found(fitted, flags.astype(np.float64))


@pytest.mark.parametrize("scaling", ["isotropic", "standard"])
def test_row_that_outshines_all_others_is_named(scaling):
    rows = X.copy()
    rows[17, 2] = 1e30
    estimator = model(**LINEAR, scaling=scaling).fit(rows)
    sentences = [str(finding) for finding in estimator.diagnose(rows)]
    assert any(sentence.startswith("Row 17 alone makes ") for sentence in sentences) == (
        scaling == "isotropic"
    )


# Machines and classifiers ----------------------------------------------------------------


def test_machines_tell_of_units_that_are_dead_or_saturated():
    rows = (DRAW.random((200, 6)) < 0.5).astype(float)
    machine = BernoulliRBM(4, n_iter=2, random_state=0).fit(rows)
    assert machine.diagnose(rows) == []
    machine.model_.weight[0], machine.model_.hidden_bias[0] = 0, 0
    machine.model_.weight[2], machine.model_.hidden_bias[2] = 0.1, 6
    assert [str(each) for each in machine.diagnose(rows)] == [
        "1 of 4 hidden units are the same for every row (0). Lower n_components.",
        "1 of 4 hidden units stand at an end of their range for over 95% of the rows (2). "
        "Lower learning_rate, or scale X.",
    ]


def test_machine_that_diverged_says_so():
    with pytest.warns(TrainingWarning, match="^The training diverged"):
        machine = GaussianRBM(4, learning_rate=1e6, n_iter=3, random_state=0).fit(X)
    assert "diverged" in found(machine, X)


def test_classifiers_tell_of_their_autoencoder_after_themselves():
    rows, y = X.copy(), X[:, 0] > 0
    rows[:, 2] *= 1000
    classifier = AutoencoderClassifier(model(), max_epochs=2, random_state=0).fit(rows, y)
    assert found(classifier, rows)["autoencoder input not scaled"].startswith(
        "Of the autoencoder as it was before the labels: Feature 2 alone makes 100% of"
    )
    classifier.model_.encoder.linear.weight[1] = 0
    first, second, *_ = classifier.diagnose(rows)
    assert str(first) == (
        "1 of 3 code units are the same for every row (1). "
        "Give the autoencoder fewer units (n_components=2)."
    )
    assert second.name == "autoencoder input not scaled"


def test_classifier_that_diverged_says_so_first():
    with pytest.warns(TrainingWarning, match="^The training diverged"):
        classifier = AutoencoderClassifier(
            model(), optimizer="sgd", learning_rate=1e9, max_epochs=3, random_state=0
        ).fit(X, X[:, 0] > 0)
    assert classifier.diagnose(X)[0].name == "diverged"


def test_units_of_the_autoencoder_are_told_of_as_they_are_now():
    flat = np.column_stack([X, X]) @ np.diag([1.0] * 3 + [0.0] * 9)
    classifier = AutoencoderClassifier(model(n_components=6), max_epochs=2, random_state=0)
    classifier.fit(flat, X[:, 0] > 0)
    assert "dead units" in found(classifier.autoencoder_, flat)
    assert "autoencoder dead units" not in found(classifier, flat)


def test_code_of_full_width_is_no_fault_of_a_classifier():
    """All that it is asked for is the label."""
    classifier = AutoencoderClassifier(model(n_components=6), max_epochs=2, random_state=0)
    classifier.fit(X, X[:, 0] > 0)
    assert "free to copy" in found(classifier.autoencoder_, X)
    assert classifier.diagnose(X) == []


# Units that speak too often, and rows too few to tell ---------------------------------------


def test_units_that_speak_far_more_often_than_they_should_are_told():
    rows = datasets.digits().images
    given = {"sparsity": "activity_kl(target=0.02)", "random_state": 0}
    few = SparseAutoencoder(16, max_epochs=1, learning_rate=0.5, **given).fit(rows)
    said, mean = found(few, rows), few.transform(rows).mean()
    assert mean > 0.04
    assert said["not sparse"] == (
        f"Units are active to {mean:.2g} on average, and the target is 0.02. Raise learning_rate, "
        "max_epochs or the penalty's weight; or write sparsity='topk(k=8)', which is exact."
    )
    silent = SparseAutoencoder(16, max_epochs=0, **given).fit(rows)
    assert "not sparse" not in found(silent, rows)


def test_limit_is_told_of_codes_as_wide_as_their_rows():
    rows = datasets.digits().images
    sparse = SparseAutoencoder(64, max_epochs=2, random_state=0).fit(rows)
    assert sparse.versus_pca_ is None
    assert "Raise max_epochs (now 2)." in found(sparse, rows)["stopped at its limit"]


def test_one_row_tells_of_no_dead_unit():
    assert model().fit(X).diagnose(X[:1]) == []
