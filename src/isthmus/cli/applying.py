"""``isthmus transform`` and ``isthmus denoise``: from a file, through a saved model, to a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.cli.denoising import denoise_pictures, picture_denoiser, takes_any_size
from isthmus.cli.outputs import check_file, check_folder, say, warn
from isthmus.cli.rows import Rows, read_rows
from isthmus.data.artefact import fingerprint
from isthmus.data.picture_folders import pictures_below
from isthmus.data.pictures import Header, header_of, is_picture
from isthmus.data.tables import Columns
from isthmus.data.writing import write, write_pictures
from isthmus.errors import ParameterError
from isthmus.estimators.saving import load

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder

TABLES = (".csv", ".parquet")
FILES = (".npy", ".npz", *TABLES)


def transform(data: Path, out: Path, model: Path, *, force: bool) -> None:
    """Write the codes of a file's rows to another file; in a table, beside the rows' numbers.

    Raises
    ------
    IsthmusError
        If a file or the model cannot be used.
    """
    check_file(out, data, force=force)
    estimator, rows = model_and_rows(model, data)
    names = estimator.get_feature_names_out().tolist()
    write(out, estimator.transform(rows.values), names, rows.labels())
    say(f"{out}: {len(rows.values)} rows, {len(names)} columns.")


def denoise(data: Path, out: Path, model: Path, *, force: bool) -> int:
    """Write pictures, or a file's rows, as the model makes them without noise.

    A model for pictures of any size takes one, or a folder of them, and keeps all that their files
    tell. Another rebuilds rows in the shape that they had: pictures of a folder, then of one size,
    become pictures of the same names and depth where `out` has no ending of a file; pictures in a
    table become one row each.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    IsthmusError
        If a file or the model cannot be used.
    """
    if is_picture(data) or _are_pictures(data, out):
        if denoise_picture := picture_denoiser(load(model)):
            by = fingerprint(model)
            return denoise_pictures(data, out, denoise_picture, by=by, force=force)
        if not data.is_dir():
            raise ParameterError(
                f"{model} takes rows of one width, and {data} is a single picture: give a folder "
                "of pictures of the size that it knows, or a model for pictures of any size."
            )
    _rebuild(data, out, model, force=force)
    return 0


def _are_pictures(data: Path, out: Path) -> bool:
    """Whether a folder is to become one of pictures, not a file of rows."""
    return data.is_dir() and out.suffix.lower() not in FILES


def _rebuild(data: Path, out: Path, model: Path, *, force: bool) -> None:
    """Write a file's rows as the model rebuilds them, in the shape that they had."""
    as_pictures = _are_pictures(data, out)
    (check_folder if as_pictures else check_file)(out, data, force=force)
    estimator, rows = autoencoder_and_rows(model, data)
    if not hasattr(estimator, "denoise"):
        n_units = estimator._n_features_out
        warn(f"{model} never saw noise: its {n_units} numbers a row keep what they can.")
    rebuilt = estimator.reconstruct(rows.values)
    if as_pictures:
        write_pictures(out, rows.shaped(rebuilt), rows.names or (), deep=rows.deep)
    elif out.suffix.lower() in TABLES:
        write(out, rebuilt, rows.columns)
    else:
        write(out, rows.shaped(rebuilt))
    say(f"{out}: {len(rebuilt)} {'pictures' if as_pictures else 'rows'}.")


def autoencoder_and_rows(model: Path, data: Path) -> tuple["BaseAutoencoder", Rows]:
    """Load a model that rebuilds rows, and rows that fit it.

    Raises
    ------
    ParameterError
        If the model is no autoencoder.
    """
    estimator, rows = model_and_rows(model, data)
    if not hasattr(estimator, "reconstruct"):
        raise ParameterError(
            f"{model} is of {type(estimator).__name__}, which only transforms on the command line: "
            f"give the model of an autoencoder."
        )
    return estimator, rows


def model_and_rows(model: Path, data: Path) -> tuple["BaseAutoencoder", Rows]:
    """Load a model and read rows that fit it; the rows bear the model's names of columns.

    Raises
    ------
    ParameterError
        If the model is for pictures of any size, and these are no rows to it.
    """
    estimator = load(model)
    if takes_any_size(estimator) and not _are_rows(data, estimator.sample_shape_):
        written = "picture" if is_picture(data) else "folder"
        raise ParameterError(
            f"{model} takes pictures of any size to denoise them, and here rows of one size are "
            f"asked of {data}: use isthmus denoise with a {written} to write to, or isthmus score "
            f"with --target and what is clean."
        )
    names = getattr(estimator, "feature_names_in_", None)
    columns = None if names is None else tuple(map(str, names))
    meant = Columns(columns, owner=f"the model {model}", width=estimator.n_features_in_)
    rows = read_rows(data, meant, estimator)
    # They are checked; arrays have no names, and scikit-learn would warn of that.
    vars(estimator).pop("feature_names_in_", None)
    return estimator, rows._replace(columns=rows.columns or columns)


def _are_rows(data: Path, shape: tuple[int, ...]) -> bool:
    """Whether data are a file of rows, or pictures of the one shape that a network was built for.

    Rows of pictures have their colours last, and such a network takes them first.
    """
    if not data.is_dir():
        return not is_picture(data)
    n_channels, height, width = (1, *shape)[-3:]
    known = Header((width, height), coloured=False)
    return n_channels == 1 and all(header_of(file) == known for file in pictures_below(data).files)
