"""``isthmus fit`` on pictures of any size, one or a folder, to take their noise off."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.cli.options import at_the_shell
from isthmus.cli.outputs import facts, plain_console, warn
from isthmus.data.picture_files import read_picture
from isthmus.data.picture_folders import pictures_below, pictures_in
from isthmus.data.pictures import SizesError, header_of, is_picture
from isthmus.errors import DataError, FileError, IsthmusError

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder
    from isthmus.fitting.checkpoint import Checkpoint
    from isthmus.fitting.observers import Observer

# What takes noise off photographs well in minutes: half-size maps, two residual blocks a level.
# Muon is half a decibel better on held-out photographs than Adam in the same time.
USUAL = {
    "n_components": 96,
    "network": "conv(channels=(48, 64), blocks=2, patch=2, skip=True, residual=True)",
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "batch_size": 16,
}
# The same for grey pictures of one small size, whole and upright, such as digits.
USUAL_SMALL = {
    "n_components": 96,
    "network": "conv(channels=(24, 48), blocks=2, skip=True)",
    "optimizer": "muon",
    "learning_rate": 4e-3,
    "batch_size": 32,
}
LARGE = 64  # pixels of a side, beyond which a picture is more than a row of a table
N_LOOKED_AT = 20  # pictures, for the level of the noise


def usual_to_clean(data: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a fit to pictures, usual where others are not given."""
    usual = USUAL if are_photographs(data) else USUAL_SMALL
    other = {"learning_rate": "auto"} if "optimizer" in options else {}  # steps of its own size
    return {**usual, **other, **options}


@contextlib.contextmanager
def advising_to_clean(*, plain: bool) -> Iterator[None]:
    """Tell who fits plainly to pictures of several sizes how such are learned from."""
    try:
        yield
    except SizesError as error:
        if not plain:
            raise
        besides = ", or add --noise or --blind, which train models for pictures of any size"
        raise SizesError(error.held, besides) from None


class Photographs(NamedTuple):
    """The pictures of a folder and of those within it, or a single one."""

    pictures: list[NDArray[Any]]  # (C, h, w), of as many channels, in their own depth
    names: list[str]  # within the folder; of a single one its own
    failures: list[str]  # why others could not be read


def are_photographs(folder: Path) -> bool:
    """Whether it is a picture, or a folder of several sizes, of large, coloured or nested ones."""
    if not folder.is_dir():
        return is_picture(folder)
    files, headers = pictures_below(folder).files, set()
    if any(file.parent != folder for file in files):
        return True
    for file in files:
        with contextlib.suppress(IsthmusError):
            header = header_of(file)
            headers.add(header)
            if len(headers) > 1 or max(header.size) > LARGE or header.coloured:
                return True
    return False


def read_photographs(folder: Path, least: int = 1) -> Photographs:
    """Read all pictures; grey ones among coloured ones get three equal channels.

    Parameters
    ----------
    least : channels that they get, if none of them has more.

    Raises
    ------
    FileError, DataError
        If none can be read.
    """
    found = Photographs([], [], [])
    for file in pictures_in(folder).files:
        try:
            pixels = read_picture(file).pixels
        except (FileError, DataError) as error:
            if file == folder:
                raise
            found.failures.append(at_the_shell(str(error)))
            continue
        found.pictures.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
        found.names.append(file.name if file == folder else file.relative_to(folder).as_posix())
    if not found.pictures:
        first = f" ({found.failures[0]})" if found.failures else ""
        raise FileError(f"{folder} holds no picture that can be read{first}: give another folder.")
    n_channels = max(least, *map(len, found.pictures))
    return found._replace(
        pictures=[np.broadcast_to(each, (n_channels, *each.shape[1:])) for each in found.pictures]
    )


def fit_photographs(
    estimator: "BaseAutoencoder",
    data: Path,
    model: Path,
    target: Path | None,
    validation: Path | None,
    validation_target: Path | None,
    checkpoint: "Checkpoint | None" = None,
    *,
    observers: "Sequence[Observer]" = (),
) -> None:
    """Fit to the crops of pictures, save the model and tell what came of it.

    Raises
    ------
    IsthmusError
        If nothing there goes together.
    """
    noisy = read_photographs(data)
    clean = None if target is None else _partners(noisy, data, target)
    held_out: Any = None
    if validation is not None:
        rows = read_photographs(validation, least=len(noisy.pictures[0]))
        held_out = rows.pictures
        if validation_target is not None:
            held_out = (held_out, _partners(rows, validation, validation_target))
    began = time.perf_counter()
    estimator.fit(
        noisy.pictures,
        target=clean,
        validation=held_out,
        checkpoint=checkpoint,
        observers=observers,
    )
    seconds = time.perf_counter() - began
    estimator.save(model)
    pairs = {
        "pictures": len(noisy.pictures),
        "trained on": f"crops of {' x '.join(map(str, estimator.sample_shape_[1:]))} pixels",
        **_noise(noisy.pictures),
        "epochs": estimator.n_iter_,
        "seconds": f"{seconds:.1f}",
    }
    plain_console().print(facts(f"{type(estimator).__name__}, saved to {model}", pairs))
    if noisy.failures:
        warn(f"{len(noisy.failures)} could not be read:", noisy.failures)


def _partners(noisy: Photographs, data: Path, target: Path) -> list[NDArray[Any]]:
    """Read the clean pictures of the same names; one that stands for one has any."""
    clean = read_photographs(target, least=len(noisy.pictures[0]))
    if is_picture(data) and is_picture(target):
        return clean.pictures
    partners = dict(zip(clean.names, clean.pictures, strict=True))
    for name in noisy.names:
        if name not in partners:
            raise no_partner(target, name, data)
    return [partners[name] for name in noisy.names]


def no_partner(target: Path, name: str, data: Path) -> DataError:
    """Return what is raised where a noisy picture has no clean one."""
    return DataError(
        f"{target} has no picture {name} that can be read, and {data} has: give one clean picture "
        f"of the same name for each noisy one."
    )


def _noise(pictures: list[NDArray[Any]]) -> dict[str, str]:
    """Return the level of the noise in the pictures, as wavelets tell it."""
    try:
        from skimage.restoration import estimate_sigma
    except ImportError:
        return {}
    from isthmus.data.tiles import to_light

    some = pictures[:: -(-len(pictures) // N_LOOKED_AT)]
    levels = [
        estimate_sigma(to_light(each), channel_axis=0, average_sigmas=True)  # type: ignore[no-untyped-call]
        for each in some
        if min(each.shape[1:]) > 1
    ]
    if not levels:
        return {}
    return {"noise in them": f"about {255 * float(np.nanmedian(levels)):.1f} / 255"}
