"""ONNX Runtime beside the model: the difference of their answers, and the time of one.

Fits every estimator with every kind of network to 8 x 8 digits (sequences: their eight lines),
exports all its parts, and encodes 1 row and 1,000 rows by the file and by `model.transform`, in
turns.

    python benchmarks/onnx_runtime.py --json benchmarks/results/onnx_runtime.json
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from isthmus import datasets, export_onnx
from isthmus.errors import ExportError
from isthmus.export.signatures import PARTS
from isthmus.parts import Custom

ROUNDS = {1: 200, 1000: 20}  # by rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "pairs": [],
    }
    images, labels = datasets.digits()
    for name, network, model in models():
        rows = images.reshape(-1, 8, 8) if network.startswith(("conv", "rec")) else images
        model.fit(rows, labels)
        pair = {"estimator": name, "network": network, **compared(model, rows)}
        figures["pairs"].append(pair)
        print(json.dumps(pair))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def models() -> Iterator[tuple[str, str, Any]]:
    """Yield estimators that are quickly fitted, with the name of their network."""
    from isthmus import (
        Autoencoder,
        AutoencoderClassifier,
        BernoulliRBM,
        ContractiveAutoencoder,
        DenoisingAutoencoder,
        GaussianRBM,
        SparseAutoencoder,
        StackedAutoencoder,
    )

    # Without held-out rows, for which the PCA might be kept.
    short: dict[str, Any] = {"max_epochs": 2, "validation_fraction": 0, "random_state": 0}
    conv, skip = "conv(channels=(16, 32))", "conv(channels=(16, 32), skip=True)"
    own = Custom(
        nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 16)),
        nn.Sequential(nn.Linear(16, 128), nn.GELU(), nn.Linear(128, 64)),
    )
    networks = ["dense", "dense(tied=True)", "dense(norm='layer')", conv]
    recurrent = [
        "recurrent(hidden=(64,))",
        "recurrent(hidden=(64,), cell=lstm, bidirectional=True)",
    ]
    for network in [*networks, *recurrent]:
        yield "Autoencoder", network, Autoencoder(16, network=network, **short)
    yield "Autoencoder", "custom", Autoencoder(16, network=own, **short)
    for network in ["dense", conv, skip, recurrent[0]]:
        yield "DenoisingAutoencoder", network, DenoisingAutoencoder(16, network=network, **short)
    for sparsity in ["kl", "topk(k=8)", "batch_topk(k=8)", "winner_take_all"]:
        model = SparseAutoencoder(64, sparsity=sparsity, **short)
        yield f"SparseAutoencoder, {sparsity}", "dense", model
    yield "ContractiveAutoencoder", "dense", ContractiveAutoencoder(32, **short)
    yield "StackedAutoencoder", "dense", StackedAutoencoder(16, **short)
    for network in ["dense", conv]:
        within = Autoencoder(16, network=network, **short)
        yield "AutoencoderClassifier", network, AutoencoderClassifier(within, **short)
    yield "BernoulliRBM", "", BernoulliRBM(64, n_iter=2, random_state=0)
    yield "GaussianRBM", "", GaussianRBM(64, n_iter=2, random_state=0)


def compared(model: Any, rows: Any) -> dict[str, Any]:
    """Export every part; return the largest difference, and the times of encoding."""
    differences, n_switched = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        for part, signature in PARTS.items():
            network = getattr(getattr(model.model_, "parts", None), "network", None)
            skips = part == "decode" and getattr(network, "skips", False)
            if skips or not hasattr(model, signature.method):
                continue
            try:
                exported = export_onnx(model, Path(folder, f"{part}.onnx"), part, X=rows)
            except ExportError as error:
                print(error)
                continue
            differences[part] = exported.difference
            n_switched = max(n_switched, exported.n_switched)
        times = timed(model, Path(folder, "encode.onnx"), rows)
    return {"differences": differences, "n_switched": n_switched, "milliseconds": times}


def timed(model: Any, file: Path, rows: Any) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of an answer, by rows, of the model and of the file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    found = {}
    for n_rows, rounds in ROUNDS.items():
        given = np.ascontiguousarray(rows[:n_rows], np.float32)
        ways: dict[str, Callable[[], Any]] = {
            "model": lambda given=given: model.transform(given),
            "file": lambda given=given: session.run(None, {"rows": given}),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - began)
        found[str(n_rows)] = {name: 1e3 * median(each) for name, each in seconds.items()}
    return found


if __name__ == "__main__":
    main()
