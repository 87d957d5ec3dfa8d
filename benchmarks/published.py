"""The published tables, run again: the paper's figure beside ours.

    python benchmarks/published.py                 all rows that have no figure yet
    python benchmarks/published.py --only cae      one row, again
    python benchmarks/published.py --list

Each row's seeds are fixed, and its setting was chosen on 10,000 of the training images, never on
the test images. A row that takes under two minutes is run with three seeds. Figures are written
after every run, so it can be stopped and goes on where it was.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import generation_rows  # noqa: F401  enters its rows
import published_rows  # noqa: F401
import torch
from published_table import HEAD, ROWS, Row, Setting

ROOT = Path(__file__).resolve().parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist"
RESULTS = ROOT / "benchmarks" / "results" / "published.json"
PAGE = ROOT / "docs" / "published.md"
SHORT, SEEDS = 120, 3  # seconds, and how often what takes less is run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(ROWS), help="run these rows again")
    parser.add_argument("--list", action="store_true", help="name the rows and leave")
    parser.add_argument("--mnist", type=Path, default=MNIST, help="folder of idx files")
    parser.add_argument("--validate", action="store_true", help="judge on 10,000 training images")
    options = parser.parse_args()
    if options.list:
        for row in ROWS.values():
            print(f"{row.name:14s} {row.title}")
        return
    setting = Setting(options.mnist, options.validate)
    if options.validate:
        for name in options.only or ROWS:
            print(name, ROWS[name].run(setting, seed=0), flush=True)
        return
    for name in options.only or ROWS:
        run(ROWS[name], setting, again=bool(options.only))
    print(write_page(known()))


def known() -> dict[str, Any]:
    """Return the figures so far."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return results


def run(row: Row, setting: Setting, *, again: bool) -> None:
    """Run a row's seeds that are missing, or all; write the figures after each."""
    runs = [] if again else known().get(row.name, {}).get("runs", [])
    while len(runs) < (SEEDS if not runs or runs[0]["seconds"] < SHORT else 1):
        began = time.perf_counter()
        figures = row.run(setting, seed=len(runs))
        seconds = time.perf_counter() - began
        facts = {"seed": len(runs), "threads": torch.get_num_threads(), "seconds": seconds}
        runs.append(facts | figures)
        print(f"{row.name:14s} {runs[-1]}", flush=True)
        # Read again: another row may have been run beside this one.
        results = known() | {"torch": torch.__version__, row.name: {"runs": runs}}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def write_page(results: dict[str, Any]) -> str:
    """Write the page of the docs from the figures; return its table."""
    lines = [
        "| what | published | grade | ours | mark | seconds | one row |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ROWS.values():
        runs = results.get(row.name, {}).get("runs", [])
        if not runs:
            continue
        values = [each[row.figure] for each in runs]
        mean = sum(values) / len(values)
        spread = f" ({min(values):{row.digits}} to {max(values):{row.digits}})" * (len(values) > 1)
        mark = f"{row.mark:{row.digits}}" + f" in {row.within:.0f} s" * (row.within < 1e9)
        met = f"{mark}: {'met' if row.meets(runs) else '**missed**'}"
        seconds = sum(each["seconds"] for each in runs) / len(runs)
        lines.append(
            f"| {row.title} | {row.published} | {row.grade} | {mean:{row.digits}}{spread} | {met} "
            f"| {seconds:.0f} | `--only {row.name}` |"
        )
    settings = [f"- **{row.name}**: {row.setting}" for row in ROWS.values() if row.name in results]
    text = PAGE.read_text() if PAGE.exists() else f"{HEAD}\n"
    start, end = "<!-- figures -->", "<!-- end of figures -->"
    head, _, tail = text.partition(start)
    _, _, tail = tail.partition(end)
    body = "\n".join(lines) + "\n\n## Settings\n\n" + "\n".join(settings)
    PAGE.write_text(f"{head}{start}\n\n{body}\n\n{end}{tail}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
