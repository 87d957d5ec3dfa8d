"""The commands: what can be typed. What they do is imported when they are called.

torch and scikit-learn take seconds to import, and a help text must not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from isthmus.cli.callbacks import listed, numbers, readable, readable_or_picture
from isthmus.cli.options import ESTIMATORS, chosen, parameters
from isthmus.cli.own_options import Command, own_options
from isthmus.cli.stopping import loading
from isthmus.export.signatures import PARTS

PATH = click.Path(path_type=Path)
FORMS = (
    "DATA is .npy, .npz, .csv, .tsv, .parquet, an idx file of MNIST's, or a folder of pictures. "
    "Pictures of bytes are read as light from 0 to 1."
)


data_argument = click.argument("data", type=PATH, callback=readable)
picture_argument = click.argument("data", type=PATH, callback=readable_or_picture)
out_argument = click.argument("out", type=PATH)
force_option = click.option("--force", is_flag=True, help="Replace what is there.")


def data_option(
    name: str, sentence: str, callback: Callable[..., Any] = readable
) -> Callable[[Command], Command]:
    """Return an option that names further rows."""
    return click.option(name, type=PATH, metavar="DATA", callback=callback, help=sentence)


def picture_option(name: str, sentence: str) -> Callable[[Command], Command]:
    """Return an option that names further rows, or one picture."""
    return data_option(name, sentence, readable_or_picture)


def labels_option(sentence: str) -> Callable[[Command], Command]:
    """Return the option that names the rows' labels."""
    return click.option("--labels", metavar="NAME|FILE", help=sentence)


def model_option(sentence: str) -> Callable[[Command], Command]:
    """Return the option that names a saved model's folder."""
    return click.option("--model", type=PATH, required=True, metavar="DIR", help=sentence)


def rows_options(command: Command) -> Command:
    """Give a command the options by which rows are named."""
    for option in (
        labels_option(
            "Of a variational one: classes that its decoder is told, a column of DATA or a file of "
            "them; `isthmus sample --label` asks for one."
        ),
        picture_option("--validation-target", "Their clean rows; needed with --target."),
        picture_option("--validation", "Rows to stop by, instead of a part of DATA."),
        picture_option("--target", "Clean rows, where DATA is noisy."),
        click.option("--drop", metavar="NAME,...", help="Of a table: the columns to leave out."),
        click.option("--columns", metavar="NAME,...", help="Of a table: those to use.  [all]"),
    ):
        command = option(command)
    return command


def given(options: dict[str, Any]) -> Any:
    """Take what `rows_options` names out of the options."""
    with loading():
        from isthmus.cli.fitting import Given
        from isthmus.data.tables import Columns
    columns = Columns(listed(options.pop("columns")) or None, listed(options.pop("drop")))
    rest = {name: options.pop(name) for name in Given._fields if name != "columns"}
    return Given(columns=columns, **rest)


@click.command()
@click.option("--out", type=PATH, default="demo", show_default=True, help="Folder to write to.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of chance.")
def demo(out: Path, seed: int) -> None:
    """Show what Isthmus does, on digits that come with it."""
    with loading():
        from rich.console import Console

        from isthmus.cli.demo import demo
    demo(out, seed, Console())


@click.command(epilog=FORMS)
@picture_argument
@model_option("Folder to save the model to.")
@click.option(
    "--estimator",
    type=click.Choice(list(ESTIMATORS)),
    help="Kind of autoencoder.  [default: denoising with --noise, sparse with --sparsity, "
    "contractive with --weight, variational with --beta, --labels and what else only it has, "
    "outlier with --contamination, else autoencoder]",
)
@own_options
@click.option(
    "--blind",
    is_flag=True,
    help="Learn from noisy pictures alone, or from one, by hiding pixels from it.",
)
@click.option(
    "--checkpoint",
    type=PATH,
    metavar="DIR",
    help="Folder to keep the fit in while it lasts; `isthmus resume` goes on from there.",
)
@click.option(
    "--log",
    type=PATH,
    metavar="FILE.jsonl",
    help="File to add a line to after every epoch; each tells when its fit began.",
)
@rows_options
@force_option
@parameters
def fit(**options: Any) -> int:
    """Fit an autoencoder to DATA and save it.

    \b
    isthmus fit iris.csv --model iris
    isthmus fit photos/ --model clean --noise 'gaussian(std=25/255)'
    isthmus fit noisy/ --model clean --blind
    isthmus fit payments.csv --model usual --contamination 0.01

    Ctrl-C or SIGTERM stops the fit and saves the best model so far; with --checkpoint it saves
    none and says how to go on. The exit code is then 130 or 143.

    A PART is a name, or a name with fields in brackets; `isthmus parts` lists them.
    """  # noqa: D301
    with loading():
        from isthmus.cli.fitting import fit
    return fit(given(options), **chosen(options))


@click.command(epilog=FORMS)
@click.argument("checkpoint", metavar="DIR", type=PATH)
@picture_argument
@model_option("Folder to save the model to.")
@rows_options
@force_option
def resume(checkpoint: Path, **options: Any) -> int:
    """Go on with the fit that `isthmus fit --checkpoint DIR` began, and save it.

    It ends in the model that it would have come to undisturbed, bit for bit. DATA and its options
    are those of the fit.
    """
    with loading():
        from isthmus.cli.fitting import resume
    return resume(checkpoint, given(options), **options)


@click.command(epilog=FORMS)
@picture_argument
@out_argument
@model_option("Folder of the saved model.")
@force_option
def transform(data: Path, out: Path, model: Path, force: bool) -> None:
    """Write the codes of DATA to OUT (.npy, .npz, .csv, .parquet)."""
    with loading():
        from isthmus.cli.applying import transform
    transform(data, out, model, force=force)


@click.command(epilog=FORMS)
@picture_argument
@out_argument
@model_option("Folder of the saved model.")
@force_option
def denoise(data: Path, out: Path, model: Path, force: bool) -> int:
    """Write DATA without its noise to OUT.

    OUT is .npy, .npz, .csv or .parquet, or a folder where DATA is one of pictures.

    A model for pictures of any size takes a picture, or a folder with all that lie in it and
    below. They keep their names, forms and depths, EXIF and ICC profiles. A run that was stopped
    goes on where it was; one that has failures names them at its end and exits with 1.
    """
    with loading():
        from isthmus.cli.applying import denoise
    return denoise(data, out, model, force=force)


@click.command(epilog=FORMS)
@picture_argument
@model_option("Folder of the saved model.")
@picture_option(
    "--target", "Clean pictures of the same names, where the model is for pictures of any size."
)
@click.option(
    "--out", type=PATH, help="File for every row's error, log-likelihood or score, or its PSNR."
)
@force_option
def score(data: Path, model: Path, target: Path | None, out: Path | None, force: bool) -> int:
    """Say how well the model rebuilds DATA, and which rows are least likely.

    A model for pictures of any size takes a noisy picture, or a folder of them, and with --target
    the clean ones: it denoises each and says the PSNR before and after.
    """
    with loading():
        from isthmus.cli.scoring import score
    return score(data, model, target, out, force=force)


classes_option = labels_option(
    "Classes or numbers of the rows: a column of DATA, or a file of them."
)


@click.command(epilog=FORMS)
@click.argument("model", type=PATH)
@picture_argument
@classes_option
@data_option("--target", "Clean rows, where DATA is noisy.")
@click.option(
    "--out", type=PATH, default="report.html", show_default=True, help="The page to write."
)
@click.option(
    "--shape",
    "sample_shape",
    metavar="N,...",
    callback=numbers,
    help="How a row is drawn: height,width,colours of pictures, or steps,channels of series.",
)
@click.option(
    "--projection",
    type=click.Choice(["auto", "pca", "umap"]),
    default="auto",
    show_default=True,
    help="How wide codes are laid out on the map.",
)
@force_option
def report(model: Path, data: Path, **options: Any) -> None:
    """Write one page: what MODEL learned of DATA, and whether it earned its place."""
    with loading():
        from isthmus.cli.reporting import report
    report(model, data, **options)


@click.command(epilog=FORMS)
@click.argument("models", type=PATH, nargs=-1, required=True)
@data_argument
@classes_option
@data_option("--target", "Clean rows, where DATA is noisy.")
@click.option("--out", type=PATH, help="A page to write besides.")
@force_option
def compare(models: tuple[Path, ...], data: Path, out: Path | None, **options: Any) -> None:
    """Lay out what several MODELS make of DATA."""
    with loading():
        from isthmus.cli.reporting import compare
    compare(models, data, out, **options)


@click.command(epilog=FORMS)
@click.argument("model", type=PATH)
@out_argument
@click.option(
    "--part",
    type=click.Choice(list(PARTS)),
    default="encode",
    show_default=True,
    help="What the file computes.",
)
@data_option("--data", "Rows to compare on, besides drawn ones.")
@force_option
def export(model: Path, out: Path, part: str, data: Path | None, force: bool) -> None:
    """Write a part of MODEL as an ONNX file, OUT, if it answers as the model does."""
    with loading():
        from isthmus.cli.exporting import export
    export(model, out, part, data, force=force)


@click.command()
@click.argument("model", type=PATH)
@click.option("-n", "n_samples", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--out",
    type=PATH,
    required=True,
    help="A .png for a picture of all, .npy, .npz, .csv or .parquet for rows, or a folder.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "prior", "gaussian", "mixture", "kde", "walkback", "gibbs"]),
    help="Where the samples' codes come from.  [default: the prior of a variational one, else a "
    "mixture of Gaussians fitted to codes]",
)
@click.option("--label", help="Of all samples, where the model was fitted to labels.  [drawn]")
@click.option(
    "--drawn",
    is_flag=True,
    help="Draw each value from the likelihood, instead of giving the expected one.",
)
@click.option("--steps", "n_steps", type=click.IntRange(min=1), help="Of a chain.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of chance.")
@click.option(
    "--shape",
    "sample_shape",
    metavar="N,...",
    callback=numbers,
    help="How a row is drawn: height,width of pictures, or height,width,3 in colour.",
)
@force_option
def sample(model: Path, out: Path, **options: Any) -> None:
    """Make new samples like those that MODEL was fitted to.

    \b
    isthmus sample model -n 100 --out grid.png
    isthmus sample model -n 1000 --drawn --out rows.csv --seed 7
    isthmus sample model -n 20 --label setosa --out setosa.csv
    """  # noqa: D301
    with loading():
        from isthmus.cli.sampling import sample
    sample(model, out, **options)


@click.command()
@click.argument("model", type=PATH)
def info(model: Path) -> None:
    """Say what the saved MODEL is and how its fit went."""
    with loading():
        from isthmus.cli.describing import info
    info(model)


@click.command()
def parts() -> None:
    """List the parts of every slot, with their fields and defaults."""
    with loading():
        from isthmus.cli.describing import parts
    parts()


COMMANDS = (
    *(demo, fit, resume, transform, denoise, score, sample),
    *(report, compare, export, info, parts),
)
