"""Variational autoencoders whose decoder is told a label."""

import copy
import warnings

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression

from isthmus import Autoencoder, VariationalAutoencoder, datasets, load, report
from isthmus.errors import DataError, ParameterError

QUICK = {"max_epochs": 25, "validation_fraction": 0, "learning_rate": 4e-3, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.digits()
    few = labels < 4
    return images[few], np.array(["zero", "one", "two", "three"])[labels[few]]


@pytest.fixture(scope="module")
def model(digits):
    return VariationalAutoencoder(4, conditional=True, **QUICK).fit(*digits)


def test_samples_are_of_the_class_that_is_asked_for(model, digits):
    probe = LogisticRegression(max_iter=1000).fit(*digits)
    wanted = np.repeat(model.classes_, 50)
    samples = model.sample(200, y=wanted, random_state=0)
    assert np.mean(probe.predict(samples) == wanted) > 0.9
    same = model.sample(50, y="two", random_state=0)
    assert np.mean(probe.predict(same) == "two") > 0.9


def test_samples_without_a_label_are_of_all_classes_as_often_as_the_rows(digits):
    X, y = digits
    kept = (y != "one") | (np.arange(len(y)) % 8 == 0)
    model = VariationalAutoencoder(4, conditional=True, **{**QUICK, "max_epochs": 0})
    model.fit(X[kept], y[kept])
    shares = model.model_.shares.numpy()
    expected = [np.mean(y[kept] == label) for label in model.classes_]
    np.testing.assert_allclose(shares, expected, rtol=1e-6)


def test_samples_come_with_the_labels_that_they_were_drawn_for(model):
    samples, labels = model.sample(40, return_labels=True, random_state=3)
    assert set(labels) <= set(model.classes_)
    assert len(set(labels)) > 1
    np.testing.assert_array_equal(samples, model.sample(40, y=labels, random_state=3))
    np.testing.assert_array_equal(samples, model.sample(40, random_state=3))
    _, same = model.sample(3, y="two", return_labels=True)
    assert same.tolist() == ["two"] * 3
    same[:] = "one"  # they are the caller's own


def test_models_without_labels_have_none_to_return(digits):
    plain = VariationalAutoencoder(4, **{**QUICK, "max_epochs": 0}).fit(digits[0])
    with pytest.raises(
        ParameterError,
        match=r"^return_labels=True needs a model of labels, and this one was fitted without: "
        r"leave it out, or fit a VariationalAutoencoder\(conditional=True\)\.$",
    ):
        plain.sample(3, return_labels=True)


def test_one_class_is_too_few(digits):
    with pytest.raises(
        DataError,
        match=r"^y has one class \(a\), and VariationalAutoencoder\(conditional=True\) needs two "
        r"at the least: label rows of another\.$",
    ):
        VariationalAutoencoder(2, conditional=True, **QUICK).fit(digits[0][:20], ["a"] * 20)


def test_report_says_that_the_code_need_not_hold_the_label(model, digits, tmp_path):
    sentence = "its decoder is told the label, which the code need not hold"
    assert sentence in str(report(model, *digits, tmp_path / "page.html").verdict)


def test_rows_are_rebuilt_under_the_label_that_is_likeliest(model, digits):
    """Brute force: decode the code of each row under every label, and keep the likeliest."""
    X, y = digits[0][:30], digits[1][:30]
    codes = model.transform(X)
    under = np.stack([model.inverse_transform(codes, label) for label in model.classes_])
    variance = float(model.model_.spread.values * model.model_.scaling.scale**2)
    shares = np.log(model.model_.shares.numpy())[:, None]
    best = (shares - np.square(under - X).sum(2) / (2 * variance)).argmax(0)
    np.testing.assert_allclose(model.reconstruct(X), under[best, np.arange(30)], atol=1e-6)
    assert np.mean(model.classes_[best] == y) > 0.9


def test_log_likelihood_is_that_of_the_mixture_over_labels(model, digits):
    X = digits[0][:4]
    network = model.model_
    x = network.scaling(torch.from_numpy(X).double())
    z = network.code_of(x)
    each = network.nats_by_label(z, x)
    for number, label in enumerate(np.eye(4)):
        told = torch.cat([z, torch.from_numpy(label).expand(4, -1)], 1)
        nats = network.parts.likelihood.nll(network.decoder(told), x, network.spread)
        torch.testing.assert_close(each[:, number], nats)
    expected = torch.log((network.shares * torch.exp(-each)).sum(1))
    torch.testing.assert_close(-network.nats(z, x), expected, rtol=1e-8, atol=1e-8)


def test_code_leaves_to_the_label_what_the_label_says(model, digits):
    """The same network without labels has to put the class into its code."""
    X, y = digits
    plain = VariationalAutoencoder(4, **QUICK).fit(X)
    scores = [
        LogisticRegression(max_iter=1000)
        .fit(fit.transform(X)[::2], y[::2])
        .score(fit.transform(X)[1::2], y[1::2])
        for fit in (model, plain)
    ]
    assert scores[0] < scores[1] - 0.1


def test_labels_are_saved(model, tmp_path):
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.classes_.tolist() == model.classes_.tolist()
    first, second = (m.sample(6, y="one", random_state=1) for m in (model, again))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("dtype", [np.int8, np.float32, object, np.dtypes.StringDType()])
def test_labels_are_of_the_same_type_when_they_are_loaded(dtype, digits, tmp_path):
    pictures, words = digits
    words = words if dtype is object else (words == "one").astype(int).astype(str)
    labels = words.astype(dtype)
    model = VariationalAutoencoder(2, conditional=True, max_epochs=1, random_state=0)
    model.fit(pictures, labels).save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.classes_.dtype == model.classes_.dtype
    _, drawn = again.sample(5, return_labels=True, random_state=0)
    _, wanted = model.sample(5, return_labels=True, random_state=0)
    assert drawn.dtype == wanted.dtype
    assert drawn.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("column", "name"),
    [(pl.Series, None), (lambda y: pl.Series("kind", y), "kind"), (np.array, None),
     (lambda y: pl.DataFrame({"kind": y}), "kind")],
)  # fmt: skip
def test_name_of_the_labels_is_kept_until_a_fit_without_them(digits, column, name):
    X, y = digits[0][:40], digits[1][:40].tolist()
    model = VariationalAutoencoder(2, conditional=True, max_epochs=0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataConversionWarning)
        model.fit(X, column(y))
    assert (model.label_name_ or None) == name
    model.set_params(conditional=False).fit(X)
    assert not hasattr(model, "label_name_")


def test_ways_between_samples_take_a_label(model, digits):
    X = digits[0]
    assert model.interpolate(X[0], X[1], 5, y="two").shape == (5, 64)
    assert model.traverse(X[0], 1, y="two").shape == (9, 64)


def test_network_of_convolutions_is_told_labels_too(digits):
    X, y = digits
    options = {**QUICK, "max_epochs": 1}
    network = "conv(channels=(4,))"
    model = VariationalAutoencoder(3, conditional=True, network=network, **options)
    model.fit(X[:60].reshape(-1, 8, 8), y[:60])
    assert model.sample(2, y="zero").shape == (2, 8, 8)


def test_report_is_written(model, digits, tmp_path):
    report(model, *digits, path=tmp_path / "report.html")


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda m, X, y: m.inverse_transform(m.transform(X)), ParameterError, "give y, one of"),
        (lambda m, X, y: m.sample(2, y="ten"), DataError, "y has 'ten', and the model knows"),
        (lambda m, X, y: m.sample(2, y=["one"] * 3), DataError, r"y has the shape \(3,\)"),
        (lambda m, X, y: m.fit(X), DataError, "requires y to be passed"),
        (lambda m, X, y: m.fit(X, y[:-1]), DataError, "give one label for each row"),
        (lambda m, X, y: m.fit(X, y, validation=X), ParameterError, "validation has none"),
        (lambda m, X, y: m.partial_fit(X, y), ParameterError, r"call fit\(X, y\)"),
        (
            lambda m, X, y: m.fit(X, np.where(y == "one", None, y)),
            DataError,
            "y has no label for",
        ),
        (
            lambda m, X, y: Autoencoder(2, max_epochs=0).fit(X).sample(2, y=1),
            ParameterError,
            "the model was fitted without labels",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(model, digits, call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(copy.deepcopy(model), *digits)


@pytest.mark.parametrize("rows", [None, 3.0, pl.DataFrame({"a": [1.0, 2.0]}).lazy()])
def test_what_has_no_rows_is_refused_before_its_labels(rows):
    with pytest.raises(DataError, match=r"^X is (a LazyFrame|None|a float), "):
        VariationalAutoencoder(2, conditional=True).fit(rows, [0, 1])


def test_a_refit_that_is_refused_leaves_the_labels(digits):
    model = VariationalAutoencoder(2, conditional=True, max_epochs=1, random_state=0).fit(*digits)
    with pytest.raises(DataError):
        model.set_params(conditional=False).fit(np.full((4, 64), np.nan))
    assert model.sample(2, y="one", random_state=0).shape == (2, 64)


def test_chain_of_noise_is_told_the_label(digits):
    noisy = VariationalAutoencoder(
        4, conditional=True, corruption="gaussian(std=0.1)", **{**QUICK, "max_epochs": 2}
    ).fit(*digits)
    samples = noisy.sample(6, method="walkback", n_steps=3, y="two", random_state=0)
    assert samples.shape == (6, digits[0].shape[1])


def test_fit_that_fails_leaves_the_model_its_classes(digits):
    X, y = digits
    given = VariationalAutoencoder(4, conditional=True, **{**QUICK, "max_epochs": 1}).fit(X, y)
    with pytest.raises(DataError):
        given.fit(np.full_like(X, np.nan), np.char.add(y, "!"))
    assert given.sample(y="two").shape == (1, X.shape[1])
