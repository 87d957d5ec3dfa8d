"""The recurrent network: sequences of one length and of several, whose padding says nothing."""

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, DenoisingAutoencoder, VariationalAutoencoder, load
from isthmus.errors import DataError, ParameterError
from isthmus.parts import Recurrent
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.networks.linear_path import LinearPathEncoder

RNG = np.random.default_rng(0)
T, F, K = 9, 2, 3
WAVES = np.sin(
    np.arange(T)[None, :, None] * RNG.uniform(0.3, 1.5, (80, 1, 1)) + RNG.random((80, 1, F))
).astype("float32")
LENGTHS = RNG.integers(1, T + 1, 80)
LENGTHS[0] = T
RAGGED = [wave[:length] for wave, length in zip(WAVES, LENGTHS, strict=True)]
FAST = {"max_epochs": 3, "random_state": 0, "batch_size": 20}
SMALL = "recurrent(hidden=(8,))"


def halves_of(network, *, linear_path=False, seed=0) -> Halves:
    sizes = Sizes(T * F, K, K, T * F, (T, F))
    return network.build(sizes, torch.Generator().manual_seed(seed), linear_path=linear_path)


def fitted(X=WAVES, network=SMALL, **options):
    return Autoencoder(K, network=network, **{**FAST, **options}).fit(X)


def longer(X, n_steps=5):
    """Return sequences with more padding: that of a longest one that says nothing new."""
    padded = np.full((len(X), T + n_steps, F), np.nan, "float32")
    for row, sequence in zip(padded, X, strict=True):
        row[: len(sequence)] = sequence
    return padded


# What is built ---------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("hidden", [(5,), (7, 4)])
def test_sequences_become_codes_and_sequences(cell, bidirectional, hidden):
    halves = halves_of(Recurrent(cell=cell, hidden=hidden, bidirectional=bidirectional))
    rows = torch.rand(6, T * F)
    assert halves.encoder(rows).shape == (6, K)
    assert halves.decoder(torch.rand(6, K)).shape == rows.shape


def test_weights_follow_from_the_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    states = [halves_of(Recurrent(), seed=seed).encoder.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


def test_encoder_reads_the_state_at_the_end_of_each_sequence():
    encoder = halves_of(Recurrent(hidden=(5,), bidirectional=True)).encoder.double()
    rows = torch.from_numpy(longer(RAGGED, 0)).double().flatten(1)
    together = encoder(rows)
    for i, sequence in enumerate(RAGGED):
        alone = encoder(torch.from_numpy(sequence).double().flatten()[None])
        assert torch.allclose(alone[0], together[i])


def test_linear_path_starts_as_the_pca():
    model = fitted(max_epochs=0)
    assert isinstance(model.model_.encoder, LinearPathEncoder)
    assert model.versus_pca_.ratio == pytest.approx(1, abs=1e-5)


# Padding ---------------------------------------------------------------------------------


def test_padding_changes_nothing_bit_for_bit():
    model, padded = fitted(RAGGED), longer(RAGGED, 0)
    for method in ("transform", "reconstruction_error", "score_samples"):
        assert np.array_equal(getattr(model, method)(RAGGED), getattr(model, method)(padded))
    wide = fitted(longer(RAGGED))
    assert np.array_equal(wide.transform(RAGGED), wide.transform(longer(RAGGED)))


def test_padding_never_enters_the_loss():
    for likelihood in ("normal(std=0.3)", "laplace"):
        model = fitted(RAGGED, max_epochs=0, network="recurrent(hidden=(8,), linear_path=none)")
        more = fitted(longer(RAGGED), max_epochs=0, network=model.network)
        assert likelihood
        assert model.history_[0]["held_out_nll"] == pytest.approx(
            more.history_[0]["held_out_nll"], rel=1e-5
        )


def test_fit_to_more_padding_is_the_same_fit():
    options = {"network": "recurrent(hidden=(8,), linear_path=none)", "precision": "float32"}
    model, more = fitted(RAGGED, **options), fitted(longer(RAGGED), **options)
    assert np.allclose(model.transform(RAGGED), more.transform(RAGGED), atol=1e-4)
    short, long = model.reconstruct(RAGGED), more.reconstruct(RAGGED)
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(short, long, strict=True))


def test_sequences_come_back_in_their_own_lengths():
    model = fitted(RAGGED)
    rebuilt = model.reconstruct(RAGGED)
    assert [each.shape for each in rebuilt] == [each.shape for each in RAGGED]
    assert not any(np.isnan(each).any() for each in rebuilt)
    assert model.reconstruct(WAVES).shape == WAVES.shape
    assert model.reconstruct(WAVES[:, :4]).shape == (80, 4, F)
    errors = [np.square(a - b).sum() for a, b in zip(rebuilt, RAGGED, strict=True)]
    assert model.reconstruction_error(RAGGED) == pytest.approx(errors, rel=1e-4)
    assert model.inverse_transform(model.transform(RAGGED)).shape == (80, T, F)


def test_likelihood_is_that_of_the_values_that_are_there():
    model = fitted(RAGGED, likelihood="normal(std=0.5)")
    scale = float(model.model_.scaling.scale)
    for i, rebuilt in enumerate(model.reconstruct(RAGGED)):
        z = (rebuilt.astype(float) - RAGGED[i]) / (0.5 * scale)
        nats = -0.5 * np.square(z).sum() - z.size * np.log(0.5 * scale * np.sqrt(2 * np.pi))
        assert model.score_samples(RAGGED)[i] == pytest.approx(nats, abs=1e-3)


def test_score_counts_the_values_that_are_there():
    model = fitted(RAGGED)
    values = np.concatenate(RAGGED)
    lost = model.reconstruction_error(RAGGED).sum()
    spread = np.square(values - values.mean(0)).sum()
    assert model.score(RAGGED) == pytest.approx(1 - lost / spread, rel=1e-4)


def test_scaling_takes_all_steps_alike():
    scaling = fitted(RAGGED, scaling="standard").model_.scaling
    values = np.concatenate(RAGGED).astype(float)
    assert scaling.offset.numpy() == pytest.approx(np.tile(values.mean(0), T))
    assert scaling.scale.numpy() == pytest.approx(np.tile(values.std(0), T))


# Fits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_sequences_are_learned_better_than_by_pca(cell):
    network = f"recurrent(hidden=(32,), cell={cell})"
    model = fitted(np.concatenate([WAVES] * 4), network, max_epochs=60, learning_rate=5e-3)
    assert model.versus_pca_.ratio < 0.9


def test_saved_model_answers_the_same(tmp_path):
    model = fitted(RAGGED)
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").transform(RAGGED), model.transform(RAGGED))


@pytest.mark.parametrize(
    "options",
    [
        {"corruption": "masking(fraction=0.3)"},
        {"code": "topk(k=1)", "penalties": "dead_units"},
        {"code": "sigmoid", "penalties": ("activity_kl", "weight_l2")},
        {"likelihood": "laplace"},
    ],
    ids=str,
)
def test_other_parts_go_together_with_sequences(options):
    model = fitted(RAGGED, **options)
    losses = [record["loss"] for record in model.history_ if "loss" in record]
    assert losses
    assert np.isfinite(losses).all()
    assert np.isfinite(model.transform(RAGGED)).all()


def test_noise_is_taken_off_sequences():
    model = DenoisingAutoencoder(K, network=SMALL, corruption="gaussian(std=0.1)", **FAST)
    assert [len(each) for each in model.fit(RAGGED).denoise(RAGGED)] == LENGTHS.tolist()


def test_binary_sequences_of_one_length_are_fitted():
    model = fitted((WAVES > 0).astype("float32"), likelihood="bernoulli")
    assert np.isfinite(model.score_samples(WAVES > 0)).all()


# What is refused -------------------------------------------------------------------------

GAP = WAVES.copy()
GAP[3, 2] = np.nan


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (
            [*RAGGED, np.zeros((0, F))],
            r"^X\[80\] is no sequence but float64 of shape \(0, 2\): give numbers of shape \(time, "
            r"features\), of one step at least\.$",
        ),
        (
            [WAVES[0], WAVES[1][:, :1]],
            r"^X\[1\] has 1 feature\(s\) and X\[0\] has 2: give as many at each step\.$",
        ),
        (
            GAP,
            r"^X\[3\] has NaN within the sequence, infinity, or no step at all: fill such values "
            r"in, and leave NaN to what follows the end\.$",
        ),
    ],
)
def test_what_is_no_sequence_is_refused(X, sentence):
    with pytest.raises(DataError, match=sentence):
        fitted(X)


def test_longer_sequences_than_those_of_fit_are_refused():
    with pytest.raises(DataError, match=r"^X\[0\] has 14 steps, and the model takes 9 at"):
        fitted(WAVES).transform(longer(WAVES))


def test_rows_that_are_no_sequences_are_refused():
    with pytest.raises(ParameterError, match=r"^network 'recurrent' needs sequences, and a sample"):
        fitted(WAVES.reshape(80, -1))


def test_likelihood_that_leaves_nothing_out_is_refused():
    with pytest.raises(ParameterError, match=r"cannot leave values out, and X has sequ"):
        fitted([each.clip(0, 1) for each in RAGGED], likelihood="bernoulli")


def test_blind_spots_are_of_pictures_and_refused_for_sequences():
    message = r"^corruption 'blind_spot' guesses pixels from those around, and network "
    with pytest.raises(ParameterError, match=message):
        DenoisingAutoencoder(2, network=SMALL, target="blind").fit(WAVES)


def test_mean_and_score_are_of_the_steps_that_are_there_without_scaling_too():
    model = fitted(RAGGED, scaling="none")
    mean = np.concatenate(RAGGED).mean(0)
    assert model.mean_.reshape(T, -1) == pytest.approx(np.tile(mean, (T, 1)))
    rebuilt = model.reconstruct(RAGGED)
    pairs = [np.square(a - b).sum() for a, b in zip(RAGGED, rebuilt, strict=True)]
    total = sum(np.square(each - mean).sum() for each in RAGGED)
    assert model.score(RAGGED) == pytest.approx(1 - sum(pairs) / total)


def test_sequences_that_end_early_are_refused_where_the_likelihood_cannot_leave_values_out():
    light = (WAVES - WAVES.min()) / np.ptp(WAVES)
    model = fitted(light, likelihood="bernoulli")
    early = [light[0], light[1][:3]]
    with pytest.raises(ParameterError, match=r"cannot leave values out, and X has sequences of"):
        model.score_samples(early)


def test_diagnosis_of_sequences_that_end_early_counts_what_is_there():
    assert all("nan" not in str(finding) for finding in fitted(RAGGED).diagnose(RAGGED))


def test_diagnosis_takes_a_last_step_that_no_sequence_reaches():
    model = fitted(RAGGED, sample_shape=(T + 5, 2))
    assert all("nan" not in str(finding) for finding in model.diagnose(RAGGED))


def test_declared_shape_leaves_room_for_longer_sequences():
    model = fitted(RAGGED, sample_shape=(T + 5, 2))
    assert model.transform(longer(WAVES)).shape == (len(WAVES), model.n_components)


@pytest.mark.parametrize("path", [0, 1])
def test_sequences_that_end_early_are_gone_between_and_traversed(path):
    model = fitted(RAGGED)
    ends = model.interpolate(RAGGED[0], RAGGED[1], 3)[[0, -1]]
    codes = model.transform(RAGGED[:2])
    assert ends[path] == pytest.approx(model.inverse_transform(codes)[path])
    assert model.traverse(RAGGED[path], 0, n_steps=4).shape == (4, T, 2)


def test_series_without_features_are_told_what_a_sequence_is():
    sentence = r"^X\[0\] is of shape \(3,\), and a sequence is \(time, features\): give each as"
    with pytest.raises(DataError, match=sentence):
        fitted([np.zeros(3), np.zeros(4)])


def test_one_sequence_alone_is_told_to_be_several():
    with pytest.raises(DataError, match=r"^X is of shape .*, as a single sample is: give several"):
        fitted().transform(WAVES[0])


def test_variational_one_learns_its_std_from_sequences_of_one_length():
    model = VariationalAutoencoder(2, network=SMALL, **FAST).fit(WAVES)
    assert model.model_.spread.values not in (0, 1)
    assert np.isfinite(model.elbo(WAVES)).all()
    with pytest.raises(ParameterError, match=r"cannot leave values out"):
        VariationalAutoencoder(2, network=SMALL, **FAST).fit(RAGGED)
