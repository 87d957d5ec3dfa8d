"""Tables in csv, tsv and parquet files: their columns by name, their cells as numbers.

n rows, d columns.
"""

import codecs
import contextlib
import csv
import io
import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from isthmus.data.cells import Strange, as_number, numbers_of
from isthmus.data.damage import reason
from isthmus.data.naming import are_names, check_names
from isthmus.data.probe import check_parquet
from isthmus.errors import DataError, a_few, guess, missing

if TYPE_CHECKING:
    import polars as pl

WIDEST = 100_000  # columns of a text; polars takes 6 kB for each
SEPARATORS = (";", "\t", ",")


class Columns(NamedTuple):
    """Which columns of a table are meant, and in which order; a file may have more."""

    keep: tuple[str, ...] | None = None  # None: all
    drop: tuple[str, ...] = ()
    owner: str | None = None  # the model or file whose columns `keep` are; None: the user's wish
    width: int | None = None  # values in a row of the owner's; None: any

    def check_width(self, path: Path, n_given: int) -> None:
        """Refuse rows that are not as wide as the owner's.

        Raises
        ------
        DataError
            If they are not.
        """
        if self.width not in (None, n_given):
            raise DataError(
                f"{path} has {n_given} values in a row and {self.owner} {self.width}: "
                f"give rows of {self.width} values."
            )

    def places(self, path: Path, names: list[str]) -> list[int]:
        """Return where the meant columns stand among those of a file.

        Raises
        ------
        DataError
            If one of them is not there, or none is left.
        """
        places: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            places.setdefault(name, []).append(i)
        lacking = [name for name in (*(self.keep or ()), *self.drop) if name not in places]
        if lacking:
            raise DataError(self._lacking(path, lacking, names))
        dropped = set(self.drop)
        left = [name for name in dict.fromkeys(self.keep or places) if name not in dropped]
        if not left:
            raise DataError(f"{path} has no column left: drop fewer.")
        if twice := [name for name in left if len(places[name]) > 1]:
            raise DataError(self._ambiguous(path, twice, places))
        return [places[name][0] for name in left]

    def _lacking(self, path: Path, names: list[str], there: list[str]) -> str:
        """Say which names no column has, and what may have been meant."""
        near = guess(names[0], [name for name in there if name not in (self.keep or ())])
        if not self.owner:
            file = ", nor is there such a file" if Path(names[0]).suffix else ""
            return f"{path} has no column {names[0]!r}{near or file}: correct the name."
        if len(names) == 1:
            wish = f"{near}: rename it" if near else ": add it"
            return f"{path} has no column {names[0]!r}, which {self.owner} has{wish}."
        wanted, listed = len(self.keep or ()), a_few([*map(repr, names)])
        return (
            f"{path} lacks {len(names)} of the {wanted} columns of {self.owner} ({listed}): give a "
            f"table with these names."
        )

    def _ambiguous(self, path: Path, names: list[str], places: dict[str, list[int]]) -> str:
        """Say which names several columns have, and how to do without these."""
        (first, *others), (i, j, *_) = names, places[names[0]]
        held = f"Columns {i + 1} and {j + 1} of {path} are both called {first!r}"
        if others:
            held += f" (there are several of {a_few([*map(repr, others)])}, too)"
        out = f", or leave them out{self.dropping(names)}" if self.keep is None else ""
        return f"{held}: rename {'them' if others else 'one'}{out}."

    def dropping(self, names: Sequence[str]) -> str:
        """Return the option that leaves these out, too, or nothing where it cannot be typed."""
        typed = shlex.quote(as_typed((*self.drop, *names)))
        return f" (--drop {typed})" if all(name and name.isprintable() for name in names) else ""


def as_typed(names: Sequence[str]) -> str:
    """Return names as an option lists them; those that hold a comma are quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


ALL = Columns()


def read_table(path: Path, columns: Columns) -> tuple[npt.NDArray[Any], tuple[str, ...] | None]:
    """Read the meant columns of a csv, tsv or parquet file.

    Returns
    -------
    values : (n, d) float64, or float32 where every column is
    names : of the d columns; None where the file has none

    Raises
    ------
    DataError
        If a cell is no number, or a column is not there.
    MissingDependencyError
        If polars is not installed.
    """
    with _polars(path) as pl:
        frame, names, form = _frame(path)
        series = frame.get_columns()
        if names is not None:
            if form is not None:
                check_names(path, names)
            places = columns.places(path, names)
            series = [series[place].rename(names[place]) for place in places]
        columns.check_width(path, len(series))  # before a cell that is not even meant is blamed
        comma = form is not None and form.separator == ";"
        cells = [numbers_of(column, comma=comma) for column in series]
        if strange := [each for each in cells if isinstance(each, Strange)]:
            raise DataError(_no_numbers(path, strange, columns, named=names is not None))
        numbers = pl.DataFrame(cells)
    return numbers.to_numpy(), None if names is None else tuple(numbers.columns)


def read_column(path: Path, name: str | None) -> list[Any]:
    """Read one column as it is, words or numbers; None: the only one that there is.

    Numbers of a text file that begin with a zero, as 01 does, are words: 1 is another.

    Raises
    ------
    DataError
        If there is no such column, or there are several and none is named.
    MissingDependencyError
        If polars is not installed.
    """
    with _polars(path):
        frame, names, form = _frame(path)
    if name is None and frame.width > 1:
        raise DataError(f"{path} has {frame.width} columns: leave one, which holds the labels.")
    place = 0 if name is None else Columns((name,)).places(path, names or frame.columns)[0]
    column = frame.get_columns()[place]
    if form is not None and column.dtype.is_integer():
        words = form.read(path, as_text=True).get_columns()[place].str.strip_chars()
        column = words if words.str.contains(r"^[+-]?0\d").any() else column
    values: list[Any] = column.to_list()
    return values


@contextlib.contextmanager
def _polars(path: Path) -> Iterator[Any]:
    """Yield polars for reading a file; where it panics, that is an error like others."""
    try:
        import polars as pl
    except ImportError:
        raise missing("polars", f"Reading {path.name}", "tables") from None
    try:
        yield pl
    except pl.exceptions.PanicException as panic:  # is no Exception, so nobody would catch it
        raise ValueError(reason(panic)) from panic


def _frame(path: Path) -> tuple["pl.DataFrame", list[str] | None, "Form | None"]:
    """Return the cells, the names of their columns if any, and how a text file is written."""
    import polars as pl

    if path.suffix.lower() == ".parquet":
        check_parquet(path)
        frame = pl.read_parquet(path, glob=False)
        return frame, [name.strip() for name in frame.columns], None
    form = Form.of(path)
    names = [name.strip() for name in form.cells] if form.named else None
    return form.read(path), names, form


def _no_numbers(path: Path, strange: list[Strange], columns: Columns, *, named: bool) -> str:
    """Say which columns are none of numbers, and what to do about them."""
    names, first = [each.column for each in strange], strange[0]
    option = columns.dropping(names) if named and columns.owner is None else ""
    if len(strange) == 1 and first.is_slip:
        return _slip(path, first, option)
    if len(strange) == 1:
        it, held = "it", f"Column {first.column!r} of {path} holds {first}"
    else:
        it, shown = "them", a_few([*map(repr, names)])
        example = f"for example {first.example} of {first.column!r}"
        held = f"{len(names)} columns of {path} hold no numbers ({shown}), {example}"
    ways = {as_number(each.value, "it" if it == "it" else "each") for each in strange}
    advice = ways.pop() if len(ways) == 1 else "turn them into numbers"
    if columns.owner is not None:
        return f"{held}, and {columns.owner} needs {it}: {advice}."
    return f"{held}: leave {it} out{option}, or {advice}."


def _slip(path: Path, strange: Strange, option: str) -> str:
    """Say which few cells of a column are none, and what to do about them."""
    n = strange.n_cells
    cells = strange.example if n == 1 else f"{n} cells, the first {strange.example}"
    advice = "correct the cell" if n == 1 else "correct these cells"
    out = f", or leave the column out{option}" if option else ""
    return f"Column {strange.column!r} of {path} holds numbers but for {cells}: {advice}{out}."


# Text: how it is encoded, what parts its cells, whether its first line names the columns


class Form(NamedTuple):
    """How a csv file is written."""

    encoding: str
    separator: str
    cells: tuple[str, ...]  # of the first line
    named: bool  # whether these are names

    @classmethod
    def of(cls, path: Path) -> "Form":
        """Find it out."""
        encoding = _encoding(path)
        with path.open(encoding=encoding, newline="") as stream:
            line = next(filter(str.strip, stream), "")
            separator = "\t" if path.suffix.lower() == ".tsv" else _separator(line)
            # A name may go on in the next line.
            cells = next(csv.reader(itertools.chain([line], stream), delimiter=separator), [])
        if len(cells) > WIDEST:
            raise DataError(
                f"{path} has {len(cells)} columns, and more than {WIDEST} would fill the memory: "
                "save it as .npy."
            )
        return cls(encoding, separator, tuple(cells), are_names(cells, comma=separator == ";"))

    def read(self, path: Path, *, as_text: bool = False) -> "pl.DataFrame":
        """Return the cells, all of them as text where asked.

        The dtypes come from all rows, not the first 100, so that no late value breaks the parsing.
        """
        import polars as pl

        source: Path | IO[bytes] = path
        if self.encoding != "utf-8-sig":  # polars knows no other
            source = io.BytesIO(path.read_text(self.encoding).encode())
        options: dict[str, Any] = {"separator": self.separator, "has_header": self.named}
        try:
            frame = pl.read_csv(
                source,
                infer_schema=not as_text,
                infer_schema_length=None,
                glob=False,
                **options,
            )
        except pl.exceptions.ComputeError:
            self._refuse_longer_line(path)
            raise
        except pl.exceptions.DuplicateError:  # polars makes names different, at times in vain
            ALL.places(path, [name.strip() for name in self.cells])
            raise
        if frame.width != len(self.cells):
            raise DataError(
                f"{path} has {len(self.cells)} cells in its first line and {frame.width} columns: "
                f"write it again, with one kind of line ends and every quote closed."
            )
        return _without_blank_end(frame)

    def _refuse_longer_line(self, path: Path) -> None:
        """Find the line at which polars gave up without saying so."""
        with path.open(encoding=self.encoding, newline="") as stream:
            for row in (lines := csv.reader(stream, delimiter=self.separator)):
                if len(row) > len(self.cells):
                    held = f"{len(row)} cells and its first line {len(self.cells)}"
                    mark = {",": "commas", ";": "semicolons", "\t": "tabs"}[self.separator]
                    advice = f"quote cells that hold {mark}, or correct the line"
                    raise DataError(f"Line {lines.line_num} of {path} has {held}: {advice}.")


def _encoding(path: Path) -> str:
    """Tell UTF-16 and 32 by their marks, UTF-8 by its being valid, and call the rest Latin-1."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        start = stream.read(4)
        if start in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
            return "utf-32"
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        stream.seek(0)
        try:
            while chunk := stream.read(2**20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8-sig"


def _separator(line: str) -> str:
    """Return what parts a line into the most cells; a comma, where nothing does."""
    outside = re.sub('"[^"]*"', "", line)
    best = max(SEPARATORS, key=outside.count)
    return best if best in outside else ","


def _without_blank_end(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Leave out the blank lines with which a file may end."""
    import polars as pl

    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return frame.head(filled[-1] + 1 if len(filled) else 0)
