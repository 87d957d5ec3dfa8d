"""ONNX files: ONNX Runtime answers what the model answers, or there is no file."""

import copy
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from test_contract import ESTIMATORS
from torch import nn

import isthmus
from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    GaussianRBM,
    VariationalAutoencoder,
    export_onnx,
)
from isthmus.cli.main import run
from isthmus.data.scaling import Scaling
from isthmus.errors import ExportError, FileError, MissingDependencyError, ParameterError
from isthmus.export.agreement import Examples, agreement
from isthmus.export.graphs import InTwo
from isthmus.export.sequences import unpacked
from isthmus.export.signatures import PARTS
from isthmus.parts import Code, Custom, Likelihood, Network

DRAW = np.random.default_rng(0)
X = DRAW.uniform(size=(60, 4))
PICTURES = DRAW.uniform(size=(40, 7, 6))
SEQUENCES = [DRAW.normal(size=(length, 2)) for length in [3, 1, 3, 2, 3] * 8]
SHORT = {"max_epochs": 2, "random_state": 0, "validation_fraction": 0}


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def answered(path, given):
    """Return what ONNX Runtime makes of float32 rows."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given_to,), (answer,) = session.get_inputs(), session.get_outputs()
    return session.run([answer.name], {given_to.name: np.asarray(given, np.float32)})[0]


def facts(path):
    return {each.key: each.value for each in onnx.load(path).metadata_props}


def agree(model, part, path, rows):
    """Export a part, and compare it with the model's own method on rows of its own."""
    exported = export_onnx(model, path, part, X=rows)
    assert exported.difference < 1e-4
    given = np.asarray(rows, np.float32)
    if PARTS[part].given == "codes":
        given = model.transform(given)
    expected = getattr(model, PARTS[part].method)(given)
    for n_rows in (1, 7, len(given)):
        found = answered(path, given[:n_rows])
        assert found.shape == expected[:n_rows].shape
        np.testing.assert_allclose(found, expected[:n_rows], rtol=1e-3, atol=1e-4)


# All of them ------------------------------------------------------------------------------

# Those that share all but their parts are exported in two ways, by turns: each takes a second.
FIRST = {type(each).__mro__[1]: each for each in reversed(ESTIMATORS)}.values()
CASES = [
    pytest.param(estimator, part, id=f"{i}-{type(estimator).__name__}-{part}")
    for i, estimator in enumerate(ESTIMATORS)
    for place, part in enumerate(PARTS)
    if estimator in FIRST or not hasattr(estimator, PARTS[part].method) or (i + place) % 3 == 0
]


@pytest.mark.parametrize(("estimator", "part"), CASES)
def test_every_estimator_is_exported_or_says_why_not(estimator, part, tmp_path):
    model = copy.deepcopy(estimator).fit(X, np.arange(60) % 3)
    if not hasattr(model, PARTS[part].method):
        with pytest.raises(ParameterError, match=rf"^part='{part}' is none that .+: use encode"):
            export_onnx(model, tmp_path / "part.onnx", part)
    elif part == "score" and getattr(model, "hidden", "") == "rectified":
        with pytest.raises(ExportError, match=r"^The score of rectified hidden units has a"):
            export_onnx(model, tmp_path / "part.onnx", part)
    else:
        agree(model, part, tmp_path / "part.onnx", X)
        return
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["encode", "reconstruct", "score"])
def test_conditional_model_is_exported_but_for_its_decoder(part, tmp_path):
    model = VariationalAutoencoder(2, conditional=True, hidden=(4,), **SHORT)
    agree(model.fit(X, np.arange(60) % 3), part, tmp_path / "part.onnx", X)
    with pytest.raises(ParameterError, match=r"^part='decode' of a conditional model would need"):
        export_onnx(model.set_params(conditional=False), tmp_path / "decode.onnx", "decode")


NETWORKS = {
    "dense(activation='gelu')": X,
    "dense(tied=True, linear_path=none)": X,
    "dense(dropout=0.2, norm='layer')": X,
    "dense(norm='batch')": X,
    "conv(channels=(3, 4))": PICTURES,
    "conv(channels=(3,), skip=True, norm='layer', residual=True)": PICTURES,
    "conv(channels=(3,), patch=2, norm='batch')": PICTURES,
    "recurrent(hidden=(3,), bidirectional=True)": SEQUENCES,
    "recurrent(hidden=(3,), cell=lstm)": SEQUENCES,
}


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_is_exported(network, tmp_path):
    rows = NETWORKS[network]
    hidden = {"hidden": (4,)} if network.startswith("dense") else {}
    model = Autoencoder(2, network=network, **hidden, **SHORT)
    if "skip" in network:
        model.set_params(corruption="gaussian(std=0.1)")
    model.fit(rows)
    exported = export_onnx(model, tmp_path / "part.onnx", "reconstruct", X=rows)
    assert exported.difference < 1e-4
    if rows is SEQUENCES:
        rows = np.full((len(SEQUENCES), 3, 2), np.nan)
        for row, sequence in zip(rows, SEQUENCES, strict=True):
            row[: len(sequence)] = sequence
    expected = model.reconstruct(rows.astype(np.float32))
    np.testing.assert_allclose(
        answered(tmp_path / "part.onnx", rows), expected, rtol=1e-4, atol=1e-4
    )


def test_networks_above_are_all_that_there_are():
    assert {network.partition("(")[0] for network in NETWORKS} | {"custom"} == set(Network.kinds)


@pytest.mark.parametrize("code", Code.kinds)
def test_every_code_is_exported(code, tmp_path):
    small = f"{code}(k=2)" if "topk" in code else code
    model = Autoencoder(3, hidden=(4,), code=small, **SHORT).fit(X)
    agree(model, "encode", tmp_path / "part.onnx", X)


@pytest.mark.parametrize("likelihood", Likelihood.kinds)
def test_every_likelihood_is_exported(likelihood, tmp_path):
    model = Autoencoder(2, hidden=(4,), likelihood=likelihood, **SHORT).fit(X)
    agree(model, "score", tmp_path / "part.onnx", X)


class Own(nn.Module):
    """A network of one's own that takes another way for each precision."""

    def __init__(self, n_in, n_out, way):
        super().__init__()
        self.linear, self.way = nn.Linear(n_in, n_out), way

    def forward(self, x):
        return self.way(self.linear(x))


def own(way, end=lambda x: x):
    torch.manual_seed(0)
    network = Custom(Own(4, 2, way), Own(2, 4, end))
    return Autoencoder(2, network=network, max_epochs=1, random_state=0).fit(X)


def test_own_modules_are_exported(tmp_path):
    agree(own(torch.tanh, torch.relu), "reconstruct", tmp_path / "part.onnx", X)


# Precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["encode", "reconstruct", "score"])
@pytest.mark.parametrize("scaling", ["isotropic", "standard"])
def test_large_mean_costs_no_digit(scaling, part, tmp_path):
    rows = DRAW.normal(size=(200, 4)) + np.array([1e6, 0, -3e5, 1])
    model = Autoencoder(2, hidden=(4,), scaling=scaling, **SHORT).fit(rows)
    assert export_onnx(model, tmp_path / "part.onnx", part, X=rows).difference < 1e-5
    given = rows.astype(np.float32)
    found = answered(tmp_path / "part.onnx", given)
    places = {"reconstruct": np.spacing(np.abs(given))}.get(part, np.array([1e-4]))
    expected = getattr(model, PARTS[part].method)(given)
    assert (np.abs(found - expected) <= 2 * places + 1e-4).all()


def test_offset_in_two_numbers_keeps_what_one_loses():
    mean = torch.tensor([1e6 + 1 / 3], dtype=torch.float64)
    exact = Scaling(mean, torch.ones((), dtype=torch.float64))
    x = (1e6 + torch.linspace(-3, 3, 100))[:, None].float()
    wanted = exact(x.double())
    naive = (x - exact.offset.float()) / exact.scale.float()
    assert (naive - wanted).abs().max() > 1e-2
    assert (InTwo(exact)(x) - wanted).abs().max() < 1e-6
    assert InTwo(exact).log_volume() == pytest.approx(float(exact.log_volume()))
    torch.testing.assert_close(InTwo(exact).inverse(wanted.float()), x)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_unpacked_sequences_are_read_as_packed_ones(cell, bidirectional):
    network = f"recurrent(hidden=(3, 4), cell={cell}, bidirectional={bidirectional})"
    model = Autoencoder(2, network=network, **SHORT).fit(SEQUENCES).model_
    rows = torch.full((len(SEQUENCES), 3, 2), torch.nan).double()
    for row, sequence in zip(rows, SEQUENCES, strict=True):
        row[: len(sequence)] = torch.from_numpy(sequence)
    found = unpacked(copy.deepcopy(model)).encode(rows.flatten(1))
    torch.testing.assert_close(found, model.encode(rows.flatten(1)), rtol=1e-9, atol=1e-9)


# What is refused --------------------------------------------------------------------------


def test_file_that_would_answer_otherwise_is_not_written(tmp_path):
    model = own(lambda x: x if x.dtype == torch.float64 else 1.01 * x)
    path = tmp_path / "part.onnx"
    path.write_bytes(b"before")
    pattern = (
        rf"^{re.escape(str(path))} is not written, for in float32 part='encode' differs from the "
        r"model by 0\.0\d+ of what such answers amount to \(at most 0\.0001 is allowed\): scale "
        r"the columns \(scaling='standard'\), or use the model itself\.$"
    )
    with pytest.raises(ExportError, match=pattern):
        export_onnx(model, path)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["part.onnx"]


@pytest.mark.parametrize(
    ("n_off", "switches", "holds"),
    [(1, True, True), (5, True, True), (6, True, False), (1, False, False)],
)
def test_rows_on_the_edge_of_a_switch_may_differ_if_they_are_few(n_off, switches, holds):
    rows = np.ones((100, 3), np.float32)
    compared = Examples(rows, rows, rows, switches)

    def answers(given):
        found = given.copy()
        found[1 : n_off + 1, 0] = 0
        return found + np.float32(1e-5)

    found = agreement(compared, answers)
    assert found.holds is holds
    assert found.n_switched == (n_off if switches else 0)
    assert found.difference == pytest.approx(1e-5 if switches else 1, rel=0.1)


def test_answers_that_are_not_numbers_do_not_agree():
    rows = np.ones((4, 3), np.float32)
    rows[1, 2] = np.nan  # padding, in both
    compared = Examples(rows, rows, np.ones_like(rows), False)
    assert agreement(compared, lambda given: given).difference == 0
    assert agreement(compared, lambda given: given * np.nan).difference == np.inf
    assert agreement(compared, lambda given: np.nan_to_num(given)).difference == np.inf
    assert agreement(compared, lambda given: given * np.inf).difference == np.inf


def test_model_that_has_learned_little_is_exported(tmp_path):
    """Its answers hardly differ from row to row; that float32 rounds them is no fault."""
    model = BernoulliRBM(3, n_iter=1, learning_rate=1e-6, random_state=0).fit(X)
    assert np.ptp(model.inverse_transform(model.transform(X)), axis=0).max() < 1e-3
    assert export_onnx(model, tmp_path / "part.onnx", "decode").difference < 1e-6
    model = Autoencoder(2, hidden=(4,), network="dense(linear_path=none)", max_epochs=0)
    constant = model.fit(X, validation=X)
    assert export_onnx(constant, tmp_path / "part.onnx", "reconstruct").difference < 1e-5


def test_rows_that_are_given_are_compared_too(tmp_path):
    model = own(lambda x: x if x.dtype == torch.float64 else torch.where(x > 100, x + 1, x))
    assert export_onnx(model, tmp_path / "part.onnx").n_rows == 64
    assert export_onnx(model, tmp_path / "part.onnx", X=X).n_rows == 124
    with pytest.raises(ExportError, match="differs from the model"):
        export_onnx(model, tmp_path / "other.onnx", X=1e4 * (X - 0.5))
    assert not (tmp_path / "other.onnx").exists()


def test_module_that_looks_at_its_numbers_is_refused(tmp_path):
    model = own(lambda x: x if x.sum() > 0 else -x)
    with pytest.raises(ExportError, match=r"^part='encode' cannot be made an ONNX graph \(.+\): "):
        export_onnx(model, tmp_path / "part.onnx")
    assert not list(tmp_path.iterdir())


def test_module_that_fixes_the_number_of_rows_is_refused(tmp_path):
    model = own(lambda x: x.view(len(x), 2))
    sentence = (
        "part='encode' cannot be made an ONNX graph for any number of rows: a module of the "
        "network takes it for a constant; write x.shape[0] there, not len(x)."
    )
    with pytest.raises(ExportError, match=exactly(sentence)):
        export_onnx(model, tmp_path / "part.onnx")


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(2, hidden=(4,), **SHORT).fit(pd.DataFrame(X, columns=["a", "b", "c", "ü"]))


def test_codes_that_say_too_little_are_refused_as_by_the_model(tmp_path):
    model = Autoencoder(2, network="conv(channels=(3,), skip=True)", **SHORT)
    model.set_params(corruption="masking").fit(PICTURES)
    with pytest.raises(ParameterError, match="leads part of its input around the code"):
        export_onnx(model, tmp_path / "part.onnx", "decode")


@pytest.mark.parametrize("part", ["enode", None, 3])
def test_unknown_part_is_refused(fitted, tmp_path, part):
    near = " (did you mean 'encode'?)" if part == "enode" else ""
    sentence = (
        f"part={part!r} is none that Autoencoder has{near}: use encode, decode, reconstruct, score."
    )
    with pytest.raises(ParameterError, match=exactly(sentence)):
        export_onnx(fitted, tmp_path / "part.onnx", part)


def test_model_that_is_not_ours_or_not_fitted_is_refused(tmp_path):
    from sklearn.decomposition import PCA

    with pytest.raises(ParameterError, match=r"^PCA is no estimator of isthmus: give a fitted one"):
        export_onnx(PCA(2).fit(X), tmp_path / "part.onnx")
    with pytest.raises(NotFittedError):
        export_onnx(Autoencoder(2), tmp_path / "part.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_missing_package_is_named(fitted, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    sentence = (
        f"Exporting to ONNX needs {package}, which is not installed: pip install 'isthmus[onnx]'."
    )
    with pytest.raises(MissingDependencyError, match=exactly(sentence)):
        export_onnx(fitted, tmp_path / "part.onnx")


# Where it is written ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["part", "part.pt", ".onnx", "onnx"])
def test_path_of_another_ending_is_refused(fitted, tmp_path, name):
    sentence = f"{tmp_path / name} is no name of an ONNX file: give one that ends in .onnx."
    with pytest.raises(FileError, match=exactly(sentence)):
        export_onnx(fitted, tmp_path / name)


def test_folder_that_is_missing_is_made(fitted, tmp_path):
    path = tmp_path / "new" / "folder" / "part.onnx"
    assert export_onnx(fitted, str(path)).path == path
    assert answered(path, X).shape == (60, 2)


def test_path_that_cannot_be_written_is_refused(fitted, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(FileError, match=r"folder\.onnx is not a file: give the path of one"):
        export_onnx(fitted, tmp_path / "folder.onnx")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileError, match=r"part\.onnx cannot be written .*nothing was changed\.$"):
        export_onnx(fitted, tmp_path / "file" / "part.onnx")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.onnx"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_device_without_space_leaves_the_file_as_it_was(fitted, tmp_path, monkeypatch):
    path = tmp_path / "part.onnx"
    path.write_bytes(b"before")
    beside = path.with_name(".beside.onnx")
    beside.symlink_to("/dev/full")
    monkeypatch.setattr("isthmus.data.replacing._beside", lambda target: beside)
    with pytest.raises(FileError, match=r"^No space is left on the device to write "):
        export_onnx(fitted, path)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["part.onnx"]


# What is in the file ----------------------------------------------------------------------


def test_file_says_what_it_is_and_nothing_of_the_machine(fitted, tmp_path):
    path = tmp_path / "part.onnx"
    exported = export_onnx(fitted, path, "score", X=pd.DataFrame(X, columns=["a", "b", "c", "ü"]))
    told = facts(path)
    assert told["estimator"] == "Autoencoder"
    assert told["part"] == "score"
    assert json.loads(told["feature_names"]) == ["a", "b", "c", "ü"]
    assert json.loads(told["feature_dtypes"]) == ["float64"] * 4
    assert json.loads(told["versions"])["torch"] == torch.__version__
    assert json.loads(told["agreement"])["difference"] == exported.difference
    whole = path.read_bytes()
    for text in (b".py", str(Path(isthmus.__file__).parent).encode(), str(tmp_path).encode()):
        assert text not in whole


def test_same_model_gives_the_same_bytes(fitted, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        export_onnx(fitted, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_export_leaves_the_model_and_the_random_numbers_as_they_were(fitted, tmp_path):
    before, state = fitted.transform(pd.DataFrame(X, columns=["a", "b", "c", "ü"])), vars(fitted)
    names, numbers, drawn = set(state), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    export_onnx(fitted, tmp_path / "part.onnx", "reconstruct")
    assert set(vars(fitted)) == names
    assert torch.equal(torch.get_rng_state(), numbers)
    assert (np.random.get_state()[1] == drawn).all()  # noqa: NPY002
    after = fitted.transform(pd.DataFrame(X, columns=["a", "b", "c", "ü"]))
    np.testing.assert_array_equal(after, before)
    assert next(fitted.model_.parameters()).dtype == torch.float64


def test_classes_are_in_the_file_in_the_order_of_the_chances(tmp_path):
    y = np.array(["no", "yes", "maybe"])[np.arange(60) % 3]
    model = AutoencoderClassifier(GaussianRBM(3, n_iter=1), max_epochs=3).fit(X, y)
    export_onnx(model, tmp_path / "part.onnx", "classify")
    assert json.loads(facts(tmp_path / "part.onnx")["classes"]) == model.classes_.tolist()


def test_answers_are_arrays_whatever_output_is_set(fitted, tmp_path):
    model = copy.deepcopy(fitted).set_output(transform="pandas")
    assert export_onnx(model, tmp_path / "part.onnx", "decode").difference < 1e-4


def test_score_of_a_binary_machine_takes_all_features_in_few_passes(tmp_path):
    rows = (DRAW.uniform(size=(50, 40)) > 0.5).astype(np.float32)
    model = BernoulliRBM(3, n_iter=2, random_state=0).fit(rows)
    agree(model, "score", tmp_path / "part.onnx", rows)
    assert len(onnx.load(tmp_path / "part.onnx").graph.node) < 400


# On the command line ----------------------------------------------------------------------


def test_command_writes_what_the_function_writes(fitted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fitted.save("model")
    pd.DataFrame(X, columns=["ü", "c", "b", "a"]).to_csv("rows.csv", index=False)
    assert run(["export", "model", "part.onnx", "--part", "score", "--data", "rows.csv"]) == 0
    said = capsys.readouterr().out
    differs = r"the largest relative difference from the model is \S+"
    assert re.match(rf"part\.onnx: score; on 124 rows {differs}\.$", said)
    export_onnx(fitted, "other.onnx", "score", X=pd.read_csv("rows.csv")[["a", "b", "c", "ü"]])
    assert Path("part.onnx").read_bytes() == Path("other.onnx").read_bytes()
    assert run(["export", "model", "part.onnx"]) == 2
    assert "part.onnx exists already: add --force" in capsys.readouterr().err
    assert run(["export", "model", "part.onnx", "--part", "classify", "--force"]) == 2
    assert "Error: --part classify is none that Autoencoder has" in capsys.readouterr().err
