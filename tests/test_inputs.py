"""What goes into an estimator: bad rows and parameters in one sentence, good rows of any type."""

import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder, BernoulliRBM, DenoisingAutoencoder, SparseAutoencoder
from isthmus.data import rows
from isthmus.errors import DataError, ParameterError
from isthmus.parts import Dense

X = np.random.default_rng(0).normal(size=(40, 4))
COLUMNS = ["age", "height", "colour", "weight"]
FILL = "fill such values in (sklearn.impute.SimpleImputer) or drop these rows."
CORRECT = "correct such values or drop these rows."
ENCODE = "drop that column, or encode it as numbers (sklearn.preprocessing.OneHotEncoder)."


def model(**parameters):
    return Autoencoder(**{"hidden": (4,), "max_epochs": 2, "random_state": 0, **parameters})


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def with_value(value, row=3, column=1):
    rows = X.copy()
    rows[row, column] = value
    return rows


def with_text(text="red"):
    return pd.DataFrame(X, columns=COLUMNS).assign(colour=text)


@pytest.fixture(scope="module")
def fitted():
    return model().fit(X)


# Bad rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "called"),
    [(np.nan, "NaN"), (np.inf, "infinity (inf)"), (-np.inf, "infinity (inf)")],
)
@pytest.mark.parametrize(
    ("wrap", "column"),
    [
        (np.asarray, "1"),
        (np.float32, "1"),
        (np.asfortranarray, "1"),
        (torch.from_numpy, "1"),
        (lambda rows: pd.DataFrame(rows, columns=COLUMNS), "'height'"),
        (lambda rows: pl.DataFrame(rows, schema=COLUMNS), "'height'"),
    ],
    ids=["float64", "float32", "fortran", "torch", "pandas", "polars"],
)
def test_value_that_is_not_finite_is_refused_with_its_place(value, called, wrap, column):
    advice = FILL if called == "NaN" else CORRECT
    sentence = exactly(f"X has {called} at row 3, column {column}: {advice}")
    with pytest.raises(DataError, match=sentence):
        model().fit(wrap(with_value(value)))


def test_values_that_are_not_finite_are_counted_with_their_columns(monkeypatch):
    monkeypatch.setattr(rows, "CHUNK_BYTES", 8 * 4 * 7)  # seven rows
    table = pd.DataFrame(X, columns=COLUMNS)
    table.loc[[3, 5, 38], "height"] = np.nan
    said = "X has NaN at row 3, column 'height' (the first of"
    with pytest.raises(
        DataError, match=exactly(f"{said} 3 such cells, all in that column): {FILL}")
    ):
        model().fit(table)
    table.loc[20, "age"] = np.inf
    columns = "in columns 'age' and 'height'"
    with pytest.raises(DataError, match=exactly(f"{said} 4 such cells, {columns}): {FILL}")):
        model().fit(table)
    with pytest.raises(
        DataError, match="the first of 7 such cells, in columns 0, 1, 2 and 4 others"
    ):
        model().fit(np.where(np.eye(7), np.nan, 1.0))


def test_column_that_holds_nothing_is_to_be_dropped():
    table = pd.DataFrame(X, columns=COLUMNS)
    table["age"] = np.nan
    text = f"'age' (the first of {len(X)} such cells, all in that column): drop that column, which"
    with pytest.raises(
        DataError, match=exactly(f"X has NaN at row 0, column {text} holds nothing else.")
    ):
        model().fit(table)


def test_missing_value_of_polars_is_refused_with_its_column():
    table = pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, None, 2.0]})
    with pytest.raises(DataError, match=exactly(f"X has NaN at row 1, column 'b': {FILL}")):
        model().fit(table)


def test_value_that_is_not_finite_is_refused_at_transform_too(fitted):
    with pytest.raises(DataError, match=exactly(f"X has NaN at row 39, column 3: {FILL}")):
        fitted.transform(with_value(np.nan, 39, 3))


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        (with_text(), "'colour'"),
        pytest.param(
            pl.DataFrame({"age": [1.0] * 3, "colour": ["red"] * 3}),
            "'colour'",
        ),
        (with_text().to_numpy(dtype=object), "2"),
    ],
    ids=["pandas", "polars", "object"],
)
def test_text_is_refused_with_its_column(rows, column):
    sentence = exactly(f"X has text at row 0, column {column} ('red'): {ENCODE}")
    with pytest.raises(DataError, match=sentence):
        model().fit(rows)


@pytest.mark.parametrize(
    "column", [pd.Categorical(["red"] * 40), pd.Timestamp("2020-01-01")], ids=["category", "time"]
)
def test_column_that_is_not_numbers_is_refused_in_our_words(column):
    with pytest.raises(DataError, match="column 'colour'"):
        model().fit(with_text(column))


RAGGED = [
    [np.zeros((2, 2)), np.zeros((2, 3))],
    [[1, 2], [3]],
    [[1, 2], 3],
    np.array([[1, 2], [3]], dtype=object),
]


@pytest.mark.parametrize("rows", RAGGED, ids=["arrays", "lists", "number", "objects"])
@pytest.mark.parametrize("name", ["X", "target", "Z"])
def test_rows_of_different_lengths_are_refused(fitted, rows, name):
    sentence = (
        f"{name} has rows of different lengths, or a list where a number belongs: give every row "
        f"the same number of numbers."
    )
    calls = {
        "X": lambda: model().fit(rows),
        "target": lambda: model().fit(X, target=rows),
        "Z": lambda: fitted.inverse_transform(rows),
    }
    if isinstance(rows[0], np.ndarray) and name != "Z":
        sentence = (
            f"{name} has samples of different shapes, (2, 2) and (2, 3): give samples of one shape."
        )
    with pytest.raises(DataError, match=exactly(sentence)):
        calls[name]()


@pytest.mark.parametrize(("width", "call"), [(3, "transform"), (5, "reconstruct"), (3, "score")])
def test_wrong_width_is_refused_in_the_words_of_sklearn(fitted, width, call):
    sentence = f"X has {width} features, but Autoencoder is expecting 4 features as input."
    with pytest.raises(ValueError, match=exactly(sentence)):
        getattr(fitted, call)(np.zeros((3, width)))


@pytest.mark.parametrize("n_rows", [0, 1])
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_too_few_rows_are_refused_by_fit(n_rows, fit):
    sentence = f"X has {n_rows} sample(s), and Autoencoder needs at least 2: give it more rows."
    with pytest.raises(DataError, match=exactly(sentence)):
        getattr(model(), fit)(X[:n_rows])


def test_no_rows_are_refused_by_transform(fitted):
    sentence = "X has 0 sample(s), and Autoencoder needs at least 1: give it more rows."
    with pytest.raises(DataError, match=exactly(sentence)):
        fitted.transform(X[:0])


def test_one_row_is_refused_in_a_list_too():
    with pytest.raises(DataError, match="needs at least 2"):
        model().fit(X[:1].tolist())


def test_row_for_partial_fit_may_be_alone_once_begun(fitted):
    begun = model().partial_fit(X)
    assert np.isfinite(begun.partial_fit(X[:1]).transform(X)).all()


@pytest.mark.parametrize("n_rows", [2, 3, 5, 40])
@pytest.mark.parametrize("size", [2, 3, "auto"])
def test_batch_statistics_are_never_those_of_one_row(n_rows, size):
    estimator = model(hidden=None, network="dense(hidden=(4,), norm=batch)", batch_size=size)
    assert np.isfinite(estimator.fit(X[:n_rows]).transform(X)).all()


@pytest.mark.parametrize(
    ("size", "call"),
    [
        (1, lambda estimator: estimator.fit(X)),
        (1, lambda estimator: estimator.partial_fit(X)),
        ("auto", lambda estimator: estimator.partial_fit(X).partial_fit(X[:1])),
    ],
)
def test_batch_statistics_of_one_row_are_refused(size, call):
    network = "dense(hidden=(4,), norm='batch')"
    sentence = (
        f"network {network!r} mixes the rows of a batch, and the batch has one: raise batch_size, "
        f"give more rows, or write norm='layer'."
    )
    with pytest.raises(ParameterError, match=exactly(sentence)):
        call(model(hidden=None, network=network, batch_size=size))


def test_values_outside_zero_to_one_are_refused_by_bernoulli():
    rows = np.clip(np.abs(X), 0.25, 1)
    rows[0, 0], rows[1, 1] = -0.5, 254
    sentence = (
        "X runs from -0.5 to 254, and likelihood 'bernoulli' needs values from 0 to 1: rescale X "
        "(pixels: divide by 255), or use likelihood='normal'."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        model(likelihood="bernoulli").fit(rows)


def test_values_outside_zero_to_one_are_not_scored_by_bernoulli():
    rows = np.clip(np.abs(X), 0, 1)
    estimator = model(likelihood="bernoulli").fit(rows)
    sentence = (
        f"X runs from {255 * rows.min():g} to 255, and likelihood 'bernoulli' needs values from 0 "
        f"to 1: rescale X (pixels: divide by 255), or use likelihood='normal'."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        estimator.score_samples(255 * rows)


def test_codes_of_another_width_are_refused(fitted):
    sentence = "Z has 5 columns, and the code has n_components=2: give it what transform returned."
    with pytest.raises(DataError, match=exactly(sentence)):
        fitted.inverse_transform(np.zeros((3, 5)))


def test_codes_that_are_not_finite_are_refused_with_their_place(fitted):
    with pytest.raises(DataError, match=r"^Z has NaN at row 1, column 0: "):
        fitted.inverse_transform([[0, 0], [np.nan, 0]])


def test_target_of_other_length_is_refused():
    sentence = (
        "target has 3 rows and X has 40: give one clean row for each noisy one, in the same order."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        model().fit(X, target=X[:3])


def test_rows_to_stop_by_are_pairs_where_the_training_rows_are():
    sentence = "validation has no clean rows, and X has target: give validation=(noisy, clean)."
    with pytest.raises(DataError, match=exactly(sentence)):
        model().fit(X, target=X, validation=X)


def test_pairs_to_stop_by_of_other_lengths_are_refused():
    sentence = (
        "validation[1] has 3 rows and validation[0] has 40: give one clean row for each noisy "
        "one, in the same order."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        model().fit(X, validation=(X, X[:3]))


@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("target", lambda table: {"target": table}),
        ("validation", lambda table: {"validation": table}),
        ("validation[0]", lambda table: {"validation": (table, X)}),
        ("validation[1]", lambda table: {"validation": (X, table)}),
    ],
)
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_further_rows_have_the_columns_of_the_first_in_their_order(name, wrapped, library):
    def frame(rows, columns):
        return library.DataFrame(dict(zip(columns, rows.T, strict=True)))

    sentence = (
        f"{name} has the column 'weight' where X has 'age': give the same columns in the same "
        f"order."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        model().fit(frame(X, COLUMNS), **wrapped(frame(X[:, ::-1], COLUMNS[::-1])))
    assert model().fit(frame(X, COLUMNS), **wrapped(frame(X, COLUMNS))).n_iter_ >= 0


def test_bad_value_in_target_is_named_so():
    with pytest.raises(DataError, match=exactly(f"target has NaN at row 3, column 1: {FILL}")):
        model().fit(X, target=with_value(np.nan))


@pytest.mark.parametrize("name", ["target", "validation"])
def test_wrong_width_names_the_argument(name):
    with pytest.raises(ValueError, match=f"^{name} has 3"):
        model().fit(X, **{name: X[:, :3]})


@pytest.mark.parametrize(
    "call",
    [
        "transform",
        "inverse_transform",
        "reconstruct",
        "reconstruction_error",
        "score_samples",
        "score",
        "diagnose",
        "save",
    ],
)
def test_unfitted_model_says_so(call):
    sentence = (
        "This Autoencoder instance is not fitted yet. Call 'fit' with appropriate arguments "
        "before using this estimator."
    )
    with pytest.raises(NotFittedError, match=exactly(sentence)):
        getattr(model(), call)(X)


# Bad parameters ---------------------------------------------------------------------------

OPTIMIZERS = (
    "sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamw, adamax, nadam, radam, "
    "lbfgs, muon"
)
REFUSED = [
    (
        {"n_components": 0},
        "n_components=0 of Autoencoder: n_components should be a whole number from 1, or a share "
        "of the variance below 1.",
    ),
    (
        {"n_components": 1.5},
        "n_components=1.5 of Autoencoder: n_components should be a whole number from 1, or a share "
        "of the variance below 1.",
    ),
    (
        {"n_components": 5},
        "n_components=5 is more than the 4 feature(s) of X, and nothing keeps a code that wide "
        "from copying its input: lower it to at most 4, or add a corruption such as "
        "'gaussian(std=0.1)'.",
    ),
    (
        {"optimizer": "adan"},
        f"optimizer='adan' is unknown; did you mean 'adam'? (known: {OPTIMIZERS}).",
    ),
    (
        {"corruption": "gausian"},
        "corruption='gausian' is unknown; did you mean 'gaussian'? "
        "(known: clean, gaussian, masking, salt_and_pepper).",
    ),
    (
        {"likelihood": "bernouli"},
        "likelihood='bernouli' is unknown; did you mean 'bernoulli'? "
        "(known: normal, laplace, bernoulli).",
    ),
    (
        {"activation": "rellu"},
        "activation of network 'dense' should be 'relu', 'leaky_relu', 'elu', 'gelu', 'silu', "
        "'softplus', 'tanh', 'sigmoid' or 'identity'; got 'rellu' (did you mean 'relu'?).",
    ),
    (
        {"learning_rate": -1},
        "learning_rate=-1 of Autoencoder: learning_rate should be greater than 0 or should be "
        "'auto'.",
    ),
    (
        {"learning_rate": "fast"},
        "learning_rate='fast' of Autoencoder: learning_rate should be a number or should be "
        "'auto'.",
    ),
    (
        {"scaling": "standart"},
        "scaling='standart' of Autoencoder: scaling should be 'isotropic', 'standard' or 'none' "
        "(did you mean 'standard'?).",
    ),
    (
        {"device": "cuuda"},
        "device='cuuda' is not there: write 'cpu', or 'auto' for the best one present.",
    ),
    (
        {"random_state": -1},
        "random_state=-1 is no seed: write a whole number from 0, or None.",
    ),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED, ids=[str(g) for g, _ in REFUSED])
def test_parameter_is_refused_in_one_sentence(given, sentence):
    known_to_others = {"corruption", "optimizer", "likelihood", "activation"}
    if given.keys() & known_to_others:  # new parts lengthen the list of the known ones
        sentence = sentence.partition(" (known:")[0]
        pattern = f"^{re.escape(sentence)}( \\(known: [a-z0-9_, ]+\\)\\.)?$"
    else:
        pattern = exactly(sentence)
    estimator = model(**given)
    with pytest.raises(ParameterError, match=pattern):
        estimator.fit(X)
    assert not hasattr(estimator, "model_")


def test_scaling_guesses_the_typo():
    with pytest.raises(ParameterError, match="did you mean 'standard'"):
        model(scaling="standart").fit(X)


def test_random_state_that_is_no_seed_is_refused():
    sentence = "random_state='x' is no seed: write a whole number from 0, or None."
    with pytest.raises(ParameterError, match=exactly(sentence)):
        model(random_state="x").fit(X)


@pytest.mark.parametrize("given", ["2", True])
def test_width_of_a_wrong_type_is_a_parameter_error(given):
    with pytest.raises(ParameterError, match=r"^n_components="):
        model(n_components=given).fit(X)


def test_code_may_be_wider_where_something_prevents_copying():
    wide = model(n_components=5, corruption="gaussian(std=0.1)").fit(X)
    assert wide.transform(X).shape == (40, 5)
    with pytest.raises(ParameterError, match=r"^n_components=5 is more than"):
        model(n_components=5, corruption="gaussian(std=0)").fit(X)


# Good rows --------------------------------------------------------------------------------

WHOLE = np.random.default_rng(1).integers(0, 120, size=(60, 4))  # every type below holds them


@pytest.fixture(scope="module")
def of_whole():
    return model().fit(WHOLE.astype(np.float64))


def memmap(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows.astype(np.float64))
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


def read_only(rows):
    rows = rows.astype(np.float64)
    rows.flags.writeable = False
    return rows


KINDS = {
    "float16": np.float16,
    "float32": np.float32,
    "longdouble": np.longdouble,
    "int8": np.int8,
    "uint8": np.uint8,
    "int64": np.int64,
    "big endian": lambda rows: rows.astype(">f8"),
    "object": lambda rows: rows.astype(object),
    "list": lambda rows: rows.tolist(),
    "read-only": read_only,
    "fortran": lambda rows: np.asfortranarray(rows.astype(np.float64)),
    "strided": lambda rows: np.repeat(rows.astype(np.float64), 2, axis=0)[::2],
    "pandas": lambda rows: pd.DataFrame(rows, columns=COLUMNS),
    "polars": lambda rows: pl.DataFrame(rows, schema=COLUMNS),
    "torch float64": lambda rows: torch.from_numpy(rows.astype(np.float64)),
    "torch float32": lambda rows: torch.from_numpy(rows.astype(np.float32)),
    "torch with gradient": lambda rows: torch.tensor(rows, dtype=torch.double, requires_grad=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_type_give_the_same_codes(kind, of_whole):
    rows = KINDS[kind](WHOLE)
    codes = model().fit(rows).transform(rows)
    # The scaling of kept types happens in float32, batch by batch, while training.
    tight = {"rtol": 1e-4, "atol": 1e-3}
    np.testing.assert_allclose(codes, of_whole.transform(WHOLE.astype(np.float64)), **tight)


@pytest.mark.filterwarnings("ignore:X (has feature names|does not have valid feature names)")
@pytest.mark.parametrize("kind", KINDS)
def test_one_model_gives_rows_of_any_type_the_same_codes(kind, of_whole):
    rows = KINDS[kind](WHOLE)
    codes = of_whole.transform(rows)
    rtol = 1e-6 if codes.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(codes, of_whole.transform(WHOLE.astype(np.float64)), rtol=rtol)


def test_memmap_gives_the_same_codes(tmp_path, of_whole):
    rows = memmap(WHOLE, tmp_path)
    expected = of_whole.transform(WHOLE.astype(np.float64))
    np.testing.assert_array_equal(model().fit(rows).transform(rows), expected)


def test_truth_values_are_zero_and_one():
    truth = X > 0
    as_floats = model().fit(truth.astype(np.float64)).transform(truth.astype(np.float64))
    codes = model().fit(truth).transform(truth)
    np.testing.assert_allclose(codes, as_floats, rtol=1e-4, atol=1e-5)
    assert codes.dtype == np.float64


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int64, np.float64),
        (np.longdouble, np.float64),
    ],
)
@pytest.mark.parametrize("call", ["transform", "reconstruct"])
def test_answer_has_the_precision_of_the_question(given, returned, call, of_whole):
    assert getattr(of_whole, call)(WHOLE.astype(given)).dtype == returned


@pytest.mark.parametrize("scaling", ["isotropic", "standard"])
def test_squares_of_large_float32_values_do_not_overflow(scaling):
    rows = (1e20 * X).astype(np.float32)
    estimator = model(scaling=scaling).fit(rows)
    rebuilt = estimator.reconstruct(rows)
    assert rebuilt.dtype == np.float32
    errors = np.square(rows.astype(np.float64) - rebuilt)
    np.testing.assert_allclose(estimator.reconstruction_error(rows), errors.sum(1), rtol=1e-4)
    spread = np.square(rows.astype(np.float64) - estimator.mean_).sum()
    assert estimator.score(rows) == pytest.approx(1 - errors.sum() / spread, rel=1e-4)
    assert np.isfinite(estimator.score_samples(rows)).all()


@pytest.mark.parametrize("scaling", ["isotropic", "standard", "none"])
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_values_too_large_to_square_are_refused(scaling, call):
    rows = 1e200 * np.clip(X, -1, 1)
    rows[2, 1] = -3e200
    sentence = (
        "The values reach 3e+200, and their variance overflows: divide them by a large number "
        "first."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        getattr(model(scaling=scaling), call)(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("corruption", ["clean", "masking(fraction=0.5)"])
def test_rows_are_unchanged_by_a_fit(dtype, corruption):
    rows = WHOLE.astype(dtype)
    before = rows.copy()
    estimator = model(corruption=corruption, scaling="standard").fit(rows)
    estimator.partial_fit(rows).reconstruct(rows)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("scaling", ["isotropic", "standard", "none"])
@pytest.mark.parametrize("n_constant", [1, 4])
def test_constant_columns_give_finite_results(scaling, n_constant):
    rows = X.copy()
    rows[:, :n_constant] = 7.0
    fitted = model(scaling=scaling).fit(rows)
    assert np.isfinite(fitted.transform(rows)).all()
    assert np.isfinite(fitted.score_samples(rows)).all()
    back = fitted.reconstruct(rows)[:, :n_constant]
    if scaling != "none":
        np.testing.assert_allclose(back, 7.0, atol=0.05)
    assert np.isfinite(back).all()
    assert np.isfinite(fitted.score(rows))


LOST = "y has the shape of X and is ignored: if it holds clean rows, write fit(X, target=y)."


@pytest.mark.parametrize("method", ["fit", "fit_transform", "partial_fit"])
@pytest.mark.parametrize("make", [np.array, pd.DataFrame, torch.tensor])
@pytest.mark.parametrize("kind", [Autoencoder, DenoisingAutoencoder, SparseAutoencoder])
def test_clean_rows_given_as_y_are_not_lost_in_silence(kind, make, method):
    with pytest.warns(UserWarning, match=f"^{re.escape(LOST)}$"):
        getattr(kind(1, max_epochs=1, hidden=(3,)), method)(X, make(X))


@pytest.mark.parametrize("y", [X[:, 0], X[:, :1], None])
def test_labels_given_as_y_are_nothing_to_speak_of(y):
    assert model().fit(X, y).n_iter_ >= 0


# What is no table of real numbers ---------------------------------------------------------

TABLE = "an array or a frame of (rows, features)."
NO_TABLE = "and an array or a frame of (rows, features) is needed"
RESHAPE = (
    "and a table is needed: Reshape your data to (rows, features), with reshape(-1, 1) if it is "
    "one feature and reshape(1, -1) if it is one row."
)
LATER = "drop that column, or turn it into a number, such as days since a date."
NO_ROWS = {
    "one-dimensional": (X[0], f"X is of shape (4,), {RESHAPE}"),
    "scalar": (3.0, f"X is a float, {NO_TABLE}."),
    "text": (
        "rows.csv",
        f"X is a str, {NO_TABLE}: read the file first, as with numpy.load or pandas.read_csv.",
    ),
    "nothing": (None, f"X is None, {NO_TABLE}."),
    "dictionary": ({"a": [1, 2]}, f"X is a dict, {NO_TABLE}."),
    "sparse": (sp.csr_array(X), "X is sparse, and dense rows are needed: give X.toarray()."),
    "sparse tensor": (
        torch.from_numpy(X).to_sparse(),
        "X is sparse, and dense rows are needed: give X.to_dense().",
    ),
    "complex": (
        X + 1j,
        "Complex data not supported: X has complex numbers, so give their real and imaginary "
        "parts as two features.",
    ),
    "structured": (
        np.zeros((3, 2), [("a", "f8")]),
        "X cannot be taken as rows of numbers (its values are of type [('a', '<f8')]): "
        f"give {TABLE}",
    ),
    "matrix": (
        np.asmatrix(X),
        "X is a np.matrix, an outdated type: give np.asarray(X).",
    ),
    "dates": (
        pd.DataFrame({"day": [pd.Timestamp("2020-01-01")] * 3}),
        f"X has a date at row 0, column 'day' (datetime.datetime(2020, 1, 1, 0, 0)): {LATER}",
    ),
    "durations": (
        np.full((3, 2), np.timedelta64(5, "D")),
        f"X has a duration at row 0, column 0 (datetime.timedelta(days=5)): {LATER}",
    ),
    "too large": (
        [[1.0, 10**400], [2.0, 3.0]],
        "X has a number too large for float64 at row 0, column 1 "
        "(100000000000000000...0000000000000000000): drop that column, or divide it.",
    ),
    "columns of one name": (
        pd.DataFrame(X, columns=["a", "a", "b", "c"]),
        "X has several columns of one name: rename them, or give X.to_numpy().",
    ),
    "masked": (np.ma.masked_array(X, X[5, 2] == X), f"X has NaN at row 5, column 2: {FILL}"),
    "masked whole numbers": (
        np.ma.masked_array([[1, 2], [3, 4]], [[0, 0], [1, 0]]),
        f"X has NaN at row 1, column 0: {FILL}",
    ),
}


@pytest.mark.parametrize("kind", NO_ROWS)
def test_what_is_no_table_of_numbers_is_refused_in_one_sentence(kind):
    rows, sentence = NO_ROWS[kind]
    with pytest.raises(DataError, match=exactly(sentence)):
        model().fit(rows)


def test_mask_that_hides_nothing_changes_nothing(fitted):
    rows = np.ma.masked_array(X, np.zeros(X.shape, bool))
    np.testing.assert_array_equal(fitted.transform(rows), fitted.transform(X))


# Numbers at the ends of their range -------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-42, 1e-35, 1e35])
def test_unit_that_is_tiny_or_huge_changes_nothing(dtype, unit):
    rows = (unit * np.round(X * 2**8) / 2**8).astype(dtype)
    plain = rows.astype(np.float64) / unit
    codes = model().fit(plain).transform(plain)
    np.testing.assert_allclose(model().fit(rows).transform(rows), codes, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scaling", ["isotropic", "standard"])
def test_values_too_small_to_square_are_refused(scaling):
    rows = np.column_stack([X[:, 0] if scaling == "standard" else np.ones(40), 1e-200 * X[:, 1]])
    sentence = (
        "Feature 1 varies by less than 1e-154, and its variance underflows: multiply the values by "
        "a large number first."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        model(scaling=scaling).fit(rows)


def test_scaled_values_too_large_for_float32_are_refused():
    sentence = (
        "Scaled values are too large for float32, in which networks are trained: write "
        "scaling='isotropic', and leave rows out that are nothing like the others."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        model(scaling="none").fit(1e50 * X)


def test_range_that_overflows_is_refused_by_the_machine():
    rows = np.array([[-1e308, 0], [1e308, 1]])
    sentence = (
        "The values reach 1e+308, and their range overflows: divide them by a large number first."
    )
    with pytest.raises(DataError, match=exactly(sentence)):
        BernoulliRBM(2, scaling="range").fit(rows)


@pytest.mark.parametrize(
    ("rows", "call", "advice"),
    [
        (with_value(1e300), "reconstruction_error", "float64: leave it out."),
        (with_value(1e38).astype(np.float32), "transform", None),
        (3e38 * np.sign(X).astype(np.float32), "reconstruct", "float32: leave it out, or give "),
    ],
)
def test_answer_that_overflows_is_refused_with_its_row(fitted, rows, call, advice):
    if advice is None:
        assert np.isfinite(getattr(fitted, call)(rows)).all()
        return
    begins = r"^Row \d lies so far from the rows of fit that the answer is too large for "
    with pytest.raises(DataError, match=begins + re.escape(advice)):
        getattr(fitted, call)(rows)


def test_lazy_frame_is_asked_to_be_collected():
    lazy = pl.DataFrame(X, schema=COLUMNS).lazy()
    sentence = "X is a LazyFrame, which holds no rows yet: give X.collect()."
    with pytest.raises(DataError, match=exactly(sentence)):
        model().fit(lazy)
    assert model().fit(lazy.collect()).n_features_in_ == 4


def test_an_estimators_own_width_gives_way_to_the_networks():
    short = {"max_epochs": 1, "random_state": 0}
    fitted = SparseAutoencoder(3, network="dense(hidden=(256, 128), dropout=0.1)", **short).fit(X)
    assert fitted.model_.parts.network.hidden == (256, 128)
    fitted = SparseAutoencoder(3, network=Dense(hidden=(5,)), **short).fit(X)
    assert fitted.model_.parts.network.hidden == (5,)
    assert SparseAutoencoder(3, **short).fit(X).model_.parts.network.hidden == ()


def test_widths_that_are_given_twice_are_refused():
    sentence = (
        "hidden is given twice, by hidden=(5,) and by network='dense(hidden=(3,))': leave one of "
        "the two out."
    )
    with pytest.raises(ParameterError, match=exactly(sentence)):
        model(hidden=(5,), network="dense(hidden=(3,))").fit(X)
    with pytest.raises(ParameterError, match=r"^hidden is given twice, by hidden=\(5,\)"):
        model(hidden=(5,), network="dense(hidden=(256, 128))").fit(X)
    assert model(hidden=(5,), network="dense(tied=True)").fit(X).model_.parts.network.tied


DAYS = [datetime.datetime(2020, 1, 1) + datetime.timedelta(days=i) for i in range(30)]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pl.Series("q", DAYS), "a date"),
        (pl.Series("q", [day.date() for day in DAYS]), "a date"),
        (pl.Series("q", [day - DAYS[0] for day in DAYS]), "a duration"),
        (pl.Series("q", [day.time() for day in DAYS]), "time"),
        (pl.Series("q", [str(i) for i in range(30)]), "text"),
        (pl.Series("q", ["1"] * 30, dtype=pl.Categorical), "text"),
    ],
)
def test_columns_that_could_be_turned_into_numbers_are_refused(column, kind):
    frame = pl.DataFrame({"p": np.arange(30.0)}).with_columns(column)
    with pytest.raises(DataError, match=rf"^X has {kind} at row 0, column 'q' \("):
        Autoencoder(1).fit(frame)


def test_numbers_written_as_text_are_refused_in_arrays_and_in_pandas():
    numbers = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(DataError, match=r"^X has text at row 0, column 0 \("):
        Autoencoder(1).fit(numbers.astype(str))
    frame = pd.DataFrame(numbers, columns=["a", "b"])
    with pytest.raises(DataError, match=r"^X has text at row 0, column 'b' \("):
        Autoencoder(1).fit(frame.assign(b=frame.b.astype(str)))


def test_names_of_columns_that_are_not_all_text_are_told_so():
    frame = pd.DataFrame(np.zeros((30, 2)), columns=["a", 1])
    with pytest.raises(
        DataError, match=r"^X has columns whose names are not all text: write X\.col"
    ):
        Autoencoder(1).fit(frame)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, X: model.fit(X, X),
        lambda model, X: model.fit_transform(X, X),
        lambda model, X: make_pipeline(StandardScaler(), model).fit(X, X),
    ],
)
def test_warnings_point_at_the_line_that_called(call):
    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.warns(UserWarning, match="^y has the shape of X") as caught:
        call(Autoencoder(2, max_epochs=1), X)
    assert [each.filename for each in caught] == [__file__]


def test_text_is_found_in_whatever_row_of_a_frame_it_stands():
    table = pd.DataFrame({"a": np.arange(3000.0).astype(object), "b": np.arange(3000.0)})
    table.loc[2500, "a"] = "7"
    objects = pl.DataFrame({"a": pl.Series(table["a"].tolist(), dtype=pl.Object), "b": table["b"]})
    for frame in (table, objects):
        with pytest.raises(DataError, match=r"^X has text at row 2500, column 'a' \('7'\): "):
            Autoencoder(1).fit(frame)
