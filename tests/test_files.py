import datetime
import gzip
import io
import os
import re
import struct
import sys
import tempfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isthmus.data.files import Table, read
from isthmus.data.tables import Columns
from isthmus.errors import DataError, FileError, MissingDependencyError

A = np.random.default_rng(0).random((7, 3))
IDX_CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
CUT_OFF = "it may be cut off or altered, so copy or write it again."
ENCODE = "encode it as numbers (sklearn.preprocessing.OneHotEncoder)"
COUNT = "turn it into a number, such as days since a date"
THOUSANDS = "write it without marks between the thousands, as 1234567.5"
PLAIN = "write it as plain numbers, such as 0.1 for 10%"
ONE = "rename one, or leave them out (--drop a)."
TWO = "rename one."
FORMS = ".npy, .npz, .csv, .tsv, .parquet, .idx, .idx.gz"


def whole(text):
    return f"^{re.escape(text)}$"


def idx_bytes(array, code=None):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    code = IDX_CODES[array.dtype.str.lstrip("|")] if code is None else code
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def npy_bytes(shape, descr="<f8", body=b""):
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + body


# Arrays


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f2", "f4", "f8", "?", ">f4"])
def test_read_npy_keeps_values_shape_and_dtype(tmp_path, dtype):
    array = (A * 9).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    table = read(tmp_path / "x.npy")
    assert table == Table(table.values, "array", None, None)
    assert table.values.dtype == array.dtype
    np.testing.assert_array_equal(table.values, array)


def test_read_npy_maps_the_file_instead_of_holding_it(tmp_path):
    np.save(tmp_path / "x.npy", A)
    values = read(tmp_path / "x.npy").values
    assert isinstance(values, np.memmap)
    assert not values.flags.writeable


def test_read_takes_a_string_and_endings_in_capitals(tmp_path):
    with (tmp_path / "X.NPY").open("wb") as stream:
        np.save(stream, A)
    np.testing.assert_array_equal(read(str(tmp_path / "X.NPY")).values, A)


def test_read_npz_prefers_the_array_named_x(tmp_path):
    np.savez(tmp_path / "x.npz", y=A[:2], X=A)
    np.testing.assert_array_equal(read(tmp_path / "x.npz").values, A)


def test_read_npz_takes_the_only_array_whatever_its_name(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", codes=np.asfortranarray(A))
    np.testing.assert_array_equal(read(tmp_path / "x.npz").values, A)


def test_read_npz_lists_the_arrays_it_cannot_choose_from(tmp_path):
    np.savez(path := tmp_path / "x.npz", train=A, test=A)
    text = f"{path} holds 2 arrays ('train' and 'test'): save the one to read under the name 'X'."
    with pytest.raises(DataError, match=whole(text)):
        read(path)
    np.savez(path, **{f"a{i}": A for i in range(120)})
    with pytest.raises(DataError, match=re.escape("120 arrays ('a0', 'a1', 'a2' and 117 others)")):
        read(path)


def test_read_npz_without_arrays_says_so(tmp_path):
    with zipfile.ZipFile(path := tmp_path / "x.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    text = f"{path} holds no array: save the one to read under the name 'X'."
    with pytest.raises(DataError, match=whole(text)):
        read(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (self.folder,)

    def __init__(self, folder):
        self.folder = str(folder)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_read_never_unpickles_an_object_array(tmp_path, ending):
    save = np.save if ending == ".npy" else np.savez
    save(path := tmp_path / f"x{ending}", np.array([Bomb(tmp_path / "harm")], dtype=object))
    text = (
        f"{path} holds Python objects, which are never unpickled: "
        "save it as numbers, with array.astype(float)."
    )
    with pytest.raises(DataError, match=whole(text)):
        read(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array(["a", "bc"]), "<U2"),
        (np.ones(2, complex), "complex128"),
        (np.zeros(2, "M8[s]"), "datetime64[s]"),
    ],
)
def test_read_npy_refuses_what_is_not_real_numbers(tmp_path, array, dtype):
    np.save(path := tmp_path / "x.npy", array)
    text = f"{path} holds values of type {dtype}: save it as real numbers."
    with pytest.raises(DataError, match=whole(text)):
        read(path)


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 0)])
def test_read_refuses_an_array_without_rows(tmp_path, shape):
    np.save(path := tmp_path / "x.npy", np.ones(shape))
    text = f"{path} holds no rows (its shape is {shape}): give one row or more."
    with pytest.raises(DataError, match=whole(text)):
        read(path)


# MNIST's idx


@pytest.mark.parametrize("dtype", IDX_CODES)
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 4, 3), (5, 4, 3, 2)])
def test_read_idx_equals_the_array_in_native_byte_order(tmp_path, dtype, shape):
    array = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    table = read(put(tmp_path / "x.idx", idx_bytes(array)))
    np.testing.assert_array_equal(table.values, array)
    assert table.values.dtype == array.dtype.newbyteorder("=")
    assert table.values.dtype.isnative
    assert table.kind == "array"


@pytest.mark.parametrize(
    "name",
    [
        "train-images-idx3-ubyte",
        "train-images.idx3-ubyte",
        "x.idx",
        "x.idx3",
        "X-IDX3-UBYTE.GZ",
        "x.idx.gz",
        "t10k-images-idx3-ubyte.gz",
    ],
)
def test_read_recognises_idx_files_by_name(tmp_path, name):
    array = np.arange(24, dtype="u1").reshape(2, 3, 4)
    content = idx_bytes(array)
    path = put(tmp_path / name, gzip.compress(content) if name[-1] in "zZ" else content)
    np.testing.assert_array_equal(read(path).values, array)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("found", [0, 20, 25])
def test_read_idx_refuses_a_header_at_odds_with_the_bytes(tmp_path, zipped, found):
    content = idx_bytes(np.zeros((3, 7), "u1"))[:-21] + bytes(found)
    name, content = ("x.idx.gz", gzip.compress(content)) if zipped else ("x.idx", content)
    path = put(tmp_path / name, content)
    follow = "further ones" if found > 21 else found
    reason = f"its header promises 21 bytes more and {follow} follow"
    with pytest.raises(FileError, match=whole(f"{path} cannot be read ({reason}): {CUT_OFF}")):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "promised", "found"),
    [
        ("x.idx", b"\0\0\x0e\2" + b"\xff" * 8, 8 * (2**32 - 1) ** 2, 0),
        ("x.idx.gz", gzip.compress(b"\0\0\x08\3" + b"\x7f" * 12, mtime=0), 0x7F7F7F7F**3, 0),
        ("x.idx", b"\0\0\x08\3\0\0", 12, 2),
        ("x.npy", npy_bytes((10**12, 10**6), body=b"abc"), 8 * 10**18, 3),
    ],
)
def test_read_takes_no_memory_on_a_header_s_word(tmp_path, name, content, promised, found):
    path = put(tmp_path / name, content)
    reason = f"its header promises {promised} bytes more and {found} follow"
    tracemalloc.start()
    with pytest.raises(FileError, match=whole(f"{path} cannot be read ({reason}): {CUT_OFF}")):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_read_npz_takes_no_memory_on_a_header_s_word(tmp_path):
    with zipfile.ZipFile(path := tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.npy", npy_bytes((2**40,), body=b"abc"))
    reason = f"its header promises {2**43} bytes more and 3 follow"
    with pytest.raises(FileError, match=whole(f"{path} cannot be read ({reason}): {CUT_OFF}")):
        read(path)


def test_read_idx_refuses_an_unknown_dtype(tmp_path):
    path = put(tmp_path / "x.idx", idx_bytes(np.zeros(3, "u1"), code=7))
    reason = r"its content begins with b'\x00\x00\x07\x01'"
    with pytest.raises(FileError, match=whole(f"{path} cannot be read ({reason}): {CUT_OFF}")):
        read(path)


def test_read_says_that_a_gzipped_file_is_cut_off(tmp_path):
    path = put(tmp_path / "x.idx.gz", gzip.compress(idx_bytes(np.zeros((9, 9), "u1")))[:-9])
    reason = "Compressed file ended before the end-of-stream marker was reached"
    with pytest.raises(FileError, match=whole(f"{path} cannot be read ({reason}): {CUT_OFF}")):
        read(path)


# Tables


def csv(tmp_path, text):
    return put(tmp_path / "x.csv", text)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_read_table_gives_numbers_and_column_names(tmp_path, ending):
    frame = pl.DataFrame(A, schema=["a", "b", "c"])
    getattr(frame, f"write_{ending}")(tmp_path / f"x.{ending}")
    table = read(tmp_path / f"x.{ending}")
    np.testing.assert_array_equal(table.values, A)
    assert table.values.dtype == np.float64
    assert (table.kind, table.columns, table.rows) == ("table", ("a", "b", "c"), None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_parquet_keeps_single_precision(tmp_path, dtype):
    pl.DataFrame(A.astype(dtype)).write_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet").values.dtype == dtype


def test_read_csv_turns_absent_cells_into_nan_and_booleans_into_0_and_1(tmp_path):
    table = read(csv(tmp_path, "a, b,c,d\n1, 2.5,True,\nNA, null,False,\n-3,,,\n"))
    nan = np.nan
    wanted = [[1, 2.5, 1, nan], [nan, nan, 0, nan], [-3, nan, nan, nan]]
    np.testing.assert_array_equal(table.values, wanted)
    assert table.columns == ("a", "b", "c", "d")


def test_read_parquet_turns_nulls_into_nan_and_booleans_into_0_and_1(tmp_path):
    frame = pl.DataFrame({"a": [1, None], "b": [True, False], "c": [None, None]})
    frame.write_parquet(tmp_path / "x.parquet")
    np.testing.assert_array_equal(
        read(tmp_path / "x.parquet").values, [[1, 1, np.nan], [np.nan, 0, np.nan]]
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_read_table_refuses_columns_that_differ_by_spaces_only(tmp_path, ending):
    table = pl.DataFrame({"a": [1.0], "b": [2.0], " a": [3.0]})
    getattr(table, f"write_{ending}")(tmp_path / f"x.{ending}")
    sentence = f"Columns 1 and 3 of {tmp_path / f'x.{ending}'} are both called 'a': {ONE}"
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        read(tmp_path / f"x.{ending}")


def test_read_csv_loses_no_row_where_there_is_no_header(tmp_path):
    table = read(csv(tmp_path, "5,0.5\n1,2\n"))
    np.testing.assert_array_equal(table.values, [[5, 0.5], [1, 2]])
    assert table.columns is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("5.1,3.5,1.4,setosa", "'5.1', '3.5', '1.4' and 'setosa'"),
        ("7,0,1,1,red", "'7', '0', '1' and 2 others"),
    ],
)
def test_read_csv_refuses_a_row_with_a_word_in_the_place_of_names(tmp_path, line, shown):
    path = tmp_path / "t.csv"
    names = ",".join(f"x{i}" for i in range(line.count(",") + 1))
    path.write_text(f"{line}\n{line}\n")
    sentence = (
        f"The first line of {path} reads as a row, not as names of columns ({shown}): "
        "write a line of names above it."
    )
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        read(path, Columns(drop=(line.split(",")[-1],)))
    path.write_text(f"{names}\n{line}\n")
    assert len(read(path, Columns(drop=(names.split(",")[-1],))).values) == 1


@pytest.mark.parametrize("line", ["land,1990,1991,1992", "at,9.5,8,7.25,6,5,4,3,2", "a,b,1,0"])
def test_read_csv_takes_years_and_wavelengths_for_names(tmp_path, line):
    path = tmp_path / "t.csv"
    path.write_text(f"{line}\n{','.join('1' for _ in line.split(','))}\n")
    assert read(path).columns == tuple(line.split(","))


def test_read_csv_takes_a_line_that_counts_for_a_header(tmp_path):
    table = read(csv(tmp_path, "0,1,2\n5,6,7\n"))
    np.testing.assert_array_equal(table.values, [[5, 6, 7]])
    assert table.columns == ("0", "1", "2")


def test_read_csv_sees_a_late_fraction_in_a_column_of_integers(tmp_path):
    text = "a\n" + "1\n" * 5000 + "0.25\n"
    assert read(csv(tmp_path, text)).values[-1, 0] == 0.25


@pytest.mark.parametrize(
    ("text", "column", "example", "row", "advice"),
    [
        ("a,species,b\n1,setosa,3\n2,virginica,4\n", "species", "'setosa'", 0, ENCODE),
        ("a,b\n1,2\n3,?\n", "b", "'?'", 1, ENCODE),
        ("a,b\n1,10%\n", "b", "'10%'", 0, PLAIN),
        ('a,b\n1,"1,234,567.5"\n', "b", "'1,234,567.5'", 0, THOUSANDS),
        ("a,b\n1,2024-05-01\n", "b", "'2024-05-01'", 0, COUNT),
        ("a,b\n1,01.05.2024 08:00\n", "b", "'01.05.2024 08:00'", 0, COUNT),
        ("a,b\n1,\n3," + "long" * 20 + "\n", "b", "'longlonglong...glonglonglong'", 1, ENCODE),
    ],
)
def test_read_csv_names_the_first_column_of_text(tmp_path, text, column, example, row, advice):
    path = csv(tmp_path, text)
    held = f"Column '{column}' of {path} holds text, for example {example} in row {row} (from 0)"
    advice = f"leave it out (--drop {column}), or {advice}."
    with pytest.raises(DataError, match=whole(f"{held}: {advice}")):
        read(path)


@pytest.mark.parametrize(
    ("lines", "cells", "advice"),
    [
        (["?"] + ["1"] * 20, "'?' in row 0 (from 0)", "correct the cell"),
        (["1"] * 20 + ["Total"], "'Total' in row 20 (from 0)", "correct the cell"),
        (
            ["1", "?"] + ["2"] * 30 + ["unknown"],
            "2 cells, the first '?' in row 1 (from 0)",
            "correct these cells",
        ),
    ],
)
def test_read_csv_tells_a_few_words_among_numbers_from_a_column_of_text(
    tmp_path, lines, cells, advice
):
    path = csv(tmp_path, "age\n" + "\n".join(lines) + "\n")
    text = f"Column 'age' of {path} holds numbers but for {cells}: {advice}"
    with pytest.raises(DataError, match=whole(f"{text}, or leave the column out (--drop age).")):
        read(path)


def test_read_csv_names_a_few_of_the_columns_of_text_and_drops_all(tmp_path):
    path = csv(tmp_path, 'a,b,c,d,"e,f",g h,i\n1,x,y,z,u,v,w\n')
    held = (
        f"6 columns of {path} hold no numbers ('b', 'c', 'd' and 3 others), for example 'x' in row"
    )
    option = "--drop 'b,c,d,\"e,f\",g h,i'"
    text = (
        f"{held} 0 (from 0) of 'b': leave them out ({option}), or {ENCODE.replace(' it', ' each')}."
    )
    with pytest.raises(DataError, match=whole(text)):
        read(path)
    with pytest.raises(DataError, match=whole(text.replace("--drop '", "--drop 'a,"))):
        read(path, Columns(drop=("a",)))


def test_read_csv_says_of_columns_that_differ_no_more_than_what_fits_all(tmp_path):
    path = csv(tmp_path, "a,day,rate\n1,2024-05-01,10%\n")
    text = (
        f"2 columns of {path} hold no numbers ('day' and 'rate'), for example '2024-05-01' in row "
        "0 (from 0) of 'day'"
    )
    with pytest.raises(
        DataError,
        match=whole(f"{text}: leave them out (--drop day,rate), or turn them into numbers."),
    ):
        read(path)
    with pytest.raises(
        DataError, match=whole(f"{text}, and the model m needs them: turn them into numbers.")
    ):
        read(path, Columns(owner="the model m"))


def test_read_csv_without_names_advises_no_option_that_needs_them(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"(from 0): leave it out, or {ENCODE}.")):
        read(csv(tmp_path, "1,2\n3,x\n"))


@pytest.mark.parametrize(
    ("values", "dtype", "held"),
    [
        (["u", "v"], pl.Categorical, "text, for example 'u'"),
        ([None, datetime.date(2024, 5, 1)], pl.Date, "Date, for example datetime.date(2024, 5, 1)"),
    ],
)
def test_read_parquet_names_the_first_column_that_is_not_numbers(tmp_path, values, dtype, held):
    frame = pl.DataFrame({"a": [1, 2], "b": pl.Series(values, dtype=dtype)})
    frame.write_parquet(path := tmp_path / "x.parquet")
    row, advice = (0, ENCODE) if values[0] else (1, COUNT)
    held = f"{held} in row {row} (from 0)"
    text = f"Column 'b' of {path} holds {held}: leave it out (--drop b), or {advice}."
    with pytest.raises(DataError, match=whole(text)):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_read_csv_finds_out_how_it_is_written(tmp_path, mark, encoding):
    point = "," if mark == ";" else "."
    text = "Größe,b\n1!5,2\n-3!25,4\n\n,\n".replace(",", mark).replace("!", point)
    table = read(put(tmp_path / "x.csv", text.encode(encoding)))
    assert table.columns == ("Größe", "b")
    np.testing.assert_array_equal(table.values, [[1.5, 2], [-3.25, 4]])


def test_read_tsv_has_tabs_whatever_its_cells_hold(tmp_path):
    assert read(put(tmp_path / "x.tsv", "a;b,c\td\n1\t2\n")).columns == ("a;b,c", "d")
    assert read(put(tmp_path / "y.tsv", "1\t2\n")).values.tolist() == [[1, 2]]


def test_read_csv_keeps_a_blank_line_between_others(tmp_path):
    values = read(csv(tmp_path, "a,b\n1,2\n,\n3,4\n")).values
    assert np.isnan(values).tolist() == [[False] * 2, [True] * 2, [False] * 2]


def test_read_csv_names_the_line_with_too_many_cells(tmp_path):
    path = csv(tmp_path, 'a,b\n1,2\n"3",4\n5,6,7\n')
    text = (
        f"Line 4 of {path} has 3 cells and its first line 2: "
        "quote cells that hold commas, or correct the line."
    )
    with pytest.raises(DataError, match=whole(text)):
        read(path)


def test_read_csv_refuses_columns_of_one_name(tmp_path):
    path = csv(tmp_path, "b,a,a_duplicated_0,a\n1,2,3,4\n")
    with pytest.raises(
        DataError, match=whole(f"Columns 2 and 4 of {path} are both called 'a': {ONE}")
    ):
        read(path)


def test_read_csv_names_all_that_stand_twice_among_the_columns_that_are_meant(tmp_path):
    path = csv(tmp_path, "b,a,a,x y,x y,b,c,c\n1,2,3,4,5,6,7,8\n")
    text = (
        f"Columns 1 and 6 of {path} are both called 'b' (there are several of 'a' and 'x y', too): "
        "rename them, or leave them out (--drop 'c,b,a,x y')."
    )
    with pytest.raises(DataError, match=whole(text)):
        read(path, Columns(drop=("c",)))
    with pytest.raises(
        DataError, match=whole(f"Columns 2 and 3 of {path} are both called 'a': {TWO}")
    ):
        read(path, Columns(("a",)))


def test_read_csv_does_not_mind_columns_of_one_name_that_are_not_meant(tmp_path):
    path = csv(tmp_path, "b,a,a\n1,2,3\n")
    for columns in (Columns(("b",)), Columns(drop=("a",)), Columns(("b", "b"))):
        table = read(path, columns)
        assert (table.columns, table.values.tolist()) == (("b",), [[1]])


def test_read_csv_takes_a_name_of_two_lines(tmp_path):
    assert read(csv(tmp_path, 'a,"b\nc"\n1,2\n')).columns == ("a", "b\nc")


@pytest.mark.parametrize("text", ["a,b\r1,2\n3,4\n", "a,b\r1,2\r3,4\r"])
def test_read_csv_refuses_line_ends_that_hide_lines(tmp_path, text):
    path = csv(tmp_path, text)
    with pytest.raises(DataError, match="with one kind of line ends and every quote closed"):
        read(path)


def test_read_csv_refuses_points_that_part_thousands(tmp_path):
    path = csv(tmp_path, "a;b\n1,5;2\n1.000;3\n")
    text = (
        f"Column 'a' of {path} holds text, for example '1.000' in row 1 (from 0): leave it out "
        f"(--drop a), or {PLAIN}."
    )
    with pytest.raises(DataError, match=whole(text)):
        read(path)
    assert read(csv(tmp_path, "a;b\n1.5;2\n1.25;3\n")).values.tolist() == [[1.5, 2], [1.25, 3]]


def test_read_csv_of_very_many_columns_finds_out_how_it_is_written(tmp_path):
    names = [f"a column of a rather long name {i}" for i in range(5_000)]
    table = read(csv(tmp_path, ";".join(names) + "\n" + ";".join(["1,5"] * 5_000) + "\n"))
    assert table.columns == tuple(names)
    assert (table.values == 1.5).all()


def test_read_csv_of_more_columns_than_memory_has_room_for_is_refused(tmp_path):
    path = csv(tmp_path, "," * 200_000)
    text = (
        f"{path} has 200001 columns, and more than 100000 would fill the memory: save it as .npy."
    )
    with pytest.raises(DataError, match=whole(text)):
        read(path)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_read_csv_does_not_unpack(tmp_path, pack):
    path = put(tmp_path / "x.csv", pack(b"a,b\n1,2\n"))
    start = path.read_bytes()[:6]
    with pytest.raises(
        FileError, match=whole(f"{path} is compressed (it begins with {start!r}): unpack it first.")
    ):
        read(path)


def test_read_idx_unpacks_no_more_than_was_promised(tmp_path):
    head = idx_bytes(np.zeros((2, 2), "u1"))
    path = put(tmp_path / "x.idx.gz", gzip.compress(head) + gzip.compress(bytes(2**26)) * 100)
    began = time.perf_counter()
    with pytest.raises(FileError, match="promises 4 bytes more and further ones follow"):
        read(path)
    assert time.perf_counter() - began < 5  # all of it would take half a minute


def test_read_parquet_survives_what_ends_polars(tmp_path):
    """A page of -1 values: polars aborts, and nothing can be caught (pola-rs/polars#15342)."""
    stream = io.BytesIO()
    frame = pl.DataFrame(A, schema=["a", "b", "c"])
    frame.write_parquet(stream, compression="uncompressed", statistics=False)
    content = stream.getvalue().replace(b"\x15\x0e", b"\x15\x01", 1)
    path = put(tmp_path / "x.parquet", content)
    text = f"{path} cannot be read (its pages are damaged): {CUT_OFF}"
    with pytest.raises(FileError, match=whole(text)):
        read(path)


def test_read_csv_with_a_header_alone_says_that_there_are_no_rows(tmp_path):
    path = csv(tmp_path, "a,b\n")
    text = f"{path} holds no rows (its shape is (0, 2)): give one row or more."
    with pytest.raises(DataError, match=whole(text)):
        read(path)


@pytest.mark.parametrize("name", ["[1].csv", "a*.csv", "split=1/x.csv", "[1].parquet"])
def test_read_table_takes_names_literally(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    frame = pl.DataFrame({"a": [1.0]})
    with path.open("wb") as stream:
        (frame.write_csv if name.endswith("csv") else frame.write_parquet)(stream)
    assert read(path).columns == ("a",)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_read_table_without_polars_says_how_to_install_it(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "polars", None)
    text = f"Reading {name} needs polars, which is not installed: pip install 'isthmus[tables]'."
    with pytest.raises(MissingDependencyError, match=whole(text)):
        read(put(tmp_path / name, b"PAR1"))


# Pictures


def save_picture(path, pixels, mode=None):
    Image.fromarray(pixels).convert(mode).save(path)


def test_read_pictures_sorts_by_name_and_divides_by_255(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    for name, picture in zip(("b.png", "c.bmp", "a.tif"), pixels, strict=True):
        save_picture(tmp_path / name, picture)
    table = read(tmp_path)
    assert (table.kind, table.columns, table.rows) == (
        "pictures",
        None,
        ("a.tif", "b.png", "c.bmp"),
    )
    assert table.values.dtype == np.float32
    np.testing.assert_array_equal(table.values, pixels[[2, 0, 1]] / np.float32(255))


def test_read_pictures_of_16_bits_divides_by_65535(tmp_path):
    pixels = np.array([[0, 1, 65535], [256, 255, 32768]], np.uint16)
    save_picture(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read(tmp_path).values[0], pixels / np.float32(65535))


def test_read_pictures_in_colour_gives_three_channels(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    for name, picture in zip(("a.png", "b.webp"), pixels, strict=True):
        Image.fromarray(picture).save(tmp_path / name, lossless=True)
    np.testing.assert_array_equal(read(tmp_path).values, pixels / np.float32(255))


def test_read_pictures_repeats_grey_beside_colour(tmp_path):
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    save_picture(tmp_path / "a.png", grey)
    save_picture(tmp_path / "b.png", np.zeros((2, 3, 3), np.uint8))
    save_picture(tmp_path / "c.png", grey.astype(np.uint16) * 1000)
    values = read(tmp_path).values
    assert values.shape == (3, 2, 3, 3)
    for channel in range(3):
        np.testing.assert_array_equal(values[0, ..., channel], grey / np.float32(255))


@pytest.mark.parametrize(("mode", "shape"), [("1", ()), ("LA", ()), ("P", (3,)), ("RGBA", (3,))])
def test_read_pictures_of_other_modes_become_grey_or_rgb(tmp_path, mode, shape):
    pixels = np.where(np.eye(4, dtype=bool), np.uint8(255), np.uint8(0))
    save_picture(tmp_path / "a.png", pixels, mode)
    wanted = np.broadcast_to(np.eye(4).reshape(4, 4, *[1] * len(shape)), (4, 4, *shape))
    np.testing.assert_array_equal(read(tmp_path).values[0], wanted)


def test_read_pictures_passes_over_other_and_hidden_files(tmp_path):
    save_picture(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    put(tmp_path / "labels.txt", "0")
    put(tmp_path / "._a.png", "not a picture")
    (tmp_path / "more").mkdir()
    assert read(tmp_path).rows == ("a.png",)


def test_read_pictures_names_the_first_two_that_differ_in_size(tmp_path):
    for name, shape in {"a.png": (4, 3), "b.png": (4, 3), "c.png": (4, 5), "d.png": (9, 9)}.items():
        save_picture(tmp_path / name, np.zeros(shape, np.uint8))
    text = (
        f"{tmp_path} holds pictures of two sizes, 'a.png' is 3 x 4 and 'c.png' is 5 x 4 pixels: "
        "resize them, or take one of them out."
    )
    with pytest.raises(DataError, match=whole(text)):
        read(tmp_path)


def test_read_pictures_refuses_pixels_of_unknown_white(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(path := tmp_path / "depth.tif")
    text = f"{path} has pixels of 32 bits, whose white is unknown: save it with 8 or 16 bits."
    with pytest.raises(DataError, match=whole(text)):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n", b""])
def test_read_pictures_names_the_file_that_is_no_picture(tmp_path, content):
    path = put(tmp_path / "a.png", content)
    reason = f"cannot identify image file {str(path)!r}"[:120].rstrip(".:")
    with pytest.raises(FileError, match=whole(f"{path} cannot be read ({reason}): {CUT_OFF}")):
        read(tmp_path)


def test_read_pictures_lets_no_library_speak(tmp_path, capfd):
    """Pillow warns and logs of a damaged TIFF file, and libtiff writes to stderr."""
    stream = io.BytesIO()
    Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12)).save(
        stream, "tiff", compression="tiff_lzw"
    )
    content = stream.getvalue()
    put(tmp_path / "x.tif", content[:8] + bytes(4) + content[12:])
    with pytest.raises(FileError, match="cannot be read"):
        read(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_read_pictures_refuses_one_that_would_fill_the_memory(tmp_path, monkeypatch):
    save_picture(tmp_path / "x.png", np.zeros((20, 30), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    text = f"{tmp_path / 'x.png'} has more than 0 megapixels, which could fill the memory: "
    with pytest.raises(FileError, match=whole(text + "cut it into several pictures.")):
        read(tmp_path)


def test_read_refuses_a_folder_with_no_picture(tmp_path):
    put(tmp_path / "x.csv", "a\n1\n")
    text = (
        f"{tmp_path} holds no picture: give a folder that itself, not one within it, "
        "holds files that end in .png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp."
    )
    with pytest.raises(FileError, match=whole(text)):
        read(tmp_path)


def test_read_pictures_without_pillow_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    put(tmp_path / "a.png", b"")
    text = "Reading a.png needs pillow, which is not installed: pip install 'isthmus[pictures]'."
    with pytest.raises(MissingDependencyError, match=whole(text)):
        read(tmp_path)


# Paths


def test_read_guesses_the_name_of_a_missing_file(tmp_path):
    put(tmp_path / "train.npy", b"")
    text = f"{tmp_path / 'trian.npy'} does not exist (did you mean 'train.npy'?): check the path."
    with pytest.raises(FileError, match=whole(text)):
        read(tmp_path / "trian.npy")


@pytest.mark.parametrize("path", ["/no/such/folder/x.npy", "/" + "x" * 5000 + ".npy"])
def test_read_says_that_a_path_does_not_exist(path):
    with pytest.raises(FileError, match=whole(f"{path} does not exist: check the path.")):
        read(path)


@pytest.mark.parametrize(
    ("name", "guess"),
    [("x.parqet", " (did you mean '.parquet'?)"), ("x.xlsx", ""), ("parquet", "")],
)
def test_read_lists_the_endings_it_knows(tmp_path, name, guess):
    path = put(tmp_path / name, b"1")
    text = (
        f"{path} has an ending that cannot be read{guess}: use {FORMS}, names such as "
        "t10k-images-idx3-ubyte.gz, or a folder of pictures."
    )
    with pytest.raises(FileError, match=whole(text)):
        read(path)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.parquet", "x.idx", "x.idx.gz"])
def test_read_says_that_a_file_is_empty(tmp_path, name):
    path = put(tmp_path / name, b"")
    with pytest.raises(
        FileError, match=whole(f"{path} is empty (0 bytes): copy or write it again.")
    ):
        read(path)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.npy", "a NumPy array"),
        ("x.npz", "a NumPy archive"),
        ("x.parquet", "a parquet file"),
        ("x.idx", "an idx file"),
        ("x.idx.gz", "a gzipped idx file"),
    ],
)
def test_read_says_that_a_file_is_not_what_its_ending_claims(tmp_path, name, form):
    path = put(tmp_path / name, b"id,name\n1,2\n")
    text = (
        f"{path} is not {form} (it begins with b'id,nam'): "
        "give it the ending of what it is, or write it again."
    )
    with pytest.raises(FileError, match=whole(text)):
        read(path)


def test_read_says_that_a_file_may_not_be_read(tmp_path, monkeypatch):
    path = put(tmp_path / "x.npy", b"1")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so a mode is no test
    text = f"{path} cannot be read (Permission denied): change its permissions."
    with pytest.raises(FileError, match=whole(text)):
        read(path)


def test_read_says_that_a_file_does_not_fit_in_memory(tmp_path, monkeypatch):
    np.savez(path := tmp_path / "x.npz", X=A)

    def exhaust(*args, **kwargs):
        raise MemoryError("Unable to allocate 9.00 TiB for an array")

    monkeypatch.setattr(np.lib.format, "read_array", exhaust)
    text = (
        f"{path} cannot be read (Unable to allocate 9.00 TiB for an array): "
        "it does not fit in memory, so split it into smaller parts."
    )
    with pytest.raises(FileError, match=whole(text)):
        read(path)


# Any content


def valid_files():
    numbers = (A * 255).astype("u1")
    frame, picture = pl.DataFrame(A), Image.fromarray(numbers).convert("RGB")
    array, archive, cells, columns, *pictures = (io.BytesIO() for _ in range(9))
    np.save(array, A)
    np.savez_compressed(archive, X=A)
    frame.write_csv(cells)
    frame.write_parquet(columns)
    for stream, form in zip(pictures, ("png", "jpeg", "bmp", "tiff", "webp"), strict=True):
        picture.save(stream, form)
    names = ["x.npy", "x.npz", "x.csv", "x.parquet", *(f"x.{e}" for e in ("png", "jpg"))]
    names += ["x.bmp", "x.tif", "x.webp"]
    streams = (array, archive, cells, columns, *pictures)
    files = {name: stream.getvalue() for name, stream in zip(names, streams, strict=True)}
    content = idx_bytes(numbers)
    return files | {"x.idx": content, "x.idx.gz": gzip.compress(content)}


VALID = valid_files()
PICTURES = ("x.png", "x.jpg", "x.bmp", "x.tif", "x.webp")


def corrupt(content, changes, keep):
    """Overwrite bytes, then cut; places are fractions of the length."""
    content = bytearray(content)
    for place, byte in changes:
        content[int(place * len(content))] = byte
    return bytes(content[: max(1, round(keep * len(content)))])


FRACTION = st.floats(0, 1, exclude_max=True)
CHANGES = st.lists(st.tuples(FRACTION, st.integers(0, 255)), min_size=1, max_size=6)


# Parquet files take half a second each, for another process reads them first: see test_fuzz.py.
@pytest.mark.parametrize("name", [name for name in VALID if name != "x.parquet"])
@settings(max_examples=60, deadline=None)
@given(changes=CHANGES, keep=st.just(1.0) | FRACTION)
def test_read_of_altered_bytes_gives_numbers_or_one_typed_sentence(name, changes, keep):
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / name, corrupt(VALID[name], changes, keep))
        try:
            values = read(folder if name in PICTURES else path).values
        except (FileError, DataError) as error:
            values, sentence = np.ones(1), str(error)
        else:
            sentence = "Read."
        assert values.size
        assert values.dtype.kind in "biuf"
        assert re.fullmatch(r"(?!.*\. [A-Z])[^\n]+\.", sentence)


def test_modules_that_lie_beside_a_parquet_file_are_not_run(tmp_path, monkeypatch):
    pl.DataFrame(A).write_parquet(tmp_path / "x.parquet")
    (tmp_path / "polars.py").write_text("open('run', 'w').close()")
    monkeypatch.chdir(tmp_path)
    assert read("x.parquet").values.shape == A.shape
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("first", ["1.0,,3.5", "5.1,NA,1.4", "nan,2,3"])
def test_first_line_of_numbers_of_which_some_are_missing_is_values(tmp_path, first):
    path = tmp_path / "a.csv"
    path.write_text(f"{first}\n4,5,6\n7,8,9\n")
    assert read(path).values.shape == (3, 3)


def test_counted_columns_beside_an_index_without_a_name_are_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",0,1\n0,5,6\n1,8,9\n")
    assert read(path).values.shape[0] == 2
