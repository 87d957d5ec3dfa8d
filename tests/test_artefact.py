"""What is believed of a saved model: nothing that is not what was saved, and nothing too large."""

import hashlib
import json
import os
import re
import runpy
import shutil
import struct
from pathlib import Path

import kept_models
import numpy as np
import pytest
import torch
from processes import printed_by

from isthmus import Autoencoder, AutoencoderClassifier, BernoulliRBM, load
from isthmus.data import artefact
from isthmus.errors import ArtefactError, FileError
from isthmus.parts import Custom
from isthmus.parts.networks.network import Network

ROOT = Path(__file__).resolve().parents[1]
KEPT = sorted(Path(kept_models.__file__).parent.glob("format-*/*"))
X = np.random.default_rng(0).uniform(size=(60, 4))
SHORT = {"hidden": (4,), "max_epochs": 2, "random_state": 0, "validation_fraction": 0}
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    Autoencoder(2, **SHORT).fit(X).save(path)
    return path


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "model"))


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def refused(folder, sentence):
    with pytest.raises(ArtefactError, match=exactly(sentence)):
        load(folder)


def rewrite(folder, **changes):
    """Change facts, and leave the checksum as it was."""
    file = folder / CONFIG
    facts = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(facts), encoding="utf-8")


def forge(folder, changes=(), tensors=()):
    """Change facts and tensors as one would who knows how the checksums are made."""
    config, were = artefact.read(folder)
    artefact.write(folder, config | dict(changes), were | dict(tensors), "")


def forge_text(folder, text):
    """Write a configuration, with the checksum that would be right for it."""
    plain = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    checksum = hashlib.sha256(plain.encode()).hexdigest()
    whole = f'{text.rstrip()[:-1]}, "checksum": "{checksum}"}}'
    (folder / CONFIG).write_text(whole, encoding="utf-8")


def without_checksum(folder):
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    del config["checksum"]
    return config


# Old files --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_model_of_every_format_answers_as_when_it_was_saved(path):
    model, expected = load(path), np.load(path / "answers.npz")
    answers = kept_models.answers(model)
    assert set(expected) == set(answers)
    for method in expected:
        np.testing.assert_allclose(answers[method], expected[method], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_model_of_every_format_goes_on(path):
    model = load(path)
    if not hasattr(model, "partial_fit") or path.name == "classifier":
        pytest.skip("cannot be fitted in portions")
    n_epochs = model.n_iter_
    assert model.partial_fit(kept_models.given(model)).n_iter_ == n_epochs + 1


@pytest.mark.parametrize("name", ["variational", "detector"])
def test_kept_models_have_networks_that_did_not_start_as_pca(name):
    _, tensors = artefact.read(KEPT[0].parent.parent / "format-2" / f"{name}-without-path")
    assert not any("linear" in tensor for tensor in tensors)


def test_every_format_has_kept_models():
    formats = {path.parent.name for path in KEPT}
    assert formats == {f"format-{number}" for number in range(1, artefact.FORMAT + 1)}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_model_of_every_format_can_be_saved_again(path, tmp_path):
    model = load(path)
    model.save(tmp_path / "again")
    again = kept_models.answers(load(tmp_path / "again"))
    for method, expected in kept_models.answers(model).items():
        np.testing.assert_array_equal(again[method], expected)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("conv", "conv(activation=relu)"),
        (" conv ( ) ", "conv(activation=relu)"),
        ("conv(channels=(2,),)", "conv(channels=(2,), activation=relu)"),
        ("conv((2,), 1, silu)", "conv((2,), 1, silu)"),
        ("conv(activation=gelu)", "conv(activation=gelu)"),
        ("recurrent", "recurrent"),
    ],
)
def test_convolutions_of_the_second_format_had_rectifiers_by_default(before, now):
    own = {"network": before, "activation": None}
    nested = {"autoencoder": {"estimator": "Autoencoder", "parameters": own}}
    old = {"format": 2, "parameters": own, "autoencoder": {"parameters": own | nested}}
    new = artefact.upgraded(old)
    within = new["autoencoder"]["parameters"]
    for each in (new["parameters"], within, within["autoencoder"]["parameters"]):
        assert (each["network"], each["activation"]) == (now, None)
        Network.of(each["network"])
    assert own["network"] == before
    assert artefact.upgraded({**old, "format": 3}) == {**old, "format": 3}
    shorthand = {"format": 2, "parameters": own | {"activation": "tanh"}}
    assert artefact.upgraded(shorthand)["parameters"]["network"] == before


def test_old_models_within_models_without_end_are_refused(folder):
    text = json.dumps({"format": 1, "weights_sha256": without_checksum(folder)["weights_sha256"]})
    forge_text(folder, text[:-1] + ', "autoencoder": {' + '"autoencoder": {' * 600 + "}" * 602)
    refused(
        folder,
        f"{folder / CONFIG} holds models within models without end: fit and save it again.",
    )


def test_nan_in_a_history_of_the_first_format_is_read(tmp_path):
    """That format wrote NaN as it is; later ones spell it, and refuse it bare."""
    kept = next(path for path in KEPT if path.parent.name == "format-1")
    folder = Path(shutil.copytree(kept, tmp_path / "model"))
    config = without_checksum(folder)
    config["history"][0]["loss"] = np.nan
    forge_text(folder, json.dumps(config))
    assert np.isnan(load(folder).history_[0]["loss"])
    forge_text(folder, json.dumps(config | {"format": 2}))
    with pytest.raises(ArtefactError, match=r"config\.json cannot be read"):
        load(folder)


def test_model_that_did_not_count_its_rows_still_goes_on():
    model = load(next(path for path in KEPT if path.name == "machine"))
    assert model.n_samples_seen_ is None
    assert model.partial_fit(kept_models.ROWS).n_samples_seen_ is None


# Facts ------------------------------------------------------------------------------------


def test_saved_facts_name_the_columns_their_types_and_the_versions(tmp_path):
    model = kept_models.fitted()["autoencoder"]
    model.save(tmp_path / "model")
    config, _ = artefact.read(tmp_path / "model")
    assert config["feature_names_in"] == kept_models.NAMES
    assert config["feature_dtypes"] == ["float32"] * 4
    assert config["versions"]["torch"] == torch.__version__
    assert set(config["versions"]) == {"Python", "isthmus", "numpy", "scikit-learn", "torch"}
    assert load(tmp_path / "model")._feature_dtypes == ["float32"] * 4


@pytest.mark.parametrize("path", ["polars", "pandas"])
def test_types_of_columns_are_those_of_the_frame(path):
    frames = pytest.importorskip(path)
    model = Autoencoder(1, **SHORT).fit(frames.DataFrame({"a": [1, 2, 3, 4], "b": [0.5, 1, 2, 9]}))
    assert [name.lower() for name in model._feature_dtypes] == ["int64", "float64"]
    assert model.fit(X)._feature_dtypes is None


def test_held_out_terms_are_those_of_the_epoch_that_was_kept(tmp_path):
    model = Autoencoder(2, hidden=(8,), max_epochs=6, random_state=0)
    for rows in (X, np.random.default_rng(1).normal(size=(2100, 4)) ** 3):  # in folds, and not
        model.fit(rows).save(tmp_path / "model")
        judged = [each for each in model.history_ if "held_out_loss" in each]
        kept = [each["held_out_nll"] for each in judged if each["epoch"] == model.n_iter_]
        config, _ = artefact.read(tmp_path / "model")
        assert config["held_out"]["nll"] == pytest.approx(np.mean(kept))
        assert set(config["held_out"]) == {"loss", "nll"}


def test_held_out_terms_are_empty_where_no_row_was_held_out(saved):
    assert artefact.read(saved)[0]["held_out"] == {}


def test_rows_of_training_are_counted_over_portions():
    for model in (Autoencoder(2, **SHORT), BernoulliRBM(2, n_iter=1)):
        assert model.partial_fit(X).partial_fit(X[:10]).n_samples_seen_ == 70
        assert model.fit(X[:30]).n_samples_seen_ == 30


def test_numbers_that_json_has_no_digits_for_come_back(folder):
    history = [{"stage": "training", "epoch": 1, "loss": np.inf, "other": -np.inf}]
    forge(folder, {"history": history})
    assert load(folder).history_ == history
    assert "Infinity" not in (folder / CONFIG).read_text()


def test_history_that_is_too_long_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(artefact, "LARGEST_CONFIG", 1000)
    model = Autoencoder(2, **SHORT).fit(X)
    with pytest.raises(FileError, match=r"^The history .* too long for .*config\.json: keep its"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


# Damage -----------------------------------------------------------------------------------


def test_altered_models_are_refused_or_answer_the_same(tmp_path):
    """Of `python benchmarks/altered.py`, which does it more often."""
    altered = runpy.run_path(str(ROOT / "benchmarks" / "altered.py"))
    counts = altered["count"](tmp_path, 120, seed=0)
    outcomes = {outcome for each in counts.values() for outcome in each}
    assert outcomes == {"refused", "same"}
    harmless = {name for name, each in counts.items() if "same" in each}
    assert harmless == {"edit_the_card", "format_anew"}


def test_missing_folder_is_named(tmp_path):
    refused(
        tmp_path / "nowhere",
        f"There is no saved model at {tmp_path / 'nowhere'}: give the folder that save() or "
        f"isthmus fit made.",
    )


def test_folder_without_config_is_not_a_model(folder):
    (folder / CONFIG).unlink()
    refused(
        folder,
        f"{folder} is not a saved model (it has no config.json): give the folder that save() or "
        f"isthmus fit made.",
    )


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_config_is_refused(folder, share):
    text = (folder / CONFIG).read_bytes()
    (folder / CONFIG).write_bytes(text[: int(share * len(text))])
    refused(
        folder, f"{folder / CONFIG} cannot be read: it was cut short or altered; copy it again."
    )


@pytest.mark.parametrize("change", [{"n_iter": 99}, {"n_features_in": 5}, {"checksum": None}])
def test_edited_config_is_refused(folder, change):
    rewrite(folder, **change)
    refused(
        folder,
        f"{folder / CONFIG} was altered after it was saved (its checksum differs): restore it, or "
        f"fit and save the model again.",
    )


def test_config_that_is_only_formatted_anew_is_believed(folder):
    rewrite(folder)
    assert load(folder).n_components == 2


def test_newer_format_asks_for_a_newer_isthmus(folder):
    rewrite(folder, format=4)
    refused(
        folder,
        f"{folder} was saved by a newer Isthmus (format 4, this one reads up to 3): upgrade with "
        f"pip install -U isthmus.",
    )


def test_missing_weights_are_named(folder):
    (folder / WEIGHTS).unlink()
    refused(folder, f"{folder} has no model.safetensors: copy the whole folder again.")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_weights_are_refused(folder, share):
    weights = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[: int(share * len(weights))])
    refused(
        folder,
        f"{folder / WEIGHTS} is not what was saved (its checksum differs): it was cut short or "
        f"altered; copy it again, or fit and save the model again.",
    )


def test_device_in_place_of_a_file_is_not_read(folder):
    for name, missing in ((WEIGHTS, "has no model.safetensors"), (CONFIG, "has no config.json")):
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")
        with pytest.raises(ArtefactError, match=missing):
            load(folder)


# Forgeries: their checksums are right -----------------------------------------------------


def test_forging_nothing_changes_nothing(folder):
    expected = load(folder).transform(X)
    forge(folder)
    np.testing.assert_array_equal(load(folder).transform(X), expected)
    forge_text(folder, json.dumps(without_checksum(folder)))
    np.testing.assert_array_equal(load(folder).transform(X), expected)


def parameters(**changes):
    return {"parameters": {"n_components": 2, "hidden": [4], **changes}}


FORGED = {
    "unknown estimator": {"estimator": "Autoencodr"},
    "estimator from elsewhere": {"estimator": "os.system"},
    "wide code": parameters(n_components=10**12),
    "wide layer": parameters(hidden=[10**9]),
    "wide layers": parameters(hidden=[10**9, 10**9]),
    "many layers": parameters(hidden=[1] * 100_000),
    "many blocks": parameters(
        hidden=None, network="conv(blocks=1000000000)", sample_shape=[1, 2, 2]
    ),
    "deep levels": parameters(hidden=None, network=f"conv(channels=({'1,' * 99}))"),
    "wide state": parameters(hidden=None, network="recurrent(hidden=(1000000,))"),
    "large patch": parameters(hidden=None, network="conv(patch=1000000)"),
    "code that is too wide": parameters(n_components=7),
    "share of a wide code": parameters(n_components=0.5) | {"n_components": 10**12},
    "share of a code that is text": parameters(n_components=0.5) | {"n_components": "2"},
    "share of no code": parameters(n_components=0.5) | {"n_components": -1},
    "share that is more than all": parameters(n_components=1.5),
    "unknown part": parameters(corruption="from_the_future"),
    "unknown parameter": parameters(surprise=1),
    "part that is code": parameters(corruption="__import__('os').abort()"),
    "deep part": parameters(corruption="(" * 10_000),
    "parameter of another type": parameters(n_components="2"),
    "parameters that are a list": {"parameters": [["n_components", 2]]},
    "estimator within": parameters(corruption={"estimator": "Autoencoder", "parameters": {}}),
    "wide rows": {"n_features_in": 10**12, "sample_shape": [10**12], "given_shape": [10**12]},
    "rows of another shape": {"given_shape": [3]},
    "negative shape": {"sample_shape": [-2, -2]},
    "too few names": {"feature_names_in": ["a", "b"]},
    "names that are numbers": {"feature_names_in": [1, 2, 3, 4]},
    "history that is text": {"history": "long"},
    "history of lists": {"history": [[1, 2]]},
    "no history": {"history": None},
    "epochs that are text": {"n_iter": "many"},
    "other figures": {"versus_pca": {"ratio": 1}},
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_facts_are_one_sentence(folder, name):
    forge(folder, FORGED[name])
    pattern = rf"^{re.escape(str(folder))} does not fit together \(.+\): fit and save the model"
    with pytest.raises(ArtefactError, match=pattern) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_forged_facts_take_no_memory(folder, tmp_path):
    """All of them in one process, whose greatest size grows by less than 200 MB."""
    for name, changes in FORGED.items():
        shutil.copytree(folder, tmp_path / name)
        forge(tmp_path / name, changes)
    shutil.rmtree(folder)
    Autoencoder(2, **SHORT).fit(X).save(tmp_path / "sound")
    code = (
        "from pathlib import Path; import isthmus\n"
        "isthmus.load('sound'); before, n_refused = peak(), 0\n"
        "for path in Path('.').iterdir():\n"
        "    try: isthmus.load(path)\n"
        "    except isthmus.errors.ArtefactError: n_refused += 1\n"
        "print(n_refused, (peak() - before) / 1e6)"
    )
    n_refused, megabytes = map(float, printed_by(code, cwd=tmp_path).split())
    assert n_refused == len(FORGED)
    assert megabytes < 200


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"mean": torch.zeros(5)}, "mean has 5 features, and n_features_in is 4"),
        ({"encoder.linear.weight": torch.zeros(4, 2)}, "(4, 2) in the file, (2, 4) by its facts"),
        ({"../../home": torch.zeros(1)}, "../../home is (1,) in the file, unknown by its facts"),
        ({"scaling.offset": torch.zeros(9)}, "scaling has 9 features, and n_features_in is 4"),
        ({"encoder.linear.bias": torch.zeros(2, dtype=torch.int8)}, "encoder.linear.bias"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_forged_tensors_are_one_sentence(folder, tensors, reason):
    forge(folder, tensors=tensors)
    with pytest.raises(ArtefactError, match=re.escape(reason)) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert not (folder.parents[1] / "home").exists()


def test_missing_tensor_is_named(folder):
    config, tensors = artefact.read(folder)
    del tensors["encoder.linear.weight"]
    artefact.write(folder, config, tensors, "")
    refused(
        folder,
        f"{folder} does not fit together (the tensor encoder.linear.weight is missing in the file, "
        f"(2, 4) by its facts): fit and save the model again.",
    )


@pytest.mark.parametrize("shape", [[2**38], [10**30], [-1], [2**32, 2**32]], ids=str)
def test_header_that_claims_what_is_not_there_is_refused(folder, shape):
    header = json.dumps({"mean": {"dtype": "F32", "shape": shape, "data_offsets": [0, 2**40]}})
    forged = struct.pack("<Q", len(header)) + header.encode() + bytes(64)
    config = without_checksum(folder)
    config |= {"weights_bytes": len(forged), "weights_sha256": hashlib.sha256(forged).hexdigest()}
    forge_text(folder, json.dumps(config))
    (folder / WEIGHTS).write_bytes(forged)
    with pytest.raises(
        ArtefactError, match=r"model\.safetensors cannot be read \(.*\): save it ag"
    ):
        load(folder)


def test_header_that_is_longer_than_the_file_is_refused(folder):
    forged = struct.pack("<Q", 2**60) + b"{}"
    config = without_checksum(folder)
    config |= {"weights_bytes": len(forged), "weights_sha256": hashlib.sha256(forged).hexdigest()}
    forge_text(folder, json.dumps(config))
    (folder / WEIGHTS).write_bytes(forged)
    with pytest.raises(ArtefactError, match="cannot be read"):
        load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"format": 2, "history": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"format": 2, "format": 1}',
        '{"format": 2, "parameters": {"n_components": 2, "n_components": 2}}',
        '{"format": 2, "n_iter": NaN}',
        '{"format": 2, "n_iter": -Infinity}',
        '{"format": 2, "n_iter": ' + "9" * 10_000 + "}",
        '{"format": true}',
        '{"format": -1}',
        '{"format": "2"}',
        '{"formats": 2}',
        '{"$float": "1"}',
        '{"format": 2, "n_iter": {"$float": []}}',
        "[2]",
        "2",
        "",
        "\x00",
    ],
    ids=lambda text: text[:40],
)
def test_json_that_is_no_configuration_is_refused(folder, text):
    (folder / CONFIG).write_text(text, encoding="utf-8")
    refused(
        folder, f"{folder / CONFIG} cannot be read: it was cut short or altered; copy it again."
    )


def test_config_larger_than_any_is_not_read(folder):
    os.truncate(folder / CONFIG, 2**40)
    refused(
        folder, f"{folder / CONFIG} cannot be read: it was cut short or altered; copy it again."
    )


def test_weights_of_another_length_are_not_read(folder):
    os.truncate(folder / WEIGHTS, 2**40)
    with pytest.raises(ArtefactError, match="its checksum differs"):
        load(folder)


def test_facts_of_other_names_are_not_followed(folder):
    secret = folder.parent / "secret"
    secret.write_text("word")
    expected = load(folder).transform(X)
    forge(folder, {"weights": "../secret", "path": str(secret), "__class__": "os"})
    np.testing.assert_array_equal(load(folder).transform(X), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"classes_dtype": "<U2000000000"},
        {"classes_dtype": "V1000000000"},
        {"classes_dtype": "f4,f4"},
        {"classes": [["a"], ["b"]]},
        {"classes": ["a", "b", "c"]},
        {"classes": None},
        {"autoencoder": None},
        {"autoencoder": {"estimator": "Autoencoder"}},
    ],
    ids=str,
)
def test_forged_classifier_is_refused_or_has_its_classes(tmp_path, change):
    y = np.where(X[:, 0] > 0.5, "a", "b")
    AutoencoderClassifier(BernoulliRBM(2, n_iter=1), max_epochs=1).fit(X, y).save(
        tmp_path / "model"
    )
    forge(tmp_path / "model", change)
    try:
        classes = load(tmp_path / "model").classes_
    except ArtefactError as error:
        assert "does not fit together" in str(error)  # noqa: PT017
    else:
        assert classes.tolist() == ["a", "b"]
        assert classes.dtype == "<U1"


def test_own_modules_of_another_width_are_refused(tmp_path):
    def halves(width):
        return Custom(torch.nn.Linear(4, width), torch.nn.Linear(width, 4))

    Autoencoder(2, network=halves(2), max_epochs=1).fit(X).save(tmp_path / "model")
    assert load(tmp_path / "model", network=halves(2)).transform(X).shape == (60, 2)
    with pytest.raises(ArtefactError, match=r"makes 3 numbers of a sample, and 2 are needed"):
        load(tmp_path / "model", network=halves(3))
