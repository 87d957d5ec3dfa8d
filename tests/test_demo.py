import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from isthmus import load
from isthmus.cli import demo as cli_demo
from isthmus.cli.main import run
from isthmus.data.writing import write, write_pictures
from isthmus.errors import DataError, FileError, MissingDependencyError
from isthmus.evaluation.pictures import curve, side_by_side
from isthmus.fitting.curves import Point, best_of

METHODS = {"noisy", "pca", "median", "nlm", "wavelet", "isthmus"}
SEED = 3  # not one of those by which the parameters were chosen


def whole(text):
    return f"^{re.escape(text)}$"


class Shown(NamedTuple):
    out: Path
    text: str  # what was printed
    summary: dict
    results: dict


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Run the demonstration once, and note on the way what it judged."""
    out, screen, seen = tmp_path_factory.mktemp("demo") / "new" / "out", io.StringIO(), {}
    genuine = cli_demo.write

    def write_and_note(out, model, digits, results):
        seen.update(results)
        genuine(out, model, digits, results)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli_demo, "write", write_and_note)
        cli_demo.demo(out, SEED, Console(file=screen, width=100))
    summary = json.loads((out / "summary.json").read_text())
    return Shown(out, screen.getvalue(), summary, seen)


def test_demo_writes_what_it_says_and_nothing_else(shown):
    names = sorted(entry.name for entry in shown.out.iterdir())
    assert names == ["curve.png", "denoised.png", "model", "report.html", "summary.json"]


def test_demo_summary_has_the_decibels_of_every_method_and_the_seconds(shown):
    assert set(shown.summary) == {"psnr", "seconds"}
    assert set(shown.summary["psnr"]) == METHODS
    assert shown.summary["seconds"] > 0


def test_demo_summary_agrees_with_scikit_image(shown):
    from skimage.metrics import peak_signal_noise_ratio

    clean = cli_demo.split(SEED).test
    for name, decibels in shown.summary["psnr"].items():
        cleaned = shown.results[name].cleaned
        assert cleaned.min() >= 0
        assert cleaned.max() <= 1
        pairs = zip(clean, cleaned, strict=True)
        each = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs]
        assert decibels == pytest.approx(np.mean(each), abs=1e-4)


def test_demo_beats_every_classical_baseline(shown):
    psnr = shown.summary["psnr"]
    best = max(psnr[name] for name in METHODS - {"isthmus", "noisy"})
    assert psnr["isthmus"] >= 18.3
    assert psnr["isthmus"] - best >= 2.3
    assert best > psnr["noisy"] + 2.5  # they are worth beating


def test_demo_model_loads_and_gives_the_same_digits(shown):
    model = load(shown.out / "model")
    cleaned = model.denoise(cli_demo.split(SEED).noisy_test)
    np.testing.assert_array_equal(np.clip(cleaned, 0, 1), shown.results["isthmus"].cleaned)


@pytest.mark.parametrize("name", ["denoised.png", "curve.png"])
def test_demo_pictures_open_and_are_not_blank(shown, name):
    with Image.open(shown.out / name) as picture:
        picture.verify()
    with Image.open(shown.out / name) as picture:
        assert picture.format == "PNG"
        light = np.asarray(picture.convert("L"))
    assert min(light.shape) >= 600
    assert light[0, 0] == light[-1, -1] == 255  # a white page
    assert 0.02 < (light < 200).mean() < 0.6
    assert len(np.unique(light)) > 50


def test_demo_table_has_ours_last_and_marked(shown):
    rows = [line for line in shown.text.splitlines() if line.startswith("│")][1:]
    assert [">" in row for row in rows] == [False] * 5 + [True]
    assert f"{shown.summary['psnr']['isthmus']:.2f}" in rows[-1]


def test_demo_says_by_how_much_it_is_better(shown):
    psnr = shown.summary["psnr"]
    gain = psnr["isthmus"] - psnr["pca"]
    assert f"Isthmus: +{gain:.1f} dB against the best of the others, PCA." in shown.text


def test_demo_report_is_of_the_noisy_digits_and_says_the_same_decibels(shown):
    page = (shown.out / "report.html").read_text(encoding="utf-8")
    psnr = shown.summary["psnr"]
    assert f"noisy {psnr['noisy']:.1f} dB, cleaned {psnr['isthmus']:.1f} dB" in page
    assert "It earned its place." in page
    assert f"to be opened in a browser: {shown.out / 'report.html'}" in shown.text


def test_demo_without_the_extra_says_how_to_get_a_report(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert cli_demo.look(tmp_path, None, None) == (
        "No report.html, which shows what it learned: Writing a report needs Jinja2, which is not "
        "installed: pip install 'isthmus[report]'."
    )


def test_demo_ends_with_commands_that_work(shown, tmp_path, monkeypatch):
    commands = [line for line in shown.text.splitlines() if line.startswith("  isthmus ")]
    assert len(commands) == 4
    monkeypatch.chdir(tmp_path)
    write("my.csv", np.random.default_rng(0).random((20, 10)))
    for folder in ("pictures", "noisy"):
        few = cli_demo.pictures(cli_demo.split(SEED).train[:12])
        write_pictures(folder, few, [f"{i}.png" for i in range(12)])
    assert [run(shlex.split(command)[1:]) for command in commands] == [0, 0, 0, 0]
    assert len(list(Path("clean").glob("*.png"))) == 12


# What it does beforehand -----------------------------------------------------------------


def test_split_holds_every_digit_once_and_a_quarter_of_them_out():
    digits = cli_demo.split(0)
    assert len(digits.test) == 449
    everything = np.concatenate([digits.train, digits.test])
    original = cli_demo.datasets.digits().images
    assert sorted(map(bytes, everything.astype(np.float32))) == sorted(map(bytes, original))


def test_split_adds_noise_of_the_stated_std_that_is_not_clipped():
    digits = cli_demo.split(0)
    noise = np.concatenate([digits.noisy_train - digits.train, digits.noisy_test - digits.test])
    assert noise.std() == pytest.approx(cli_demo.STD, rel=0.01)
    assert abs(noise.mean()) < 0.005
    assert digits.noisy_test.min() < -0.5
    assert digits.noisy_test.max() > 1.5


def test_split_follows_its_seed():
    first, again, other = cli_demo.split(1), cli_demo.split(1), cli_demo.split(2)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


@pytest.fixture
def no_training(monkeypatch):
    def fail(*_):
        pytest.fail("it trained before it refused")

    monkeypatch.setattr(cli_demo, "ours", fail)


@pytest.mark.parametrize(
    ("module", "package"),
    [("matplotlib", "matplotlib"), ("skimage", "scikit-image"), ("pywt", "PyWavelets")],
)
@pytest.mark.usefixtures("no_training")
def test_demo_refuses_a_missing_package_before_the_training(module, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    message = (
        f"isthmus demo needs {package}, which is not installed: pip install 'isthmus[pictures]'."
    )
    with pytest.raises(MissingDependencyError, match=whole(message)):
        cli_demo.demo(tmp_path / "out", 0, Console(file=io.StringIO()))


@pytest.mark.usefixtures("no_training")
def test_demo_refuses_a_foreign_model_folder_before_the_training(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("years of work")
    with pytest.raises(FileError, match=r"holds something and no config\.json"):
        cli_demo.demo(tmp_path, 0, Console(file=io.StringIO()))


# Drawings --------------------------------------------------------------------------------


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def test_side_by_side_draws_light_as_ink_on_a_white_page(tmp_path):
    dark, half, full = (np.full((1, 4, 4), light) for light in (-1, 0.5, 2))  # clipped to [0, 1]
    side_by_side({"none": dark, "half\n3 dB": half, "all": full}, tmp_path / "a.png")
    drawn = pixels(tmp_path / "a.png")
    bottom = drawn[-drawn.shape[1] // 6]  # a line through the three pictures
    centres = bottom[[int(drawn.shape[1] * share) for share in (1 / 6, 1 / 2, 5 / 6)]]
    assert centres[0] == 255
    assert 100 < centres[1] < 160
    assert centres[2] == 0


def test_side_by_side_puts_columns_side_by_side_and_examples_below(tmp_path):
    for n_columns, n_rows in ((1, 1), (3, 1), (3, 2)):
        side_by_side(
            {str(i): np.ones((n_rows, 4, 4)) for i in range(n_columns)}, tmp_path / "a.png"
        )
        ink = pixels(tmp_path / "a.png") == 0
        assert blocks(ink.mean(axis=0) > 0.3) == n_columns
        assert blocks(ink.mean(axis=1) > 0.3) == n_rows


def blocks(inked):
    """Count the runs of True."""
    return int(np.diff(np.concatenate([[0], inked.astype(int)])).clip(0).sum())


@pytest.mark.parametrize(
    ("columns", "shapes"),
    [
        ({}, "[]"),
        ({"a": np.zeros((2, 4))}, "[(2, 4)]"),
        ({"a": np.zeros((0, 4, 4))}, "[(0, 4, 4)]"),
        ({"a": np.zeros((2, 4, 4, 3))}, "[(2, 4, 4, 3)]"),
        ({"a": np.zeros((2, 4, 4)), "b": np.zeros((3, 4, 4))}, "[(2, 4, 4), (3, 4, 4)]"),
    ],
)
def test_side_by_side_refuses_columns_that_do_not_match(columns, shapes, tmp_path):
    message = (
        f"columns have the shapes {shapes}: give at least one, all of the same shape (n, h, w)."
    )
    with pytest.raises(DataError, match=whole(message)):
        side_by_side(columns, tmp_path / "a.png")


def test_curve_marks_the_best_epoch_of_the_mean_of_the_folds():
    one = [Point(0, 5.0), Point(1, 2.0), Point(2, 4.0), Point(3, 1.0)]
    two = [Point(0, 6.0), Point(1, 3.0), Point(2, 1.0)]  # stopped early, stays at 1
    assert best_of([one]) == Point(3, 1.0)
    assert best_of([one, two]) == Point(3, 1.0)
    assert best_of([two, [Point(0, 0.0), Point(1, 3.0), Point(2, 9.0)]]) == Point(0, 3.0)


@pytest.mark.parametrize("n_held_out", [0, 3])
def test_curve_draws_with_and_without_held_out_rows(n_held_out, tmp_path):
    history = [
        {"stage": "training", "epoch": epoch}
        | ({"loss": 9.0 / epoch} if epoch else {})
        | ({"held_out_loss": 10.0 / (epoch + 1)} if n_held_out else {})
        for epoch in range(6)
    ]
    curve(history, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(10**6)}
    assert (0x8A, 0x8F, 0x98) in colours  # the training line
    assert ((0x0B, 0x6E, 0x99) in colours) == bool(n_held_out)


def test_curve_refuses_a_history_without_losses(tmp_path):
    message = "history has 1 records and no loss: give a fit's history_."
    with pytest.raises(DataError, match=whole(message)):
        curve([{"stage": "training", "epoch": 0}], tmp_path / "a.png")


def test_drawings_do_not_touch_pyplot(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from isthmus.evaluation.pictures import curve, side_by_side\n"
        f"side_by_side({{'a': np.ones((1, 4, 4))}}, {str(tmp_path / 'a.png')!r})\n"
        f"curve([{{'stage': 'a', 'epoch': 1, 'loss': 1.0}}], {str(tmp_path / 'b.png')!r})\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_drawings_say_that_matplotlib_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    message = (
        "Drawing pictures needs matplotlib, which is not installed: "
        "pip install 'isthmus[pictures]'."
    )
    with pytest.raises(MissingDependencyError, match=whole(message)):
        side_by_side({"a": np.ones((1, 4, 4))}, tmp_path / "a.png")
