"""The page: whole, quiet, the same as the model's figures, and deaf to hostile names."""

import base64
import hashlib
import html
import io
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    DenoisingAutoencoder,
    OutlierDetector,
    compare,
    datasets,
    report,
)
from isthmus.errors import FileError, MissingDependencyError
from isthmus.evaluation.review import review
from isthmus.evaluation.words import figure, percent

DIGITS = datasets.digits()
X, Y = DIGITS.images[:300], DIGITS.labels[:300]
QUICK = {"hidden": (), "max_epochs": 2, "random_state": 0}
VOID = {"meta", "img"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><b>",
    "'-alert(1)-'",
    "{{ 7 * 7 }}",
    "",
    "שלום",
    "a\u202eb\x00\ud800",
    "👩\u200d👧 🎉",
    "x" * 500,
    "https://evil.example/x.js",
]


class Page(HTMLParser):
    """A page taken apart: its tags, that must be balanced, its text and its attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.scripts, self.text, self.ids = [], [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text += data


def written(model, rows, y=None, **options):
    """Return the review and the page as it stands on disk."""
    made = report(model, rows, y, **options)
    return made, Page(made.path.read_text(encoding="utf-8"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "report.html"


CASES = {
    "pictures": lambda: (Autoencoder(6, hidden=(8,), max_epochs=2, random_state=0), X, {}),
    "noise": lambda: (DenoisingAutoencoder(4, **QUICK), X, {}),
    "columns": lambda: (
        Autoencoder(2, scaling="standard", **QUICK),
        pd.DataFrame(X[:, 20:26], columns=list("abcdef")),
        {},
    ),
    "series": lambda: (Autoencoder(2, **QUICK), X, {"sample_shape": (32, 2)}),
    "many features": lambda: (Autoencoder(2, **QUICK), X, {"sample_shape": (64,)}),
    "colours": lambda: (
        Autoencoder(3, **QUICK),
        np.random.default_rng(0).random((40, 48)),
        {"sample_shape": (4, 4, 3)},
    ),
    "machine": lambda: (BernoulliRBM(4, n_iter=2, random_state=0), X, {}),
}


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_page_is_whole_and_asks_nobody_for_anything(case, labelled, path):
    model, rows, options = CASES[case]()
    y = Y[: len(rows)] if labelled else None
    made, page = written(model.fit(rows), rows, y, path=path, **options)
    assert made.path == path
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset", "formaction"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:60])
        assert not any(name.startswith("on") for name in attributes)
        assert "url(" not in attributes.get("style", "")
        if tag == "img":
            assert attributes["alt"]
        if attributes.get("role") in ("img", "application"):
            assert attributes["aria-label"]
    text = path.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert len(set(page.ids)) == len(page.ids)
    links = [a["href"][1:] for tag, a in page.tags if tag == "a"]
    assert set(links) <= set(page.ids)
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert len(text) < 2e6


def test_page_lets_only_its_own_script_run(path):
    _, page = written(Autoencoder(2, **QUICK).fit(X), X, Y, path=path)
    data, script = page.scripts
    json.loads(data)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy


def test_page_says_the_same_twice(path):
    model = Autoencoder(3, **QUICK).fit(X)
    report(model, X, Y, path=path)
    first = path.read_bytes()
    report(model, X, Y, path=path)
    assert path.read_bytes() == first


def test_figures_on_the_page_are_those_of_the_models_methods(path):
    model = Autoencoder(6, hidden=(32,), max_epochs=10, random_state=0).fit(X)
    made, page = written(model, X, Y, path=path)
    versus = model.versus_pca_
    for value in (
        figure(versus.ratio),
        figure(versus.error),
        figure(versus.pca_error),
        figure(model.reconstruction_error(X).mean()),
        percent(model.score(X)),
        figure(made.versus.ratio.low),
        percent(made.quality.code.probe),
        figure(made.quality.pca.trustworthiness),
        f"kept: epoch {model.n_iter_}",
        made.origin.sha256,
    ):
        assert value in page.text, value
    for finding in model.diagnose(X):
        assert finding.what in page.text
        assert finding.change in page.text
    for sentence in made.verdict.sentences:
        assert sentence in page.text
    for row in np.argsort(-model.reconstruction_error(X))[:4]:
        assert f"row {row} · {Y[row]}" in page.text


def test_map_tells_each_dot_its_row_label_and_error(path):
    model = Autoencoder(2, **QUICK).fit(X)
    _, page = written(model, X, Y, path=path)
    facts = json.loads(page.scripts[0])
    dots = [a for tag, a in page.tags if tag == "circle"]
    assert len(dots) == len(X) == len(facts["rows"])
    assert facts["labels"] == list(map(str, Y))
    errors = model.reconstruction_error(X)
    assert facts["errors"] == [figure(error) for error in errors]
    codes = model.transform(X)
    places = np.array([float(dot["cx"].rstrip("%")) for dot in dots])
    assert np.corrcoef(places, codes[:, 0])[0, 1] == pytest.approx(1, abs=1e-6)
    heights = np.array([float(dot["cy"].rstrip("%")) for dot in dots])
    assert np.corrcoef(heights, codes[:, 1])[0, 1] == pytest.approx(-1, abs=1e-6)
    looks = [dot["class"].split()[0] for dot in dots]
    assert looks == [f"c{label}" for label in Y]


def test_pictures_that_a_dot_shows_are_its_row(path):
    model = Autoencoder(2, **QUICK).fit(X)
    _, page = written(model, X, path=path)
    facts = json.loads(page.scripts[0])
    width, height, across = facts["size"]
    coded = facts["sheets"]["true"].removeprefix("data:image/png;base64,")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))))
    row = 137
    top, left = row // across * height, row % across * width
    shown = sheet[top : top + height, left : left + width]
    np.testing.assert_allclose(shown / 255, X[row].reshape(8, 8), atol=1 / 31)


def test_hostile_names_neither_break_the_page_nor_run(path):
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(60, 3)) @ draw.normal(size=(3, 400))
    rows[:, : len(HOSTILE)] += 5 * draw.normal(size=(60, len(HOSTILE)))
    names = HOSTILE + [f"column {i}" for i in range(400 - len(HOSTILE))]
    table = pd.DataFrame(rows, columns=names)
    labels = np.array([*HOSTILE, None], dtype=object)[np.arange(60) % 12]
    _, page = written(Autoencoder(3, **QUICK).fit(table), table, labels, path=path)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2
    assert "b" not in tags
    assert all(a["alt"] for tag, a in page.tags if tag == "img")
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "(no name)" in page.text
    assert "</" not in page.scripts[0]
    assert "<script>alert(1)</script>" in json.loads(page.scripts[0])["labels"]
    text = path.read_text(encoding="utf-8")
    assert "\u202e" not in html.unescape(text)
    assert "x" * 60 not in page.text


def test_ten_thousand_columns_are_no_burden(path):
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(50, 3)) @ draw.normal(size=(3, 10_000))
    _, page = written(Autoencoder(2, **QUICK).fit(rows), rows, path=path, sample_shape=(10_000,))
    assert "features between are left out" in page.text
    assert path.stat().st_size < 500_000


def test_classifier_shows_its_errors_by_class_and_where_the_rest_is(path):
    model = AutoencoderClassifier(Autoencoder(4, **QUICK), max_epochs=10, random_state=0).fit(X, Y)
    _, page = written(model, X, Y, path=path)
    assert "report(model.autoencoder_, X)" in page.text
    assert percent(model.score(X, Y)) in page.text
    recall = (model.predict(X)[Y == 3] == 3).mean()
    assert re.search(rf"3\s*{(Y == 3).sum()}\s*{percent(recall)}", page.text)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Autoencoder(3, hidden=()), "0 (PCA, as which it began, is the best linear network)"),
        (
            OutlierDetector(3),
            "0 (probabilistic PCA, as which it began, is the best linear network)",
        ),
        (Autoencoder(3, max_epochs=2, patience=None, validation_fraction=0), "2 (it ran to "),
    ],
    ids=["linear", "detector", "trained"],
)
def test_page_says_why_there_were_no_more_epochs(model, said, path):
    _, page = written(model.fit(X), X, path=path)
    assert f"Epochs that made the model: {said}" in page.text


def test_report_without_a_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = report(Autoencoder(2, **QUICK).fit(X), X, path=None)
    assert made.path is None
    assert list(tmp_path.iterdir()) == []


def no_look(*_, **__):
    pytest.fail("it looked before it refused")


@pytest.mark.parametrize(("module", "package"), [("jinja2", "Jinja2"), ("PIL", "pillow")])
def test_report_says_what_is_missing_before_it_looks(module, package, path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("isthmus.evaluation.report.review", no_look)
    message = f"Writing a report needs {package}, which is not installed: "
    with pytest.raises(MissingDependencyError, match=f"^{re.escape(message)}pip install 'isthmus"):
        report(Autoencoder(2), X, path=path)


def test_report_refuses_a_folder_before_it_looks(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.evaluation.report.review", no_look)
    with pytest.raises(FileError, match="is not a file: give the path of one"):
        report(Autoencoder(2), X, path=tmp_path)


def test_large_data_are_judged_by_a_part_and_the_page_says_so(path, monkeypatch):
    monkeypatch.setattr("isthmus.evaluation.subject.MOST_ROWS", 100)
    monkeypatch.setattr("isthmus.evaluation.subject.FEWEST_ROWS", 50)
    made, page = written(Autoencoder(2, **QUICK).fit(X), X, Y, path=path)
    assert "Judged on 100 rows of 300, drawn at random" in page.text
    assert len(made.subject.codes) == 100
    errors = Autoencoder(2, **QUICK).fit(X).reconstruction_error(X[made.subject.judged])
    assert made.versus.error.value == pytest.approx(errors.mean())


def test_mnist_takes_seconds_and_few_megabytes(path, shared_data):
    rows, labels = datasets.mnist(shared_data / "mnist", "test")
    model = Autoencoder(16, max_epochs=1, random_state=0).fit(rows)
    made, _ = written(model, rows, labels, path=path)
    assert len(made.subject.codes) == 10_000
    assert path.stat().st_size < 15e6


# Charts and pictures ---------------------------------------------------------------------


def test_colour_pictures_with_channels_first_are_drawn_in_colour(tmp_path):
    stream = np.random.default_rng(0)
    pictures = stream.random((40, 3, 1, 1)) * np.linspace(0, 1, 12 * 9).reshape(12, 9)
    model = Autoencoder(2, network="conv(channels=(4,))", max_epochs=1, random_state=0)
    made = report(model.fit(pictures), pictures, path=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    found = re.findall(r'src="(data:image/png;base64,[^"]+)"', text)
    shown = [Image.open(io.BytesIO(base64.b64decode(each.partition(",")[2]))) for each in found]
    true = pictures[made.examples.worst[0]].transpose(1, 2, 0)
    expected = np.rint(255 * true).astype(np.uint8)
    same = [each for each in shown if each.mode == "RGB" and each.size == (9, 12)]
    assert any(np.array_equal(np.asarray(each), expected) for each in same)


def test_page_of_pictures_says_their_structural_similarity(tmp_path):
    model = Autoencoder(4, **QUICK).fit(X)
    made = report(model, X, path=tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert f"Mean SSIM: {made.similarity.rebuilt:.2f}." in page.text


def test_pixels_that_span_far_more_than_the_others_do_not_hide_them(tmp_path):
    rows = X[:100].copy()
    rows[:, 10] *= 1e4
    model = Autoencoder(3, **QUICK).fit(rows)
    made = report(model, rows, path=tmp_path / "page.html")
    light = made.subject.light(made.subject.clean)
    assert made.subject.uneven
    np.testing.assert_allclose(light.max(axis=(0, 3))[X[:100].max(axis=0).reshape(8, 8) > 0], 1)
    assert not review(Autoencoder(3, **QUICK).fit(X[:100]), X[:100]).subject.uneven


@pytest.mark.parametrize(("n_units", "folded"), [(12, 0), (15, 1)])
def test_units_beyond_twelve_are_folded_away(n_units, folded, path):
    _, page = written(Autoencoder(n_units, **QUICK).fit(X), X, path=path)
    assert [tag for tag, _ in page.tags].count("details") == folded
    assert ("3 more units, weaker than these" in page.text) == bool(folded)


def test_page_of_a_machine_claims_only_what_was_looked_at(path):
    rows = np.tile((X > 0).astype(float), (2, 1))  # of which each is repeated
    machine = BernoulliRBM(4, n_iter=2, random_state=0).fit(rows)
    _, page = written(machine, rows, path=path)
    assert "the training ended soundly, every unit is in use." in page.text


@pytest.mark.parametrize("validation", [0.1, 0])
def test_page_tells_of_folds_where_there_were_some(validation, path):
    model = Autoencoder(3, hidden=(8,), max_epochs=2, validation_fraction=validation)
    _, page = written(model.fit(X), X, path=path)
    assert ("parted into folds" in page.text) == (validation > 0)


@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_one_share_of_the_variance_is_told_everywhere(scaling, path):
    """By `score`, by the page and by `compare`, in the user's units whatever the scaling."""
    rows = X[:, 20:26] * [1, 10, 100, 1, 1, 1]
    model = Autoencoder(2, scaling=scaling, **QUICK).fit(rows)
    made, page = written(model, rows, path=path)
    share = model.score(rows)
    assert made.subject.explained == pytest.approx(share)
    assert compare({"it": model}, rows).rows[0]["explained"] == pytest.approx(share)
    assert f"It keeps {percent(share)} of the variance" in page.text


def test_verdict_says_how_much_worse_rows_came_out_that_the_fit_had_not_seen(path):
    z = np.random.default_rng(0).normal(size=(160, 2))
    bent = np.column_stack([z, np.sin(3 * z), z[:, :1] * z[:, 1:], z**2])
    model = Autoencoder(2, random_state=0).fit(bent)
    made, _ = written(model, bent, path=path)
    more = model.versus_pca_.error / model.reconstruction_error(bent).mean()
    assert more > 2
    assert re.search(
        rf"rows held out of its fit had {figure(more)[:3]}\S* times their error\.",
        str(made.verdict),
    )
    fresh = np.random.default_rng(1).normal(size=(160, 2))
    fresh = np.column_stack([fresh, np.sin(3 * fresh), fresh[:, :1] * fresh[:, 1:], fresh**2])
    made, _ = written(model, fresh, path=path)
    assert "held out of its fit had" not in str(made.verdict)
