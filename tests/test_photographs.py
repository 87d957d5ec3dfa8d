"""``isthmus fit`` and ``denoise`` on folders of pictures of any size."""

import numpy as np
import pytest
from PIL import Image

from isthmus import datasets, load
from isthmus.cli import main
from isthmus.cli.photographs import (
    USUAL,
    USUAL_SMALL,
    are_photographs,
    read_photographs,
    usual_to_clean,
)
from isthmus.errors import FileError

RNG = np.random.default_rng(0)
NET = ["--network", "conv(channels=(4,), skip=True, side=16)", "-k", "4"]
QUICK = [*NET, "--max-epochs", "1", "--random-state", "0"]


def picture(h, w, *channels, dtype="uint8"):
    squares = np.ones((8, 8, *(1 for _ in channels)))
    values = np.kron(RNG.random((-(-h // 8), -(-w // 8), *channels)), squares)
    return (values[:h, :w] * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def folder(tmp_path):
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for i, size in enumerate([(40, 50), (33, 70), (20, 20)]):
        Image.fromarray(picture(*size)).save(photos / f"{i}.png")
    Image.fromarray(picture(30, 30, dtype="uint16")).save(photos / "more" / "deep.png")
    return photos


@pytest.fixture
def run(capfd, monkeypatch):
    """Type a command; return its exit code and all that it says, in wide lines."""
    monkeypatch.setenv("COLUMNS", "300")

    def typed(*args):
        code = main.run([str(each) for each in args])
        said = capfd.readouterr()
        return code, " ".join((said.out + said.err).split())

    return typed


def test_folder_is_fitted_and_denoised(folder, tmp_path, run):
    model, out = tmp_path / "model", tmp_path / "out"
    code, said = run("fit", folder, "--model", model, "--noise", "gaussian(std=25/255)", *QUICK)
    assert code == 0, said
    assert "crops of 16 x 16 pixels" in said
    code, said = run("denoise", folder, out, "--model", model)
    assert code == 0, said
    with Image.open(out / "more" / "deep.png") as cleaned:
        assert cleaned.size == (30, 30)
        expected = load(model).denoise_picture(np.asarray(Image.open(folder / "more" / "deep.png")))
        assert np.array_equal(np.asarray(cleaned), expected)
    assert {file.name for file in out.glob("*.png")} == {"0.png", "1.png", "2.png"}


def test_noise_on_photographs_asks_for_convolutions(folder, tmp_path, run):
    typed = ("--noise", "gaussian", "--max-epochs", "0")
    assert run("fit", folder, "--model", tmp_path / "model", *typed)[0] == 0
    model = load(tmp_path / "model")
    assert model.model_.parts.network.skips
    assert (model.optimizer, model.learning_rate, model.batch_size) == ("muon", 2e-3, 16)
    typed += ("--optimizer", "adam", "--batch-size", "8", "--force")
    assert run("fit", folder, "--model", tmp_path / "model", *typed)[0] == 0
    model = load(tmp_path / "model")
    assert (model.optimizer, model.learning_rate, model.batch_size) == ("adam", "auto", 8)


def test_noisy_pictures_alone_are_enough(folder, tmp_path, run):
    code, said = run("fit", folder, "--model", tmp_path / "model", "--blind", *QUICK)
    assert code == 0, said
    assert load(tmp_path / "model").target == "blind"
    assert "noise in them" in said


def test_one_noisy_picture_alone_is_enough(folder, tmp_path, run):
    one, model = folder / "1.png", tmp_path / "model"
    code, said = run("fit", one, "--model", model, "--blind", *QUICK)
    assert code == 0, said
    assert load(model).n_samples_seen_ == 1
    assert f"Next: isthmus denoise {one} clean.png --model {model}" in said
    code, said = run("denoise", one, tmp_path / "clean.png", "--model", model)
    assert code == 0, said
    typed = ("--blind", "--max-epochs", "0", "--force")
    assert run("fit", one, "--model", model, *typed)[1].count("pictures │ 1 │") == 1
    assert load(model).optimizer == "muon"
    other = tmp_path / "other.png"
    one.rename(other)
    typed = ("--target", other, "--validation", other, "--validation-target", other, "--force")
    code, said = run("fit", folder / "0.png", "--model", model, *typed, *QUICK)
    assert code == 2
    assert "differ in number or size" in said
    assert run("fit", other, "--model", model, *typed, *QUICK)[0] == 0


def test_one_picture_goes_on_from_its_checkpoint(folder, tmp_path, run):
    typed = ("--blind", "--checkpoint", tmp_path / "kept", *QUICK)
    assert run("fit", folder / "1.png", "--model", tmp_path / "a", *typed)[0] == 0
    code, said = run("resume", tmp_path / "kept", folder / "1.png", "--model", tmp_path / "b")
    assert code == 0, said
    pixels = np.asarray(Image.open(folder / "1.png"))
    first, second = (load(tmp_path / name).denoise_picture(pixels) for name in "ab")
    assert np.array_equal(first, second)


def test_one_picture_is_refused_where_no_noise_is_to_be_taken_off(folder, tmp_path, run):
    code, said = run("fit", folder / "0.png", "--model", tmp_path / "model")
    assert (code, said) == (
        2,
        f"Error: {folder / '0.png'} is a single picture, enough to learn to take its noise off "
        "alone: add --blind or --noise, or give a folder of pictures.",
    )
    (folder / "0.png").write_bytes(b"")
    code, said = run("fit", folder / "0.png", "--model", tmp_path / "model", "--blind")
    assert code == 2
    assert "0.png is empty (0 bytes)" in said


def test_clean_pictures_are_found_by_name(folder, tmp_path, run):
    typed = ("--target", folder, "--validation", folder, "--validation-target", folder)
    assert run("fit", folder, "--model", tmp_path / "a", *typed, *QUICK)[0] == 0
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(picture(40, 50)).save(other / "0.png")
    code, said = run("fit", folder, "--model", tmp_path / "b", "--target", other, *QUICK)
    assert code == 2
    assert "has no picture 1.png that can be read" in said


def test_pictures_of_several_sizes_without_noise_are_told_how_such_are_learned_from(
    folder, tmp_path, run
):
    way = ", or add --noise or --blind, which train models for pictures of any size."
    held = f"Error: {folder} holds pictures of two sizes, '0.png' is 50 x 40 and '1.png' is 70 x 33"
    advice = "pixels: resize them, or take one of them out"
    fit = ("fit", folder, "--model", tmp_path / "model")
    assert run(*fit) == (2, f"{held} {advice}{way}")
    assert run(*fit, "--hidden", "4") == (2, f"{held} {advice}.")  # a network of rows


def test_picture_that_cannot_be_read_does_not_stop_the_fit(folder, tmp_path, run):
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:80])
    code, said = run("fit", folder, "--model", tmp_path / "model", "--noise", "gaussian", *QUICK)
    assert code == 0
    assert "1 could not be read:" in said
    assert "cut.png" in said


def test_grey_pictures_among_coloured_ones_get_three_channels(folder):
    Image.fromarray(picture(20, 30, 3)).save(folder / "colour.png")
    shapes = {each.shape[0] for each in read_photographs(folder).pictures}
    assert shapes == {3}


def test_grey_pictures_to_stop_by_go_with_coloured_ones(folder, tmp_path, run):
    colours = tmp_path / "colours"
    colours.mkdir()
    Image.fromarray(picture(20, 30, 3)).save(colours / "0.png")
    typed = ("--noise", "gaussian", "--validation", folder, *QUICK)
    code, said = run("fit", colours, "--model", tmp_path / "model", *typed)
    assert code == 0, said


def test_photographs_are_told_from_rows_of_small_pictures(folder, tmp_path):
    assert are_photographs(folder)
    digits = tmp_path / "digits"
    digits.mkdir()
    for i in range(3):
        Image.fromarray(picture(28, 28)).save(digits / f"{i}.png")
    assert not are_photographs(digits)
    assert usual_to_clean(digits, {})["network"] == USUAL_SMALL["network"]
    assert usual_to_clean(folder, {})["network"] == USUAL["network"]
    assert are_photographs(tmp_path)  # nested ones
    Image.fromarray(picture(28, 28, 3)).save(digits / "3.png")
    assert are_photographs(digits)
    assert are_photographs(folder / "0.png")
    assert not are_photographs(folder / "0.npy")


def test_small_pictures_get_cleaner_by_the_usual_options(tmp_path, run):
    rng, rows = np.random.default_rng(0), datasets.digits().images[:120].reshape(-1, 8, 8)
    noisy = np.clip(rows + 0.2 * rng.normal(size=rows.shape), 0, 1)
    for name, pictures in (("clean", rows), ("noisy", noisy)):
        (tmp_path / name).mkdir()
        for i, each in enumerate(pictures):
            Image.fromarray((255 * each).astype(np.uint8)).save(tmp_path / name / f"{i:03}.png")
    model, out = tmp_path / "model", tmp_path / "out"
    asked = ("--noise", "gaussian(std=0.2)", "--max-epochs", 40, "--random-state", 0)
    assert run("fit", tmp_path / "clean", *asked, "--model", model)[0] == 0
    assert run("denoise", tmp_path / "noisy", out, "--model", model)[0] == 0
    cleaned = np.stack([np.asarray(Image.open(file)) for file in sorted(out.glob("*.png"))]) / 255
    assert np.square(cleaned - rows).mean() < 0.8 * np.square(noisy - rows).mean()


def test_folder_without_a_picture_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"holds no picture that can be read: give another folder"):
        read_photographs(tmp_path)


def test_blind_is_of_denoising_estimators(folder, tmp_path, run):
    code, said = run("fit", folder, "--model", tmp_path / "m", "--blind", "--estimator", "sparse")
    assert code == 2
    assert "--blind is no option of --estimator sparse" in said


def test_grey_pictures_among_coloured_ones_are_denoised_and_stay_grey(folder, tmp_path, run):
    Image.fromarray(picture(20, 30, 3)).save(folder / "colour.png")
    run("fit", folder, "--model", tmp_path / "model", "--noise", "gaussian", *QUICK)
    code, said = run("denoise", folder, tmp_path / "out", "--model", tmp_path / "model")
    assert code == 0, said
    for name in ("0.png", "more/deep.png", "colour.png"):
        with Image.open(folder / name) as before, Image.open(tmp_path / "out" / name) as after:
            assert (after.mode, after.size) == (before.mode, before.size)


def test_small_grey_pictures_and_sequences_are_known_for_what_they_are(tmp_path, run):
    np.save(tmp_path / "waves.npy", RNG.random((40, 7, 2)))
    typed = ("--network", "recurrent(hidden=(4,))", "--max-epochs", "1")
    code, said = run("fit", tmp_path / "waves.npy", "--model", tmp_path / "model", *typed)
    assert code == 0, said
    assert load(tmp_path / "model").sample_shape_ == (7, 2)
