"""Classifiers: whether the two can be told apart, and whether every class is there.

Shapes: n real samples, m generated ones, C classes.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.errors import ParameterError
from isthmus.evaluation.generation.samples import Floats, rows_of
from isthmus.evaluation.metrics import last_step_serves


class TwoSampleTest(NamedTuple):
    """How well a classifier tells real from generated samples."""

    accuracy: float  # 0.5 is best: nothing tells them apart; 1 is worst
    p_value: float  # chance of so high an accuracy if both came from one distribution
    n_samples: int  # that were judged, half of them real


def two_sample_test(
    X: npt.ArrayLike,
    G: npt.ArrayLike,
    *,
    classifier: Any = None,
    n_folds: int = 2,
    seed: int = 0,
) -> TwoSampleTest:
    """Return how well a classifier tells real from generated samples that it did not see.

    0.5 is best. Any trace gives a generator away: where real values are rounded or never negative,
    round and clip the generated ones alike. Copies of real samples may pass; see `authenticity`. Of
    the larger side a part is drawn, for even chances.

    The p-value is the least of the folds' binomial ones times their number. Folds share the samples
    that teach, and one binomial p-value of all answers would be too low.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Real samples, best such as the generator was not fitted to.
    G : array-like of shape (m, ...)
        Generated ones.
    classifier : scikit-learn classifier, optional
        By default gradient-boosted trees, which see more than means and ask for no scaling, but
        see nothing in fewer than a hundred samples.
    n_folds : int
        From 2, as in the paper: one half of the samples teaches, the other is judged.
    seed : int
        Of folds, of the default's trees, and of what is drawn.

    Raises
    ------
    DataError
        As `precision_recall`; and if either has fewer samples than there are folds.
    ParameterError
        If `n_folds` is no whole number from 2.

    References
    ----------
    Lopez-Paz, D. & Oquab, M. (2017). Revisiting classifier two-sample tests.
    """
    from scipy.stats import binomtest
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    from isthmus.estimators.inputs import check_count

    check_count("n_folds", n_folds, 2)
    sides, rng = rows_of(n_folds, X=X, G=G), np.random.default_rng(seed)
    n = min(map(len, sides))
    rows = np.concatenate([rng.choice(side, n, replace=False) for side in sides])
    real = np.repeat([True, False], n)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    judge = HistGradientBoostingClassifier(random_state=seed) if classifier is None else classifier
    right = cross_val_predict(judge, rows, real, cv=folds) == real
    chances = [
        binomtest(int(right[test].sum()), len(test), alternative="greater").pvalue
        for _, test in folds.split(rows, real)
    ]
    return TwoSampleTest(float(right.mean()), min(1.0, n_folds * float(min(chances))), len(rows))


class ClassCoverage(NamedTuple):
    """What classes generated samples are of, by a classifier fitted to real ones."""

    classes: npt.NDArray[Any]  # (C,)
    shares: Floats  # (C,) of the generated samples
    real_shares: Floats  # (C,)
    entropy: float  # of `shares`, nats; log C where all classes are alike, 0 of a single one
    divergence: float  # KL from `shares` to `real_shares`, nats; 0 is best
    confidence: float  # mean chance of the class that is said, from 1/C to 1


def class_coverage(
    X: npt.ArrayLike, y: npt.ArrayLike, G: npt.ArrayLike, *, classifier: Any = None
) -> ClassCoverage:
    """Return what classes the generated samples are of, and how sure a classifier is of them.

    ``divergence = sum_c s_c log(s_c / t_c)``, s and t the shares among generated and real samples.
    The classifier errs, too: held-out real samples in place of `G` show what is usual.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Real samples.
    y : array-like of shape (n,)
        Their classes; -1, None or NaN where a sample has none, and is left out.
    G : array-like of shape (m, ...)
        Generated samples.
    classifier : scikit-learn classifier, optional
        One with `predict_proba`; by default logistic regression on standardised columns.

    Raises
    ------
    DataError
        As `precision_recall`; and if there is not one label for each real sample, or one class
        alone.
    ParameterError
        If the classifier has no `predict_proba`.
    """
    from scipy.special import entr, rel_entr
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from isthmus.estimators.labels import check_labels

    real, made = rows_of(X=X, G=G)
    classes, codes = check_labels(y, len(real), "class_coverage")
    real, codes = real[codes >= 0], codes[codes >= 0]
    if classifier is None:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    elif not hasattr(classifier, "predict_proba"):
        raise ParameterError(
            f"classifier {classifier!r} has no predict_proba: give one that says how sure it is, "
            f"such as LogisticRegression()."
        )
    with last_step_serves():
        chances = clone(classifier).fit(real, codes).predict_proba(made)
    shares, real_shares = (
        np.bincount(each, minlength=len(classes)) / len(each)
        for each in (chances.argmax(axis=1), codes)
    )
    return ClassCoverage(
        classes=classes,
        shares=shares,
        real_shares=real_shares,
        entropy=float(entr(shares).sum()),
        divergence=float(rel_entr(shares, real_shares).sum()),
        confidence=float(chances.max(axis=1).mean()),
    )
