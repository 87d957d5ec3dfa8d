"""Networks of the user's own modules."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from isthmus import Autoencoder, AutoencoderClassifier, load, resume
from isthmus.errors import ArtefactError, FileError, ParameterError
from isthmus.parts import Custom

RNG = np.random.default_rng(0)
PICTURES = RNG.random((50, 1, 6, 6)).astype("float32")
LABELS = np.arange(50) % 2
K = 3
FAST = {"max_epochs": 2, "random_state": 0, "batch_size": 10}


def network(chance=0.0, norm=False):
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(4)] if norm else []
    encoder = nn.Sequential(
        nn.Conv2d(1, 4, 3), *norms, nn.ReLU(), nn.Dropout(chance), nn.Flatten(), nn.Linear(64, K)
    )
    decoder = nn.Sequential(nn.Linear(K, 20), nn.ReLU(), nn.Linear(20, 36), nn.Unflatten(1, (6, 6)))
    return Custom(encoder, decoder)


def fitted(own=None, **options):
    return Autoencoder(K, network=own or network(), **{**FAST, **options}).fit(PICTURES)


def test_modules_are_trained_and_the_given_ones_are_left_alone():
    own = network()
    before = copy.deepcopy(own.encoder.state_dict())
    model = fitted(own)
    assert all(torch.equal(before[name], value) for name, value in own.encoder.state_dict().items())
    learned = model.model_.encoder.module.state_dict()
    assert any(not torch.equal(before[name], value.float()) for name, value in learned.items())
    assert model.reconstruct(PICTURES).shape == PICTURES.shape


def test_fit_begins_with_the_weights_that_the_modules_have():
    own = network()
    codes = fitted(own, max_epochs=0, scaling="none").transform(PICTURES)
    with torch.no_grad():
        assert codes == pytest.approx(own.encoder(torch.from_numpy(PICTURES)).numpy(), abs=1e-5)


def test_clones_fit_the_same():
    model = fitted()
    again = clone(model).fit(PICTURES)
    assert np.array_equal(model.transform(PICTURES), again.transform(PICTURES))


def test_dropout_draws_from_the_stream_of_the_fit():
    state = torch.get_rng_state()
    first, second = fitted(network(0.5)), fitted(network(0.5))
    torch.set_rng_state(state)
    assert np.array_equal(first.transform(PICTURES), second.transform(PICTURES))
    own = network(0.5)
    before = torch.get_rng_state()
    fitted(own)
    assert torch.equal(before, torch.get_rng_state())
    assert own.hides
    assert not network().hides


def test_modules_that_are_frozen_are_left_as_they_are():
    own = network()
    for half in (own.encoder, own.decoder):
        half.requires_grad_(False)
    model = fitted(own)
    with torch.no_grad():
        expected = own.encoder(
            model.model_.scaling(torch.from_numpy(PICTURES.reshape(50, -1)))
            .float()
            .view(-1, 1, 6, 6)
        )
    assert model.transform(PICTURES) == pytest.approx(expected.numpy(), abs=1e-5)


def test_batch_norm_is_known_to_mix_rows():
    assert network().rows_apart
    assert not network(norm=True).rows_apart
    assert np.isfinite(fitted(network(norm=True)).transform(PICTURES)).all()


def test_saved_model_needs_the_modules_again(tmp_path):
    model = fitted()
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model", network=network())
    assert np.array_equal(loaded.transform(PICTURES), model.transform(PICTURES))
    with pytest.raises(ArtefactError, match=r"give them in Python, load\(path, network=Custom\("):
        load(tmp_path / "model")


def of_own_modules(own):
    within = Autoencoder(K, network=own, max_epochs=1)
    return AutoencoderClassifier(within, max_epochs=1, random_state=0)


def test_saved_classifier_needs_the_modules_of_its_autoencoder_again(tmp_path):
    model = of_own_modules(network()).fit(PICTURES, LABELS)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model", network=network())
    assert np.array_equal(loaded.predict_proba(PICTURES), model.predict_proba(PICTURES))
    assert "network=Custom(encoder, decoder)" in (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(ArtefactError, match=r"give them in Python, load\(path, network=Custom\("):
        load(tmp_path / "model")


def test_checkpoint_of_a_classifier_is_that_of_the_modules_within(tmp_path):
    model = of_own_modules(network()).fit(PICTURES, LABELS, checkpoint=tmp_path)
    resumed = resume(tmp_path, PICTURES, LABELS, network=network())
    assert np.array_equal(resumed.predict_proba(PICTURES), model.predict_proba(PICTURES))
    with pytest.raises(ArtefactError, match=r"resume\(path, X, network=Custom\("):
        resume(tmp_path, PICTURES, LABELS)
    other = network()
    nn.init.zeros_(other.encoder[-1].weight)
    with pytest.raises(FileError, match=r"\(the weights of the network held other values then\)"):
        of_own_modules(other).fit(PICTURES, LABELS, checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (
            Custom(nn.Sequential(nn.Flatten(), nn.Linear(36, 5)), nn.Linear(K, 36)),
            r"^The encoder of network 'custom' makes 5 numbers of a sample, and 3 are needed: ",
        ),
        (
            Custom(nn.Sequential(nn.Flatten(), nn.Linear(36, K)), nn.Linear(K, 30)),
            r"^The decoder of network 'custom' makes 30 numbers of a sample, and 36 are needed: ",
        ),
        (
            Custom(nn.Conv2d(2, 4, 3), nn.Linear(K, 36)),
            r"^The encoder of network 'custom' fails on input of shape \(2, 1, 6, 6\): ",
        ),
        (
            Custom(
                nn.Sequential(nn.Flatten(), nn.Linear(36, K), nn.AlphaDropout(0.5)),
                nn.Linear(K, 36),
            ),
            r"^A layer AlphaDropout of network 'custom' draws from torch's global generator, so ",
        ),
    ],
)
def test_module_that_does_not_fit_is_refused(own, sentence):
    with pytest.raises(ParameterError, match=sentence):
        fitted(own)


class Twice(nn.Module):
    """One layer of dropout under two names."""

    def __init__(self):
        super().__init__()
        self.first = self.second = nn.Dropout(0.5)
        self.layer = nn.Linear(36, K)

    def forward(self, x):
        return self.layer(self.second(self.first(x.flatten(1))))


class Reads(nn.Module):
    """The last state of an LSTM."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(6, K, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, x):
        return self.cell(x[:, 0])[0][:, -1]


DECODER = nn.Linear(K, 36)


def test_dropout_that_is_used_twice_draws_from_the_stream_of_the_fit_twice():
    torch.get_rng_state()
    layers = fitted(Custom(Twice(), DECODER)).model_.encoder.module
    assert layers.first is layers.second
    assert not isinstance(layers.first, nn.Dropout)


@pytest.mark.parametrize(
    "encoder", [Reads(), nn.Sequential(nn.Flatten(), nn.RReLU(), nn.Linear(36, K))]
)
def test_layers_that_draw_from_the_global_generator_are_refused(encoder):
    place = torch.get_rng_state()
    with pytest.raises(
        ParameterError, match=r"^The encoder of network 'custom' draws from torch's"
    ):
        fitted(Custom(encoder, DECODER))
    assert torch.equal(torch.get_rng_state(), place)


def test_weights_that_are_held_are_held_by_partial_fit_and_a_classifier_too():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(36, K)).requires_grad_(False)
    network = Custom(encoder, DECODER)
    model = Autoencoder(K, network=network, **FAST).fit(PICTURES).partial_fit(PICTURES)
    assert torch.equal(model.model_.encoder.module[1].weight.float(), encoder[1].weight)
    inner = Autoencoder(K, network=network, **FAST)
    labels = np.arange(50) % 2
    given = AutoencoderClassifier(inner, max_epochs=2, random_state=0).fit(PICTURES, labels)
    assert torch.equal(given.model_.encoder.module[1].weight.float(), encoder[1].weight)


def test_portions_go_on_with_modules():
    model = Autoencoder(K, network=network(), **FAST)
    assert model.partial_fit(PICTURES).partial_fit(PICTURES).n_iter_ == 2


@pytest.mark.parametrize("encoder", [1, "linear", lambda x: x])
def test_what_is_no_module_is_refused(encoder):
    with pytest.raises(ParameterError, match=r"^encoder of network 'custom' should be an instance"):
        Custom(encoder, DECODER)


def test_module_that_answers_several_tensors_is_refused():
    class Pair(nn.Linear):
        def forward(self, x):
            return (x, x)

    with pytest.raises(ParameterError, match=r"it answers a tuple, and one tensor is needed\.$"):
        fitted(Custom(Pair(6, K), DECODER))
