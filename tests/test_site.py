"""The documentation site: complete, true to the source, and alone."""

import inspect
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from isthmus import errors, observers, plots
from isthmus.estimators import ESTIMATORS
from isthmus.estimators.parameters import declared
from isthmus.evaluation import generation, metrics
from isthmus.parts import Corruption

ROOT = Path(__file__).resolve().parents[1]
# What other floors take from these modules, and users do not.
INNER = {"a_few", "caution", "did_you_mean", "guess", "last_step_serves", "missing", "plain_words"}
# What a browser fetches by itself.
FETCHED = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src")}


class Fetched(HTMLParser):
    """The addresses that a page fetches when it is opened."""

    def __init__(self, page):
        super().__init__()
        self.addresses = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if (tag, name) in FETCHED]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_site_fetches_nothing_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        addresses = Fetched(text).addresses
        assert addresses
        assert [a for a in addresses if re.match(r"(https?:)?//", a)] == [], page
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", styles) == []


def test_reference_has_every_estimator_with_its_parameters(site):
    page = (site / "api" / "estimators.html").read_text(encoding="utf-8")
    for name, module in ESTIMATORS.items():
        assert f'id="{module}.{name}"' in page
        assert f'id="{module}.{name}.fit"' in page
        assert f'id="{module}.{name}.verbose"' not in page  # in the table, not among the methods
    assert "{parameters}" not in page
    kinds = [getattr(__import__("isthmus"), name) for name in ESTIMATORS]
    assert all(parameter in page for kind in kinds for parameter in declared(kind))


def test_reference_has_whatever_stands_in_the_open(site):
    pages = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    shown = set(re.findall(r'<h2 id="(isthmus\.[\w.]+)"', pages))
    for module in (plots, generation, observers):
        assert {f"{module.__name__}.{name}" for name in module.__all__} <= shown
    for module in (metrics, errors):
        own = {name for name, each in vars(module).items() if inspect.isclass(each)}
        own |= {name for name, each in vars(module).items() if inspect.isfunction(each)}
        public = {n for n in own if vars(module)[n].__module__ == module.__name__ and n[0] != "_"}
        assert {f"{module.__name__}.{name}" for name in public - INNER} <= shown
    assert "Alias for field number" not in pages
    assert "share of real samples that lie among generated ones" in pages  # a field's comment


def test_first_page_is_the_readme(site):
    assert "Autoencoders that you can put where PCA stood" in (site / "index.html").read_text()


def test_page_of_parts_is_as_the_parts_are():
    written = (ROOT / "docs" / "parts.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "docs" / "pages.py"))["parts_page"]() == written
    assert all(f"`{name}`" in written for name in Corruption.kinds)


def test_navigation_has_every_page():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert set(re.findall(r"[\w/-]+\.md", nav)) == pages


def test_scripts_that_make_runs_are_there():
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    scripts = re.findall(r"\$\(BIN\)/python ([^-\s]\S*)", recipes)
    assert len(scripts) > 5
    assert [script for script in scripts if not (ROOT / script).is_file()] == []
