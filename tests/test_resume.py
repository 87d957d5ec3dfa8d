"""Fits that are ended and go on: each comes to the very model of an undisturbed fit."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from stopping import StopAt
from torch import nn

import isthmus
from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    Checkpoint,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    GaussianRBM,
    OutlierDetector,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    load,
    resume,
)
from isthmus.cli.main import run
from isthmus.data.fingerprint import fingerprint
from isthmus.data.states import KEPT, StateFolder, read
from isthmus.datasets import digits
from isthmus.errors import (
    ArtefactError,
    DataError,
    FileError,
    FitStoppedError,
    ParameterError,
    TrainingWarning,
)
from isthmus.estimators import ESTIMATORS
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.progress import Progress
from isthmus.fitting.schedules import Schedule
from isthmus.parts import Code, Conv, Corruption, Custom, Likelihood, Penalty

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(isthmus.__file__).parents[1])}
X, Y = digits().images[:90], digits().labels[:90]
PICTURES = X.reshape(-1, 8, 8)
NOISY = (X + 0.1 * np.random.default_rng(0).normal(size=X.shape)).astype(np.float32)
SMALL = {"hidden": (8,), "max_epochs": 3, "random_state": 0, "batch_size": 20}
WHOLE = {**SMALL, "validation_fraction": 0}
FOLDER_HELD = "holds the checkpoint of a fit"
NEW = "give another folder, or delete this one to begin anew"


def in_pieces(make, path, *rows, n_steps=7, most=100, **given):
    """Fit, stopped after every few steps and resumed until it ends; return it and how often."""
    network = getattr(make(), "network", None)
    own = {"network": network} if isinstance(network, Custom) else {}
    for n_stops in range(most):
        checkpoint = StopAt(path, n_steps)
        try:
            if n_stops == 0:
                return make().fit(*rows, checkpoint=checkpoint, **given), n_stops
            return resume(checkpoint, *rows, **given, **own), n_stops
        except FitStoppedError:
            pass
    pytest.fail("the fit does not come to its end")


def learned(estimator):
    facts, tensors = estimator._learned()
    return re.sub(r"'seconds': [\d.e-]+", "", repr(facts)), tensors  # text, where NaN is NaN


def same(first, second):
    """Whether two fits came to the same, bit for bit, on the same way."""
    (facts, tensors), (others, theirs) = learned(first), learned(second)
    equal = [torch.equal(tensors[name], theirs[name]) for name in tensors]
    return all(equal) and len(theirs) == len(equal) and facts == others


# Bit for bit -----------------------------------------------------------------------------

FITS = {
    "Autoencoder": (lambda: Autoencoder(3, **SMALL), (X,), {}),
    "DenoisingAutoencoder": (
        lambda: DenoisingAutoencoder(3, corruption="gaussian(std=0.1)", **SMALL),
        (NOISY,),
        {"target": X, "validation": (NOISY[:30], X[:30])},
    ),
    "SparseAutoencoder": (
        lambda: SparseAutoencoder(6, sparsity="batch_topk(k=2)", **SMALL), (X,), {}
    ),
    "ContractiveAutoencoder": (lambda: ContractiveAutoencoder(6, **WHOLE), (X,), {}),
    "StackedAutoencoder": (
        lambda: StackedAutoencoder(
            2, pretraining="autoencoder(n_epochs=2)", corruption="masking(fraction=0.2)", **SMALL
        ),
        (X,),
        {},
    ),
    "VariationalAutoencoder": (
        lambda: VariationalAutoencoder(3, conditional=True, **SMALL), (X, Y), {}
    ),
    "OutlierDetector": (lambda: OutlierDetector(3, **SMALL), (X,), {}),
    "AutoencoderClassifier": (
        lambda: AutoencoderClassifier(Autoencoder(3, **WHOLE), max_epochs=3, random_state=0),
        (X, Y),
        {},
    ),
    "BernoulliRBM": (lambda: BernoulliRBM(8, n_iter=6, n_steps=2, random_state=0), (X,), {}),
    "GaussianRBM": (
        lambda: GaussianRBM(8, n_iter=6, hidden="rectified", random_state=0), (X,), {}
    ),
}  # fmt: skip

MORE = {
    "pretraining as machines": (
        lambda: StackedAutoencoder(
            2, pretraining="rbm(n_epochs=3)", likelihood="bernoulli", **WHOLE
        ),
        (X,),
        {},
    ),
    "dropout and batch norm": (
        lambda: Autoencoder(3, network="dense(dropout=0.2, norm=batch)", **SMALL), (X,), {}
    ),
    "bfloat16": (
        lambda: Autoencoder(3, network="dense(linear_path=none)", precision="bfloat16", **WHOLE),
        (X,),
        {},
    ),
    "a machine in bfloat16 without chains": (
        lambda: BernoulliRBM(8, n_iter=4, persistent=False, precision="bfloat16", random_state=0),
        (X,),
        {},
    ),
    "convolutions": (
        lambda: Autoencoder(3, network="conv(channels=(4,))", **{**WHOLE, "hidden": None}),
        (PICTURES,),
        {},
    ),
    "convolutions in orthogonal steps": (
        lambda: Autoencoder(3, network="conv(channels=(8,))", optimizer="muon",
                            **{**WHOLE, "hidden": None}),
        (PICTURES,),
        {},
    ),
    "several draws": (
        lambda: VariationalAutoencoder(
            3, importance_samples=3, growth=0.9, warmup=0.5, **WHOLE
        ), (X,), {}
    ),
    "sequences": (
        lambda: Autoencoder(
            2, network="recurrent(hidden=(4,))", max_epochs=3, validation_fraction=0, random_state=0
        ),
        ([X[:length, :2] for length in range(3, 40)],),
        {},
    ),
    "crops": (
        lambda: DenoisingAutoencoder(
            4, network="conv(channels=(4,), skip=True, side=8)", target="blind", max_epochs=3,
            batch_size=10, random_state=0,
        ),
        ([X[i : i + 10 + i] for i in range(12)],),
        {},
    ),
    "modules": (
        lambda: Autoencoder(3, network=modules(), max_epochs=3, validation_fraction=0,
                            batch_size=20, random_state=0),
        (X,),
        {},
    ),
    "a head alone": (
        lambda: AutoencoderClassifier(Autoencoder(3, **WHOLE), fine_tune=False, dropout=0.5,
                                      max_epochs=3, random_state=0),
        (X, Y.astype(str)),
        {},
    ),
    "a loss that is not finite any more": (
        lambda: Autoencoder(3, optimizer="sgd", learning_rate=1e3, **SMALL), (X,), {}
    ),
    "patience": (
        lambda: Autoencoder(3, patience=1, network="dense(linear_path=none)",
                            learning_rate=0.1, **{**SMALL, "max_epochs": 40}),
        (X,),
        {"validation": X[:20]},
    ),
}  # fmt: skip


def modules():
    torch.manual_seed(0)
    dropped = nn.Sequential(nn.Linear(64, 8), nn.Dropout(0.2), nn.Linear(8, 3))
    return Custom(encoder=dropped, decoder=nn.Linear(3, 64))


def test_every_estimator_has_a_fit_that_is_resumed():
    assert FITS.keys() == ESTIMATORS.keys()


@pytest.mark.filterwarnings("ignore:The (training diverged|loss leapt)")
@pytest.mark.parametrize("name", [*FITS, *MORE])
def test_resumed_fit_is_the_undisturbed_one(name, tmp_path):
    make, rows, given = {**FITS, **MORE}[name]
    resumed, n_stops = in_pieces(make, tmp_path / "kept", *rows, **given)
    assert n_stops >= 1
    assert same(resumed, make().fit(*rows, **given))


SLOTS = [
    *(("optimizer", name) for name in Optimizer.kinds),
    *(("schedule", name) for name in Schedule.kinds),
    *(("corruption", name) for name in Corruption.kinds),
    *(("code", name) for name in Code.kinds),
    *(("likelihood", name) for name in Likelihood.kinds),
    *(("penalties", name) for name in Penalty.kinds),
]
NEEDS = {"binarised": {"likelihood": "bernoulli"},
         "contraction": {"code": "sigmoid"}, "activity_kl": {"code": "sigmoid"},
         "dead_units": {"code": "topk(k=2)"}}  # fmt: skip
SAYS = {"topk": "topk(k=2)", "batch_topk": "batch_topk(k=2)"}


@pytest.mark.parametrize(("slot", "part"), SLOTS)
def test_fit_with_every_part_is_resumed(slot, part, tmp_path):
    options = {**WHOLE, "max_epochs": 2, **NEEDS.get(part, {}), slot: SAYS.get(part, part)}
    rows = PICTURES if part == "blind_spot" else X
    resumed, n_stops = in_pieces(lambda: Autoencoder(3, **options), tmp_path / "kept", rows)
    assert n_stops >= (0 if part == "lbfgs" else 1)
    assert same(resumed, Autoencoder(3, **options).fit(rows))


def test_lbfgs_is_resumed_with_its_curvature(tmp_path):
    options = {**WHOLE, "optimizer": "lbfgs(max_iter=3)", "max_epochs": 4}
    make = lambda: Autoencoder(3, **options)  # noqa: E731
    resumed, n_stops = in_pieces(make, tmp_path / "kept", X, n_steps=4)
    assert n_stops >= 3
    assert same(resumed, make().fit(X))


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5, 6, 11, 16])
def test_fit_is_resumed_from_any_step(n_steps, tmp_path):
    make = lambda: Autoencoder(3, corruption="masking", **{**WHOLE, "schedule": "cosine"})  # noqa: E731
    with pytest.raises(FitStoppedError):
        make().fit(X, checkpoint=StopAt(tmp_path / "kept", n_steps))
    assert same(resume(tmp_path / "kept", X), make().fit(X))


def test_checkpoints_change_nothing(tmp_path):
    make, rows, given = FITS["StackedAutoencoder"]
    kept = make().fit(*rows, checkpoint=Checkpoint(tmp_path, every=0), **given)
    assert same(kept, make().fit(*rows, **given))


@pytest.mark.parametrize("name", ["DenoisingAutoencoder", "BernoulliRBM"])
def test_a_state_after_each_epoch(name, tmp_path):
    make, rows, given = FITS[name]
    written = []
    write = StateFolder.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateFolder, "write", lambda *told: (written.append(told[2]), write(*told)))
        make().fit(*rows, checkpoint=Checkpoint(tmp_path, every="epoch"), **given)
    epochs = [len(state["told"]) for state in written]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == epochs[-1]  # each epoch's, the last one's at the end
    assert [state["is_over"] for state in written] == [False] * (len(epochs) - 1) + [True]


def test_same_call_goes_on(tmp_path):
    make = lambda: Autoencoder(3, **SMALL)  # noqa: E731
    with pytest.raises(FitStoppedError):
        make().fit(X, checkpoint=StopAt(tmp_path, 20))
    assert same(make().fit(X, checkpoint=tmp_path), make().fit(X))


def test_finished_fit_is_returned_without_training(tmp_path):
    model = Autoencoder(3, **SMALL).fit(X, checkpoint=tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = resume(StopAt(tmp_path, 1000), X)
    assert same(again, model)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files


@pytest.mark.parametrize("state", [None, np.random.default_rng(3), np.random.RandomState(3)])
def test_fit_without_a_fixed_seed_goes_on_with_its_own_draws(state, tmp_path):
    make = lambda: Autoencoder(3, **{**SMALL, "random_state": state})  # noqa: E731
    with pytest.raises(FitStoppedError):
        make().fit(X, checkpoint=StopAt(tmp_path, 20))
    (entropy,) = StateFolder(tmp_path).newest()["entropies"]
    undisturbed = Autoencoder(3, **{**SMALL, "random_state": entropy}).fit(X)
    assert same(resume(tmp_path, X), undisturbed)


def test_seed_of_an_autoencoder_within_is_kept_too(tmp_path):
    def make():
        stream = np.random.default_rng(4)
        return AutoencoderClassifier(
            Autoencoder(3, **{**WHOLE, "random_state": stream}), max_epochs=3
        )

    with pytest.raises(FitStoppedError):
        make().fit(X, Y, checkpoint=StopAt(tmp_path, 20))
    entropies = StateFolder(tmp_path).newest()["entropies"]
    resumed = resume(tmp_path, X, Y)
    within = Autoencoder(3, **{**WHOLE, "random_state": entropies[1]})
    assert same(resumed.autoencoder_, within.fit(X))
    undisturbed = AutoencoderClassifier(within, max_epochs=3, random_state=entropies[0])
    assert torch.equal(resumed.model_.head.weight, undisturbed.fit(X, Y).model_.head.weight)


def test_random_state_that_gives_other_numbers_is_refused(tmp_path):
    with pytest.raises(FitStoppedError):
        Autoencoder(3, **{**SMALL, "random_state": np.random.default_rng(0)}).fit(
            X, checkpoint=StopAt(tmp_path, 5)
        )
    said = (
        f"random_state gives other numbers than those of the fit that is kept in {tmp_path}: "
        f"write None to go on with them, or give another folder."
    )
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        Autoencoder(3, **{**SMALL, "random_state": np.random.default_rng(1)}).fit(
            X, checkpoint=tmp_path
        )


def test_seconds_go_on(tmp_path):
    with pytest.raises(FitStoppedError):
        Autoencoder(3, **WHOLE).fit(X, checkpoint=StopAt(tmp_path, 8))
    time.sleep(0.2)
    seconds = [record["seconds"] for record in resume(tmp_path, X).history_]
    assert seconds == sorted(seconds)
    assert seconds[-1] < 0.2 + seconds[0] + 1


# Stopping and interrupting ---------------------------------------------------------------


def test_stop_ends_a_fit_with_a_sentence(tmp_path):
    checkpoint = Checkpoint(tmp_path / "kept")
    checkpoint.stop()
    said = (
        f"The fit was stopped and is kept in {tmp_path / 'kept'}: "
        f"resume({str(tmp_path / 'kept')!r}, X) goes on from there."
    )
    with pytest.raises(FitStoppedError, match=f"^{re.escape(said)}$"):
        Autoencoder(3, **SMALL).fit(X, checkpoint=checkpoint)
    assert same(resume(checkpoint, X), Autoencoder(3, **SMALL).fit(X))


def test_stop_reaches_a_fit_from_another_thread(tmp_path):
    checkpoint = Checkpoint(tmp_path / "kept", every=0)

    def stop_once_begun():
        while not any(tmp_path.glob("kept/stage-*")):
            time.sleep(0.001)
        checkpoint.stop()

    thread = threading.Thread(target=stop_once_begun)
    thread.start()
    with pytest.raises(FitStoppedError):
        Autoencoder(3, **{**WHOLE, "max_epochs": 2000}).fit(X, checkpoint=checkpoint)
    thread.join()


class Interrupting(StopAt):
    """A checkpoint at whose n-th step the user presses Ctrl-C."""

    def stop(self):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "make", [lambda: Autoencoder(3, **SMALL), lambda: BernoulliRBM(4, n_iter=9, random_state=0)]
)
def test_interrupt_keeps_the_best_model_and_the_checkpoint(make, tmp_path):
    with pytest.warns(TrainingWarning, match="interrupted"):
        model = make().fit(X, checkpoint=Interrupting(tmp_path, 12, every=0))
    assert model.stopped_by_ == "interrupted"
    assert same(resume(tmp_path, X), make().fit(X))


def test_checkpoint_is_no_model(tmp_path):
    with pytest.raises(FitStoppedError):
        Autoencoder(3, **SMALL).fit(X, checkpoint=StopAt(tmp_path, 5))
    sentence = (
        f"{tmp_path} holds the checkpoint of a fit, and no model: go on by isthmus resume, or in "
        f"Python by isthmus.resume(path, X)."
    )
    with pytest.raises(ArtefactError, match=f"^{re.escape(sentence)}$"):
        isthmus.load(tmp_path)


def test_interrupt_of_a_layer_leaves_the_checkpoint(tmp_path):
    make = MORE["pretraining as machines"][0]
    with pytest.warns(TrainingWarning, match="interrupted"):
        make().fit(X, checkpoint=Interrupting(tmp_path, 4, every=0))
    assert same(resume(tmp_path, X), make().fit(X))


def test_stop_ends_what_follows_an_interruption_too(tmp_path):
    class Both(Interrupting):
        def stopped(self):
            return super().stopped() or self.n_left < 0

    folded = {**SMALL, "network": "dense(linear_path=none)", "validation_fraction": 0.2}
    said = f"^The fit was stopped and was last kept in {re.escape(str(tmp_path))}: "
    with pytest.raises(FitStoppedError, match=said):
        Autoencoder(3, **folded).fit(X, checkpoint=Both(tmp_path, 40, every=0))
    assert same(resume(tmp_path, X), Autoencoder(3, **folded).fit(X))


# The folder ------------------------------------------------------------------------------


def test_last_two_states_of_a_stage_are_kept(tmp_path):
    Autoencoder(3, **WHOLE).fit(X, checkpoint=Checkpoint(tmp_path, every=0))
    names = sorted(file.name for file in tmp_path.glob("stage-*"))
    assert len(names) == KEPT == 2
    assert all(name.startswith("stage-001.") for name in names)


def test_states_are_written_as_often_as_asked(tmp_path):
    def count(every):
        folder = tmp_path / str(every)
        Autoencoder(3, **WHOLE).fit(X, checkpoint=Checkpoint(folder, every=every))
        return max(int(file.name.split(".")[1]) for file in folder.glob("stage-*"))

    n_steps, n_epochs = 15, 3
    assert count(0) == n_steps + n_epochs + 1  # and before each epoch, and at the end
    assert count(1e6) == count("auto") == 1


def test_usual_checkpoints_take_a_small_share_of_the_time():
    assert [Checkpoint("kept").rest(seconds) for seconds in (0.0, 0.1, 0.6)] == [10, 10, 20]
    assert Checkpoint("kept", every=3).rest(0.6) == 3


def broken(tmp_path, which, damage):
    """Stop a fit and damage some of its files; return what a resumed fit comes to."""
    with pytest.raises(FitStoppedError):
        Autoencoder(3, **WHOLE).fit(X, checkpoint=StopAt(tmp_path, 9, every=0))
    files = sorted(tmp_path.glob("stage-*"))[which]
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    return files


DAMAGE = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "a bit": lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_state_gives_way_to_the_one_before_with_a_warning(damage, tmp_path):
    (file,) = broken(tmp_path, slice(-1, None), damage)
    said = (
        f"{file} is damaged (its checksum differs). The fit goes on from what was written before."
    )
    with pytest.warns(TrainingWarning, match=f"^{re.escape(said)}$") as caught:
        resumed = resume(tmp_path, X)
    assert len({str(each.message) for each in caught}) == 1
    assert same(resumed, Autoencoder(3, **WHOLE).fit(X))


def test_states_that_are_all_damaged_are_refused(tmp_path):
    broken(tmp_path, slice(None), DAMAGE["a bit"])
    said = f"No checkpoint in {tmp_path} can be read: delete it, and fit anew."
    with pytest.raises(ArtefactError, match=f"^{re.escape(said)}$"):
        resume(tmp_path, X)


def test_damaged_stage_that_was_over_is_trained_again(tmp_path):
    make, rows, _ = FITS["StackedAutoencoder"]
    make().fit(*rows, checkpoint=tmp_path)
    for file in tmp_path.glob("stage-002.*"):
        file.write_bytes(b"")
    with pytest.warns(TrainingWarning, match="damaged"):
        resumed = resume(tmp_path, *rows)
    assert same(resumed, make().fit(*rows))


def test_file_that_was_half_written_is_removed(tmp_path):
    broken(tmp_path, slice(0), None)
    half = tmp_path / ".stage-001.00000009.0123456789abcdef.0123456789ab.safetensors"
    half.write_bytes(b"half")
    resume(tmp_path, X)
    assert not half.exists()


def test_state_of_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.data.states.FORMAT", 2)
    broken(tmp_path, slice(0), None)
    monkeypatch.undo()
    newer = "was written by a newer Isthmus: upgrade with pip"
    with pytest.raises(ArtefactError, match=newer):
        resume(tmp_path, X)


def test_state_that_would_take_more_memory_than_its_numbers_is_damaged(tmp_path):
    folder = StateFolder(tmp_path)
    with folder.locked():
        folder.write(1, {"weights": torch.zeros(2, 3)})
    (file,) = tmp_path.glob("stage-*")
    content = file.read_bytes().replace(b"3, 1]", b"9, 1]")
    digits_of = hashlib.sha256(content).hexdigest()[:16]
    changed = file.with_name(f"stage-001.00000001.{digits_of}.safetensors")
    changed.write_bytes(content)
    with pytest.raises(ArtefactError, match="would lie in memory with holes"):
        read(changed)


def test_states_stay_in_their_folder_wherever_the_process_goes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    folder = StateFolder(Path("fit"))
    with folder.locked():
        monkeypatch.chdir(tmp_path / "elsewhere")
        folder.write(1, {"weights": torch.zeros(2)})
    assert len(list((tmp_path / "fit").glob("stage-*"))) == 1
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_child_that_was_forked_meanwhile_does_not_keep_the_folder(tmp_path):
    folder = StateFolder(tmp_path)
    with folder.locked():
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            pass_fds=[_descriptor_of(tmp_path)],
        )
    with folder.locked():
        assert child.poll() is None
    child.communicate(b"\n")


def _descriptor_of(folder):
    """Return this process's open file in the folder."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith(str(folder)):
                return int(name)
    return pytest.skip("the system does not list open files")


def test_sequences_of_an_object_array_are_told_apart_to_the_last_value():
    one, other = (np.empty(2, object) for _ in range(2))
    for array in (one, other):
        array[:] = [np.zeros((1200, 1)), np.ones((5, 1))]
    assert fingerprint(one) == fingerprint(other)
    other[0] = np.zeros((1200, 1))
    other[0][600] = 1e-12
    assert fingerprint(one) != fingerprint(other)


def test_full_disk_does_not_end_the_fit(tmp_path):
    """A limit on the size of files stands in for the disk."""
    code = f"""
import resource, signal, sys, warnings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
from isthmus import Autoencoder, datasets
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = Autoencoder(3, hidden=(8,), max_epochs=2, validation_fraction=0, random_state=0)
    model.fit(datasets.digits().images[:90], checkpoint={str(tmp_path)!r})
print(model.n_iter_, *{{str(each.message)[:46] for each in caught}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip() == "2 No checkpoint was written, and the fit goes on"
    assert not list(tmp_path.glob("*stage-*"))


def refused(error, said, make, *rows, checkpoint, **given):
    with pytest.raises(error, match=f"^{re.escape(said)}$"):
        make().fit(*rows, checkpoint=checkpoint, **given)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a finished fit."""
    folder = tmp_path_factory.mktemp("finished")
    Autoencoder(3, **WHOLE).fit(X, checkpoint=folder)
    return folder


def test_folder_of_another_fit_is_refused(finished):
    others = {
        "hidden=[8], and hidden is now [9]": lambda: Autoencoder(3, **{**WHOLE, "hidden": (9,)}),
        "max_epochs=3, and max_epochs is now 4": lambda: Autoencoder(
            3, **{**WHOLE, "max_epochs": 4}
        ),
    }
    for words, make in others.items():
        said = f"{finished} {FOLDER_HELD} with {words}: set it back to go on, {NEW}."
        refused(FileError, said, make, X, checkpoint=finished)
    said = f"{finished} {FOLDER_HELD} of Autoencoder, and this is a BernoulliRBM: {NEW}."
    refused(FileError, said, lambda: BernoulliRBM(3), X, checkpoint=finished)


def test_another_spelling_of_the_network_goes_on(tmp_path):
    options = {"max_epochs": 2, "sample_shape": (8, 8), "random_state": 0}
    before = "conv((2,), activation='silu')"
    Autoencoder(2, network=before, **options).fit(X, checkpoint=tmp_path)
    again = Autoencoder(2, network=Conv(channels=(2,)), **options).fit(X, checkpoint=tmp_path)
    assert again.n_iter_ <= 2
    said = (
        f"{tmp_path} {FOLDER_HELD} with network={before!r}, and network is now "
        f"'conv(channels=(2,), blocks=2)': set it back to go on, {NEW}."
    )
    other = Autoencoder(2, network=Conv(channels=(2,), blocks=2), **options)
    refused(FileError, said, lambda: other, X, checkpoint=tmp_path)


DIFFERENT = {
    "(the rows had the shape (90, 64) then and (89, 64) now)": {"X": X[:89]},
    "(the rows were of type float32 then and float64 now)": {"X": X.astype(np.float64)},
    "(the rows held other values then)": {"X": X[::-1]},
    "(the rows had columns of other names then)": {"X": pd.DataFrame(X)},
    "(the clean rows were not given then)": {"X": X, "target": X},
}


@pytest.mark.parametrize("words", DIFFERENT)
def test_other_data_are_refused_with_what_differs(words, finished):
    said = f"{finished} {FOLDER_HELD} to other data {words}: give the same, or another folder."
    with pytest.raises(FileError, match=f"^{re.escape(said)}$"):
        resume(finished, **DIFFERENT[words])


def test_rows_that_are_missing_are_named(tmp_path):
    DenoisingAutoencoder(3, corruption="clean", **WHOLE).fit(NOISY, target=X, checkpoint=tmp_path)
    with pytest.raises(
        FileError, match=r"other data \(the clean rows were given then and are not now\)"
    ):
        resume(tmp_path, NOISY)
    rows = X.copy()
    rows[5, 5] += 1e-3
    with pytest.raises(FileError, match="the clean rows held other values then"):
        resume(tmp_path, NOISY, target=rows)


def test_labels_and_modules_are_compared_too(tmp_path):
    make, rows, _ = FITS["AutoencoderClassifier"]
    make().fit(*rows, checkpoint=tmp_path / "labels")
    with pytest.raises(FileError, match="the labels held other values then"):
        resume(tmp_path / "labels", X, Y[::-1])
    make, rows, _ = MORE["modules"]
    make().fit(*rows, checkpoint=tmp_path / "modules")
    other = modules()
    nn.init.zeros_(other.decoder.weight)
    with pytest.raises(FileError, match="the weights of the network held other values then"):
        resume(tmp_path / "modules", X, network=other)
    said = (
        f"The fit in {tmp_path / 'modules'} is of modules of its user's own, which are code and "
        f"not in it: give them in Python, resume(path, X, network=Custom(encoder, decoder))."
    )
    with pytest.raises(ArtefactError, match=f"^{re.escape(said)}$"):
        resume(tmp_path / "modules", X)
    other = modules()
    other.encoder[1] = nn.Dropout(0.5)
    said = (
        f"{tmp_path / 'modules'} holds the checkpoint of a fit of modules of other layers: {NEW}."
    )
    with pytest.raises(FileError, match=f"^{re.escape(said)}$"):
        resume(tmp_path / "modules", X, network=other)


def test_fit_that_goes_on_with_another_version_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.estimators.resuming.version", lambda _: "0.0.1")
    Autoencoder(3, **WHOLE).fit(X, checkpoint=tmp_path)
    monkeypatch.undo()
    said = (
        f"The fit in {tmp_path} was begun with isthmus 0.0.1 and goes on with "
        f"{isthmus.__version__}: its last digits may differ from those of an undisturbed fit."
    )
    with pytest.warns(TrainingWarning, match=f"^{re.escape(said)}$"):
        resume(tmp_path, X)


def test_bar_may_differ(finished):
    assert Autoencoder(3, **WHOLE, verbose=1).fit(X, checkpoint=finished).n_iter_ == 3


def test_rows_are_the_same_however_they_lie(finished, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    for rows in (np.load(tmp_path / "rows.npy", mmap_mode="r"), np.asfortranarray(X),
                 torch.from_numpy(X)):  # fmt: skip
        assert resume(finished, rows).n_iter_ == 3


def test_folder_in_use_is_refused(tmp_path):
    said = f"{tmp_path} is in use by another fit: wait for it, or give another folder."
    with StateFolder(tmp_path).locked():
        refused(FileError, said, lambda: Autoencoder(3, **SMALL), X, checkpoint=tmp_path)
    code = (
        "import sys; from pathlib import Path; from isthmus.data.states import StateFolder\n"
        f"with StateFolder(Path({str(tmp_path)!r})).locked(): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        refused(FileError, said, lambda: Autoencoder(3, **SMALL), X, checkpoint=tmp_path)
        other.kill()
    assert Autoencoder(3, **SMALL).fit(X, checkpoint=tmp_path).n_iter_ >= 0


def test_state_of_a_model_with_other_weights_is_refused():
    """As of an earlier version, in which fewer networks had a linear path."""

    def progress(layer):
        optimizer = Optimizer.of("adam").build(layer.parameters(), 1e-3)
        return Progress(layer, optimizer, (torch.Generator(),))

    said = (
        "The fit was kept by another version of Isthmus, in which its model has other weights: "
        "begin anew in another folder."
    )
    for other in (nn.Linear(2, 3), nn.Linear(2, 2, bias=False)):
        with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
            progress(nn.Linear(2, 2)).load_state_dict(progress(other).state_dict())


def test_state_of_another_device_is_refused():
    layer = nn.Linear(2, 2)
    optimizer = Optimizer.of("adam").build(layer.parameters(), 1e-3)
    state = Progress(layer, optimizer, (torch.Generator(),)).state_dict()
    said = (
        "The fit was kept on device 'cuda' and would go on on 'cpu': resume it on a machine of the "
        "first kind, or begin anew in another folder."
    )
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        Progress(layer, optimizer, (torch.Generator(),)).load_state_dict(
            {**state, "device": "cuda"}
        )


def test_foreign_folders_are_refused(tmp_path):
    make = lambda: Autoencoder(3, **SMALL)  # noqa: E731
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").touch()
    said = (
        f"{tmp_path / 'own'} holds something else than checkpoints: give the path of a new or an "
        f"empty folder."
    )
    refused(FileError, said, make, X, checkpoint=tmp_path / "own")
    (tmp_path / "file").touch()
    said = f"{tmp_path / 'file'} is a file: give the path of a folder for checkpoints."
    refused(FileError, said, make, X, checkpoint=tmp_path / "file")
    said = "checkpoint=5 is no folder: give a path, or Checkpoint(path, every=60)."
    refused(ParameterError, said, make, X, checkpoint=5)
    said = (
        f"There is no folder {tmp_path / 'none'}: give the one that the fit was to keep "
        f"checkpoints in."
    )
    with pytest.raises(ArtefactError, match=f"^{re.escape(said)}$"):
        resume(tmp_path / "none", X)
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    said = (
        f"There is no checkpoint in {tmp_path / 'empty'}: give the folder that a fit keeps its "
        f"checkpoints in, or, where it ended before its first one, fit again."
    )
    with pytest.raises(ArtefactError, match=f"^{re.escape(said)}$"):
        resume(tmp_path / "empty", X)
    Autoencoder(3, max_epochs=0).fit(X).save(tmp_path / "saved")
    said = (
        f"{tmp_path / 'saved'} is a saved model, whose fit is over, and no folder of checkpoints: "
        f"use the model, or give the folder that a fit keeps its checkpoints in."
    )
    with pytest.raises(ArtefactError, match=f"^{re.escape(said)}$"):
        resume(tmp_path / "saved", X)


@pytest.mark.parametrize("every", [-1, "often", True, None])
def test_time_that_is_none_is_refused(every):
    said = f"every={every!r} is no time: write seconds, 0 for every step, 'epoch' or 'auto'."
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        Checkpoint("kept", every=every)


def test_rows_that_cannot_be_used_leave_no_checkpoint(tmp_path):
    rows = X.copy()
    rows[3, 3] = np.nan
    with pytest.raises(DataError):
        Autoencoder(3, **SMALL).fit(rows, checkpoint=tmp_path)
    assert same(Autoencoder(3, **SMALL).fit(X, checkpoint=tmp_path), Autoencoder(3, **SMALL).fit(X))


def test_class_of_ones_own_is_refused(tmp_path):
    class Mine(Autoencoder):
        pass

    with pytest.raises(FileError, match=r"^\S+Mine of test_resume cannot be saved, for load knows"):
        Mine(3, **SMALL).fit(X, checkpoint=tmp_path)


def test_states_hold_no_pickle(finished):
    content = next(finished.glob("stage-*")).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    facts = json.loads(header.pop("__metadata__")["isthmus"])
    assert facts["format"] == 1
    assert {entry["dtype"] for entry in header.values()} <= {"F32", "F64", "I64", "U8"}


# The commands ----------------------------------------------------------------------------


def command(*words):
    code = "from isthmus.cli.main import main; main()"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(words, env=ENVIRONMENT, **pipes)


def await_lock(folder, process):
    while not (folder / ".isthmus-checkpoint").exists() and process.poll() is None:
        time.sleep(0.01)


TYPED = ["--hidden", "8", "--max-epochs", "3000", "--patience", "none", "--random-state", "0",
         "--validation-fraction", "0"]  # fmt: skip


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_the_command_with_a_checkpoint(number, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(X[:, :9], columns=list("abcdefghi")).to_csv("rows.csv", index=False)
    rows = ["rows.csv", "--drop", "a,b", "--model", "model"]
    process = command("fit", *rows, "--checkpoint", "kept", *TYPED)
    await_lock(tmp_path / "kept", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    again = "isthmus resume kept rows.csv --drop a,b --model model"
    assert (process.returncode, out, err) == (
        code,
        "",
        f"Stopping ...\nStopped. To go on: {again}\n",
    )
    assert list(tmp_path.glob("kept/stage-*"))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_without_a_checkpoint_saves_the_model_so_far(number, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    process = command("fit", "rows.npy", "--model", "model", "--log", "log.jsonl", *TYPED)
    while not Path("log.jsonl").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    model = load("model")
    assert (process.returncode, model.stopped_by_) == (code, "interrupted")
    assert "Autoencoder, saved to model" in out
    assert err == (
        f"Stopping ...\nWarning: The fit was interrupted: the weights of epoch {model.n_iter_}, "
        f"the best so far, are kept.\n"
    )


def test_resume_saves_the_model_of_an_undisturbed_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", PICTURES)
    typed = [*TYPED, "--max-epochs", "4"]
    with pytest.raises(FitStoppedError):
        Autoencoder(
            hidden=(8,), max_epochs=4, patience=None, random_state=0, validation_fraction=0,
            sample_shape=(8, 8), verbose=1,
        ).fit(X, checkpoint=StopAt("kept", 5))  # fmt: skip
    assert run(["fit", "rows.npy", "--model", "whole", *typed]) == 0
    assert run(["resume", "kept", "rows.npy", "--model", "resumed"]) == 0
    assert "Autoencoder, saved to resumed" in capsys.readouterr().out
    whole, resumed = load("whole"), load("resumed")
    assert same(whole, resumed)
    names = ["model.safetensors"]
    assert [Path("whole", n).read_bytes() == Path("resumed", n).read_bytes() for n in names] == [
        True
    ]


@pytest.mark.parametrize("held_out", ["0", "0.2"], ids=["all rows", "folds"])
def test_resume_of_a_finished_fit_says_that_its_model_is_there(
    held_out, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    typed = ["--hidden", "8", "--max-epochs", "2", "--validation-fraction", held_out]
    for name in ("large", "other"):
        fit = ["fit", "rows.npy", "--model", name, "--checkpoint", f"{name}-kept"]
        assert run([*fit, *typed, "--random-state", "0"]) == 0
    capsys.readouterr()
    again = ["resume", "large-kept", "rows.npy", "--model"]
    assert run([*again, "large"]) == 0
    assert capsys.readouterr().out == (
        "The fit in large-kept is finished, and large holds its model.\n"
    )
    assert run([*again, "other"]) == 2  # the same fit, made another time
    assert capsys.readouterr().err == (
        "Error: other holds a saved model already: add --force to replace it, or give another "
        "folder.\n"
    )
    assert run([*again, "large", "--force"]) == 0
    assert "Autoencoder, saved to large" in capsys.readouterr().out


def test_resume_keeps_a_model_unless_the_fit_has_come_to_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    with pytest.raises(FitStoppedError):
        Autoencoder(3, **SMALL).fit(X, checkpoint=StopAt("kept", 5))
    Autoencoder(3, **SMALL).fit(X).save("model")
    for kept in ("kept", "none"):
        assert run(["resume", kept, "rows.npy", "--model", "model"]) == 2
        assert "model holds a saved model already" in capsys.readouterr().err
    Path("model", "config.json").write_text("{}")
    assert run(["resume", "kept", "rows.npy", "--model", "model"]) == 2
    assert "model holds a saved model already" in capsys.readouterr().err


def test_resume_of_a_conditional_fit_needs_its_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    np.save("labels.npy", np.arange(len(X)) % 3)
    typed = ["rows.npy", "--labels", "labels.npy"]
    options = {"hidden": (8,), "max_epochs": 4, "random_state": 0, "verbose": 1}
    with pytest.raises(FitStoppedError):
        VariationalAutoencoder(2, conditional=True, **options).fit(
            X, np.load("labels.npy"), checkpoint=StopAt("kept", 5)
        )
    assert run(["resume", "kept", "rows.npy", "--model", "resumed"]) == 2
    sentence = "Error: kept keeps a fit with labels: add --labels.\n"
    assert capsys.readouterr().err == sentence
    assert run(["resume", "kept", *typed, "--model", "resumed"]) == 0
    whole = ["--hidden", "8", "--max-epochs", "4", "--random-state", "0"]
    assert run(["fit", *typed, "--model", "whole", *whole]) == 0
    assert same(load("whole"), load("resumed"))


def test_resume_of_what_the_command_does_not_make_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    BernoulliRBM(4, n_iter=1).fit(X, checkpoint="kept")
    assert run(["resume", "kept", "rows.npy", "--model", "model"]) == 2
    assert capsys.readouterr().err == (
        "Error: kept keeps a fit of BernoulliRBM, which this command does not make: go on in "
        "Python, by isthmus.resume('kept', X).\n"
    )


def test_resume_of_other_rows_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys, finished):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X[:50])
    assert run(["resume", str(finished), "rows.npy", "--model", "model"]) == 2
    assert capsys.readouterr().err == (
        f"Error: {finished} {FOLDER_HELD} to other data (the rows had the shape (90, 64) "
        f"then and (50, 64) now): give the same, or another folder.\n"
    )


# Kills -----------------------------------------------------------------------------------


def test_killed_fits_come_to_the_same_models(tmp_path):
    """A handful; `make kill` does a hundred."""
    figures = tmp_path / "kills.json"
    script = [sys.executable, "benchmarks/kill.py", "--kills", "5", "--json", str(figures)]
    subprocess.run(script, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    found = json.loads(figures.read_text())
    assert (found["kills"], found["different"]) == (5, 0)
    assert sum(counts["while_writing"] for counts in found["estimators"].values()) >= 1
