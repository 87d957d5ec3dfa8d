"""How fast an epoch is: ours, the loops that people write, and the matrix products alone.

Beside the products stands what no loop around torch can leave out: them, casts and Adam's step; and
beside ours a step by hand for this net alone.

All train the same net, 784-500-250-30 and back, from the same weights with Adam on batches of
256 of MNIST, and take turns, an epoch each, so that a busy machine slows all of them.

    python benchmarks/speed.py --mnist FOLDER --json speed.json

With ``--only checkpoint``, fits of a few epochs without checkpoints, with the usual ones and with
one an epoch take turns instead.
"""

import argparse
import copy
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from by_hand import ByHand
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from isthmus import Autoencoder, Checkpoint, datasets
from isthmus.data.scaling import scaling_of
from isthmus.fitting.assembly import build
from isthmus.fitting.plan import multiplies_bfloat16
from isthmus.fitting.streams import Streams

HIDDEN, CODE, BATCH, RATE = (500, 250), 30, 256, 1e-3
N_EPOCHS = 10  # of a fit that is kept, or not
MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
Epoch = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's idx files")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each (at least 5)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--only", choices=["checkpoint"], help="another measure")
    options = parser.parse_args()
    folder = options.mnist or (MNIST if MNIST.is_dir() else None)
    images = datasets.mnist(folder).images
    if options.only == "checkpoint":
        figures = measure_checkpoints(images, max(5, options.rounds))
        print(json.dumps(figures, indent=1))
    else:
        figures = measure(images, max(5, options.rounds))
        show(figures)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(images: np.ndarray, rounds: int) -> dict[str, Any]:
    """Let the contestants take turns; return medians, ratios and end errors."""
    model, start = ours(), fresh_net()
    rows = torch.from_numpy(images)
    nets = {name: copy.deepcopy(start) for name in ("loader", "memory", "by_hand")}
    epochs: dict[str, Epoch] = {
        "isthmus": lambda: model.partial_fit(images),
        "loader": loader_loop(nets["loader"], rows),
        "memory": memory_loop(nets["memory"], rows),
        "by_hand": by_hand_loop(nets["by_hand"], rows),
        "products": products(len(rows)),
        "step": products(len(rows), with_step=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            began = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - began)
    middle = medians(seconds)
    errors = {"isthmus": float(model.reconstruction_error(images).mean())}
    errors |= {name: squared_error(net, rows) for name, net in nets.items()}
    return {
        "seconds_an_epoch": middle,
        "faster_than_loader": middle["loader"] / middle["isthmus"],
        "faster_than_memory": middle["memory"] / middle["isthmus"],
        "times_the_products": middle["isthmus"] / middle["products"],
        "times_the_step": middle["isthmus"] / middle["step"],
        "by_hand_faster_than_loader": middle["loader"] / middle["by_hand"],
        "end_error": errors,
        "rounds": rounds,
        "all_seconds": seconds,
        "native_bfloat16": multiplies_bfloat16("cpu"),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }


def measure_checkpoints(images: np.ndarray, rounds: int) -> dict[str, Any]:
    """Let fits without and with checkpoints take turns; return their medians and ratios."""
    one = ours().set_params(max_epochs=N_EPOCHS, validation_fraction=0)
    each = {"without": None, "usual": "auto", "each_epoch": "epoch"}
    seconds: dict[str, list[float]] = {name: [] for name in each}
    busy: dict[str, list[float]] = {name: [] for name in each}
    n_states, n_bytes = dict.fromkeys(each, 0), 0
    for number in range(rounds):
        for name, every in each.items():
            with tempfile.TemporaryDirectory() as place:
                kept = None if every is None else Checkpoint(place, every=every)
                began, began_busy = time.perf_counter(), time.process_time()
                one.fit(images, checkpoint=kept)
                seconds[name].append(time.perf_counter() - began)
                busy[name].append(time.process_time() - began_busy)
                files = sorted(Path(place).glob("stage-*"))
                n_states[name] = max((int(file.name.split(".")[1]) for file in files), default=0)
                n_bytes = max([n_bytes, *(file.stat().st_size for file in files)])
        print(number, {name: round(times[-1], 2) for name, times in busy.items()}, flush=True)
    taken = medians(seconds)
    return {
        "seconds_a_fit": taken,
        "overhead": {name: taken[name] / taken["without"] - 1 for name in ("usual", "each_epoch")},
        "processor_seconds_a_fit": medians(busy),
        "epochs": N_EPOCHS,
        "states": n_states,
        "bytes_a_state": n_bytes,
        "rounds": rounds,
        "all_seconds": seconds,
        "all_processor_seconds": busy,
        "load_average": os.getloadavg()[0],
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(each) for name, each in times.items()}


def ours() -> Autoencoder:
    """Return the estimator with the contest's settings."""
    return Autoencoder(
        CODE,
        network="dense(activation='relu', linear_path='none')",
        hidden=HIDDEN,
        scaling="none",
        learning_rate=RATE,
        batch_size=BATCH,
        device="cpu",
        random_state=0,
    )


def fresh_net() -> nn.Module:
    """Return the net that `ours` starts from: its weights depend on the seed alone."""
    estimator = ours()
    scaling = scaling_of("none", torch.zeros(784), torch.ones(784))
    generator = Streams(estimator.random_state).generator("init")
    model = build(estimator.parts(), CODE, scaling, generator)
    return nn.Sequential(model.encoder, model.decoder)


def loader_loop(net: nn.Module, rows: Tensor) -> Epoch:
    """Write the loop as most people do."""
    loader = DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    criterion = nn.MSELoss()

    def epoch() -> None:
        total = 0.0
        net.train()
        for (x,) in loader:
            optimizer.zero_grad()
            loss = criterion(net(x), x)
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def memory_loop(net: nn.Module, rows: Tensor) -> Epoch:
    """Write the loop without the loader: a permutation and slices of it."""
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    criterion = nn.MSELoss()

    def epoch() -> None:
        for index in torch.randperm(len(rows)).split(BATCH):
            x = rows[index]
            optimizer.zero_grad()
            loss = criterion(net(x), x)
            loss.backward()
            optimizer.step()

    return epoch


def by_hand_loop(net: nn.Module, rows: Tensor) -> Epoch:
    """Take the same steps without autograd, in the precision that we use."""
    trained = ByHand(net, RATE)

    def epoch() -> None:
        for index in torch.randperm(len(rows)).split(BATCH):
            trained.step(rows.index_select(0, index))

    return epoch


def products(n_rows: int, *, with_step: bool = False) -> Epoch:
    """Make the matrix products of an epoch in the precision that we use, and nothing else.

    ``with_step`` turns float32 weights into that precision, their gradients back, and lets fused
    Adam step: what no loop around torch can leave out.
    """
    precision = torch.bfloat16 if multiplies_bfloat16("cpu") else torch.float32
    widths = [784, *HIDDEN, CODE, *reversed(HIDDEN), 784]
    pairs = list(itertools.pairwise(widths))
    rows = [torch.randn(BATCH, n_in).to(precision) for n_in, _ in pairs]
    errors = [torch.randn(BATCH, n_out).to(precision) for _, n_out in pairs]
    masters = [torch.randn(n_out, n_in, requires_grad=True) for n_in, n_out in pairs]
    fixed = [master.detach().to(precision) for master in masters]
    optimizer = torch.optim.Adam(masters, lr=RATE, fused=True)

    def epoch() -> None:
        for _ in range(-(-n_rows // BATCH)):
            weights = [each.detach().to(precision) for each in masters] if with_step else fixed
            for i, (x, weight, error) in enumerate(zip(rows, weights, errors, strict=True)):
                torch.mm(x, weight.T)  # forward
                gradient = torch.mm(error.T, x)  # to the weights
                if i:
                    torch.mm(error, weight)  # to the layer below
                if with_step:
                    masters[i].grad = gradient.float()
            if with_step:
                optimizer.step()

    return epoch


@torch.no_grad()
def squared_error(net: nn.Module, rows: Tensor) -> float:
    net.eval()
    errors = [(net(x) - x).square().sum(1) for x in rows.split(4096)]
    return float(torch.cat(errors).mean())


def show(figures: dict[str, Any]) -> None:
    titles = {
        "isthmus": "Isthmus",
        "loader": "plain loop, DataLoader, float32",
        "memory": "plain loop in memory, float32",
        "by_hand": "a step by hand for this net alone",
        "products": "matrix products alone",
        "step": "the same, casts and Adam's step",
    }
    for name, title in titles.items():
        error = figures["end_error"].get(name)
        ending = f"   squared error {error:.3f}" if error is not None else ""
        print(f"{title:34s}{figures['seconds_an_epoch'][name]:7.3f} s an epoch{ending}")
    print(
        f"{figures['faster_than_loader']:.2f} times faster than the DataLoader loop, "
        f"{figures['faster_than_memory']:.2f} times than the loop in memory, "
        f"{figures['times_the_products']:.2f} times the matrix products, "
        f"{figures['times_the_step']:.2f} times these with Adam's step "
        f"(medians of {figures['rounds']} alternating rounds; native bfloat16: "
        f"{'yes' if figures['native_bfloat16'] else 'no'})"
    )


if __name__ == "__main__":
    main()
