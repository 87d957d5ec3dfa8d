"""The classifier on a code: against scikit-learn, against its formula by hand, and to the bit."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    GaussianRBM,
    SparseAutoencoder,
    StackedAutoencoder,
    datasets,
    load,
)
from isthmus.cli.main import run
from isthmus.cli.outputs import how_it_went
from isthmus.data import artefact
from isthmus.data.scaling import Scaling
from isthmus.errors import ArtefactError, DataError, FileError, ParameterError
from isthmus.fitting.classifier import Classifier, Encoder, Head, hold_out
from isthmus.fitting.learner import Randomness
from isthmus.parts import Clean, Masking, Plain, Sigmoid
from isthmus.parts.slots import Nothing

DIGITS = datasets.digits()
RNG = np.random.default_rng(0)
# Three clouds that overlap, so that the best head is finite.
Y = RNG.integers(0, 3, size=240)
X = RNG.normal(size=(240, 5)) + np.eye(3, 5)[Y] * 1.5
SHORT = {"hidden": (6,), "max_epochs": 2, "random_state": 0, "validation_fraction": 0}
SMALL = Autoencoder(3, **SHORT)
ALONE = {"fine_tune": False, "random_state": 0}
QUICK = {"max_epochs": 5, "random_state": 0}
KINDS = {
    "plain": SMALL,
    "tied": Autoencoder(3, network="dense(hidden=(4,), tied=True)", max_epochs=2),
    "batch norm": Autoencoder(3, network="dense(hidden=(4,), norm='batch')", max_epochs=2),
    "dropout": Autoencoder(3, network="dense(hidden=(4,), dropout=0.2)", max_epochs=2),
    "sparse": SparseAutoencoder(8, max_epochs=2),
    "batch_topk": SparseAutoencoder(8, sparsity="batch_topk(k=3)", max_epochs=2),
    "contractive": ContractiveAutoencoder(8, max_epochs=2),
    "denoising": DenoisingAutoencoder(8, max_epochs=2),
    "stacked": StackedAutoencoder(2, hidden=(4,), pretraining="rbm(n_epochs=2)", max_epochs=2),
    "binary machine": BernoulliRBM(8, scaling="range", n_iter=2),
    "gaussian machine": GaussianRBM(8, n_iter=2),
    "rectified machine": GaussianRBM(8, hidden="rectified", n_iter=2),
}


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def classifier_of(n_classes=3, weight_l2=0.0, corruption=None, code=None, dropout=0.0):
    """Return a classifier of a linear encoder with weights that are not zero."""
    generator = torch.Generator().manual_seed(0)
    network = torch.nn.Linear(5, 4)
    for weight in network.parameters():
        weight.data.normal_(generator=generator)
    scaling = Scaling(torch.zeros(5), torch.ones(()))
    codes = Scaling(torch.full((4,), 0.5), torch.tensor(2.0))
    encoder = Encoder(scaling, network, code or Plain(), Nothing(), 4, True)
    head = Head(n_classes, corruption or Clean(), dropout, weight_l2)
    model = Classifier(encoder, codes, head)
    model.head.weight.data.normal_(generator=generator)
    model.head.bias.data.normal_(generator=generator)
    return model


def objective(model, rows, labels):
    randomness = Randomness(*(torch.Generator().manual_seed(i) for i in range(3)))
    target = torch.from_numpy(labels[:, None]).float()
    return model(torch.from_numpy(rows).float(), target, randomness)


# The loss ---------------------------------------------------------------------------------


def test_gradient_is_that_of_the_cross_entropy_by_hand():
    model = classifier_of(weight_l2=0.1, code=Sigmoid())
    objective(model, X, Y).loss.backward()

    x, n = X.astype(np.float64), len(X)
    W, b = (p.detach().double().numpy() for p in model.encoder.parameters())
    V, c = (p.detach().double().numpy() for p in model.head.parameters())
    z = 1 / (1 + np.exp(-(x @ W.T + b)))
    u = (z - 0.5) / 2
    scores = np.exp(u @ V.T + c)
    wrong = (scores / scores.sum(1, keepdims=True) - np.eye(3)[Y]) / n  # d loss / d scores
    back = wrong @ V / 2 * z * (1 - z)
    expected = [back.T @ x, back.sum(0), wrong.T @ u + 0.2 * V, wrong.sum(0)]
    found = [*model.encoder.parameters(), *model.head.parameters()]
    for weight, gradient in zip(found, expected, strict=True):
        np.testing.assert_allclose(weight.grad.numpy(), gradient, atol=2e-6)


@torch.no_grad()
def test_objective_is_the_cross_entropy_and_the_penalty():
    model = classifier_of(weight_l2=0.1)
    found = objective(model, X, Y)
    expected = torch.nn.functional.cross_entropy(found.output, torch.from_numpy(Y))
    assert float(found.terms["cross_entropy"]) == pytest.approx(float(expected), rel=1e-6)
    squares = float(model.head.weight.square().sum())
    assert float(found.terms["weight_l2"]) == pytest.approx(0.1 * squares, rel=1e-6)
    assert float(found.loss) == pytest.approx(float(sum(found.terms.values())), rel=1e-6)
    np.testing.assert_allclose(found.rows.mean(), expected, rtol=1e-6)


def test_errors_are_the_rows_of_another_class():
    output = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    errors = classifier_of(2).errors(output, torch.tensor([[0.0], [0.0]]))
    assert errors.tolist() == [0.0, 1.0]


@torch.no_grad()
def test_corruption_is_for_training_only():
    model, clean = classifier_of(corruption=Masking(fraction=0.5)), classifier_of()
    noisy = objective(model.train(), X, Y).loss.item()
    assert noisy != objective(clean, X, Y).loss.item()
    assert objective(model.eval(), X, Y).loss.item() == objective(clean, X, Y).loss.item()


@torch.no_grad()
def test_dropout_silences_units_of_the_code_in_training_only():
    model = classifier_of(n_classes=4, dropout=0.75)
    model.head.weight.copy_(torch.eye(4))
    model.head.bias.zero_()
    z = torch.full((20_000, 4), 3.0)
    units = (3.0 - 0.5) / 2  # of unit spread
    scores = model.train().scores_of(z)
    assert set(scores.unique().tolist()) == {0.0, units / 0.25}
    assert (scores > 0).float().mean(0).tolist() == pytest.approx([0.25] * 4, abs=0.02)
    assert model.eval().scores_of(z).unique().tolist() == [units]


# The head alone ---------------------------------------------------------------------------


@pytest.mark.parametrize(("weight_l2", "C"), [(0.0, 1e8), (0.02, 1 / (2 * 240 * 0.02))])
def test_head_alone_reaches_the_optimum_of_logistic_regression(weight_l2, C):
    model = AutoencoderClassifier(
        SMALL, **ALONE, weight_l2=weight_l2, optimizer="lbfgs", schedule="constant",
        validation_fraction=0, max_epochs=60,
    ).fit(X, Y)  # fmt: skip
    codes = model.autoencoder_.transform(X)
    scaled = (codes - codes.mean(0)) / np.sqrt(codes.var(0).mean())
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(scaled, Y)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(scaled), atol=1e-3)


def test_default_penalty_is_that_of_logistic_regression():
    model = AutoencoderClassifier(
        SMALL, **ALONE, optimizer="lbfgs", schedule="constant", validation_fraction=0,
        max_epochs=60,
    ).fit(X, Y)  # fmt: skip
    codes = model.transform(X)
    scaled = (codes - codes.mean(0)) / np.sqrt(codes.var(0).mean())
    theirs = LogisticRegression(tol=1e-10, max_iter=10_000).fit(scaled, Y)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(scaled), atol=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_head_alone_leaves_the_code_as_it_is(name):
    model = AutoencoderClassifier(KINDS[name], **ALONE, max_epochs=3).fit(X, Y)
    before = model.autoencoder_.transform(X)
    if "machine" in name:  # whose biases are put together anew, in float32
        np.testing.assert_allclose(model.transform(X), before, atol=1e-6)
    else:
        np.testing.assert_array_equal(model.transform(X), before)


@pytest.mark.parametrize("name", KINDS)
def test_fine_tuning_moves_the_code_and_not_the_autoencoder(name):
    model = AutoencoderClassifier(KINDS[name], **QUICK, validation_fraction=0).fit(X, Y)
    alone = AutoencoderClassifier(KINDS[name], **ALONE, max_epochs=3).fit(X, Y)
    before = alone.autoencoder_.transform(X)
    np.testing.assert_array_equal(model.autoencoder_.transform(X), before)
    assert not np.allclose(model.transform(X), before, atol=1e-4)


# Which rows -------------------------------------------------------------------------------


def test_unlabelled_rows_change_the_autoencoder():
    half = np.where(np.arange(240) < 120, Y, -1)
    many = AutoencoderClassifier(SMALL, **ALONE).fit(X, half)
    few = AutoencoderClassifier(SMALL, **ALONE).fit(X[:120], Y[:120])
    assert not np.array_equal(many.transform(X), few.transform(X))


def test_values_of_unlabelled_rows_do_not_reach_the_head(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "isthmus.estimators.classifier.teach_head",
        lambda encoder, head, lesson: seen.append(lesson) or stop(),
    )

    def stop():
        raise InterruptedError

    half = np.where(np.arange(240) % 3 == 0, Y, -1)
    with pytest.raises(InterruptedError):
        AutoencoderClassifier(SMALL, **ALONE).fit(X, half)
    training, held_out = seen[0].training, seen[0].held_out
    used = torch.cat([training.index, held_out.index]).sort().values.numpy()
    np.testing.assert_array_equal(used, np.flatnonzero(half >= 0))
    target = training.target.take(training.index)[:, 0].numpy()
    np.testing.assert_array_equal(target, half[training.index.numpy()])


def test_missing_labels_are_all_the_same():
    known = np.arange(240) % 2 == 0
    words = np.array(["a", "b", "c"])[Y]
    numbers = AutoencoderClassifier(SMALL, **QUICK).fit(X, np.where(known, Y, -1))
    others = [
        np.where(known, Y.astype(float), np.nan),
        np.where(known, words.astype(object), None),
        np.where(known, words.astype(object), -1),
        np.where(known, words.astype(object), np.nan),
        pd.Series(np.where(known, Y, -1)).replace(-1, pd.NA).astype("Int64"),
        torch.from_numpy(np.where(known, Y, -1)),
    ]
    for labels in others:
        model = AutoencoderClassifier(SMALL, **QUICK).fit(X, labels)
        np.testing.assert_array_equal(model.predict_proba(X), numbers.predict_proba(X))


def test_signs_alone_are_two_classes():
    model = AutoencoderClassifier(SMALL, **QUICK).fit(X, np.where(Y == 0, -1, 1))
    assert model.classes_.tolist() == [-1, 1]


def test_each_class_is_held_out_in_its_share():
    labels = torch.tensor([0] * 100 + [1] * 40 + [2] * 4 + [3] + [-1] * 50)
    held = hold_out(labels, 0.1, torch.Generator().manual_seed(0))
    assert torch.bincount(labels[held], minlength=4).tolist() == [10, 4, 0, 0]
    assert len(held.unique()) == len(held)
    most = hold_out(labels, 0.99, torch.Generator().manual_seed(0))
    assert torch.bincount(labels[most], minlength=4).tolist() == [99, 39, 3, 0]


def test_rows_that_judge_choose_the_epoch():
    model = AutoencoderClassifier(SMALL, random_state=0, patience=5, learning_rate=0.02).fit(X, Y)
    records = [record for record in model.history_ if record["stage"] == "classifier"]
    losses = [record["held_out_loss"] for record in records]
    assert model.n_iter_ == int(np.argmin(losses))
    assert losses[0] == pytest.approx(np.log(3), rel=1e-5)  # all classes equally likely
    assert len(losses) == model.n_iter_ + 6
    assert model.stopped_by_ == "patience"


def test_stages_stand_in_the_history_in_their_order():
    stack = StackedAutoencoder(
        2, hidden=(4,), pretraining="autoencoder(n_epochs=1)", max_epochs=1, validation_fraction=0
    )
    model = AutoencoderClassifier(stack, **QUICK).fit(X, Y)
    stages = list(dict.fromkeys(record["stage"] for record in model.history_))
    assert stages == ["layer 1 of 2", "layer 2 of 2", "all rows", "classifier"]


# What comes out ---------------------------------------------------------------------------


def test_answers_agree_with_each_other():
    model = AutoencoderClassifier(SMALL, **QUICK).fit(X, Y)
    chances, scores = model.predict_proba(X), model.decision_function(X)
    assert chances.dtype == np.float64
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-14)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), chances, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), scores.argmax(1))
    assert model.score(X, Y) == (model.predict(X) == Y).mean()
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float64
    assert model.transform(X.astype(np.float32)).dtype == np.float32


def test_two_classes_are_decided_by_the_log_odds():
    model = AutoencoderClassifier(SMALL, **QUICK).fit(X, np.where(Y == 0, "no", "yes"))
    chances = model.predict_proba(X)
    odds = np.log(chances[:, 1] / chances[:, 0])
    np.testing.assert_allclose(model.decision_function(X), odds, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X) == "yes", odds > 0)


def test_a_row_has_the_same_answer_alone():
    model = AutoencoderClassifier(SMALL, **QUICK).fit(X, Y)
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, model.predict_proba(X)[:5], rtol=1e-12)


@pytest.mark.parametrize(("times", "scaling"), [(5, "isotropic"), (1000, "standard")])
def test_features_of_different_units_are_scaled_one_by_one(times, scaling):
    rows = X * [1, 1, times, 1, 1]
    model = AutoencoderClassifier(**QUICK).fit(rows, Y)
    assert model.autoencoder_.scaling == scaling
    assert model.score(rows, Y) > 0.6


def test_it_stands_in_pipelines_and_grids():
    classifier = AutoencoderClassifier(SMALL, **QUICK)
    grid = {"autoencoderclassifier__autoencoder__n_components": [2, 3]}
    search = GridSearchCV(make_pipeline(StandardScaler(), classifier), grid, cv=2).fit(X, Y)
    assert search.best_score_ > 0.4
    codes = classifier.set_output(transform="pandas").fit(X, Y).transform(X)
    assert list(codes.columns) == [f"autoencoderclassifier{i}" for i in range(3)]
    assert make_pipeline(PCA(4), classifier).fit(X, Y).predict(X).shape == (240,)


# Every parameter --------------------------------------------------------------------------

CHANGES = {
    "autoencoder": Autoencoder(2, **SHORT),
    "fine_tune": False,
    "corruption": "masking(fraction=0.3)",
    "dropout": 0.5,
    "weight_l2": 0.1,
    "optimizer": "nadam",
    "learning_rate": 0.02,
    "schedule": "constant",
    "max_epochs": 3,
    "validation_fraction": 0.3,
    "patience": 1,
    "batch_size": 16,
    "precision": "bfloat16",
    "random_state": 1,
}
SILENT = {"device", "verbose"}  # where and how loudly, not what


def test_every_parameter_is_tested():
    assert set(AutoencoderClassifier().get_params(deep=False)) == set(CHANGES) | SILENT


@pytest.mark.parametrize("name", CHANGES)
def test_parameter_changes_the_result(name):
    base = {"autoencoder": SMALL, "random_state": 0, "learning_rate": 0.01, "max_epochs": 40}
    if name == "patience":  # the held-out loss has to rise before it falls again
        base |= {"optimizer": "sgd", "batch_size": 8, "learning_rate": 0.1}
    before = AutoencoderClassifier(**base).fit(X, Y).predict_proba(X)
    after = AutoencoderClassifier(**{**base, name: CHANGES[name]}).fit(X, Y).predict_proba(X)
    assert not np.array_equal(after, before)


def test_same_seed_gives_the_same_to_the_bit():
    seedless = clone(SMALL).set_params(random_state=None)
    first, second, other = (
        AutoencoderClassifier(
            seedless, corruption="gaussian(std=0.2)", max_epochs=3, random_state=seed
        ).fit(X, Y)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert not np.array_equal(first.autoencoder_.transform(X), other.autoencoder_.transform(X))


def test_what_is_given_is_not_fitted():
    given = clone(SMALL)
    AutoencoderClassifier(given, **QUICK).fit(X, Y)
    assert not hasattr(given, "model_")
    assert given.get_params() == SMALL.get_params()


def test_default_autoencoder_serves():
    model = AutoencoderClassifier(random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.7


# Saving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("fine_tune", [True, False])
def test_loaded_classifier_answers_the_same_to_the_bit(name, fine_tune, tmp_path):
    labels = np.array(["a", "b", "c"])[Y]
    model = AutoencoderClassifier(KINDS[name], fine_tune=fine_tune, **QUICK).fit(X, labels)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    theirs = loaded.autoencoder_
    np.testing.assert_array_equal(theirs.transform(X), model.autoencoder_.transform(X))
    assert type(theirs) is type(model.autoencoder_)
    for fact in ("history_", "n_iter_", "stopped_by_", "n_features_in_"):
        assert getattr(loaded, fact) == getattr(model, fact), fact
    assert repr(loaded.get_params()) == repr(model.get_params())


@pytest.mark.parametrize(
    "labels", [Y, Y == 0, Y.astype(float), np.array(["a", "b", "c"], object)[Y], Y.astype(np.uint8),
     np.array(["a", "b", "c"], np.dtypes.StringDType())[Y]]
)  # fmt: skip
def test_loaded_classes_are_what_they_were(labels, tmp_path):
    model = AutoencoderClassifier(SMALL, **QUICK).fit(X, labels)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.classes_, model.classes_)
    assert loaded.classes_.dtype == model.classes_.dtype
    assert [type(each) for each in loaded.classes_] == [type(each) for each in model.classes_]


def test_parameters_set_after_the_fit_are_not_saved(tmp_path):
    model = AutoencoderClassifier(clone(SMALL), **QUICK).fit(X, Y)
    model.set_params(autoencoder__n_components=2, max_epochs=9)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert (loaded.autoencoder.n_components, loaded.max_epochs) == (3, 5)
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))


def test_unknown_estimator_within_is_refused(tmp_path):
    folder = tmp_path / "model"
    AutoencoderClassifier(SMALL, **QUICK).fit(X, Y).save(folder)
    config, tensors = artefact.read(folder)
    config["autoencoder"]["estimator"] = "Popen"
    artefact.write(folder, config, tensors, "")
    sentence = (
        f"{folder} does not fit together (there is no estimator 'Popen'): fit and save the model "
        f"again."
    )
    with pytest.raises(ArtefactError, match=exactly(sentence)):
        load(folder)


class Foreign(Autoencoder):
    pass


def test_class_of_a_user_within_is_not_saved(tmp_path):
    model = AutoencoderClassifier(Foreign(3, **SHORT), **QUICK).fit(X, Y)
    sentence = (
        f"Foreign of {__name__} cannot be saved, for load knows the estimators of isthmus only: "
        f"save one of those, or pickle it."
    )
    with pytest.raises(FileError, match=exactly(sentence)):
        model.save(tmp_path / "model")


# Refusals ---------------------------------------------------------------------------------

WORDS = "give whole numbers or words, -1 or None where a row has no label."
REFUSED = {
    "none": (
        None,
        "AutoencoderClassifier requires y to be passed, but the target y is None: give a label "
        "for each row.",
    ),
    "short": (Y[:-1], "y has 239 labels and X has 240 rows: give one label for each row."),
    "wide": (
        np.stack([Y, Y], 1),
        "y should be a 1d array, got an array of shape (240, 2) instead: give one label for each "
        "row.",
    ),
    "unlabelled": (
        np.full(240, -1),
        "y has no label for any of the 240 rows: label some, of two classes at the least.",
    ),
    "one class": (
        np.where(Y == 0, 0, -1),
        "y has one class (0), and AutoencoderClassifier needs two at the least: label rows of "
        "another.",
    ),
    "one word": (
        np.array(["yes"] * 240),
        "y has one class (yes), and AutoencoderClassifier needs two at the least: label rows of "
        "another.",
    ),
    "fractions": (
        Y + 0.5,
        f"Unknown label type: y has fractions, as a regression has: {WORDS}",
    ),
    "infinity": (np.where(Y == 0, np.inf, 1.0), f"Unknown label type: y has infinity: {WORDS}"),
    "mixed": (
        np.where(Y == 0, np.array("a", object), 1),
        f"Unknown label type: y mixes words and numbers: {WORDS}",
    ),
    "dates": (
        np.datetime64("2020-01-01") + Y,
        f"Unknown label type: y has datetime64[D]: {WORDS}",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_are_refused_in_one_sentence(case):
    labels, sentence = REFUSED[case]
    with pytest.raises(DataError, match=exactly(sentence)):
        AutoencoderClassifier(SMALL, **QUICK).fit(X, labels)


@pytest.mark.parametrize("given", [PCA(2), Autoencoder, "stacked", AutoencoderClassifier()])
def test_what_is_no_autoencoder_is_refused(given):
    sentence = (
        f"autoencoder={given!r} is no autoencoder of this library: write one such as "
        f"StackedAutoencoder(30), or leave it out."
    )
    with pytest.raises(ParameterError, match=exactly(sentence)):
        AutoencoderClassifier(given).fit(X, Y)


def test_noise_on_an_encoder_that_stays_is_refused():
    sentence = (
        "corruption='masking' needs an encoder that is trained, and fine_tune=False leaves it as "
        "it is: write fine_tune=True, or corruption='clean'."
    )
    with pytest.raises(ParameterError, match=exactly(sentence)):
        AutoencoderClassifier(SMALL, fine_tune=False, corruption="masking").fit(X, Y)


def test_batches_of_one_row_are_refused_where_rows_are_mixed():
    sentence = (
        "The autoencoder's network mixes the rows of a batch, and the batch has one: raise "
        "batch_size, or write norm='layer'."
    )
    mixing = KINDS["batch norm"]
    with pytest.raises(ParameterError, match=exactly(sentence)):
        AutoencoderClassifier(mixing, batch_size=1, max_epochs=1).fit(X, Y)
    AutoencoderClassifier(mixing, batch_size=1, max_epochs=1, fine_tune=False).fit(X, Y)


def test_parameter_out_of_range_is_refused():
    with pytest.raises(ParameterError, match=r"^weight_l2=-1 of AutoencoderClassifier: "):
        AutoencoderClassifier(SMALL, weight_l2=-1).fit(X, Y)


# What it is for ---------------------------------------------------------------------------


def five_of_each(labels, seed):
    rng = np.random.default_rng(seed)
    places = [rng.choice(np.flatnonzero(labels == c), 5, replace=False) for c in range(10)]
    few = np.full(len(labels), -1)
    few[np.concatenate(places)] = labels[np.concatenate(places)]
    return few


def test_fifty_labels_and_all_pictures_beat_fifty_labelled_pictures():
    X, y = DIGITS
    autoencoder = Autoencoder(10, max_epochs=30, validation_fraction=0, random_state=0)
    gains = []
    for seed in range(3):
        few = five_of_each(y, seed)
        known = few >= 0
        ours = AutoencoderClassifier(autoencoder, **ALONE).fit(X, few)
        raw = LogisticRegression(max_iter=5000).fit(X[known], y[known])
        gains.append(ours.score(X[~known], y[~known]) - raw.score(X[~known], y[~known]))
    assert min(gains) > 0
    assert np.mean(gains) > 0.01


def test_fine_tuning_beats_the_head_alone_where_labels_are_many():
    rows, test, labels, truth = train_test_split(*DIGITS, test_size=0.4, random_state=0)
    sparse = SparseAutoencoder(64, max_epochs=10)
    tuned, alone = (
        AutoencoderClassifier(sparse, fine_tune=fine_tune, random_state=0).fit(rows, labels)
        for fine_tune in (True, False)
    )
    assert tuned.score(test, truth) > alone.score(test, truth) + 0.01
    assert tuned.score(test, truth) > 0.96


def test_command_line_knows_what_a_classifier_can_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = AutoencoderClassifier(SMALL, **QUICK).fit(X, Y)
    model.save("model")
    np.save("rows.npy", X)
    assert run(["transform", "rows.npy", "codes.npy", "--model", "model"]) == 0
    np.testing.assert_array_equal(np.load("codes.npy"), model.transform(X))
    assert run(["info", "model"]) == 0
    assert how_it_went(model)["epochs"] in capsys.readouterr().out
    assert run(["score", "rows.npy", "--model", "model"]) != 0
    assert "model is of AutoencoderClassifier, which only tr" in capsys.readouterr().err


# Rows are read as the autoencoder within reads them ----------------------------------------

SEEN = Autoencoder(
    4,
    network="conv(channels=(4,), skip=True, side=8)",
    corruption="gaussian(std=0.1)",
    max_epochs=1,
    random_state=0,
)


def test_classifier_takes_bytes_for_the_light_that_its_autoencoder_does():
    pixels = (255 * DIGITS.images[:60].reshape(-1, 8, 8)).astype(np.uint8)
    given = AutoencoderClassifier(SEEN, **ALONE).fit(pixels, DIGITS.labels[:60])
    codes = given.autoencoder_.transform(pixels)
    assert given.transform(pixels) == pytest.approx(codes, abs=1e-6)


def test_pictures_that_an_autoencoder_would_crop_are_refused():
    pictures = RNG.random((20, 1, 12, 12))
    sentence = (
        "network 'conv(channels=(4,), skip=True, side=8)' learns from crops of 8 x 8 pixels, and a "
        "sample of X has the shape (1, 12, 12): write side=12 in it."
    )
    with pytest.raises(ParameterError, match=f"^{re.escape(sentence)}$"):
        AutoencoderClassifier(SEEN, **ALONE).fit(pictures, np.arange(20) % 2)


def test_padding_stays_padding_under_the_noise_of_a_classifier():
    waves = [RNG.normal(size=(length, 1)) for length in [3, 5, 4, 5] * 5]
    inner = Autoencoder(2, network="recurrent(hidden=(4,))", max_epochs=1, random_state=0)
    noisy = AutoencoderClassifier(inner, corruption="masking(fraction=0.5)", **QUICK)
    assert noisy.fit(waves, np.arange(20) % 2).stopped_by_ != "diverged"


def test_blind_spots_are_refused_for_a_classifier():
    with pytest.raises(ParameterError, match=r"judges the pixels that it hides, and a classifier"):
        AutoencoderClassifier(SMALL, corruption="blind_spot").fit(X, Y)


def test_products_of_convolutions_are_counted_at_every_pixel():
    pictures = RNG.random((20, 1, 8, 8)).astype("float32")
    inner = Autoencoder(2, network="conv(channels=(4,))", max_epochs=1, random_state=0)
    given = AutoencoderClassifier(inner, max_epochs=1).fit(pictures, np.arange(20) % 2)
    model = given.model_
    assert model.n_products > sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("dtype", [int, object])
def test_classes_of_minus_one_and_one_alone_are_two_whatever_holds_them(dtype):
    signs = np.where(Y > 0, 1, -1).astype(dtype)
    assert AutoencoderClassifier(SMALL, **ALONE).fit(X, signs).classes_.tolist() == [-1, 1]


def test_fit_that_fails_leaves_the_classifier_as_it_was():
    model = AutoencoderClassifier(SMALL, **ALONE).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(DataError):
        model.fit(X[:, :3], np.zeros(len(X)))
    assert np.array_equal(model.predict(X), before)
