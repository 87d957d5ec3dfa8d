import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from isthmus.data.files import read
from isthmus.data.replacing import remove_halves, replacing, replacing_folder
from isthmus.data.writing import write, write_pictures
from isthmus.errors import DataError, FileError, MissingDependencyError

A = np.random.default_rng(0).random((7, 3))
FORMS = [".npy", ".npz", ".csv", ".parquet"]
NEW_FOLDER = "give the path of a new or an empty folder."

needs_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full, the device without space"
)


def whole(text):
    return f"^{re.escape(text)}$"


def no_space(path):
    return whole(
        f"No space is left on the device to write {path}: "
        "free some and run it again; nothing was changed."
    )


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def content_of(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def fill(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def write_then_raise(path, error):
    path.write_text("half")
    raise error


def write_to_a_full_device(path):
    path.symlink_to("/dev/full")
    path.write_text("new")


# Replacing a file


def test_replacing_yields_a_hidden_path_beside_with_the_same_ending(tmp_path):
    with replacing(tmp_path / "x.npy") as beside:
        assert (beside.parent, beside.suffix, beside.name[0]) == (tmp_path, ".npy", ".")
        beside.write_text("new")
    assert content_of(tmp_path) == {"x.npy": "new"}


def test_replacing_keeps_what_was_there_until_the_end(tmp_path):
    target = fill(tmp_path, x_npy="old") / "x.npy"
    with replacing(target) as beside:
        beside.write_text("new")
        assert target.read_text() == "old"
    assert content_of(tmp_path) == {"x.npy": "new"}


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), DataError("bad")])
def test_replacing_leaves_no_trace_of_a_failure(tmp_path, error):
    target = fill(tmp_path, x_npy="old") / "x.npy"
    with pytest.raises(type(error)), replacing(target) as beside:
        write_then_raise(beside, error)
    assert content_of(tmp_path) == {"x.npy": "old"}


@needs_full_device
def test_replacing_says_that_no_space_is_left(tmp_path):
    target = fill(tmp_path, x_npy="old") / "x.npy"
    with pytest.raises(FileError, match=no_space(target)), replacing(target) as beside:
        write_to_a_full_device(beside)
    assert content_of(tmp_path) == {"x.npy": "old"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_replacing_believes_a_device_that_is_found_full_at_the_end(tmp_path, monkeypatch, number):
    def fsync(descriptor):
        raise OSError(number, os.strerror(number))

    target = fill(tmp_path, x_npy="old") / "x.npy"
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(FileError, match=no_space(target)), replacing(target) as beside:
        beside.write_text("new")
    assert content_of(tmp_path) == {"x.npy": "old"}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (
            errno.EACCES,
            "may not be written (Permission denied): change the permissions or the path",
        ),
        (errno.EIO, "cannot be written (Input/output error): check the path and the device"),
    ],
)
def test_replacing_says_why_the_system_refuses(tmp_path, number, text):
    target = fill(tmp_path, x_npy="old") / "x.npy"
    with (
        pytest.raises(FileError, match=whole(f"{target} {text}; nothing was changed.")),
        replacing(target),
    ):
        raise OSError(number, os.strerror(number))
    assert content_of(tmp_path) == {"x.npy": "old"}


def test_replacing_waits_for_the_device_before_it_renames(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append("fsync"))
    monkeypatch.setattr(Path, "replace", lambda *paths: events.append("rename"))
    with replacing(tmp_path / "x.npy") as beside:
        beside.write_text("new")
    assert events == ["fsync", "rename", "fsync"]  # the bytes, and then the name


def test_replacing_creates_the_folders_above(tmp_path):
    with replacing(tmp_path / "a/b/x.npy") as beside:
        beside.write_text("new")
    assert content_of(tmp_path / "a/b") == {"x.npy": "new"}


def test_replacing_says_that_a_file_is_in_the_way_of_a_folder(tmp_path):
    target = fill(tmp_path, a="a file") / "a/x.npy"
    reason = "cannot be written (File exists): check the path and the device; nothing was changed."
    with pytest.raises(FileError, match=whole(f"{target} {reason}")), replacing(target):
        pass


@pytest.mark.parametrize("path", ["", "/dev/null"])
def test_replacing_refuses_what_is_no_file(tmp_path, path):
    path = path or tmp_path
    text = f"{path} is not a file: give the path of one, to write or to replace."
    with pytest.raises(FileError, match=whole(text)), replacing(path):
        pass


def test_replacing_writes_through_a_link_and_keeps_the_mode(tmp_path):
    target = fill(tmp_path / "far", x_npy="old") / "x.npy"
    target.chmod(0o640)
    (tmp_path / "x.npy").symlink_to(target)
    with replacing(tmp_path / "x.npy") as beside:
        beside.write_text("new")
    assert (tmp_path / "x.npy").is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_replacing_survives_a_kill_with_the_old_file_whole(tmp_path):
    target = fill(tmp_path, x_npy="old") / "x.npy"
    code = (
        "import os, sys; from isthmus.data.replacing import replacing\n"
        "with replacing(sys.argv[1]) as beside: beside.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, target], check=False).returncode == 9
    assert target.read_text() == "old"


def test_remove_halves_takes_away_what_a_kill_left_and_nothing_else(tmp_path):
    code = (
        "import os, sys; from isthmus.data.replacing import replacing\n"
        "with replacing(sys.argv[1]) as beside: beside.write_text('half'); os._exit(9)"
    )
    kept = {tmp_path / name for name in ("x.png", ".mine.png", ".0123456789ab.png", "b/.x.tar.gz")}
    for file in kept:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    for name in ("x.png", "b/name.of.two.tif"):
        subprocess.run([sys.executable, "-c", code, tmp_path / name], check=False)
    assert len(list(tmp_path.rglob("*.*"))) == len(kept) + 2
    remove_halves(tmp_path)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == kept


# Replacing a folder


def test_replacing_folder_writes_beside_then_swaps(tmp_path):
    target = fill(tmp_path / "model", config_json="old", extra="old")
    with replacing_folder(target, marker="config.json") as beside:
        assert (beside.parent, beside.name[0]) == (tmp_path, ".")
        fill(beside, config_json="new")
        assert content_of(target) == {"config.json": "old", "extra": "old"}
    assert content_of(target) == {"config.json": "new"}
    assert names_in(tmp_path) == ["model"]


@pytest.mark.parametrize("empty", [False, True])
def test_replacing_folder_takes_a_new_or_an_empty_folder(tmp_path, empty):
    target = tmp_path / "a/model"
    if empty:
        target.mkdir(parents=True)
    with replacing_folder(target, marker="config.json") as beside:
        fill(beside, weights="w")
    assert content_of(target) == {"weights": "w"}
    assert names_in(target.parent) == ["model"]


def test_replacing_folder_never_wipes_a_folder_without_the_marker(tmp_path):
    target = fill(tmp_path / "photos", thesis="years of work")
    text = (
        f"{target} is a folder that holds something and no config.json, so it is not replaced: "
        + NEW_FOLDER
    )
    with (
        pytest.raises(FileError, match=whole(text)),
        replacing_folder(target, marker="config.json"),
    ):
        pytest.fail("the body must not run")
    assert content_of(target) == {"thesis": "years of work"}
    assert names_in(tmp_path) == ["photos"]


def test_replacing_folder_refuses_a_file(tmp_path):
    target = fill(tmp_path, model="a file") / "model"
    text = f"{target} is a file: give the path of a folder, to write or to replace."
    with pytest.raises(FileError, match=whole(text)), replacing_folder(target):
        pytest.fail("the body must not run")


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_replacing_folder_leaves_no_trace_of_a_failure(tmp_path, error):
    target = fill(tmp_path / "model", config_json="old")
    with pytest.raises(type(error)), replacing_folder(target) as beside:
        write_then_raise(beside / "config.json", error)
    assert content_of(target) == {"config.json": "old"}
    assert names_in(tmp_path) == ["model"]


@needs_full_device
def test_replacing_folder_says_that_no_space_is_left(tmp_path):
    target = fill(tmp_path / "model", config_json="old")
    with pytest.raises(FileError, match=no_space(target)), replacing_folder(target) as beside:
        write_to_a_full_device(beside / "weights")
    assert content_of(target) == {"config.json": "old"}
    assert names_in(tmp_path) == ["model"]


@pytest.mark.parametrize("failing", [0, 1])
def test_replacing_folder_puts_the_old_one_back_if_a_rename_fails(tmp_path, monkeypatch, failing):
    target = fill(tmp_path / "model", config_json="old")
    rename, calls = Path.replace, []

    def replace(source, goal):
        calls.append(goal)
        if len(calls) == failing + 1:
            raise OSError(errno.EIO, "Input/output error")
        return rename(source, goal)

    monkeypatch.setattr(Path, "replace", replace)
    text = "cannot be written (Input/output error): check the path and the device"
    with (
        pytest.raises(FileError, match=whole(f"{target} {text}; nothing was changed.")),
        replacing_folder(target) as beside,
    ):
        fill(beside, config_json="new")
    assert content_of(target) == {"config.json": "old"}
    assert names_in(tmp_path) == ["model"]


def test_replacing_folder_names_only_whole_folders(tmp_path, monkeypatch):
    target, rename, seen = fill(tmp_path / "model", a="old", b="old"), Path.replace, []

    def replace(source, goal):
        result = rename(source, goal)
        seen.append(content_of(target) if target.exists() else None)
        return result

    monkeypatch.setattr(Path, "replace", replace)
    with replacing_folder(target) as beside:
        fill(beside, a="new", b="new")
    assert seen == [None, {"a": "new", "b": "new"}]


# Arrays and tables


@pytest.mark.parametrize("ending", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_write_gives_back_the_same_values_when_read(tmp_path, ending, dtype):
    values = A.astype(dtype)
    values[0, 0], values[1, 1] = np.nan, 1e-30
    write(path := tmp_path / f"x{ending}", values)
    np.testing.assert_array_equal(read(path).values.astype(dtype), values)
    assert names_in(tmp_path) == [f"x{ending}"]


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_write_keeps_dtype_and_all_axes(tmp_path, ending):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    write(path := tmp_path / f"x{ending}", values)
    assert read(path).values.dtype == np.uint8
    np.testing.assert_array_equal(read(path).values, values)


def test_write_npz_names_the_array_x(tmp_path):
    write(path := tmp_path / "x.npz", A)
    with np.load(path) as archive:
        assert archive.files == ["X"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("columns", "held"), [(None, ("x0", "x1", "x2")), (["a", "b c", "d,e"], ("a", "b c", "d,e"))]
)
def test_write_names_the_columns(tmp_path, ending, columns, held):
    write(path := tmp_path / f"x{ending}", A, columns)
    assert read(path).columns == held


def test_write_takes_scores_for_a_column(tmp_path):
    write(path := tmp_path / "x.csv", [1, 2], ["score"])
    assert pl.read_csv(path).to_dict(as_series=False) == {"score": [1, 2]}


def test_write_takes_an_ending_in_capitals(tmp_path):
    write(path := tmp_path / "X.NPY", A)
    assert names_in(tmp_path) == ["X.NPY"]
    np.testing.assert_array_equal(np.load(path), A)


@needs_full_device
@pytest.mark.parametrize("n_rows", [2, 100_000])
@pytest.mark.parametrize("ending", FORMS)
def test_write_says_that_no_space_is_left(tmp_path, monkeypatch, ending, n_rows):
    def on_a_full_device(target):
        (beside := target.with_name(f".beside{ending}")).symlink_to("/dev/full")
        return beside

    target = tmp_path / f"x{ending}"
    target.write_text("old")
    monkeypatch.setattr("isthmus.data.replacing._beside", on_a_full_device)
    with pytest.raises(FileError, match=no_space(target)):
        write(target, np.random.default_rng(0).random((n_rows, 3)))
    assert content_of(tmp_path) == {f"x{ending}": "old"}


@pytest.mark.parametrize(
    ("name", "guess"), [("x.parqet", " (did you mean '.parquet'?)"), ("x", ""), ("x.xlsx", "")]
)
def test_write_lists_the_endings_it_knows(tmp_path, name, guess):
    path = tmp_path / name
    text = f"{path} has an ending that cannot be written{guess}: use .npy, .npz, .csv, .parquet."
    with pytest.raises(FileError, match=whole(text)):
        write(path, A)


@pytest.mark.parametrize(("values", "dtype"), [([A, None], "object"), (["a"], "<U1")])
def test_write_refuses_what_is_not_numbers(tmp_path, values, dtype):
    values = np.array(values, dtype=object if dtype == "object" else None)
    path = tmp_path / "x.npy"
    text = f"Values of type {dtype} cannot be written to {path}: give numbers."
    with pytest.raises(DataError, match=whole(text)):
        write(path, values)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_write_refuses_a_table_of_three_axes(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    text = (
        f"Values of shape (2, 3, 4) cannot be written to {path}: "
        "reshape them to (rows, columns), or write .npy."
    )
    with pytest.raises(DataError, match=whole(text)):
        write(path, np.ones((2, 3, 4)))


@pytest.mark.parametrize(
    ("columns", "held"),
    [(["a", "b"], "2 names, 2 of them different"), ("aba", "3 names, 2 of them different")],
)
def test_write_needs_as_many_different_names_as_columns(tmp_path, columns, held):
    path = tmp_path / "x.csv"
    text = f"{path} needs 3 different column names, and got {held}: name each once."
    with pytest.raises(DataError, match=whole(text)):
        write(path, A, columns)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_write_without_polars_says_how_to_install_it(tmp_path, monkeypatch, ending):
    monkeypatch.setitem(sys.modules, "polars", None)
    path = tmp_path / f"x{ending}"
    text = f"Writing {path} needs polars, which is not installed: pip install 'isthmus[tables]'."
    with pytest.raises(MissingDependencyError, match=whole(text)):
        write(path, A)


# Pictures


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 3)])
def test_write_pictures_gives_back_the_same_bytes_when_read(tmp_path, shape):
    levels = np.random.default_rng(0).integers(0, 256, shape)
    write_pictures(tmp_path / "out", levels / 255, ["a.jpg", "b", "c.d.PNG"])
    table = read(tmp_path / "out")
    assert table.rows == ("a.png", "b.png", "c.d.png")
    np.testing.assert_array_equal(table.values, levels.astype(np.float32) / np.float32(255))


def test_write_pictures_rounds_and_clips(tmp_path):
    write_pictures(tmp_path / "out", [[[[-0.5], [0.4 / 255], [0.6 / 255], [7]]]], ["a"])
    values = read(tmp_path / "out").values
    np.testing.assert_array_equal(values, np.float32([[[0, 0, 1, 255]]]) / np.float32(255))


def test_write_pictures_replaces_its_own_pictures(tmp_path):
    for light in (0.0, 1.0):
        write_pictures(tmp_path / "out", np.full((2, 2, 2), light), ["a", "b"])
    assert read(tmp_path / "out").values.min() == 1


def test_write_pictures_never_wipes_a_folder_of_other_files(tmp_path):
    folder = fill(tmp_path / "out", a_png="mine", holiday_png="mine")
    text = (
        f"{folder} holds 'holiday.png', which is none of the pictures to write, so it is not "
        f"replaced: {NEW_FOLDER}"
    )
    with pytest.raises(FileError, match=whole(text)):
        write_pictures(folder, np.ones((1, 2, 2)), ["a.png"])
    assert content_of(folder) == {"a.png": "mine", "holiday.png": "mine"}


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3, 4), (1, 2, 3, 3, 1)])
def test_write_pictures_refuses_other_shapes(tmp_path, shape):
    text = (
        f"Pictures of shape {shape} cannot be written: "
        "give (n, h, w), (n, h, w, 1) or (n, h, w, 3)."
    )
    with pytest.raises(DataError, match=whole(text)):
        write_pictures(tmp_path / "out", np.ones(shape), ["a"])


def test_write_pictures_refuses_nan(tmp_path):
    text = "2 pixels of the pictures are NaN: give values from 0 to 1."
    with pytest.raises(DataError, match=whole(text)):
        write_pictures(tmp_path / "out", [[[np.nan, 1], [np.nan, 0]]], ["a"])
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("names", "held"),
    [(["a"], "1 names, 1 of them different"), (["a.jpg", "a.png"], "2 names, 1 of them different")],
)
def test_write_pictures_needs_as_many_different_names_as_pictures(tmp_path, names, held):
    text = f"2 pictures need as many different names, and got {held}: name each once."
    with pytest.raises(DataError, match=whole(text)):
        write_pictures(tmp_path / "out", np.ones((2, 2, 2)), names)


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "", "b/"])
def test_write_pictures_stays_within_its_folder(tmp_path, name):
    text = f"{name!r} is not the name of a file: leave folders out of it."
    with pytest.raises(DataError, match=whole(text)):
        write_pictures(tmp_path / "out", np.ones((1, 2, 2)), [name])
    assert names_in(tmp_path) == []


def test_write_pictures_without_pillow_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    text = "Writing pictures needs pillow, which is not installed: pip install 'isthmus[pictures]'."
    with pytest.raises(MissingDependencyError, match=whole(text)):
        write_pictures(tmp_path / "out", np.ones((1, 2, 2)), ["a"])


def test_pictures_of_16_bits_stay_so(tmp_path):
    light = np.linspace(0, 1, 2 * 50 * 40, dtype=np.float32).reshape(2, 50, 40)
    write_pictures(tmp_path / "deep", light, ["a.png", "b.png"], deep=True)
    table = read(tmp_path / "deep")
    assert table.deep
    np.testing.assert_allclose(table.values, light, atol=0.6 / 65535)
    write_pictures(tmp_path / "flat", light, ["a.png", "b.png"])
    assert not read(tmp_path / "flat").deep
