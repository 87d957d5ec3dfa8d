"""What is typed, read and checked before anything slow is imported."""

import csv
from pathlib import Path
from typing import Any

import click

from isthmus.cli.stopping import loading


def readable(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a missing or foreign file before anything slow is imported."""
    with loading():
        from isthmus.data.files import check_readable
    if path is not None:
        check_readable(path)
    return path


def readable_or_picture(
    ctx: click.Context, param: click.Parameter, path: Path | None
) -> Path | None:
    """Let one picture pass, too."""
    with loading():
        from isthmus.data.pictures import is_picture
    return path if path is not None and is_picture(path) else readable(ctx, param, path)


def listed(names: str | None) -> tuple[str, ...]:
    """Return the names of an option; one that holds a comma is quoted."""
    return tuple(name.strip() for name in next(csv.reader([names or ""]), []) if name.strip())


def numbers(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Any:
    """Read whole numbers that are parted by commas."""
    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of whole numbers, such as 28,28,1") from None
