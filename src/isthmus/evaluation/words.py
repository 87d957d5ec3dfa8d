"""Figures and names as they are shown: short, the same everywhere."""

import math

LONGEST = 48  # letters of a name; the rest is left out
MOST_TIMES = 1000
NAMELESS = "(no name)"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
JOINERS = "\u200c\u200d"  # within words of some scripts, and within emoji


def figure(value: float, digits: int = 3) -> str:
    """Return a number with so many digits: 0.483, 12.3, 1,234."""
    if not math.isfinite(value):
        return "infinite" if math.isinf(value) else "unknown"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        return power(value)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def power(value: float) -> str:
    """Return a number by its power of ten: 5 × 10¹⁵, 10⁻⁹."""
    head, exponent = f"{value:.1e}".split("e")
    raised = f"10{str(int(exponent)).translate(RAISED)}"
    head = head.removesuffix(".0")
    return raised if head == "1" else f"{head} \u00d7 {raised}"


def times(ratio: float) -> str:
    """Return a ratio; what is beyond comparison is no number."""
    return figure(ratio) if ratio < MOST_TIMES else f"over {MOST_TIMES:,}"


def percent(share: float) -> str:
    """Return a share as a percentage: 93%, 99.8%, 0.4%; never 0% of something, or 100% of less."""
    if not math.isfinite(share):
        return "unknown"
    points = 100 * share
    if f"{points:.0f}" in ("0", "-0", "100") and share not in (0, 1):
        text = f"{points:.1f}"
        return {"0.0": "under 0.1%", "-0.0": "0%", "100.0": "over 99.9%"}.get(text, f"{text}%")
    return f"{points:.0f}%"


def count(n: int, noun: str) -> str:
    """Return how many there are: 1 row, 1,797 rows."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def named(text: str) -> str:
    """Return a name as it is shown: not empty, no longer than a line, and of letters only."""
    text = "".join(each if each.isprintable() or each in JOINERS else " " for each in text).strip()
    return (f"{text[: LONGEST - 1]}…" if len(text) > LONGEST else text) or NAMELESS


def isolated(name: str) -> str:
    """Return a name that leaves the sentence round it in order, though it runs from the right."""
    return name if name.isascii() else f"\u2068{name}\u2069"
