"""Does pretraining pay? One deep net, four beginnings: held-out error against seconds.

784-1000-500-250-30 and back on MNIST, cross-entropy, Adam, one-cycle, batch 256: logistic units
from a random start, pretrained with RBMs, pretrained with autoencoders; rectifiers from a random
start. The last 10,000 training images judge; nothing is chosen by them.

    python benchmarks/pretraining.py --mnist FOLDER --json FILE --picture FILE
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from isthmus import StackedAutoencoder, datasets

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
SHARED: dict[str, Any] = {
    "hidden": (1000, 500, 250),
    "likelihood": "bernoulli",
    "scaling": "none",
    "batch_size": 256,
    "learning_rate": 2e-3,
    "patience": None,
    "random_state": 0,
}
BEGINNINGS: dict[str, dict[str, Any]] = {
    "logistic, random start": {"pretraining": None},
    "logistic, RBMs": {"pretraining": "rbm(n_epochs=5)"},
    "logistic, autoencoders": {"pretraining": "autoencoder(n_epochs=5)"},
    "rectifiers, random start": {"pretraining": None, "activation": "relu"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's idx files")
    parser.add_argument("--epochs", type=int, default=30, help="of the whole net")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    options = parser.parse_args()
    folder = options.mnist or (MNIST if MNIST.is_dir() else None)
    rows = datasets.mnist(folder).images
    curves = {}
    for name, beginning in BEGINNINGS.items():
        model = StackedAutoencoder(30, **SHARED, **beginning, max_epochs=options.epochs)
        model.fit(rows[:50_000], validation=rows[50_000:])
        curves[name] = curve(model.history_)
        curves[name]["squared_error"] = float(model.reconstruction_error(rows[50_000:]).mean())
        last = curves[name]
        print(
            f"{name:26s} {last['nats'][-1]:7.2f} nats, squared error {last['squared_error']:.2f}, "
            f"{last['seconds'][-1]:.0f} s, of which {last['pretraining']:.0f} s before",
            flush=True,
        )
    figures = {"curves": curves, "threads": torch.get_num_threads(), "torch": torch.__version__}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.picture:
        draw(curves, options.picture)


def curve(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the held-out nats of the whole net by seconds since the very start."""
    stages = {record["stage"]: record["seconds"] for record in history}
    before = sum(seconds for stage, seconds in stages.items() if stage.startswith("layer"))
    whole = [record for record in history if "held_out_nll" in record]
    return {
        "pretraining": before,
        "seconds": [before + record["seconds"] for record in whole],
        "nats": [record["held_out_nll"] for record in whole],
    }


def draw(curves: dict[str, dict[str, Any]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, each in curves.items():
        axes.plot(each["seconds"], each["nats"], marker=".", markersize=3, label=name)
    lowest = min(min(each["nats"]) for each in curves.values())
    axes.set_yscale("log")
    axes.set_ylim(lowest * 0.98, 220)
    axes.set_yticks([70, 80, 100, 150, 200], labels=["70", "80", "100", "150", "200"])
    axes.minorticks_off()
    axes.set_xlabel("seconds, pretraining included")
    axes.set_ylabel("held-out cross-entropy, nats a picture")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
