"""Noise off pictures by convolutions: MNIST, BSD68 with clean pictures to learn from, and without.

    python benchmarks/pictures.py                          all tasks that have no figure yet
    python benchmarks/pictures.py --only mnist bsd         these again
    python benchmarks/pictures.py --only mnist --choose    judged on training pictures

Noise is drawn once, with a fixed seed. PSNR in dB is the mean over pictures of each one's own.
Settings were chosen on training pictures (MNIST: the last 10,000, BSD: the last 40 of the 400).
"""

import argparse
import copy
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept import kept
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from isthmus import DenoisingAutoencoder, datasets
from isthmus.evaluation import psnr
from isthmus.evaluation.baselines import tune

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results" / "pictures.json"
GALLERY = ROOT / "docs" / "pictures"
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(TASKS), help="run these again")
    parser.add_argument("--data", type=Path, default=DATA, help="holds mnist/ and bsd/")
    parser.add_argument("--choose", action="store_true", help="judge on training pictures")
    options = parser.parse_args()
    done = results()
    for name in options.only or [name for name in TASKS if name not in done]:
        figures = TASKS[name](options.data, options.choose)
        print(name, {key: value for key, value in figures.items() if key != "model"}, flush=True)
        if not options.choose:
            merged = results() | {name: figures}  # read again: another run may have written
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(merged, indent=1) + "\n")


def results() -> dict[str, Figures]:
    """Return the figures by task, as far as there are any."""
    found: dict[str, Figures] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


# MNIST -----------------------------------------------------------------------------------

STD = 0.5
CLIPPED = f"gaussian(std={STD}, clip=(0, 1))"


def mnist(data: Path, choose: bool) -> Figures:
    """Train for at most eight minutes on two cores."""
    network = "conv(channels=(24, 48), blocks=2, skip=True)"
    return _digits(data, choose, 7, network, width=96, **ORTHOGONAL)


def mnist_long(data: Path, choose: bool) -> Figures:
    """Train for longer; a run that was stopped goes on from its last state."""
    network = "conv(channels=(32, 64), blocks=3, skip=True, activation=silu)"
    return _digits(data, choose, 60, network, width=128, **(ORTHOGONAL | {"batch_size": 64}))


def mnist_code(data: Path, choose: bool) -> Figures:
    """Send everything through a code of 64 numbers."""
    network = "conv(channels=(32, 64), linear_path=none)"
    return _digits(data, choose, epochs=15, network=network, width=64)


ORTHOGONAL = {"optimizer": "muon", "learning_rate": 4e-3, "batch_size": 32}


def _digits(
    data: Path, choose: bool, epochs: int, network: str, width: int = 128, **options: Any
) -> Figures:
    train = datasets.mnist(data / "mnist").images.reshape(-1, 28, 28)
    test = datasets.mnist(data / "mnist", split="test").images.reshape(-1, 28, 28)
    if choose:
        train, test = train[:50_000], train[50_000:]
    model = DenoisingAutoencoder(
        width,
        network=network,
        corruption=CLIPPED,
        max_epochs=epochs,
        validation_fraction=0,
        random_state=0,
        **({"learning_rate": 2e-3, "batch_size": 128} | options),
    )
    noise = STD * np.random.default_rng(0).normal(size=test.shape)
    noisy = (test + noise).clip(0, 1).astype(np.float32)
    with kept(model, len(train)) as folder:
        model.fit(train, checkpoint=folder)
        cleaned = model.denoise(noisy).clip(0, 1)
    if not choose:
        _draw(list(zip(noisy, cleaned, test, strict=True))[:4], STD, GALLERY / "digits.png")
    return {
        "psnr": float(psnr(test, cleaned).mean()),
        "noisy_psnr": float(psnr(test, noisy).mean()),
        "seconds": model.history_[-1]["seconds"],
        "device": device(),
        "model": repr(model),
    }


# Speed -----------------------------------------------------------------------------------

ROUNDS, N_TIMED = 5, 6_000


def speed(data: Path, choose: bool) -> Figures:
    """Let epochs of ours and of a plain float32 loop over the same network take turns."""
    rows = datasets.mnist(data / "mnist").images[:N_TIMED].reshape(-1, 28, 28)
    model = DenoisingAutoencoder(
        128,
        network="conv(channels=(64, 96), patch=2, skip=True)",
        corruption=f"gaussian(std={STD})",
        batch_size=128,
        random_state=0,
    ).partial_fit(rows)
    plain = plain_loop(model, torch.from_numpy(rows).flatten(1))
    seconds: dict[str, list[float]] = {"isthmus": [], "plain": []}
    for _ in range(ROUNDS):
        for name, epoch in (("isthmus", lambda: model.partial_fit(rows)), ("plain", plain)):
            began = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    return {
        "seconds_an_epoch": medians,
        "faster_than_plain": medians["plain"] / medians["isthmus"],
        "rows": N_TIMED,
        "model": repr(model),
    }


def plain_loop(model: DenoisingAutoencoder, rows: torch.Tensor) -> Callable[[], None]:
    """Write the loop as most people do: float32, channels first, a DataLoader."""
    halves = (copy.deepcopy(half).float() for half in (model.model_.encoder, model.model_.decoder))
    encoder, decoder = (half.to(memory_format=torch.contiguous_format) for half in halves)
    encoder.entry = ChannelsFirst(encoder.entry)
    weights = [*encoder.parameters(), *decoder.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=1e-3)
    loader = DataLoader(TensorDataset(rows), batch_size=128, shuffle=True)

    def epoch() -> None:
        for (x,) in loader:
            optimizer.zero_grad()
            head, beside = encoder(x + STD * torch.randn_like(x))
            torch.nn.functional.mse_loss(decoder(head, *beside), x).backward()
            optimizer.step()

    return epoch


class ChannelsFirst(torch.nn.Module):
    """Maps as torch lays them out by itself."""

    def __init__(self, entry: torch.nn.Module) -> None:
        super().__init__()
        self.entry, self.shape = entry, entry.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.entry(x).contiguous()


# Photographs -----------------------------------------------------------------------------

SIGMA = 25 / 255


def bsd(data: Path, choose: bool) -> Figures:
    """Learn from clean pictures with noise put on them."""
    clean = _read(data / "bsd" / "train400")
    test = _read(data / "bsd" / "bsd68")
    if choose:
        clean, test = clean[:-40], clean[-40:]
    model = _photographs(f"gaussian(std={SIGMA})", blocks=4, epochs=60)
    return _judged(model, clean, test, "bsd")


def bsd_blind(data: Path, choose: bool) -> Figures:
    """Learn from the noisy pictures alone that are to be cleaned."""
    test = _read(data / "bsd" / "train400")[-40:] if choose else _read(data / "bsd" / "bsd68")
    noisy = [_with_noise(picture, i) for i, picture in enumerate(test)]
    model = _photographs("blind_spot", blocks=2, epochs=80)
    return _judged(model, noisy, test, "bsd_blind")


def _photographs(corruption: str, blocks: int, epochs: int) -> DenoisingAutoencoder:
    around = "patch=2, skip=True, residual=True, side=64, activation=relu"
    return DenoisingAutoencoder(
        96,
        network=f"conv(channels=(48, 64), blocks={blocks}, {around})",
        corruption=corruption,
        optimizer="muon",
        learning_rate=2e-3,
        batch_size=16,
        max_epochs=epochs,
        validation_fraction=0,
        random_state=0,
    )


def _judged(model: DenoisingAutoencoder, train: list, test: list, name: str) -> Figures:
    began = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - began
    figures, rows = [], []
    for i, clean in enumerate(test):
        noisy = _with_noise(clean, i)
        cleaned = model.denoise_picture(noisy).clip(0, 1)
        figures.append(float(psnr(clean[None], cleaned[None])[0]))
        if i in (2, 5, 11):
            rows.append([each[60:220, 60:300] for each in (noisy.clip(0, 1), cleaned, clean)])
    if rows:
        _draw(rows, SIGMA, GALLERY / f"{name}.png")
    return {
        "psnr": float(np.mean(figures)),
        "seconds": seconds,
        "device": device(),
        "model": repr(model),
    }


def device() -> str:
    """Name what computes: the accelerator, or how many threads of the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    n_threads = torch.get_num_threads()
    return f"{n_threads} threads" if n_threads > 1 else "one thread"


def _read(folder: Path) -> list[np.ndarray]:
    """Return the pictures as light, (h, w) float32."""
    files = sorted(folder.glob("*.png"))
    return [np.asarray(Image.open(file).convert("L"), np.float32) / 255 for file in files]


def _with_noise(clean: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=clean.shape)
    return (clean + SIGMA * noise).astype(np.float32)


def _draw(rows: Sequence[Sequence[np.ndarray]], std: float, path: Path) -> None:
    """Draw noisy, by non-local means, cleaned and true, side by side, a picture a row."""
    import matplotlib.pyplot as plt

    titles = ("noisy", "non-local means", "Isthmus", "true")
    height, width = rows[0][0].shape
    size = (12, 3.3 * len(rows) * height / width)
    figure, axes = plt.subplots(len(rows), 4, figsize=size, squeeze=False)
    all_noisy, _, all_clean = (np.stack(each) for each in zip(*rows, strict=True))
    baseline = tune("nlm", all_clean, all_noisy, std)
    for i, (noisy, cleaned, clean) in enumerate(rows):
        means = baseline.denoise(noisy[None])[0]
        shown = (noisy, means, cleaned, clean)
        for axis, picture, title in zip(axes[i], shown, titles, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_axis_off()
            if i == 0:
                axis.set_title(title, fontsize=10)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=80)
    plt.close(figure)


TASKS: dict[str, Callable[[Path, bool], Figures]] = {
    task.__name__: task for task in (speed, mnist, mnist_long, mnist_code, bsd, bsd_blind)
}


if __name__ == "__main__":
    main()
