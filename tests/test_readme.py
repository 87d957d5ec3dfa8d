"""What the documents claim: every block runs, every command and every link exists."""

import inspect
import re
import shlex
import sys
import textwrap
import types
from pathlib import Path

import click
import numpy as np
import pytest

from isthmus import Autoencoder, BernoulliRBM, DenoisingAutoencoder, GaussianRBM, parts
from isthmus.cli.main import isthmus
from isthmus.datasets import digits
from isthmus.parts import Corruption, Penalty

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    "README.md",
    "docs/guide.md",
    "docs/which-autoencoder.md",
    "docs/report.md",
    "docs/sampling.md",
    "docs/outliers.md",
    "docs/resume.md",
    "docs/export.md",
    "docs/cookbook.md",
    "docs/extending.md",
]


@pytest.fixture(autouse=True)
def _no_new_parts():
    """Take back the parts that a document declares."""
    before = [(slot, dict(slot.kinds)) for slot in (Corruption, Penalty)]
    yield
    for slot, kinds in before:
        slot.kinds.clear()
        slot.kinds.update(kinds)


def blocks(document, language):
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_runs_from_top_to_bottom(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Pages that speak of rows X as given.
    found = blocks(document, "python")
    module = types.ModuleType("a_users_module")  # what a document declares can be pickled
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)
    names["X"] = digits().images[:60]
    assert len(found) >= 4
    for i, block in enumerate(found):
        exec(compile(block, f"{document}, block {i + 1}", "exec"), names)


def test_readme_claims_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(blocks("README.md", "python")[0], {})
    text = capsys.readouterr().out
    printed = np.array(re.findall(r"=([\d.]+)", text), dtype=float)
    claimed = np.array(re.findall(r"=([\d.]+)", blocks("README.md", "text")[0]), dtype=float)
    np.testing.assert_allclose(printed, claimed, atol=0.02)
    figure = r"\d+(\.\d+)?"  # which differ a little from machine to machine
    assert re.sub(figure, "#", text) == re.sub(figure, "#", blocks("README.md", "text")[0])


@pytest.mark.parametrize(
    "estimator", [Autoencoder, BernoulliRBM, DenoisingAutoencoder, GaussianRBM]
)
def test_example_of_the_docstring_gives_what_it_shows(estimator):
    example = inspect.getdoc(estimator)
    statements = re.findall(r"^>>> (.*)\n(\(.*\))?", example, flags=re.MULTILINE)
    assert any(shown for _, shown in statements)
    names = {}
    for statement, shown in statements:
        if shown:
            assert repr(eval(statement, names)) == shown
        else:
            exec(statement, names)


def commands(document):
    lines = "\n".join(blocks(document, "bash")).splitlines()
    return [line for line in lines if line.startswith("isthmus ")]


@pytest.mark.parametrize("line", [line for each in DOCUMENTS for line in commands(each)])
def test_command_of_the_documents_exists_with_its_options(line):
    name, *given = shlex.split(line, comments=True)[1:]
    command = isthmus.get_command(click.Context(isthmus), name)
    assert command is not None, name
    options = {text for parameter in command.params for text in parameter.opts}
    written = {word.partition("=")[0] for word in given if word.startswith("-")}
    assert written <= options
    _, left, _ = command.make_parser(click.Context(command)).parse_args(list(given))
    assert left == []


def test_readme_shows_commands():
    assert len(commands("README.md")) >= 5


@pytest.mark.parametrize("document", [*DOCUMENTS, "CONTRIBUTING.md"])
def test_links_to_files_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    files = [link for link in links if "://" not in link]
    missing = [link for link in files if not ((ROOT / document).parent / link).exists()]
    assert missing == []


def test_new_part_of_contributing_works_in_an_autoencoder():
    (block,) = blocks("CONTRIBUTING.md", "python")
    before = dict(Corruption.kinds)
    rows = np.random.default_rng(0).normal(size=(60, 4)) + 3
    short = {"hidden": (4,), "max_epochs": 2, "validation_fraction": 0, "random_state": 0}
    exec(textwrap.dedent(block), {"__name__": "a_users_module"})
    (new,) = Corruption.kinds.keys() - before.keys()
    flipped = Autoencoder(2, corruption=f"{new}(fraction=0.3)", **short).fit(rows)
    plain = Autoencoder(2, **short).fit(rows)
    never = Autoencoder(2, corruption=f"{new}(fraction=0)", **short).fit(rows)
    assert not np.array_equal(flipped.transform(rows), plain.transform(rows))
    np.testing.assert_array_equal(never.transform(rows), plain.transform(rows))


def test_extending_names_what_each_slot_asks_for():
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\|[^|]*\| `(\w+)` \| ([^|]*) \|", text, flags=re.MULTILINE))
    for slot in (parts.Code, parts.Corruption, parts.Likelihood, parts.Network, parts.Penalty):
        written = set(re.findall(r"`(\w+)`", rows[slot.__name__]))
        assert written - {"location"} == slot.__abstractmethods__
