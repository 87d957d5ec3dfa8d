"""The demonstration: noise taken off handwritten digits, beside the classical denoisers.

n held-out digits, N training digits, d = 64 pixels of 8 x 8.
"""

import json
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from isthmus import datasets
from isthmus.cli.outputs import check_model, titled
from isthmus.data.replacing import replacing
from isthmus.errors import MissingDependencyError, missing
from isthmus.estimators.denoising import DenoisingAutoencoder
from isthmus.evaluation import page, psnr
from isthmus.evaluation.baselines import tune
from isthmus.evaluation.pictures import curve, side_by_side
from isthmus.evaluation.report import report

Floats = npt.NDArray[np.float64]

STD = 0.3
SIDE = 8  # pixels
TEST_SHARE = 0.25
N_SHOWN = 6
BASELINES = {
    "median": "Median filter",
    "nlm": "Non-local means",
    "wavelet": "Wavelets",
    "pca": "PCA",
}
NEXT = """
On your own data:

  isthmus fit my.csv --n-components 8 --model model
  isthmus report model my.csv
  isthmus fit pictures/ --noise "gaussian(std=0.1)" --model cleaner
  isthmus denoise noisy/ clean/ --model cleaner
"""


class Digits(NamedTuple):
    """Clean digits and the same with noise, which is not clipped; light from 0 to 1."""

    train: Floats  # (N, d)
    noisy_train: Floats  # (N, d) chooses the baselines' parameters
    test: Floats  # (n, d)
    noisy_test: Floats  # (n, d)
    labels: npt.NDArray[np.int64]  # (n,) what each of `test` shows
    shown: npt.NDArray[np.intp]  # (6,) rows of `test`: the first 0, 1, ... 5


class Result(NamedTuple):
    """What a method made of the held-out digits."""

    title: str
    setting: str
    cleaned: Floats  # (n, d), clipped to [0, 1]
    decibels: float  # PSNR, mean over the digits
    seconds: float  # to train or to choose parameters


def demo(out: Path, seed: int, console: Console) -> None:
    """Train on digits, compare on held-out ones, and write pictures, model and figures.

    Writes ``denoised.png``, ``curve.png``, ``model/``, ``summary.json``, the mean PSNR in decibels
    by method and the seconds of training, and ``report.html`` where its extra is installed.

    Parameters
    ----------
    out : Path
        The folder to write to.
    seed : int
        Of the split, the noise and the training; the same one gives the same decibels.
    console : Console
        Where the table goes.

    Raises
    ------
    MissingDependencyError
        If matplotlib, scikit-image or PyWavelets is not installed.
    FileError
        If `out` cannot be written to.
    """
    check_extras()
    check_model(out / "model", force=True)
    digits = split(seed)
    console.print(
        f"{len(digits.test)} held-out digits with Gaussian noise of std {STD}; "
        f"{len(digits.train)} others to learn from."
    )
    model = denoiser(seed)
    trained = ours(model, digits)
    results = {"noisy": result("Noisy input", "", digits, digits.noisy_test, 0)}
    with console.status("Choosing the baselines' parameters"):
        results |= {name: baseline(name, digits) for name in BASELINES}
    results["isthmus"] = trained
    console.print(table(results))
    write(out, model, digits, results)
    written = f"Written to {out}: denoised.png, curve.png, summary.json and the model."
    for text in (verdict(results), written, look(out, model, digits), NEXT):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def check_extras() -> None:
    """Refuse before the training what would fail after it."""
    packages = {"matplotlib": "matplotlib", "skimage": "scikit-image", "pywt": "PyWavelets"}
    for module, package in packages.items():
        try:
            import_module(module)
        except ImportError:
            raise missing(package, "isthmus demo", "pictures") from None


def split(seed: int) -> Digits:
    """Hold a quarter of the digits out, at random, and put noise on all."""
    images, labels = datasets.digits()
    clean = images.astype(np.float64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(clean))
    noisy = clean + rng.normal(0, STD, clean.shape)
    n_test = round(TEST_SHARE * len(clean))
    test, train = order[:n_test], order[n_test:]
    shown = np.unique(labels[test], return_index=True)[1][:N_SHOWN]
    return Digits(clean[train], noisy[train], clean[test], noisy[test], labels[test], shown)


def denoiser(seed: int) -> DenoisingAutoencoder:
    """Return the model, whose parameters were chosen on a split of the training digits alone."""
    return DenoisingAutoencoder(
        64,
        corruption=f"gaussian(std={STD})",
        hidden=(512,),
        likelihood="bernoulli",  # 0.4 dB more than squared error: it never leaves [0, 1]
        optimizer="adamw(weight_decay=0.3)",  # 0.15 dB more than without decay
        learning_rate=8e-3,
        batch_size=64,
        max_epochs=100,
        patience=None,  # one cycle is worth most at its end
        random_state=seed,
        verbose=1,
    )


def ours(model: DenoisingAutoencoder, digits: Digits) -> Result:
    """Train on the clean digits, whose noise is drawn while training, and judge."""
    began = time.perf_counter()
    model.fit(digits.train)
    seconds = time.perf_counter() - began
    cleaned = model.denoise(digits.noisy_test)
    return result("Isthmus", "denoising autoencoder", digits, cleaned, seconds)


def baseline(name: str, digits: Digits) -> Result:
    """Choose a baseline's parameters on the training digits and judge it."""
    began = time.perf_counter()
    tuned = tune(name, pictures(digits.train), pictures(digits.noisy_train), STD)
    seconds = time.perf_counter() - began
    cleaned = tuned.denoise(pictures(digits.noisy_test))
    return result(BASELINES[name], tuned.setting, digits, cleaned, seconds)


def result(
    title: str, setting: str, digits: Digits, cleaned: npt.ArrayLike, seconds: float
) -> Result:
    """Judge what a method made of the held-out digits, as it would be shown: in [0, 1]."""
    clipped = np.clip(np.asarray(cleaned, np.float64), 0, 1).reshape(digits.test.shape)
    return Result(title, setting, clipped, float(psnr(digits.test, clipped).mean()), seconds)


def table(results: dict[str, Result]) -> Table:
    """Lay the methods out, ours last."""
    laid = titled("Mean PSNR on held-out digits; seconds to train or to choose parameters")
    laid.add_column("method", no_wrap=True)
    laid.add_column("setting", style="dim")
    laid.add_column("dB", justify="right", no_wrap=True)
    laid.add_column("seconds", justify="right", no_wrap=True)
    for name, each in results.items():
        marked = name == "isthmus"
        seconds = f"{each.seconds:.1f}" if each.setting else ""
        laid.add_row(
            f"> {each.title}" if marked else f"  {each.title}",
            each.setting,
            f"{each.decibels:.2f}",
            seconds,
            style="bold green" if marked else None,
        )
    return laid


def verdict(results: dict[str, Result]) -> str:
    """Say how far ours is from the best of the others."""
    best = max((results[name] for name in BASELINES), key=lambda each: each.decibels)
    gain = results["isthmus"].decibels - best.decibels
    return f"Isthmus: {gain:+.1f} dB against the best of the others, {best.title}."


def write(
    out: Path, model: DenoisingAutoencoder, digits: Digits, results: dict[str, Result]
) -> None:
    """Write the pictures, the model and the summary, each whole or not at all."""
    columns = {f"{each.title}\n{each.decibels:.1f} dB": each.cleaned for each in results.values()}
    columns["True digit"] = digits.test
    shown = {heading: pictures(rows[digits.shown]) for heading, rows in columns.items()}
    side_by_side(shown, out / "denoised.png")
    curve(model.history_, out / "curve.png")
    model.save(out / "model")
    decibels = {name: round(each.decibels, 4) for name, each in results.items()}
    summary = {"psnr": decibels, "seconds": round(results["isthmus"].seconds, 2)}
    with replacing(out / "summary.json") as beside:
        beside.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def look(out: Path, model: DenoisingAutoencoder, digits: Digits) -> str:
    """Write the report, and say where it is; without its extra, how to get one."""
    path = out / "report.html"
    try:
        page.check_extras()
        report(model, digits.noisy_test, digits.labels, path, target=digits.test)
    except MissingDependencyError as error:
        return f"No report.html, which shows what it learned: {error}"
    return f"What it learned, to be opened in a browser: {path}"


def pictures(rows: Floats) -> Floats:
    """Return rows (n, d) as pictures (n, 8, 8)."""
    return rows.reshape(-1, SIDE, SIDE)
