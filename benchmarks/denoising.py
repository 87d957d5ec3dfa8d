"""Noise off MNIST with a dense network: mean PSNR of the 10,000 test images, and the seconds.

Noise 0.5 N(0, 1) on pixels in 0 to 1, not clipped; the result is clipped. Settings were chosen
on 10,000 of the training images.

    python benchmarks/denoising.py --mnist FOLDER --json denoising.json
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from isthmus import DenoisingAutoencoder, datasets
from isthmus.evaluation import psnr

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
STD = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's idx files")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--choose", action="store_true", help="judge on training images")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    folder = options.mnist or (MNIST if MNIST.is_dir() else None)
    train = datasets.mnist(folder).images
    test = datasets.mnist(folder, split="test").images
    if options.choose:
        train, test = train[:50_000], train[50_000:]
    model = denoiser(options.epochs)
    began = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - began
    noisy = test + STD * np.random.default_rng(0).normal(size=test.shape)
    cleaned = model.denoise(noisy).clip(0, 1)
    figures = {
        "noisy_clipped_psnr": float(psnr(test, noisy.clip(0, 1)).mean()),
        "psnr": float(psnr(test, cleaned).mean()),
        "seconds": seconds,
        "epochs": options.epochs,
        "model": repr(model),
    }
    print(
        f"noisy, clipped {figures['noisy_clipped_psnr']:.2f} dB; cleaned {figures['psnr']:.2f} dB; "
        f"{seconds:.0f} s of training, {options.epochs} epochs"
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def denoiser(epochs: int) -> DenoisingAutoencoder:
    """Return the dense denoiser: wide layers, one cycle, every row used for training."""
    return DenoisingAutoencoder(
        256,
        hidden=(1024,),
        corruption=f"gaussian(std={STD})",
        activation="relu",
        likelihood="bernoulli",
        scaling="none",
        learning_rate=3e-3,
        max_epochs=epochs,
        validation_fraction=0,
        random_state=0,
    )


if __name__ == "__main__":
    main()
