"""Noise taken off pictures on the command line: names, failures, kills, and what is left alone."""

import errno
import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image
from processes import printed_by

from isthmus import Autoencoder, DenoisingAutoencoder, load
from isthmus.cli import denoising
from isthmus.cli.denoising import denoise_pictures, picture_denoiser
from isthmus.cli.main import run
from isthmus.data.finished import RECORD, Record
from isthmus.data.picture_folders import pictures_below
from isthmus.errors import DataError, FileError, MissingDependencyError

NAMES = ["a.png", "b/c.png", "b/d/e.jpg", "f.tif"]
FORCE = "add --force to replace such pictures, or give another path."


def whole(text):
    return f"^{re.escape(text)}$"


def same(pixels):
    return pixels


def darker(pixels):
    return pixels // 2


def never(pixels):
    pytest.fail("no picture must be denoised")


def paint(path, seed=0, size=(9, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(path)
    return path


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def contents(folder):
    """Return the bytes of all files in a folder and below, by name."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def visible(folder):
    return sorted(name for name in contents(folder) if not name.startswith("."))


@pytest.fixture
def noisy(tmp_path):
    """Return a folder of pictures, in which there are folders, too."""
    for seed, name in enumerate(NAMES):
        paint(tmp_path / "noisy" / name, seed)
    return tmp_path / "noisy"


@pytest.fixture
def clean(tmp_path):
    return tmp_path / "clean"


def go(noisy, clean, denoise=same, by="model", *, force=False):
    return denoise_pictures(noisy, clean, denoise, by=by, force=force)


# One picture


@pytest.mark.parametrize("out", ["x.png", "X.PNG", "new/x.png"])
def test_one_picture_becomes_the_file_that_is_named(tmp_path, noisy, capsys, out):
    assert go(noisy / "a.png", tmp_path / out, darker) == 0
    np.testing.assert_array_equal(pixels_of(tmp_path / out), pixels_of(noisy / "a.png") // 2)
    assert capsys.readouterr() == (f"{tmp_path / out}: 1 picture.\n", "")


@pytest.mark.parametrize("there", [False, True])
def test_one_picture_keeps_its_name_in_a_folder(noisy, clean, there):
    if there:
        clean.mkdir()
    go(noisy / "a.png", clean)
    assert contents(clean).keys() == {"a.png"}


def test_one_picture_is_replaced_only_by_force(tmp_path, noisy):
    (out := tmp_path / "x.png").write_text("mine")
    text = f"{out} exists already: add --force to replace it, or give another path."
    with pytest.raises(FileError, match=whole(text)):
        go(noisy / "a.png", out, never)
    assert out.read_text() == "mine"
    go(noisy / "a.png", out, force=True)
    assert pixels_of(out).shape == (9, 12)


@pytest.mark.parametrize("out", ["a.png", "link.png", "../noisy/a.png", "."])
def test_one_picture_is_never_written_over_itself(noisy, out):
    (noisy / "link.png").symlink_to(noisy / "a.png")
    before = contents(noisy)
    place = noisy / "a.png" if out == "." else noisy / out
    text = f"{place} is the input itself: give another path to write to."
    with pytest.raises(FileError, match=whole(text)):
        go(noisy / "a.png", noisy / out, never, force=True)
    assert contents(noisy) == before


def test_one_picture_keeps_its_form(tmp_path, noisy):
    text = (
        f"{tmp_path / 'x.jpg'} is to have the form of {noisy / 'a.png'}, which is kept: "
        "give it the ending .png, or name a folder."
    )
    with pytest.raises(FileError, match=whole(text)):
        go(noisy / "a.png", tmp_path / "x.jpg", never)
    go(noisy / "f.tif", tmp_path / "x.TIFF")


def test_one_picture_that_the_model_does_not_take_is_named(tmp_path, noisy):
    def refuse(pixels):
        raise DataError("Grey is needed: give grey.")

    text = f"{noisy / 'a.png'}: Grey is needed: give grey."
    with pytest.raises(DataError, match=whole(text)):
        go(noisy / "a.png", tmp_path / "x.png", refuse)
    assert not (tmp_path / "x.png").exists()


# A folder


def test_folder_keeps_names_and_folders(noisy, clean, capsys):
    paint(noisy / ".hidden.png")
    paint(noisy / ".thumbnails/a.png")
    (noisy / "notes.txt").write_text("mine")
    (noisy / "b/film.gif").write_text("mine")
    assert go(noisy, clean, darker) == 0
    assert visible(clean) == NAMES
    for name in ("a.png", "b/c.png", "f.tif"):
        np.testing.assert_array_equal(pixels_of(clean / name), pixels_of(noisy / name) // 2)
    assert capsys.readouterr() == (f"{clean}: 4 pictures; 2 other files left out.\n", "")


def test_folder_hands_pictures_over_in_their_own_depth(tmp_path, clean):
    deep = np.arange(108, dtype=np.uint16).reshape(9, 12) * 600
    (tmp_path / "noisy").mkdir()
    Image.fromarray(deep).save(tmp_path / "noisy/a.png")
    Image.fromarray(np.zeros((5, 4, 4), np.uint8)).save(tmp_path / "noisy/b.png")
    Image.fromarray(np.zeros((5, 4), np.float32)).save(tmp_path / "noisy/c.tif")
    seen = []
    go(tmp_path / "noisy", clean, lambda x: seen.append((x.shape, x.dtype.name)) or x)
    assert seen == [((9, 12), "uint16"), ((5, 4, 3), "uint8"), ((5, 4), "float32")]
    np.testing.assert_array_equal(pixels_of(clean / "a.png"), deep)


def test_folder_does_the_rest_where_some_cannot_be_read(noisy, clean, capsys):
    (noisy / "b/broken.png").touch()
    (noisy / "b/loop").symlink_to(noisy)
    Image.new("CMYK", (4, 4)).save(noisy / "z.jpg")
    assert go(noisy, clean) == 1
    assert visible(clean) == NAMES
    printed = capsys.readouterr()
    assert printed.out == f"{clean}: 4 pictures.\n"
    assert printed.err.splitlines() == [
        "3 could not be denoised:",
        f"  {noisy / 'b/loop'} is a link to a folder that it lies in: take the link away.",
        f"  {noisy / 'b/broken.png'} is empty (0 bytes): copy or write it again.",
        f"  {noisy / 'z.jpg'} has colours of mode CMYK: save it as grey or RGB.",
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError("Grey is needed: give grey."), ": Grey is needed: give grey."),
        (MemoryError(), " does not fit in memory: cut it into smaller pictures."),
    ],
)
def test_folder_does_the_rest_where_the_model_refuses_one(noisy, clean, capsys, error, said):
    def refuse(pixels):
        if np.array_equal(pixels, pixels_of(noisy / "b/c.png")):
            raise error
        return pixels

    assert go(noisy, clean, refuse) == 1
    assert visible(clean) == [name for name in NAMES if name != "b/c.png"]
    assert capsys.readouterr().err.splitlines()[1:] == [f"  {noisy / 'b/c.png'}{said}"]


def test_folder_that_failures_are_mended_in_is_completed(noisy, clean, capsys):
    content = (noisy / "a.png").read_bytes()
    (noisy / "a.png").write_bytes(content[:50])
    assert go(noisy, clean) == 1
    (noisy / "a.png").write_bytes(content)
    capsys.readouterr()
    assert go(noisy, clean) == 0
    assert capsys.readouterr() == (f"{clean}: 1 picture, 3 already there.\n", "")


def test_folder_without_a_picture_is_refused(tmp_path, clean):
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy/a.txt").touch()
    text = (
        f"{tmp_path / 'noisy'} holds no picture: give a folder with files that end in "
        ".png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp."
    )
    with pytest.raises(FileError, match=whole(text)):
        go(tmp_path / "noisy", clean, never)
    assert not clean.exists()


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("noisy", "is the input itself: give another path to write to."),
        ("link", "is the input itself: give another path to write to."),
        ("noisy/clean", "lies within {noisy}, all of which is read: give a path outside of it."),
        ("link/b/x", "lies within {noisy}, all of which is read: give a path outside of it."),
        ("file", "is a file: give the path of a folder, to write or to replace."),
    ],
)
def test_folder_is_not_written_where_it_must_not(tmp_path, noisy, out, text):
    (tmp_path / "link").symlink_to(noisy)
    (tmp_path / "file").touch()
    before = contents(tmp_path)
    said = f"{tmp_path / out} {text.format(noisy=noisy)}"
    with pytest.raises(FileError, match=whole(said)):
        go(noisy, tmp_path / out, never, force=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("link", "goal"), [("a.png", "b/c.png"), ("b", "b")])
def test_folder_is_not_written_through_a_link_into_the_input(noisy, clean, link, goal):
    clean.mkdir()
    (clean / link).symlink_to(noisy / goal)
    before = contents(noisy)
    place = clean / ("a.png" if link == "a.png" else "b/c.png")
    text = f"{place} lies within {noisy}, all of which is read: give a path outside of it."
    with pytest.raises(FileError, match=whole(text)):
        go(noisy, clean, never, force=True)
    assert contents(noisy) == before


def test_folder_stops_at_once_where_a_package_is_missing(noisy, clean, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingDependencyError, match=r"^Reading a\.png needs tifffile, "):
        go(noisy, clean, never)


def test_pictures_are_found_through_links_and_circles_are_not_followed(tmp_path, noisy):
    (outside := tmp_path / "outside").mkdir()
    paint(outside / "o.png")
    (noisy / "g").symlink_to(outside)
    (outside / "back").symlink_to(noisy)
    (noisy / "h.png").symlink_to(outside / "o.png")
    found = pictures_below(noisy)
    names = [file.relative_to(noisy).as_posix() for file in found.files]
    assert names == [*NAMES, "g/o.png", "h.png"]
    assert [str(error) for error in found.refused] == [
        f"{noisy / 'g/back'} is a link to a folder that it lies in: take the link away."
    ]


def test_a_folder_that_may_not_be_read_is_named(noisy, monkeypatch):
    def listdir(folder, list_=denoising.os.listdir):
        if Path(folder).name == "d":
            raise PermissionError(13, "Permission denied")
        return list_(folder)

    monkeypatch.setattr("isthmus.data.picture_folders.os.listdir", listdir)
    found = pictures_below(noisy)
    assert len(found.files) == len(NAMES) - 1
    assert [str(error) for error in found.refused] == [
        f"{noisy / 'b/d'} cannot be read (Permission denied): change its permissions."
    ]


# What is there already


def test_finished_pictures_are_left_alone(noisy, clean, capsys):
    go(noisy, clean, darker)
    before = contents(clean)
    capsys.readouterr()
    for force in (False, True):
        assert go(noisy, clean, never, force=force) == 0
        assert capsys.readouterr() == (f"{clean}: 0 pictures, 4 already there.\n", "")
    assert contents(clean) == before


def test_further_pictures_are_added(noisy, clean, capsys):
    go(noisy, clean)
    paint(noisy / "new.png")
    capsys.readouterr()
    go(noisy, clean)
    assert capsys.readouterr().out == f"{clean}: 1 picture, 4 already there.\n"


def test_pictures_that_were_copied_or_touched_are_the_same(tmp_path, noisy, clean):
    go(noisy, clean)
    shutil.copytree(noisy, tmp_path / "noisy2")
    shutil.copytree(clean, tmp_path / "clean2")
    go(tmp_path / "noisy2", tmp_path / "clean2", never)


@pytest.mark.parametrize("change", ["input", "model", "output", "stranger", "no record"])
def test_what_was_not_made_by_this_model_from_this_input_is_replaced_only_by_force(
    noisy, clean, change
):
    go(noisy, clean)
    by, place = "model", clean / "a.png"
    if change == "input":
        paint(noisy / "a.png", seed=9)
    elif change == "model":
        by = "another"
    elif change == "output":
        paint(place, seed=9)
    elif change == "stranger":
        place = paint(clean / "b/mine.png")
    else:
        (clean / RECORD).unlink()
    before = contents(clean)
    text = f"{place} was not made by this model from {noisy} as it is now: {FORCE}"
    with pytest.raises(FileError, match=whole(text)):
        go(noisy, clean, never, by)
    assert contents(clean) == before
    go(noisy, clean, darker, by, force=True)
    redone = {"input": ["a.png"], "output": ["a.png"], "stranger": []}.get(change, NAMES)
    for name in set(NAMES) - {"b/d/e.jpg"}:
        wanted = pixels_of(noisy / name)
        np.testing.assert_array_equal(
            pixels_of(clean / name), wanted // 2 if name in redone else wanted
        )
    assert (clean / "b/mine.png").exists() == (change == "stranger")


def test_pictures_of_inputs_that_are_gone_are_no_strangers(noisy, clean):
    go(noisy, clean)
    (noisy / "a.png").unlink()
    go(noisy, clean, never)
    assert (clean / "a.png").exists()


def test_a_run_by_force_that_was_stopped_goes_on_too(noisy, clean, capsys):
    def stop(pixels):
        if np.array_equal(pixels, pixels_of(noisy / "f.tif")):
            raise KeyboardInterrupt
        return pixels // 2

    go(noisy, clean, by="another")
    with pytest.raises(click.exceptions.Exit):
        go(noisy, clean, stop, force=True)
    capsys.readouterr()
    seen = []
    go(noisy, clean, lambda x: seen.append(x) or x // 2, force=True)
    assert len(seen) == 1
    assert capsys.readouterr().out == f"{clean}: 1 picture, 3 already there.\n"
    np.testing.assert_array_equal(pixels_of(clean / "f.tif"), pixels_of(noisy / "f.tif") // 2)


@pytest.mark.parametrize("lines", [b"", b"\0\xff", b"[1]\n{}\n", b'{"name": "a.png", "by"'])
def test_a_record_that_is_damaged_finishes_nothing(noisy, clean, lines):
    go(noisy, clean)
    (clean / RECORD).write_bytes(lines)
    with pytest.raises(FileError, match=re.escape(FORCE)):
        go(noisy, clean, never)
    go(noisy, clean, force=True)
    go(noisy, clean, never)


def test_record_names_the_sums_that_sha256sum_would_print(noisy, clean):
    go(noisy, clean, darker)
    lines = map(json.loads, filter(None, (clean / RECORD).read_text().splitlines()))
    program = [shutil.which("sha256sum") or pytest.skip("there is no sha256sum")]
    for line in lines:
        files = [noisy / line["name"], clean / line["name"]]
        done = subprocess.run([*program, *files], capture_output=True, text=True, check=True)
        assert [row.split()[0] for row in done.stdout.splitlines()] == [line["of"], line["file"]]
        assert line["by"] == "model"


def test_two_runs_do_not_write_to_one_folder(noisy, clean):
    text = f"{clean} is being written to by another run: wait for it, or give another path."
    with (
        Record(clean, "model").adding(),
        pytest.raises(FileError, match=whole(text)),
    ):
        go(noisy, clean, never)
    assert go(noisy, clean) == 0


# Stops


def test_a_full_device_ends_the_run_which_then_goes_on(noisy, clean, monkeypatch, capsys):
    def no_space(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def full(pixels):
        if len(visible(clean)) == 2:
            monkeypatch.setattr("os.fsync", no_space)
        return pixels

    text = (
        f"No space is left on the device to write {clean / NAMES[2]}: "
        "free some and run it again; nothing was changed."
    )
    with pytest.raises(FileError, match=whole(text)):
        go(noisy, clean, full)
    stopped = "Stopped: 2 of 4 pictures are done; the same command goes on from there.\n"
    assert capsys.readouterr() == ("", stopped)
    monkeypatch.undo()
    go(noisy, clean)
    assert capsys.readouterr().out == f"{clean}: 2 pictures, 2 already there.\n"


KILLED = """
import os, signal, sys
from pathlib import Path
import imagecodecs
from isthmus.cli.denoising import denoise_pictures

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def denoise(pixels):
    denoise.n += 1
    if denoise.n == 3:
        where, name = {"half": (imagecodecs, "png_encode"), "unsaid": (os, "fsync"),
                       "unnamed": (Path, "replace"), "named": (Path, "replace")}[sys.argv[3]]
        do = getattr(where, name) if sys.argv[3] == "named" else print
        setattr(where, name, lambda *args: kill(do(*args)))
    return pixels // 2

denoise.n = 0
denoise_pictures(Path(sys.argv[1]), Path(sys.argv[2]), denoise, by="model", force=False)
"""


@pytest.mark.parametrize(
    ("stage", "n_done"), [("half", 2), ("unsaid", 2), ("unnamed", 2), ("named", 3)]
)
def test_a_killed_run_leaves_whole_pictures_and_goes_on(tmp_path, clean, capsys, stage, n_done):
    noisy = tmp_path / "noisy"
    names = [f"{i}.png" for i in range(5)]
    for seed, name in enumerate(names):
        paint(noisy / name, seed)
    process = [sys.executable, "-c", KILLED, noisy, clean, stage]
    assert subprocess.run(process, check=False).returncode == -signal.SIGKILL
    assert visible(clean) == names[:n_done]
    assert len(contents(clean)) == 4  # three pictures, of which one may be a half, and the record
    seen = []
    assert go(noisy, clean, lambda x: seen.append(x) or x // 2) == 0
    assert len(seen) == 5 - n_done
    said = f"{clean}: {5 - n_done} pictures, {n_done} already there.\n"
    assert capsys.readouterr().out == said
    assert contents(clean).keys() == {*names, RECORD}
    for name in names:
        np.testing.assert_array_equal(pixels_of(clean / name), pixels_of(noisy / name) // 2)
    go(noisy, clean, never)


# The command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    X = np.random.default_rng(0).random((40, 108), np.float32)
    model = tmp_path_factory.mktemp("models") / "model"
    Autoencoder(2, hidden=(), max_epochs=1, random_state=0).fit(X).save(model)
    return model


def fit_cleaner(seed):
    """Return a model for pictures of any size."""
    X = np.random.default_rng(seed).random((20, 8, 8), np.float32)
    network = "conv(channels=(4,), skip=True, side=8)"
    return DenoisingAutoencoder(2, network=network, max_epochs=1, random_state=seed).fit(X)


@pytest.fixture(scope="module")
def able(tmp_path_factory):
    """Return the folder of a model for pictures of any size."""
    folder = tmp_path_factory.mktemp("able") / "model"
    fit_cleaner(0).save(folder)
    return folder


def denoise(*args):
    return run(["denoise", *map(str, args)])


def test_only_networks_for_any_size_denoise_pictures(able):
    pixels = np.zeros((9, 12), np.uint8)
    denoiser = picture_denoiser(load(able))
    np.testing.assert_array_equal(denoiser(pixels), load(able).denoise_picture(pixels))
    assert picture_denoiser(Autoencoder()) is None
    X = np.random.default_rng(0).random((20, 6))
    assert picture_denoiser(DenoisingAutoencoder(2, max_epochs=1).fit(X)) is None


def test_command_takes_a_picture_and_a_folder(tmp_path, noisy, clean, able, capsys):
    assert denoise(noisy / "a.png", tmp_path / "x.png", "--model", able) == 0
    assert denoise(noisy, clean, "--model", able) == 0
    expected = load(able).denoise_picture(pixels_of(noisy / "a.png"))
    for file in (tmp_path / "x.png", clean / "a.png"):
        np.testing.assert_array_equal(pixels_of(file), expected)
    printed = f"{tmp_path / 'x.png'}: 1 picture.\n{clean}: 4 pictures.\n"
    assert capsys.readouterr() == (printed, "")


def test_command_exits_with_1_where_a_picture_failed(noisy, clean, able, capsys):
    (noisy / "a.png").write_bytes(b"")
    assert denoise(noisy, clean, "--model", able) == 1
    assert "a.png is empty (0 bytes)" in capsys.readouterr().err


def test_command_knows_the_pictures_of_another_model(tmp_path, noisy, clean, able, capsys):
    assert denoise(noisy, clean, "--model", able) == 0
    shutil.copytree(able, tmp_path / "same")
    assert denoise(noisy, clean, "--model", tmp_path / "same") == 0
    fit_cleaner(1).save(tmp_path / "other")
    capsys.readouterr()
    assert denoise(noisy, clean, "--model", tmp_path / "other") == 2
    assert capsys.readouterr().err == (
        f"Error: {clean / 'a.png'} was not made by this model from {noisy} as it is now: {FORCE}\n"
    )


def test_command_says_how_far_it_came_when_interrupted(noisy, clean, able, monkeypatch, capsys):
    def interrupted(_, pixels):
        if len(visible(clean)) == 3:
            raise KeyboardInterrupt
        return pixels

    monkeypatch.setattr(DenoisingAutoencoder, "reconstruct_picture", interrupted)
    assert denoise(noisy, clean, "--model", able) == 130
    stopped = "Stopped: 3 of 4 pictures are done; the same command goes on from there.\n"
    assert capsys.readouterr() == ("", stopped)
    assert contents(clean).keys() == {*NAMES[:3], RECORD}


def test_command_refuses_one_picture_for_a_model_of_rows(tmp_path, noisy, model, capsys):
    assert denoise(noisy / "a.png", tmp_path / "x.png", "--model", model) == 2
    assert capsys.readouterr().err == (
        f"Error: {model} takes rows of one width, and {noisy / 'a.png'} is a single picture: give "
        "a folder of pictures of the size that it knows, or a model for pictures of any size.\n"
    )


def test_command_still_writes_rows_where_a_file_of_them_is_named(tmp_path, model):
    for i in range(3):
        paint(tmp_path / f"noisy/{i}.png", i)
    assert denoise(tmp_path / "noisy", tmp_path / "x.npy", "--model", model) == 0
    assert np.load(tmp_path / "x.npy").shape == (3, 9, 12)


# Memory


def write_large(path):
    """Write 100 megapixels of RGB without holding them."""
    row = b"\0" + (np.arange(30000) % 251).astype(np.uint8).tobytes()
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(10000)) + packer.flush()
    head = struct.pack(">IIBBBBB", 10000, 10000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + body))
        content += struct.pack(">I", len(body)) + kind + body + check
    path.write_bytes(content)


def test_a_picture_of_100_megapixels_takes_less_than_a_gigabyte(tmp_path):
    write_large(large := tmp_path / "large.png")
    code = (
        "import sys; from pathlib import Path\n"
        "from isthmus.cli.denoising import denoise_pictures\n"
        "source, out = map(Path, sys.argv[1:])\n"
        "denoise_pictures(source, out, lambda x: x.copy(), by='model', force=False)\n"
        "print(peak())"
    )
    *_, n_bytes = printed_by(code, large, out := tmp_path / "out.png").split()
    assert int(n_bytes) < 2**30
    assert struct.unpack(">II", out.read_bytes()[16:24]) == (10000, 10000)
