"""The outlier detector: its score against its formula, its threshold, and what it finds."""

import json
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.stats
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder, OutlierDetector, load
from isthmus.cli.main import run
from isthmus.errors import ParameterError
from isthmus.estimators import saving
from isthmus.evaluation.review import review
from isthmus.evaluation.words import figure

RNG = np.random.default_rng(0)
BASIS = RNG.normal(size=(3, 12))
X = RNG.normal(size=(300, 3)) @ BASIS + 0.3 * RNG.normal(size=(300, 12)) + 5
OFF = X[:10] + 3 * RNG.normal(size=(10, 12))  # away from the plane of the others
FAR = 8 * RNG.normal(size=(10, 3)) @ BASIS + 5  # in the plane, and far out
QUICK = {"random_state": 0, "max_epochs": 40, "validation_fraction": 0}


@pytest.fixture(scope="module")
def detector():
    return OutlierDetector(3, **QUICK).fit(X)


def unlike(kind):
    """Return the rows with outliers of a kind, and which they are."""
    return np.vstack([X, kind]), np.repeat([0, 1], [len(X), len(kind)])


@pytest.mark.parametrize("options", [{}, {"hidden": (8,)}, {"scaling": "isotropic"}])
def test_score_is_the_joint_density_of_the_row_and_its_mean_code(options):
    model = OutlierDetector(3, random_state=0, max_epochs=3, **options).fit(X)
    center = X.mean(axis=0)
    scale = X.std(axis=0) if "scaling" not in options else np.sqrt(X.var(axis=0).mean())
    scaled = torch.from_numpy((X - center) / scale)
    with torch.no_grad():
        head = model.model_.encoder(scaled)
    mean = head[:, :3]
    np.testing.assert_allclose(model.transform(X), mean.numpy(), rtol=1e-6)
    normal = torch.distributions.Normal
    prior = normal(0.0, 1.0).log_prob(mean).sum(1)
    rebuilt = torch.from_numpy((model.inverse_transform(mean.numpy()) - center) / scale)
    likely = normal(rebuilt, 1.0).log_prob(scaled).sum(1)
    volume = np.log(np.broadcast_to(scale, 12)).sum()
    np.testing.assert_allclose(model.score_samples(X), (likely + prior).numpy() - volume, rtol=1e-5)


@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.5])
def test_the_share_of_the_training_rows_that_was_asked_for_is_called_outliers(contamination):
    model = OutlierDetector(3, contamination=contamination, random_state=0, max_epochs=2)
    found = model.fit_predict(X)
    assert set(found) == {-1, 1}
    assert (found == -1).sum() == contamination * len(X)
    assert model.offset_ == np.quantile(model.score_samples(X), contamination)
    np.testing.assert_array_equal(found == -1, model.decision_function(X) < 0)


@pytest.mark.parametrize("kind", [OFF, FAR], ids=["off", "far"])
@pytest.mark.parametrize("hidden", [(), (16,)], ids=str)
def test_outliers_in_the_training_rows_are_found(kind, hidden):
    rows, outlier = unlike(kind)
    scores = OutlierDetector(3, hidden=hidden, **QUICK).fit(rows).score_samples(rows)
    assert roc_auc_score(outlier, -scores) > 0.97


def test_rows_far_out_in_the_plane_of_the_others_are_overlooked_by_what_is_rebuilt():
    """Why the code's density counts."""
    rows, outlier = unlike(FAR)
    errors = Autoencoder(3, **QUICK).fit(rows).reconstruction_error(rows)
    pca = PCA(3).fit(rows)
    by_pca = np.square(rows - pca.inverse_transform(pca.transform(rows))).sum(axis=1)
    assert max(roc_auc_score(outlier, errors), roc_auc_score(outlier, by_pca)) < 0.8


def test_new_rows_are_judged_as_those_of_the_training(detector):
    new = RNG.normal(size=(2000, 3)) @ BASIS + 0.3 * RNG.normal(size=(2000, 12)) + 5
    assert (detector.predict(new) == -1).mean() == pytest.approx(0.1, abs=0.04)
    assert (detector.predict(FAR) == -1).mean() > 0.8
    assert (detector.predict(OFF) == -1).mean() > 0.8


def test_the_threshold_is_saved(detector, tmp_path):
    detector.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.offset_ == detector.offset_
    np.testing.assert_array_equal(again.predict(X), detector.predict(X))


def test_the_threshold_follows_further_rows(detector):
    model = OutlierDetector(3, **QUICK).fit(X).partial_fit(X + 1)
    assert model.offset_ == np.quantile(model.score_samples(X + 1), 0.1)
    assert model.offset_ != detector.offset_


def test_it_stands_at_the_end_of_a_pipeline():
    model = make_pipeline(StandardScaler(), OutlierDetector(3, **QUICK)).fit(X)
    assert (model.predict(X) == -1).sum() == 30
    assert model.score_samples(X).shape == model.decision_function(X).shape == (300,)


def test_for_a_linear_network_it_is_log_p_but_for_a_constant():
    """Of probabilistic PCA with variance 1, of which the optimum is known (Tipping & Bishop)."""
    few = X - X.mean(axis=0)
    model = OutlierDetector(3, scaling="none", random_state=0).fit(few)
    variances, axes = np.linalg.eigh(np.cov(few, rowvar=False, ddof=0))
    kept = np.where(np.arange(12) >= 9, np.maximum(variances, 1), 1)
    exact = scipy.stats.multivariate_normal(np.zeros(12), axes * kept @ axes.T).logpdf(few)
    ours = model.score_samples(few)
    np.testing.assert_allclose(ours - ours.mean(), exact - exact.mean(), atol=1e-3)
    assert (model.n_iter_, model.stopped_by_) == (0, "solved")


@pytest.mark.parametrize("size", [1e3, 1e6, 1e12])
@pytest.mark.parametrize("options", [{}, {"hidden": (16,)}, {"scaling": "isotropic"}], ids=str)
def test_values_far_beyond_all_others_are_outliers_in_each_feature(size, options):
    model = OutlierDetector(3, random_state=0, max_epochs=5, **options).fit(X)
    glitches = X[:12] + size * np.eye(12)
    assert (model.predict(glitches) == -1).all()
    assert (model.predict(X[:12] - size * np.eye(12)) == -1).all()


def test_sequences_go_through_the_recurrent_network_as_it_comes():
    sequences = RNG.normal(size=(40, 7, 3))
    model = OutlierDetector(2, network="recurrent", max_epochs=2, random_state=0).fit(sequences)
    assert model.predict(sequences).shape == (40,)


def test_a_threshold_that_is_no_number_is_refused(detector):
    facts, tensors = saving.written(detector)
    facts = json.loads(json.dumps(facts))
    for offset in ("1.5", float("nan"), True, None):
        with pytest.raises(ValueError, match=r"^offset is .+, and should be a finite number$"):
            saving.rebuilt({**facts, "offset": offset}, dict(tensors))


def test_a_unit_that_switches_itself_off_is_no_finding():
    noise = RNG.normal(size=(200, 6))
    model = OutlierDetector(5, beta=20, random_state=0).fit(noise)
    assert (model.transform(noise).var(axis=0) < 0.01).any()
    assert "collapsed units" not in [finding.name for finding in model.diagnose(noise)]


def test_units_do_not_matter(detector):
    units = np.geomspace(1e-3, 1e3, 12)
    model = OutlierDetector(3, **QUICK).fit(X * units)
    shift = np.log(units).sum()
    np.testing.assert_allclose(
        model.score_samples(X * units) + shift, detector.score_samples(X), rtol=0.01, atol=0.05
    )


@pytest.mark.parametrize("contamination", [0, 0.6, -1])
def test_a_share_that_makes_no_sense_is_refused(contamination):
    said = rf"^contamination={contamination} of OutlierDetector: contamination should be "
    with pytest.raises(ParameterError, match=said):
        OutlierDetector(contamination=contamination).fit(X)


def test_it_is_not_blamed_for_rebuilding_worse_than_pca():
    model = OutlierDetector(3, max_epochs=1, random_state=0).fit(X)
    assert model.versus_pca_.ratio > 1.01
    assert "worse than PCA" not in [finding.name for finding in model.diagnose(X)]


def test_the_command_line_finds_them(tmp_path, capsys):
    table = tmp_path / "rows.csv"
    rows, _ = unlike(FAR)
    frame = pd.DataFrame(rows).add_prefix("f")
    frame.to_csv(table, index=False)
    model, out = str(tmp_path / "model"), tmp_path / "scores.csv"
    fit = ["fit", str(table), "--model", model, "--contamination", "0.05", "--max-epochs", "5"]
    assert run([*fit, "--random-state", "0"]) == 0
    assert f"Next: isthmus score {table} --model {model}" in capsys.readouterr().out
    assert run(["score", str(table), "--model", model, "--out", str(out)]) == 0
    fitted, scores = load(model), pd.read_csv(out)
    assert type(fitted) is OutlierDetector
    printed = capsys.readouterr().out
    assert re.search(rf"outliers +│ 16 \(score below {fitted.offset_:.6g}\)", printed)
    listed = re.findall(r"^│ +(\d+) │", printed.split("lowest score")[1], re.MULTILINE)
    assert sorted(map(int, listed)) == np.flatnonzero(scores["outlier"]).tolist()
    np.testing.assert_array_equal(scores["outlier"] == 1, fitted.predict(frame) == -1)
    assert [*scores] == ["row", "squared_error", "score", "outlier"]
    for ending in ("csv", "parquet"):  # whole numbers, 1 and 0
        out = tmp_path / f"scores.{ending}"
        assert run(["score", str(table), "--model", model, "--out", str(out), "--force"]) == 0
        marks = getattr(pl, f"read_{ending}")(out)["outlier"]
        assert (marks.dtype, marks.sum()) == (pl.Int64, 16)


def test_the_report_tells_what_it_finds_and_does_not_call_it_a_bad_pca():
    model = OutlierDetector(3, max_epochs=1, random_state=0).fit(X)
    verdict = review(model, X).verdict
    n_found = int((model.predict(X) == -1).sum())
    assert verdict.headline == f"It calls {n_found} of {len(X)} rows outliers."
    assert verdict.tone == "even"
    assert verdict.figures[0] == (f"{n_found}", f"of {len(X)} rows called outliers")


def test_the_report_compares_what_it_finds_with_the_rarer_label():
    model = OutlierDetector(3, max_epochs=1, random_state=0).fit(X)
    odd = np.arange(len(X)) < 9
    far = np.where(odd[:, None], 9.0, X)
    said = review(model, far, np.where(odd, "odd", "usual")).verdict
    calls = int((model.predict(far) == -1).sum())
    assert said.headline == f"It finds 9 of 9 rows labelled odd, of {calls} that it calls outliers."
    assert said.tone == "good"
    area = roc_auc_score(odd, -model.score_samples(far))
    assert said.figures[1] == (figure(area), "area under the ROC curve, with odd for the outliers")
    assert (
        "a row labelled odd scores below another with a chance of"
        in " ".join(said.sentences).lower()
    )
    other = review(model, far, np.where(odd, "usual", "odd")).verdict
    assert other.headline.startswith("It finds 9 of 9 rows labelled usual")
    three = review(model, far, np.arange(len(X)) % 3).verdict
    assert three.headline == f"It calls {calls} of {len(X)} rows outliers."
