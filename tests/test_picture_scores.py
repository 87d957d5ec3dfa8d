"""``isthmus score --target``, and what other commands say of models for pictures of any size."""

import csv

import numpy as np
import pytest
from PIL import Image

from isthmus import DenoisingAutoencoder, load
from isthmus.cli.main import run

SKIPS = "conv(channels=(4,), skip=True, side=8)"
SIZES = {"a.png": (20, 24), "b/c.png": (9, 31), "d.png": (33, 12)}


def fitted(*shape):
    X = np.random.default_rng(0).random((20, *shape), np.float32)
    options = {"corruption": "gaussian(std=0.1)", "max_epochs": 1, "random_state": 0}
    return DenoisingAutoencoder(2, network=SKIPS, **options).fit(X)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the folder of a model of grey pictures, one of colours and one of rows."""
    folder = tmp_path_factory.mktemp("models")
    fitted(12, 8).save(folder / "grey")  # on crops
    fitted(3, 8, 8).save(folder / "colours")
    rows = np.random.default_rng(0).random((20, 6))
    DenoisingAutoencoder(2, max_epochs=1, random_state=0).fit(rows).save(folder / "rows")
    return folder


@pytest.fixture
def pairs(tmp_path):
    """Return a folder with noisy pictures and clean ones of the same names."""
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        light = np.kron(rng.random((5, 4)), np.ones((8, 8)))[: size[0], : size[1]]
        noisy = np.clip(light + 0.1 * rng.normal(size=light.shape), 0, 1)
        for kind, pixels in (("clean", light), ("noisy", noisy)):
            (tmp_path / kind / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(tmp_path / kind / name)
    return tmp_path


@pytest.fixture
def said(capfd, monkeypatch):
    """Type a command; return its exit code and all that it says, in wide lines."""
    monkeypatch.setenv("COLUMNS", "300")

    def typed(*args):
        code = run([str(each) for each in args])
        printed = capfd.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return typed


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def decibels(clean, other):
    return -10 * np.log10(np.square((clean / 255) - (other / 255)).mean())


def test_pictures_are_scored_beside_the_clean_ones_of_their_names(pairs, models, said):
    noisy, clean, out = pairs / "noisy", pairs / "clean", pairs / "scores.csv"
    model = load(models / "grey")
    code, text = said("score", noisy, "--model", models / "grey", "--target", clean, "--out", out)
    assert code == 0, text
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [*SIZES]
    assert [*rows[0]] == ["name", "psnr_noisy", "psnr_denoised"]
    for row in rows:
        before, goal = (pixels_of(folder / row["name"]) for folder in (noisy, clean))
        after = model.denoise_picture(before)
        assert float(row["psnr_noisy"]) == pytest.approx(decibels(goal, before), abs=1e-3)
        assert float(row["psnr_denoised"]) == pytest.approx(decibels(goal, after), abs=1e-3)
    for name in ("psnr_noisy", "psnr_denoised"):
        assert f"{np.mean([float(row[name]) for row in rows]):.2f} dB" in text
    assert f"{out}: 3 rows, 2 columns." in text
    worst = min(rows, key=lambda row: float(row["psnr_denoised"]))["name"]
    assert text.index(f"│ {worst} │") == min(text.index(f"│ {name} │") for name in SIZES)


def test_one_picture_is_scored_beside_another_of_any_name(pairs, models, said):
    one, other = pairs / "noisy" / "a.png", pairs / "true.png"
    (pairs / "clean" / "a.png").rename(other)
    code, text = said("score", one, "--model", models / "grey", "--target", other)
    assert code == 0, text
    assert f"{decibels(pixels_of(other), pixels_of(one)):.2f} dB" in text


def test_picture_that_cannot_be_scored_is_named_at_the_end(pairs, models, said):
    (pairs / "noisy" / "d.png").write_bytes(b"")
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(pairs / "clean" / "a.png")
    typed = ("--model", models / "grey", "--target", pairs / "clean")
    code, text = said("score", pairs / "noisy", *typed)
    assert code == 1
    assert "2 could not be scored:" in text
    assert "d.png is empty (0 bytes)" in text
    assert (
        f"{pairs / 'noisy' / 'a.png'} has the shape (20, 24) and {pairs / 'clean' / 'a.png'} "
        "(20, 24, 3): give pictures of one size, both in grey or both in colour."
    ) in text
    code, text = said("score", pairs / "noisy" / "d.png", *typed)
    assert (code, text.startswith("Error: ")) == (2, True)


def test_noisy_picture_without_a_clean_one_is_refused_before_any_work(pairs, models, said):
    (pairs / "clean" / "d.png").unlink()
    typed = ("--model", models / "grey", "--target", pairs / "clean")
    assert said("score", pairs / "noisy", *typed) == (
        2,
        f"Error: {pairs / 'clean'} has no picture d.png that can be read, and {pairs / 'noisy'} "
        "has: give one clean picture of the same name for each noisy one.",
    )


def test_clean_pictures_are_for_models_of_pictures_of_any_size(pairs, models, said):
    typed = ("--target", pairs / "clean")
    code, text = said("score", pairs / "noisy", "--model", models / "rows", *typed)
    assert (code, text) == (
        2,
        f"Error: {models / 'rows'} takes rows of one width, and --target is for models of pictures "
        "of any size: leave it out, or use isthmus report with --target.",
    )
    np.save(pairs / "x.npy", np.zeros((3, 8, 8)))
    code, text = said("score", pairs / "x.npy", "--model", models / "grey", *typed)
    assert code == 2
    assert "--target compares a picture with a picture, or folders of them, and got" in text


@pytest.mark.parametrize("command", ["score", "transform", "report"])
@pytest.mark.parametrize("name", ["grey", "colours"])
def test_commands_on_rows_say_what_a_model_for_any_size_can_do(pairs, models, said, command, name):
    model, data = models / name, pairs / "noisy"
    typed = {
        "score": ("score", data, "--model", model),
        "transform": ("transform", data, pairs / "x.csv", "--model", model),
        "report": ("report", model, data, "--out", pairs / "x.html"),
    }
    assert said(*typed[command]) == (
        2,
        f"Error: {model} takes pictures of any size to denoise them, and here rows of one size are "
        f"asked of {data}: use isthmus denoise with a folder to write to, or isthmus score with "
        "--target and what is clean.",
    )


def test_one_picture_is_no_row_of_a_model_for_any_size(pairs, models, said):
    code, text = said("score", pairs / "noisy" / "a.png", "--model", models / "grey")
    assert code == 2
    assert "takes pictures of any size to denoise them" in text


def test_pictures_of_the_networks_own_size_are_rows(tmp_path, models, said):
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    code, text = said("score", tmp_path, "--model", models / "grey")
    assert code == 0
    assert "mean squared error" in text


@pytest.mark.parametrize(
    ("shape", "facts"),
    [
        ((3, 12, 9), ["3 channels", "crops of 8 x 8 pixels"]),
        ((6, 7), ["1 channel", "whole ones of 6 x 7 pixels"]),
    ],
)
def test_info_says_that_a_model_takes_pictures_of_any_size(tmp_path, said, shape, facts):
    fitted(*shape).save(tmp_path / "model")
    code, text = said("info", tmp_path / "model")
    assert code == 0
    assert f"takes │ pictures of any size, {facts[0]} │" in text
    assert "pictures of training │ 20 │" in text
    assert f"trained on │ {facts[1]} │" in text
    assert "features" not in text
