import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder, DenoisingAutoencoder
from isthmus.data.rows import fit_scaling, select
from isthmus.errors import TrainingWarning
from isthmus.fitting import fit as fitting
from isthmus.fitting.fit import (
    BEYOND_CHANCE,
    BEYOND_DOUBT,
    ENOUGH,
    FOLDED_BELOW,
    N_FOLDS,
    Task,
    beats,
    certainty,
    pool,
)
from isthmus.fitting.loop import train
from isthmus.fitting.model import Parts
from isthmus.fitting.observers import Held
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.plan import Plan
from isthmus.fitting.schedules import Schedule
from isthmus.fitting.streams import Streams
from isthmus.parts import Clean, Dense, Likelihood, Normal, Plain

D, K = 7, 2
MANY = FOLDED_BELOW + 200  # rows, of which one set is held out
SHORT = {"hidden": (16,), "max_epochs": 4, "random_state": 0}
GAINS = {"hidden": (16,), "max_epochs": 6, "learning_rate": 0.02, "random_state": 0}


def bent(n, seed=0):
    """Return rows on a curved surface of two dimensions: more than PCA can follow."""
    draw = np.random.default_rng(seed)
    u, v = draw.uniform(-2, 2, (2, n))
    waves = [wave(2 * w) for w in (u, v) for wave in (np.sin, np.cos)]
    rows = np.column_stack([u, v, u * v, *waves])
    return (rows + 0.05 * draw.standard_normal(rows.shape)) * 3 + 10


def round_(n, seed=0):
    """Return Gaussian rows, of which nothing does better than PCA."""
    draw = np.random.default_rng(seed)
    return draw.standard_normal((n, D)) @ draw.standard_normal((D, D)) + 5


def pca_errors(training, judge, n_components=K):
    """Return scikit-learn's squared error of each row of `judge`."""
    pca = PCA(n_components, svd_solver="full").fit(training)
    return np.square(judge - pca.inverse_transform(pca.transform(judge))).sum(axis=1)


class Recording:
    """Stands in for `train`: notes what each training is given and tells."""

    def __init__(self):
        self.runs = []

    def __call__(self, model, training, held_out, plan, streams, observers):
        epochs = []

        class Note:
            def epoch(self, epoch):
                epochs.append(epoch)

        self.runs.append((training.index.tolist(), held_out.index.tolist(), plan, epochs))
        return train(model, training, held_out, plan, streams, [*observers, Note()])


@pytest.fixture
def recording(monkeypatch):
    spy = Recording()
    monkeypatch.setattr(fitting, "train", spy)
    return spy


# Folds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 7, 50, FOLDED_BELOW - 1])
def test_folds_hold_each_row_out_once(recording, monkeypatch, n):
    monkeypatch.setattr(fitting, "certainty", lambda *_: BEYOND_CHANCE)
    Autoencoder(K, **{**SHORT, "max_epochs": 1}).fit(bent(n))
    *folds, last = recording.runs
    assert len(folds) == N_FOLDS
    assert sorted(row for _, held, *_ in folds for row in held) == list(range(n))
    for training, held, *_ in folds:
        assert sorted(training + held) == list(range(n))
        assert n // N_FOLDS <= len(held) <= -(-n // N_FOLDS)
    assert sorted(last[0]) == list(range(n))
    assert last[1] == []


@pytest.mark.parametrize(
    ("options", "n", "sure", "n_folds"),
    [
        ({}, FOLDED_BELOW - 1, BEYOND_DOUBT, 1),
        ({}, 2 * ENOUGH, BEYOND_DOUBT, 2),
        ({}, 2 * ENOUGH - 4, BEYOND_DOUBT, 3),
        ({}, FOLDED_BELOW - 1, BEYOND_DOUBT - 0.1, 2 * N_FOLDS),
        ({}, FOLDED_BELOW - 1, 0.0, N_FOLDS),
        ({"likelihood": "laplace"}, FOLDED_BELOW - 1, 0.0, 1),
        ({"likelihood": "laplace"}, ENOUGH - 1, 0.0, N_FOLDS),
    ],
)
def test_folds_end_once_enough_rows_leave_no_doubt(
    recording, monkeypatch, options, n, sure, n_folds
):
    """A start that is no PCA has nothing to beat: there the rows choose the epochs alone."""
    monkeypatch.setattr(fitting, "certainty", lambda *_: sure)
    model = Autoencoder(K, **{**GAINS, "max_epochs": 2}, **options).fit(bent(n))
    *folds, last = recording.runs
    assert len(folds) == n_folds
    assert sorted(last[0]) == list(range(n))
    each_once = folds[:N_FOLDS]
    assert model.versus_pca_.n_rows == sum(len(held) for _, held, *_ in each_once)


def test_what_did_not_beat_pca_is_not_tried_again(recording, monkeypatch):
    """The shares of most rows gain, surely; their plain mean does not."""
    monkeypatch.setattr(fitting, "certainty", lambda *_: BEYOND_CHANCE + 1)
    monkeypatch.setattr(fitting, "beats", lambda *_: False)
    model = Autoencoder(K, **GAINS).fit(bent(200))
    assert (len(recording.runs), model.n_iter_) == (N_FOLDS + 1, 0)


def test_folds_are_drawn_by_the_random_state(recording):
    for state in (0, 0, 1):
        Autoencoder(K, **{**SHORT, "random_state": state, "max_epochs": 1}).fit(bent(40))
    first, again, other = (recording.runs[5 * i][1] for i in range(3))
    assert first == again != other
    assert first != sorted(first)  # not the rows as they lie in the file


def test_folds_choose_the_epochs_that_are_best_over_all_rows(recording, monkeypatch):
    monkeypatch.setattr(fitting, "certainty", lambda *_: BEYOND_DOUBT)
    X = StandardScaler().fit_transform(load_wine().data)  # of which a network soon learns too much
    model = Autoencoder(4, patience=None, random_state=0, max_epochs=30).fit(X)
    *folds, last = recording.runs
    curves = np.hstack(
        [np.array([epoch.held_out.rows.numpy() for epoch in epochs]) for *_, epochs in folds]
    )
    assert curves.shape == (31, len(X))
    best = int(curves.mean(axis=1).argmin())
    assert 0 < best < 30  # there was something to choose
    assert model.n_iter_ == best == last[2].stop_after
    assert last[2].patience is None
    assert [record["epoch"] for record in model.history_ if record["stage"] == "all rows"] == [
        *range(best + 1)
    ]


@pytest.mark.parametrize("scaling", ["isotropic", "none", "standard"])
def test_versus_pca_over_folds_is_that_of_scikit_learn_and_of_the_folds_models(recording, scaling):
    X = bent(200)
    model = Autoencoder(K, **GAINS, scaling=scaling).fit(X)
    *folds, _ = recording.runs
    # In the user's units, or in standard deviations where features are scaled one by one.
    seen = (X - X.mean(0)) / X.std(0) if scaling == "standard" else X
    unit = X.var(axis=0).mean() if scaling == "isotropic" else 1.0
    theirs = [pca_errors(seen[training], seen[held]) for training, held, *_ in folds]
    ours = [epochs[model.n_iter_].held_out.errors.numpy() * unit for *_, epochs in folds]
    versus = model.versus_pca_
    assert model.n_iter_ > 0
    assert versus.pca_error == pytest.approx(np.concatenate(theirs).mean(), rel=1e-5)
    assert versus.error == pytest.approx(np.concatenate(ours).mean(), rel=1e-5)
    assert versus.ratio == pytest.approx(versus.error / versus.pca_error)
    assert (versus.rows, versus.n_rows) == ("held out", 200)
    assert versus.ratio < 0.9


def test_model_of_folds_is_trained_on_all_rows_as_if_by_hand():
    X = bent(200)
    model = Autoencoder(K, **GAINS, batch_size=40, patience=None).fit(X)
    assert model.n_iter_ > 0
    parts = Parts(Dense(hidden=(16,)), Clean(), Plain(), Normal(), ())
    scaling, streams = fit_scaling("isotropic", X), Streams(0)
    plan = Plan(
        optimizer=Optimizer.of("adam"),
        rate=0.02,
        schedule=Schedule.of("one_cycle"),
        batch_size=40,
        max_epochs=6,
        stop_after=model.n_iter_,
        patience=None,
        precision="float32",
        device="cpu",
    )
    rows = select(X, X, scaling, "cpu")
    by_hand = Task(parts, K, (D,), scaling, plan, streams, ()).begin(rows).model
    train(by_hand, rows, rows.at(torch.arange(0)), plan, streams)
    for name, value in by_hand.state_dict().items():
        if not name.startswith("scaling"):
            assert torch.equal(value, model.model_.state_dict()[name].float()), name


@pytest.mark.parametrize("n", [200, MANY])
def test_penalty_that_gains_is_kept_however_many_rows_judge(n):
    X = round_(n)
    model = Autoencoder(K, hidden=(), penalties="weight_l2(weight=1)", random_state=0).fit(X)
    assert model.n_iter_ > 0
    held = [r["held_out_loss"] for r in model.history_ if "held_out_loss" in r]
    assert min(held) < 0.8 * held[0]


def test_no_further_round_of_folds_begins_after_an_interruption(monkeypatch):
    reasons = []

    def interrupted(*args):
        outcome = train(*args)
        reasons.append("interrupted" if not reasons else outcome.reason)
        return outcome._replace(reason=reasons[-1])

    monkeypatch.setattr(fitting, "train", interrupted)
    monkeypatch.setattr(fitting, "certainty", lambda *_: BEYOND_CHANCE + 1)
    with pytest.warns(TrainingWarning, match="interrupted"):
        Autoencoder(K, **SHORT).fit(bent(200))
    assert len(reasons) == 2  # one fold, and the training on all rows


def test_versus_pca_over_folds_is_that_of_the_epochs_that_were_trained(recording, monkeypatch):
    """The last training may end before the epoch that the folds chose, as after Ctrl-C."""

    def ends_early(model, training, held_out, plan, *rest):
        if not held_out.n_rows:
            plan = plan._replace(stop_after=1)
        return recording(model, training, held_out, plan, *rest)

    monkeypatch.setattr(fitting, "train", ends_early)
    model = Autoencoder(K, **GAINS).fit(bent(200))
    *folds, last = recording.runs
    ours = [epochs[1].held_out.errors.numpy() for *_, epochs in folds]
    unit = model.model_.scaling.scale.item() ** 2
    assert (model.n_iter_, len(last[-1])) == (1, 2)
    assert model.versus_pca_.error == pytest.approx(np.concatenate(ours).mean() * unit, rel=1e-5)


def test_pool_puts_curves_side_by_side_and_lets_the_short_ones_stay():
    curve = [
        [Held(torch.tensor([10.0 * i + e, e]), torch.tensor([1.0, e]), {}, 0.0) for e in range(n)]
        for i, n in ((1, 3), (2, 2))
    ]
    expected = [[10, 0, 20, 0], [11, 1, 21, 1], [12, 2, 21, 1]]
    assert pool(curve, "rows").tolist() == expected
    assert pool(curve, "errors").tolist() == [[1, 0, 1, 0], [1, 1, 1, 1], [1, 2, 1, 1]]


# The PCA that it falls back to -----------------------------------------------------------


LEAPT = "ignore:The loss leapt:isthmus.errors.TrainingWarning"  # so that there is no gain


@pytest.mark.filterwarnings(LEAPT)
@pytest.mark.parametrize("n", [30, 200, FOLDED_BELOW + 100], ids=lambda n: f"{n} rows")
@pytest.mark.parametrize("scaling", ["isotropic", "none"])
def test_fallback_is_the_pca_of_all_rows(n, scaling):
    X = round_(n)
    model = Autoencoder(K, **SHORT, learning_rate=0.5, scaling=scaling).fit(X)
    assert model.n_iter_ == 0
    pca = PCA(K, svd_solver="full").fit(X)
    scores = pca.transform(X)
    rebuilt = pca.inverse_transform(scores)
    np.testing.assert_allclose(model.reconstruct(X), rebuilt, atol=1e-5 * np.abs(rebuilt).max())
    codes = model.transform(X)
    codes = codes * np.sign((codes * scores).sum(axis=0)) * model.model_.scaling.scale.item()
    np.testing.assert_allclose(codes, scores, atol=1e-5 * np.abs(scores).max())
    assert model.versus_pca_.ratio == pytest.approx(1, abs=1e-6)


@pytest.mark.filterwarnings(LEAPT)
@pytest.mark.parametrize("n", [200, FOLDED_BELOW + 100])
def test_fallback_scores_and_errs_as_scikit_learns_pca(n):
    X, new = round_(n), round_(50, seed=1)
    model = Autoencoder(K, **SHORT, learning_rate=0.5).fit(X)
    errors = pca_errors(X, new)
    np.testing.assert_allclose(model.reconstruction_error(new), errors, rtol=1e-4)
    spread = np.square(new - X.mean(axis=0)).sum()
    assert model.score(new) == pytest.approx(1 - errors.sum() / spread, rel=1e-5)


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_fallback_of_float32_rows_far_from_zero_is_as_good_as_scikit_learns_pca(offset):
    """What is left over is the rounding of the values; the model must add none of its own."""
    draw = np.random.default_rng(0)
    flat = draw.standard_normal((FOLDED_BELOW + 100, K)) @ draw.standard_normal((K, D))
    X = (offset + flat).astype(np.float32)
    model = Autoencoder(K, **{**SHORT, "hidden": ()}).fit(X)
    exact = X.astype(np.float64)
    errors = model.reconstruction_error(exact)
    assert errors.mean() == pytest.approx(pca_errors(exact, exact).mean(), rel=0.01)


def test_model_that_beats_pca_beyond_chance_is_kept():
    X = bent(MANY)
    model = Autoencoder(K, **GAINS).fit(X)
    assert model.n_iter_ > 0
    new = bent(500, seed=9)
    assert model.reconstruction_error(new).mean() < pca_errors(X, new).mean()


@pytest.mark.parametrize("n", [200, MANY])
@pytest.mark.parametrize("linear_path", ["pca", "none"])
def test_gain_that_may_be_chance_is_given_up_only_by_what_began_as_pca(n, linear_path, monkeypatch):
    monkeypatch.setattr(fitting, "certainty", lambda *_: BEYOND_CHANCE)
    network = Dense(linear_path=linear_path)
    model = Autoencoder(K, **GAINS, network=network).fit(bent(n))
    assert (model.n_iter_ > 0) is (linear_path == "none")


def test_model_that_does_not_begin_as_pca_is_not_replaced_by_it():
    X = round_(200)
    model = Autoencoder(K, **SHORT, network=Dense(linear_path="none")).fit(X)
    assert model.n_iter_ > 0
    assert model.versus_pca_.ratio > 1


def test_default_fit_is_never_worse_than_pca_on_small_gaussian_tables():
    ratios = []
    for seed in range(9):
        X, new = round_(60, seed), round_(60, seed + 100)
        model = Autoencoder(K, **{**SHORT, "random_state": seed}).fit(X)
        ratios.append(model.reconstruction_error(new).sum() / pca_errors(X, new).sum())
    assert max(ratios) < 1.05
    assert np.median(ratios) == pytest.approx(1, abs=1e-4)


# Held-out rows ---------------------------------------------------------------------------


def test_held_out_fraction_is_held_out_and_the_rest_trained_on(recording):
    X = bent(MANY)
    model = Autoencoder(K, **GAINS, validation_fraction=0.25).fit(X)
    training, held, *_ = recording.runs[0]
    assert len(recording.runs) == 1
    assert len(held) == MANY // 4
    assert sorted(training + held) == list(range(MANY))
    assert held != list(range(held[0], held[0] + MANY // 4))  # drawn, not cut off
    errors = pca_errors(X[training], X[held])
    assert model.versus_pca_.pca_error == pytest.approx(errors.mean(), rel=1e-5)
    assert model.versus_pca_.n_rows == MANY // 4
    mine = model.reconstruction_error(X[held]).mean()
    assert model.n_iter_ > 0
    assert model.versus_pca_.error == pytest.approx(mine, rel=1e-4)


@pytest.mark.parametrize("fraction", [0.0004, 0.5, 0.9996])
def test_every_fraction_leaves_rows_to_train_on_and_to_judge_by(recording, fraction):
    Autoencoder(K, **SHORT, validation_fraction=fraction).fit(bent(MANY))
    training, held, *_ = recording.runs[0]
    assert min(len(training), len(held)) >= 1
    assert len(training) + len(held) == MANY


def test_given_validation_rows_judge_and_all_rows_train(recording):
    X, judge = bent(150), bent(60, seed=5)
    model = Autoencoder(K, **GAINS).fit(X, validation=judge)
    training, held, *_, epochs = recording.runs[0]
    assert len(recording.runs) == 1
    assert (training, held) == (list(range(150)), list(range(60)))
    assert model.versus_pca_.pca_error == pytest.approx(pca_errors(X, judge).mean(), rel=1e-5)
    assert model.n_iter_ == np.argmin([epoch.held_out.loss for epoch in epochs]) > 0
    assert model.versus_pca_.error == pytest.approx(
        model.reconstruction_error(judge).mean(), rel=1e-4
    )
    assert (model.versus_pca_.rows, model.versus_pca_.n_rows) == ("held out", 60)


def test_given_validation_rows_may_find_pca_better():
    X, judge = round_(150), round_(60, seed=5)
    with pytest.warns(TrainingWarning, match=r"^The loss leapt .* Lower learning_rate\.$"):
        model = Autoencoder(K, **SHORT, learning_rate=2.0).fit(X, validation=judge)
    assert model.n_iter_ == 0
    errors = pca_errors(X, judge)
    np.testing.assert_allclose(model.reconstruction_error(judge), errors, rtol=1e-4)


def test_given_validation_rows_count_even_where_no_fraction_is_held_out(recording):
    Autoencoder(K, **SHORT, validation_fraction=0).fit(bent(150), validation=bent(60, seed=5))
    assert [len(held) for _, held, *_ in recording.runs] == [60]


@pytest.mark.parametrize("n", [150, MANY])
def test_no_held_out_rows_train_to_the_limit_on_all(recording, n):
    X = bent(n)
    model = Autoencoder(K, **SHORT, validation_fraction=0, patience=1).fit(X)
    assert [(sorted(rows), held) for rows, held, *_ in recording.runs] == [(list(range(n)), [])]
    assert (model.n_iter_, model.stopped_by_) == (4, "limit")
    versus = model.versus_pca_
    assert (versus.rows, versus.n_rows) == ("training", n)
    assert versus.pca_error == pytest.approx(pca_errors(X, X).mean(), rel=1e-5)
    assert versus.error == pytest.approx(model.reconstruction_error(X).mean(), rel=1e-4)
    assert all("held_out_loss" not in record for record in model.history_)


@pytest.mark.parametrize("X", [bent(2), bent(3), np.repeat(bent(3), 10, axis=0)])
def test_rows_too_few_for_folds_stay_with_pca(recording, X):
    model = Autoencoder(1, **SHORT).fit(X)
    assert [held for _, held, *_ in recording.runs] == [[]]
    assert (model.n_iter_, model.versus_pca_.rows) == (0, "training")
    expected = PCA(1).fit(X)
    expected = expected.inverse_transform(expected.transform(X))
    np.testing.assert_allclose(model.reconstruct(X), expected, rtol=1e-5)


def test_rows_too_few_for_folds_are_all_trained_on_where_the_start_is_not_pca(recording):
    model = Autoencoder(1, **SHORT, code="sigmoid").fit(bent(3))
    assert [held for _, held, *_ in recording.runs] == [[]]
    assert model.n_iter_ == 4


def test_versus_pca_shows_three_digits_and_keeps_all():
    versus = fitting.VersusPCA(1.23456, 0.00098765, 0.0008, "held out", 1797)
    assert (
        str(versus)
        == repr(versus)
        == ("VersusPCA(pca_error=1.23, error=0.000988, ratio=0.0008, rows='held out', n_rows=1797)")
    )
    assert versus.pca_error == 1.23456


# Copies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [50, MANY])
def test_copies_are_held_out_together_and_judge_once(recording, n, dtype):
    X = np.repeat(bent(n).astype(dtype), np.arange(n) % 3 + 1, axis=0)
    X = X[np.random.default_rng(0).permutation(len(X))]
    model = Autoencoder(K, **{**SHORT, "max_epochs": 1}).fit(X)
    content = np.unique(X, axis=0, return_inverse=True)[1]
    n_judges = 0
    for training, held, *_ in recording.runs[:N_FOLDS]:
        if not held:
            continue
        seen, judges = content[training], content[held]
        assert set(seen) | set(judges) == set(range(n))
        assert not set(seen) & set(judges)
        assert len(set(judges)) == len(judges)
        assert len(training) == np.isin(content, seen).sum()  # with all their copies
        n_judges += len(held)
    assert model.versus_pca_.n_rows == n_judges == (n if n < FOLDED_BELOW else n // 10)


def test_copies_claim_no_gain_that_new_rows_do_not_see():
    X = np.random.default_rng(0).standard_normal((100, 20))  # of which nothing beats PCA
    model = Autoencoder(4, random_state=0, max_epochs=50).fit(np.repeat(X, 2, axis=0))
    assert model.versus_pca_.ratio == pytest.approx(1)
    assert model.n_iter_ == 0


def best_at(monkeypatch, epoch):
    """Let the folds find every other epoch than this one bad."""

    def tilted(curves, field):
        pooled = pool(curves, field).clone()
        pooled[torch.arange(len(pooled)) != epoch] += 1000
        return pooled

    monkeypatch.setattr(fitting, "pool", tilted)


def test_schedule_runs_over_all_epochs_however_few_the_folds_found_best(recording, monkeypatch):
    best_at(monkeypatch, 2)
    model = Autoencoder(K, **SHORT).fit(bent(200))
    *_, plan, epochs = recording.runs[-1]
    assert (model.n_iter_, plan.stop_after, len(epochs) - 1) == (2, 2, 2)
    assert {plan.max_epochs for *_, plan, _ in recording.runs} == {4}
    first_fold = recording.runs[0][-1]
    rates = [[epoch.learning_rate for epoch in run[1:3]] for run in (epochs, first_fold)]
    # Folds have fewer rows, so that an epoch's last step lies a little elsewhere.
    assert rates[0] == pytest.approx(rates[1], rel=0.2)


def test_errors_under_noise_are_those_of_clean_rows():
    X = bent(300)
    model = DenoisingAutoencoder(K, **SHORT, corruption="gaussian(std=0)").fit(X)
    plain = Autoencoder(K, **SHORT).fit(X)
    assert model.versus_pca_ == plain.versus_pca_
    noisy = DenoisingAutoencoder(K, **SHORT, corruption="gaussian(std=3)").fit(X)
    assert noisy.versus_pca_.pca_error > plain.versus_pca_.pca_error


# What is reported of an odd ending -------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"validation_fraction": 0}], ids=["judged", "unjudged"])
@pytest.mark.parametrize("n", [200, MANY])
def test_diverged_fit_warns_and_can_be_used(n, options):
    X = bent(n)
    wild = Autoencoder(K, **SHORT, optimizer="sgd", learning_rate=1e20, **options)
    with pytest.warns(TrainingWarning, match=r"^The training diverged: the weights of "):
        wild.fit(X)
    assert wild.stopped_by_ == "diverged"
    assert np.isfinite(wild.reconstruct(X)).all()
    np.testing.assert_allclose(wild.reconstruction_error(X).mean(), pca_errors(X, X).mean(), 1e-3)


def test_perfect_pca_is_neither_beaten_nor_compared_with():
    """With as many components as features both errors are rounding."""
    X = bent(200)
    model = Autoencoder(D, **SHORT).fit(X)
    assert model.versus_pca_ is None
    assert model.n_iter_ == 0
    assert model.reconstruction_error(X).mean() < 1e-9 * X.var(axis=0).sum()


def test_constant_rows_are_rebuilt_and_even_with_pca():
    X = np.full((50, 4), 0.1)
    model = Autoencoder(1, **SHORT).fit(X)
    np.testing.assert_allclose(model.reconstruct(X), X, rtol=1e-6)
    assert model.versus_pca_.ratio == 1


# Chance ----------------------------------------------------------------------------------


def held(errors, penalty=0.0):
    """Return held-out rows of these squared errors."""
    errors = torch.as_tensor(errors, dtype=torch.float64)
    return Held(errors / 2 + penalty, errors, {}, 0.0)


def by_the_book(before, after):
    """SciPy's t of each row's gain relative to its errors; none where a quarter does not gain."""
    if any(quarter.mean() <= 0 for quarter in np.array_split(before - after, 4)):
        return 0.0
    return stats.ttest_1samp((before - after) / (before + after), 0).statistic


errors_of_rows = st.floats(0.01, 100).map(lambda x: round(x, 3))


@settings(deadline=None, database=None)
@given(
    st.integers(4, 30).flatmap(
        lambda n: st.tuples(*[arrays(np.float64, n, elements=errors_of_rows)] * 2)
    )
)
def test_certainty_is_scipys_t_of_relative_gains_where_every_quarter_gains(errors):
    before, after = errors
    if min(abs(quarter.mean()) for quarter in np.array_split(before - after, 4)) < 1e-9:
        return  # on the edge, where rounding decides
    shares = (before - after) / (before + after)
    if shares.std() < 1e-9:
        return
    expected = by_the_book(before, after)
    assert certainty(held(before), held(after)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_certainty_counts_penalties():
    before, after = np.full(40, 2.0), np.linspace(1, 3, 40)
    assert certainty(held(before), held(after)) == 0
    assert certainty(held(before, penalty=5), held(after)) > BEYOND_CHANCE


@pytest.mark.parametrize("errors", [[], [1.0], [1.0, 1, 1], [0.0] * 8], ids=str)
def test_gain_of_few_rows_or_of_nothing_is_chance(errors):
    assert certainty(held(errors), held(np.zeros(len(errors)))) == 0


def test_gain_that_is_the_same_share_of_every_row_is_certain():
    assert certainty(held(np.ones(8)), held(np.zeros(8))) == math.inf


def test_gain_that_one_row_makes_is_chance():
    before = np.ones(100)
    before[3] = 1e6
    assert certainty(held(before), held(np.ones(100))) == 0


def test_gain_of_every_row_is_certain_however_heavy_the_tail():
    """Where PCA misses one row by far, a t-test of the plain gains sees only that row."""
    before = np.random.default_rng(0).pareto(1.1, 400) + 0.1
    after = before * np.random.default_rng(1).uniform(0.05, 0.5, 400)
    assert stats.ttest_1samp(before - after, 0).statistic < BEYOND_CHANCE
    assert certainty(held(before), held(after)) > BEYOND_DOUBT


@pytest.mark.parametrize(
    ("sure", "spread", "beaten"), [(7, 1, False), (7, 0.01, True), (12, 1, True), (3, 0.01, False)]
)
def test_mean_has_to_gain_surely_too_where_shares_leave_doubt(monkeypatch, sure, spread, beaten):
    monkeypatch.setattr(fitting, "certainty", lambda *_: sure)
    gains = 0.1 + spread * np.random.default_rng(0).normal(size=100)
    assert beats(held(10 + gains), held(np.full(100, 10.0))) == beaten


def test_gain_is_seldom_believed_where_there_is_none():
    draws = np.random.default_rng(0).exponential(size=(4000, 2, 100))
    believed = sum(certainty(held(a), held(b)) > BEYOND_CHANCE for a, b in draws)
    assert believed <= stats.binom.isf(1e-6, 4000, stats.t.sf(BEYOND_CHANCE, 99))


@pytest.mark.parametrize(
    ("first", "second", "n_rounds", "kept"),
    [
        (BEYOND_CHANCE, None, 1, False),
        (BEYOND_CHANCE + 1, BEYOND_CHANCE + 1, 2, True),
        (BEYOND_CHANCE + 1, BEYOND_CHANCE, 2, False),
        (BEYOND_DOUBT, None, 1, True),
    ],
)
def test_gain_in_doubt_has_to_be_found_again(recording, monkeypatch, first, second, n_rounds, kept):
    answers = {}

    def answer(start, best):  # the same round is asked more than once
        judged = tuple(start.rows.tolist())
        if judged not in answers:
            answers[judged] = [first, second][len(answers)]
        return answers[judged]

    monkeypatch.setattr(fitting, "certainty", answer)
    model = Autoencoder(K, **GAINS).fit(bent(200))
    *folds, _ = recording.runs
    assert len(folds) == n_rounds * N_FOLDS
    assert (model.n_iter_ > 0) is kept
    divisions = [
        sorted(sorted(run[1]) for run in folds[i : i + N_FOLDS]) for i in (0, len(folds) - N_FOLDS)
    ]
    assert (divisions[0] == divisions[1]) is (n_rounds == 1)
    assert model.versus_pca_.n_rows == 200
    stages = list(dict.fromkeys(record["stage"] for record in model.history_))
    assert ("second fold 4 of 4" in stages) is (n_rounds == 2)


# The linear autoencoder ------------------------------------------------------------------


@pytest.mark.parametrize("n", [100, FOLDED_BELOW + 100])
@pytest.mark.parametrize("options", [{}, {"validation_fraction": 0}], ids=["judged", "unjudged"])
def test_linear_autoencoder_is_pca(n, options):
    X = round_(n)
    model = Autoencoder(K, hidden=(), max_epochs=10, random_state=0, **options).fit(X)
    errors = pca_errors(X, X)
    # Trained to the limit it wanders about the optimum by what a batch's gradient is worth.
    loose = 1e-5 if not options else 5e-3
    assert model.reconstruction_error(X).mean() == pytest.approx(errors.mean(), rel=loose)
    axes = PCA(K).fit(X).components_
    learned = model.model_.decoder.linear.weight.numpy()
    assert np.degrees(scipy.linalg.subspace_angles(learned, axes.T).max()) < 1


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {"optimizer": "adam", "learning_rate": 0.05, "max_epochs": 100},
        {"optimizer": "lbfgs", "max_epochs": 20},
    ],
    ids=["adam", "lbfgs"],
)
def test_linear_autoencoder_finds_the_pca_subspace_from_a_random_start(tied, how):
    """Baldi & Hornik (1989): at the optimum the decoder spans the first principal axes."""
    draw = np.random.default_rng(0)
    spread = np.array([5.0, 4, 3, 0.5, 0.4, 0.3, 0.2, 0.1])
    turn = np.linalg.qr(draw.standard_normal((8, 8)))[0]
    X = draw.standard_normal((600, 8)) * spread @ turn + 2
    network = Dense(hidden=(), linear_path="none", tied=tied)
    model = Autoencoder(3, network=network, validation_fraction=0, random_state=0, **how).fit(X)
    axes = PCA(3).fit(X).components_
    halves = model.model_
    learned = halves.encoder[0].weight.T if tied else halves.decoder[0].weight
    assert np.degrees(scipy.linalg.subspace_angles(learned.numpy(), axes.T).max()) < 1


@pytest.mark.parametrize("likelihood", Likelihood.kinds)
@pytest.mark.parametrize("scaling", ["isotropic", "standard", "none"])
def test_every_likelihood_is_compared_with_pca_by_its_squared_error(recording, likelihood, scaling):
    X = stats.norm.cdf(bent(MANY), 10, 3)  # in the domain of them all
    options = {"likelihood": likelihood, "scaling": scaling}
    model = Autoencoder(K, **GAINS, **options).fit(X)
    training, held, *_ = recording.runs[0]
    unit = X.std(axis=0) if scaling == "standard" else 1.0
    errors = np.square((X[held] - model.reconstruct(X[held])) / unit).sum(axis=1)
    assert model.n_iter_ > 0
    assert model.versus_pca_.error == pytest.approx(errors.mean(), rel=1e-4)
    expected = pca_errors(X[training] / unit, X[held] / unit).mean()
    assert model.versus_pca_.pca_error == pytest.approx(expected, rel=1e-5)


def test_a_portion_can_be_learned_where_a_fit_would_leave_the_start():
    model = Autoencoder(2, hidden=(4,), max_epochs=0, random_state=0)
    assert model.partial_fit(bent(50)).n_iter_ == 1


def test_learning_a_std_is_no_gain_over_pca():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 20)) + rng.normal(size=(200, 20))
    model = Autoencoder(3, likelihood="normal(std=learned)", random_state=0).fit(X)
    assert model.n_iter_ == 0
    assert model.versus_pca_.ratio == pytest.approx(1)


# Linear networks -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 150, MANY])
@pytest.mark.parametrize(
    "options", [{}, {"validation_fraction": 0}, {"scaling": "standard"}], ids=str
)
def test_linear_network_is_pca_at_once(recording, n, options):
    X = bent(n)
    model = Autoencoder(2, hidden=(), random_state=0, **options).fit(X)
    assert (model.n_iter_, model.stopped_by_) == (0, "solved")
    assert all(plan.stop_after == 0 for _, _, plan, *_ in recording.runs)
    if n > 3:
        assert model.versus_pca_.ratio == pytest.approx(1, rel=1e-5)


def test_linear_network_is_pca_whatever_rows_judge():
    model = Autoencoder(2, hidden=(), random_state=0).fit(bent(150), validation=bent(60, seed=5))
    assert (model.n_iter_, model.stopped_by_) == (0, "solved")
    np.testing.assert_allclose(model.mean_, bent(150).mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": (4,)},
        {"penalties": "weight_l2(weight=1e-3)"},
        {"corruption": "gaussian(std=0.1)"},
        {"optimizer": "adamw"},
        {"network": "dense(hidden=(), linear_path=none)", "hidden": None},
        {"likelihood": "laplace"},
    ],
    ids=str,
)
def test_what_pca_is_not_the_best_of_is_trained(recording, options):
    Autoencoder(2, **{"hidden": (), "max_epochs": 1, "random_state": 0, **options}).fit(bent(150))
    assert recording.runs[0][2].stop_after == 1


def test_linear_network_that_is_asked_for_other_rows_is_trained(recording):
    X = bent(150)
    model = DenoisingAutoencoder(2, hidden=(), corruption="clean", max_epochs=1, random_state=0)
    model.fit(X, target=X[::-1].copy())
    assert recording.runs[0][2].stop_after == 1
