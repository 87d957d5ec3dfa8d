"""Hand over thousands of hostile files and inputs, and count what comes of them.

    python -m fuzz --files 2000 --inputs 2000 --json fuzz.json

Nothing may crash, hang for more than 10 seconds, take more memory than allowed, or be answered
wrongly: then the exit code is 1, and each such case is named by seed and number.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from fuzz.contract import run_cases
from fuzz.files import case
from fuzz.watch import SECONDS, count, read_all

SOUND = ("answered", "refused")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the counts")
    parser.add_argument("--shown", type=int, default=20, help="wrong cases that are printed")
    options = parser.parse_args()
    began = time.perf_counter()
    results = read_all(case(options.seed, number) for number in range(options.files))
    of_files, files_end = count(results), time.perf_counter()
    wrong = [f"{case.kind} {case.what}: {result}" for case, result in results]
    wrong = [
        line for line, (_, result) in zip(wrong, results, strict=True) if result[0] not in SOUND
    ]
    of_inputs, wrong_inputs = run_cases(options.inputs, options.seed)
    for line in [*wrong, *wrong_inputs][: options.shown]:
        print(line)
    figures = {
        "files": tally(of_files, files_end - began),
        "inputs": tally(of_inputs, time.perf_counter() - files_end),
        "seed": options.seed,
        "seconds_allowed": SECONDS,
    }
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(bool(wrong or wrong_inputs))


def tally(counts: Counter[str], seconds: float) -> dict[str, float]:
    outcomes = (*SOUND, "wrong", "crash", "hang")
    return {
        "n": counts.total(),
        **{name: counts[name] for name in outcomes},
        "seconds": round(seconds),
    }


if __name__ == "__main__":
    sys.exit(main())
