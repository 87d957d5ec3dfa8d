"""``isthmus sample``: pictures, tables, seeds, and what is refused."""

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_digits, load_iris

from isthmus import Autoencoder, BernoulliRBM, VariationalAutoencoder, load
from isthmus.cli.fitting import assemble
from isthmus.cli.main import isthmus as command_line
from isthmus.cli.main import run

QUICK = {"max_epochs": 2, "validation_fraction": 0, "random_state": 0}
DIGITS = (load_digits().data[:200] / 16).astype(np.float32)


def invoke(*args):
    result = CliRunner().invoke(command_line, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    VariationalAutoencoder(3, **QUICK).fit(DIGITS).save(home / "digits")
    frame = pl.DataFrame(load_iris().data, schema=["a", "b", "c", "d"], orient="row")
    Autoencoder(2, **QUICK).fit(frame).save(home / "iris")
    species = pl.Series("kind", np.array(["x", "y", "z"])[load_iris().target])
    told = VariationalAutoencoder(2, conditional=True, **QUICK).fit(frame, species)
    told.save(home / "told")
    BernoulliRBM(8, n_iter=1, random_state=0).fit(DIGITS).save(home / "rbm")
    conv = Autoencoder(3, network="conv(channels=(4,))", **QUICK)
    conv.fit(np.random.default_rng(0).random((20, 3, 8, 10), np.float32)).save(home / "colour")
    return home


def test_grid_holds_the_models_samples_with_a_line_between(home, tmp_path):
    out = tmp_path / "grid.png"
    assert invoke("sample", home / "digits", "-n", 5, "--out", out, "--seed", 3) == (
        f"{out}: 5 samples, seed 3.\n"
    )
    large = np.asarray(Image.open(out))
    factor = 24  # the least that makes 26 pixels 600 wide
    assert large.shape == (17 * factor, 26 * factor)
    grid = large[::factor, ::factor]
    assert np.array_equal(large, grid.repeat(factor, axis=0).repeat(factor, axis=1))
    samples = load(home / "digits").sample(5, random_state=3).reshape(5, 8, 8)
    expected = np.rint(samples.clip(0, 1) * 255)
    assert np.array_equal(grid[:8, 9:17], expected[1])
    assert np.array_equal(grid[9:, :8], expected[3])
    assert (grid[8] == 128).all()
    assert (grid[9:, 18:] == 128).all()


def test_colours_of_channels_first_models_are_drawn_as_they_are(home, tmp_path):
    invoke("sample", home / "colour", "-n", 1, "--out", tmp_path / "one.png")
    sample = load(home / "colour").sample(1, random_state=0)[0]
    drawn = np.asarray(Image.open(tmp_path / "one.png"))[::60, ::60]
    assert np.array_equal(drawn, np.rint(sample.clip(0, 1) * 255).transpose(1, 2, 0))


def test_rows_of_a_table_keep_their_names(home, tmp_path):
    out = tmp_path / "samples.parquet"
    invoke("sample", home / "iris", "-n", 7, "--out", out, "--method", "gaussian")
    frame = pl.read_parquet(out)
    expected = load(home / "iris").sample(7, "gaussian", random_state=0)
    assert frame.columns == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(frame.to_numpy(), expected)


def test_labels_of_samples_are_drawn_and_stand_beside_them(home, tmp_path):
    invoke("sample", home / "told", "-n", 60, "--out", tmp_path / "rows.csv", "--seed", 3)
    frame = pl.read_csv(tmp_path / "rows.csv")
    assert frame.columns == ["kind", "a", "b", "c", "d"]
    assert set(frame["kind"]) == {"x", "y", "z"}
    told = load(home / "told")
    np.testing.assert_allclose(frame[:, 1:].to_numpy(), told.sample(60, random_state=3))
    again = told.sample(60, y=frame["kind"].to_numpy(), random_state=3)
    np.testing.assert_allclose(frame[:, 1:].to_numpy(), again)


@pytest.mark.parametrize("form", ["csv", "npy"])
def test_all_samples_have_the_label_that_is_typed(home, tmp_path, form):
    out = tmp_path / f"rows.{form}"
    invoke("sample", home / "told", "-n", 4, "--label", "y", "--out", out)
    expected = load(home / "told").sample(4, y="y", random_state=0)
    rows = np.load(out) if form == "npy" else pl.read_csv(out)[:, 1:].to_numpy()
    np.testing.assert_allclose(rows, expected)


@pytest.mark.parametrize(
    ("classes", "typed", "meant"),
    [
        ([1.0, 2.0], "1", 1.0),
        ([1, 10], "1.0", 1),
        ([False, True], "true", True),
        (["B", "a"], "b", "B"),
    ],
)
def test_labels_are_known_as_they_are_typed(tmp_path, classes, typed, meant):
    labels = np.array(classes)[np.arange(len(DIGITS)) % 2]
    VariationalAutoencoder(2, conditional=True, **QUICK).fit(DIGITS, labels).save(tmp_path / "m")
    said = invoke("sample", tmp_path / "m", "-n", 3, "--label", typed, "--out", tmp_path / "a.csv")
    assert said == f"{tmp_path / 'a.csv'}: 3 samples, seed 0, of {meant} (3).\n"
    assert pl.read_csv(tmp_path / "a.csv")["label"].to_list() == [meant] * 3


def test_pictures_of_samples_are_ordered_and_named_by_their_labels(tmp_path):
    kinds = np.array(["b/b-" + "c" * 300, "a"])[np.arange(len(DIGITS)) % 2]
    told = VariationalAutoencoder(2, conditional=True, **QUICK).fit(DIGITS, kinds)
    told.save(tmp_path / "m")
    said = invoke("sample", tmp_path / "m", "-n", 12, "--out", tmp_path / "pictures", "--seed", 4)
    samples, labels = told.sample(12, return_labels=True, random_state=4)
    n_first = int((labels == "a").sum())
    assert 0 < n_first < 12
    assert said.endswith(f" seed 4, of a ({n_first}), {kinds[0]} ({12 - n_first}).\n")
    files = sorted((tmp_path / "pictures").iterdir())
    words = ["a"] * n_first + ["b_b-" + "c" * 36] * (12 - n_first)
    assert [file.name for file in files] == [f"sample-{i:02}-{w}.png" for i, w in enumerate(words)]
    first_of_b = samples[labels == kinds[0]][0].reshape(8, 8)
    picture = np.asarray(Image.open(files[n_first]))
    assert np.array_equal(picture, np.rint(first_of_b.clip(0, 1) * 255))


def test_labels_stand_under_a_name_that_no_feature_has(home, tmp_path):
    frame = pl.DataFrame(load_iris().data, schema=["label", "b", "c", "d"], orient="row")
    told = VariationalAutoencoder(2, conditional=True, **QUICK).fit(frame, load_iris().target)
    told.save(tmp_path / "told")
    invoke("sample", tmp_path / "told", "-n", 4, "--out", tmp_path / "rows.csv")
    assert pl.read_csv(tmp_path / "rows.csv").columns == ["label_", "label", "b", "c", "d"]


def test_samples_can_be_drawn_with_their_spread(home, tmp_path):
    invoke("sample", home / "told", "-n", 4, "--label", "x", "--drawn", "--out", tmp_path / "a.npy")
    expected = load(home / "told").sample(4, y="x", expected=False, random_state=0)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)


def test_folder_gets_a_picture_of_each(home, tmp_path):
    invoke("sample", home / "digits", "-n", 11, "--out", tmp_path / "pictures")
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"sample-{i:02}.png" for i in range(11)]


def test_machine_samples_by_steps(home, tmp_path):
    invoke("sample", home / "rbm", "-n", 2, "--steps", 5, "--out", tmp_path / "rows.npy")
    expected = load(home / "rbm").sample(2, n_steps=5, random_state=0)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), expected)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["iris", "--out", "grid.png"], "rows of 4 values are no pictures: say how they are drawn"),
        (["iris", "--out", "a.csv", "--method", "prior"], "--method prior needs codes that"),
        (["rbm", "--out", "a.csv", "--method", "kde"], "BernoulliRBM samples by Gibbs alone"),
        (
            ["digits", "--out", "a.jpg"],
            "a.jpg has an ending that cannot be written: use .npy, .npz, .csv, .parquet, .png for "
            "one picture of all, or a folder.",
        ),
        (
            ["digits", "--out", "a.csv", "--steps", "5"],
            "--steps are those of a Markov chain, and there is none: leave it out, or add --method "
            "walkback or gibbs.",
        ),
        (
            ["digits", "--out", "a.csv", "--method", "walkback"],
            "corruption 'clean' is none: fit with --estimator denoising, or write --method mixture",
        ),
        (
            ["digits", "--out", "a.png", "--shape", "3,3"],
            "--shape 3,3 cannot hold the 64 features",
        ),
        (["nowhere", "--out", "a.csv"], "nowhere"),
        (
            ["rbm", "--out", "a.csv", "--drawn"],
            "BernoulliRBM samples by Gibbs alone: leave out --d",
        ),
        (["iris", "--out", "a.csv", "--label", "x"], "fitted without labels: leave out --label."),
        (
            ["told", "--out", "a.csv", "--label", "w"],
            "--label w is none that the model knows (x, y, z).",
        ),
        (["told", "--out", "a.npy"], "a.npy holds no labels, and the samples have some"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_a_sentence(home, tmp_path, capsys, args, sentence):
    model, option, out, *rest = args
    code = run(["sample", str(home / model), option, str(tmp_path / out), *rest])
    printed = capsys.readouterr().err
    assert code == 2
    assert printed.count("\n") == 1
    assert sentence in printed


def test_samples_replace_nothing_unasked(home, tmp_path, capsys):
    out = tmp_path / "grid.png"
    out.write_bytes(b"mine")
    assert run(["sample", str(home / "digits"), "--out", str(out)]) == 2
    assert "exists already: add --force" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    invoke("sample", home / "digits", "--out", out, "--force")


def test_beta_asks_for_a_variational_autoencoder():
    model = assemble(None, beta=4.0)
    assert (type(model), model.beta) == (VariationalAutoencoder, 4.0)
