"""scikit-learn's own checks, for every estimator, none skipped or expected to fail."""

import inspect
import re
from collections.abc import Iterator
from unittest import SkipTest

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils.estimator_checks import (
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    parametrize_with_checks,
)

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    GaussianRBM,
    OutlierDetector,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
)
from isthmus.errors import UnknownParameterError

X = np.random.default_rng(0).normal(size=(60, 5))
# Few epochs: the checks ask for behaviour, not for quality.
ESTIMATORS = [
    Autoencoder(max_epochs=3),
    DenoisingAutoencoder(max_epochs=3),
    SparseAutoencoder(max_epochs=3),
    SparseAutoencoder(max_epochs=3, sparsity="batch_topk(k=1)"),
    ContractiveAutoencoder(max_epochs=3),
    StackedAutoencoder(2, hidden=(8,), max_epochs=3, pretraining="autoencoder(n_epochs=2)"),
    StackedAutoencoder(2, hidden=(8,), max_epochs=3, pretraining="rbm(n_epochs=2)"),
    OutlierDetector(max_epochs=3),
    AutoencoderClassifier(Autoencoder(2, hidden=(8,), max_epochs=2), max_epochs=30),
    AutoencoderClassifier(Autoencoder(2, hidden=(8,), max_epochs=2), fine_tune=False),
    AutoencoderClassifier(GaussianRBM(8, n_iter=3), max_epochs=30),
    # The checks' rows are far outside 0 to 1.
    BernoulliRBM(8, n_iter=3, scaling="range"),
    GaussianRBM(8, n_iter=3),
    GaussianRBM(8, n_iter=3, hidden="gaussian"),
    GaussianRBM(8, n_iter=3, hidden="rectified"),
]


@pytest.mark.parametrize("kind", sorted({type(each) for each in ESTIMATORS}, key=str))
def test_help_shows_plain_signatures(kind: type) -> None:
    shown = str(inspect.signature(kind))
    assert len(shown) < 1500
    # scikit-learn writes the methods that request metadata, in its own style.
    public = [
        name
        for name in vars(kind) | vars(kind.__mro__[1])
        if not name.startswith("_") and not name.endswith("_request")
    ]
    methods = [getattr(kind, name) for name in public if callable(getattr(kind, name))]
    signatures = [shown, *(str(inspect.signature(method)) for method in methods)]
    assert not re.search("Annotated|FieldInfo|numpy", " ".join(signatures))
    assert max(map(len, signatures[1:])) < 300


@pytest.mark.parametrize("kind", sorted({type(each) for each in ESTIMATORS}, key=str))
def test_constructor_guesses_which_parameter_was_meant(kind: type) -> None:
    names = [*inspect.signature(kind).parameters]
    said = (
        f"{kind.__name__} has no parameter 'batch_sise'; did you mean 'batch_size'? (it has "
        f"{', '.join(names)})."
    )
    with pytest.raises(UnknownParameterError, match=f"^{re.escape(said)}$"):
        kind(batch_sise=3)
    assert issubclass(UnknownParameterError, TypeError)


@pytest.fixture
def doubles() -> Iterator[None]:
    """Let torch make what is not said otherwise in float64, as some users do."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, VariationalAutoencoder(2)], ids=str)
def test_fit_is_the_same_whatever_torch_makes_by_default(
    estimator: BaseEstimator, doubles: None
) -> None:
    y = (X[:, 0] > 0).astype(int)
    few = {"n_iter" if hasattr(estimator, "n_iter") else "max_epochs": 2, "random_state": 0}
    codes = clone(estimator).set_params(**few).fit(X, y).transform(X)
    torch.set_default_dtype(torch.float32)
    with torch.inference_mode():
        again = clone(estimator).set_params(**few).fit(X, y).transform(X)
    np.testing.assert_array_equal(codes, again)


@parametrize_with_checks(ESTIMATORS)
def test_estimator_keeps_the_contract(estimator: BaseEstimator, check) -> None:
    try:
        check(estimator)
    except SkipTest as skipped:  # a skipped check proves nothing
        pytest.fail(f"skipped: {skipped}")


@pytest.mark.filterwarnings(
    "ignore:X (does not have valid|has) feature names"
)  # given by the checks
@pytest.mark.parametrize(
    "check",
    [
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_set_output_transform_polars,
        check_global_output_transform_pandas,
        check_global_set_output_transform_polars,
    ],
)
@pytest.mark.parametrize("estimator", [*ESTIMATORS, VariationalAutoencoder(2)], ids=str)
def test_transform_answers_with_frames_where_it_is_asked_to(
    estimator: BaseEstimator, check
) -> None:
    few = clone(estimator).set_params(
        **{"n_iter" if hasattr(estimator, "n_iter") else "max_epochs": 1}
    )
    check(type(estimator).__name__, few)
