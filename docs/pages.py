"""What the site takes from elsewhere: the README and its neighbours, and the table of all parts.

``python docs/pages.py`` writes docs/parts.md anew.
"""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NEIGHBOURS = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
ADDRESSES = {"](docs/": "](", "](CONTRIBUTING.md)": "](contributing.md)"}
HEAD = """# Parts

Anywhere a part is taken, its string is too: `corruption="masking(fraction=0.3)"`. `isthmus parts`
prints the same, but for the classes; `python docs/pages.py` writes this page.

In Python a part is its class, too: `corruption=isthmus.parts.Masking(0.3)`. The string `"gaussian"`
is a corruption where one is taken and a code where one is; their classes have names of their own.
"""
TITLES = "| part | class | what it is | fields and their defaults |\n|---|---|---|---|"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's text; that of the neighbours is read where it lies."""
    name = NEIGHBOURS.get(page.file.src_uri)
    if name is None:
        return markdown
    text = (ROOT / name).read_text(encoding="utf-8")
    for ours, the_sites in ADDRESSES.items():
        text = text.replace(ours, the_sites)
    return text


def parts_page() -> str:
    """Return docs/parts.md: every part, with its class, fields, defaults and meanings."""
    from isthmus.cli.describing import SLOTS, fields, sentence
    from isthmus.parts.part import place_of

    lines = [HEAD]
    for slot in SLOTS:
        kinds = [kind for kind in slot.kinds.values() if kind.__module__.startswith("isthmus.")]
        places = " and ".join(sorted({f"`{place_of(kind)}`" for kind in kinds}))
        title = f"## {slot.slot.capitalize()}"
        lines += [title, "", f"{sentence(slot)} Classes: {places}.", "", TITLES]
        for kind in kinds:
            names = (f"`{kind.name}`", f"`{kind.__name__}`")
            cells = (*names, sentence(kind), "<br>".join(fields(kind)))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (ROOT / "docs" / "parts.md").write_text(parts_page(), encoding="utf-8")
