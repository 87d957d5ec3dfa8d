"""Pages: one HTML file each, drawn by templates, that ask no host for anything."""

import base64
import datetime
import hashlib
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from isthmus.errors import missing
from isthmus.evaluation import words
from isthmus.evaluation.comparison import Comparison
from isthmus.evaluation.review import Review
from isthmus.evaluation.verdict import SPOILED

if TYPE_CHECKING:
    from jinja2 import Environment

NEEDED = {"jinja2": "Jinja2", "PIL": "pillow"}


def check_extras(purpose: str = "Writing a report") -> None:
    """Refuse before the work what would fail after it.

    Raises
    ------
    MissingDependencyError
        If Jinja2 or Pillow is not installed.
    """
    for module, package in NEEDED.items():
        try:
            import_module(module)
        except ImportError:
            raise missing(package, purpose, "report") from None


def report_page(review: Review) -> bytes:
    """Draw everything that a review holds."""
    from isthmus.evaluation.page import charts, map_panel, panels

    return page(
        "report.html.j2",
        review=review,
        spoiled=SPOILED,
        pca_chart=charts.pca_chart(review.versus) if review.versus else None,
        training_charts=charts.training_charts(review.training) if review.training else [],
        map=map_panel.map_panel(review),
        groups=panels.groups(review),
        features=panels.features(review),
        units=panels.drawn_units(review),
        strips=panels.strips(review),
        filters=panels.first_weights(review),
    )


def comparison_page(comparison: Comparison) -> bytes:
    """Draw a comparison."""
    errors = {model.name: model.row()["error"] for model in comparison.models}
    known = {name: error for name, error in errors.items() if error is not None}
    widest = max(known.values(), default=0) or 1.0
    bars = [
        {"name": name, "length": round(100 * error / widest, 2), "text": words.figure(error)}
        for name, error in sorted(known.items(), key=lambda pair: pair[1])
    ]
    return page("compare.html.j2", comparison=comparison, bars=bars, headline=comparison.headline())


def page(template: str, **names: Any) -> bytes:
    """Draw a template; text that cannot be written in UTF-8 is replaced."""
    text = (
        environment()
        .get_template(template)
        .render(
            **names, today=datetime.datetime.now(tz=datetime.UTC).date(), script_hash=script_hash()
        )
    )
    return text.encode("utf-8", errors="replace")


@cache
def environment() -> "Environment":
    """Return what knows the templates; everything that they print is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("isthmus.evaluation", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False}  # in the order in which it is told
    made.filters |= {
        "figure": words.figure,
        "times": words.times,
        "percent": words.percent,
        "named": words.named,
    }
    made.globals |= {"count": words.count, "resource": resource}
    return made


def resource(name: str) -> Any:
    """Return a style sheet or a script of this folder, to be printed as it is."""
    from markupsafe import Markup

    return Markup(_read(name))


def script_hash() -> str:
    """Return the only script that a page's policy lets run, by its hash."""
    digest = hashlib.sha256(_read("map.js").encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
