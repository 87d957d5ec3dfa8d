"""Hostile files and inputs, few of them here and thousands with ``make fuzz``; see tests/fuzz."""

from pathlib import Path

import pytest
from fuzz.contract import run_cases
from fuzz.crafted import crafted_files
from fuzz.files import case
from fuzz.watch import Watched, read_all

SOUND = {"answered", "refused"}
N_ALTERED = 60


def test_hostile_files_are_read_rightly_or_refused_in_one_sentence():
    cases = [case(0, number) for number in range(len(crafted_files()) + N_ALTERED)]
    wrong = [(each.what, result) for each, result in read_all(cases) if result[0] not in SOUND]
    assert wrong == []


def test_hostile_rows_are_answered_as_plain_ones_or_refused_in_one_sentence():
    counts, wrong = run_cases(200, seed=0)
    assert wrong == []
    assert counts["hang"] == 0
    assert min(counts["answered"], counts["refused"]) > 20


# The watch itself ------------------------------------------------------------------------

PROGRAMS = {
    "import os; os.abort()": ("crash", "SIGABRT: "),
    "input(); input()": ("hang", "no answer in 1 s"),
    "import sys; sys.exit('no more')": ("crash", "exit code 1: no more\n"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_worker_that_does_not_answer_is_noticed(program, tmp_path, monkeypatch):
    monkeypatch.setattr("fuzz.watch.TO_BEGIN", 0)
    (tmp_path / "worker.py").write_text(program)
    with Watched(tmp_path / "worker.py", seconds=1) as worker:
        assert worker.ask({}) == PROGRAMS[program]


def test_worker_is_started_again(tmp_path):
    program = Path(tmp_path / "worker.py")
    program.write_text(
        "import json\n"
        "if json.loads(input())['ends']: raise SystemExit(3)\n"
        "print(json.dumps({'outcome': 'answered'}), flush=True)\n"
        "input()"
    )
    with Watched(program) as worker:
        answers = [worker.ask({"ends": ends}).outcome for ends in (True, False, True)]
    assert answers == ["crash", "answered", "crash"]
