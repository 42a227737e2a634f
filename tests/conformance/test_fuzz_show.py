"""What a person reads after a search; nothing is searched here."""

import io

import pytest
from rich.console import Console

from conformance import repro
from conformance.clauses import by_id
from conformance.driver import Program, Unavailable
from conformance.fuzz.search import Failure, Found
from conformance.fuzz.show import Reporter
from conformance.golden.read import read_folder
from conformance.result import Result

CASE = "ce/index/2x3/f32/mean"
CLAUSE = by_id("index.mean.formula")
FAILED = Result(CASE, (CLAUSE.id,), "fail", "loss is 1, expected 2\nand more")


@pytest.fixture
def shown(monkeypatch):
    """Return what shows a search, as text; scripts are written by nobody."""
    monkeypatch.setattr(repro, "script", lambda case, program: f"# {case.id} [red] {program.name}")

    def show(found, start=7, adapter="x.py", python=None, folder=None, colors=None):
        out = io.StringIO()
        console = Console(
            file=out, width=60, force_terminal=colors is not None, color_system=colors
        )
        program = Program("prog ram", ("prog",), adapter=adapter)
        reporter = Reporter(console, program, ["prog ram"], python)
        if folder is None:
            reporter.show(found, start)
        else:
            reporter.write_candidates(found, folder)
        return out.getvalue()

    return show


def test_a_failure_is_told_in_full(shown):
    text = shown(Found([Failure(FAILED, "ce/index/9x9/f32/mean")], 5, 7, seconds=2.0))
    assert text.splitlines() == [
        f"1. fail  {CASE}",
        "   loss is 1, expected 2",
        "   and more",
        f"   {CLAUSE.id}: {CLAUSE.check}",
        *(f"   page {source.page}: “{source.words}”" for source in CLAUSE.sources),
        "   shrunk from ce/index/9x9/f32/mean",
        f"   crossent fuzz 'prog ram' --replay {CASE}",
        "",
        f"# {CASE} [red] prog ram",
        "",
        "5 examples drawn (--seed 7), 7 more to shrink failures; 2.0 s, 6 a second",
        "1 kind of failure",
    ]


def test_where_a_failure_comes_from_is_told(shown):
    failures = [
        Failure(FAILED, "another", remembered=True),
        Failure(FAILED, CASE, steady=False),
    ]
    text = shown(Found(failures), python="/a/py")
    first, second = text.split("2. fail")
    assert "   remembered from an earlier search\n" in first
    assert "does not repeat" not in first
    assert "   asked again, it did something else: it does not repeat\n" in second
    assert "remembered" not in second
    assert "shrunk" not in text
    assert f"crossent fuzz 'prog ram' --python /a/py --replay {CASE}\n" in text
    assert text.endswith("2 kinds of failure\n")


def test_a_failure_without_words_or_clauses_says_so(shown):
    crash = Result(f"shift:{CASE}", (), "crash", "")
    text = shown(Found([Failure(crash, crash.case)]))
    assert text.startswith(f"1. crash  shift:{CASE}\n   (no message)\n   shift: ")
    assert "page" not in text
    assert "# ce" not in text  # a relation is several calls: there is no script


def test_a_program_that_is_no_adapter_has_no_script(shown):
    assert "# ce" not in shown(Found([Failure(FAILED, CASE)]), adapter=None)


def test_why_there_is_no_script_is_told(shown, monkeypatch):
    def script(_, program):
        raise Unavailable(f"{program.name} is gone")

    monkeypatch.setattr(repro, "script", script)
    assert "   no script: prog ram is gone\n" in shown(Found([Failure(FAILED, CASE)]))


def test_the_totals_are_told(shown):
    found = Found(forgotten=["an id"], replayed=3, complete=False, stop="enough")
    assert shown(found).splitlines() == [
        "passes now, and is forgotten: an id",
        "3 examples replayed",
        "0 examples drawn (--seed 7), 0 more to shrink failures; 0.0 s",
        "stopped: enough",
        "interrupted",
        "nothing fails",
    ]


def test_candidates_join_the_vectors_that_are_there(shown, tmp_path):
    def failure(name):
        return Failure(Result(name, (), "fail", ""), name)

    names = [CASE, f"shift:{CASE}", f"{CASE},script=stale", "ce/index/1x2/f16/sum,logits=peak"]
    text = shown(Found([failure(name) for name in names]), folder=tmp_path)
    assert f"no vector: a relation is several calls: shift:{CASE}\n" in text
    assert f"no vector: files do not hold such calls: {CASE},script=stale\n" in text
    assert f" proved vectors in {tmp_path / 'vectors'}\n" in text
    before = len(read_folder(tmp_path))
    text = shown(Found([failure("ce/prob/2x3/f32/mean")]), folder=tmp_path)
    assert text == f"{before + 1} proved vectors in {tmp_path / 'vectors'}\n"
    assert {vector.id for vector in read_folder(tmp_path)} > {CASE, "ce/prob/2x3/f32/mean"}
    empty = tmp_path / "empty"
    assert shown(Found(), folder=empty) == ""
    assert not empty.exists()


def test_colors_tell_good_from_bad_and_from_what_to_know(shown, tmp_path, monkeypatch):
    def script(_, program):
        raise Unavailable(f"{program.name} is gone")

    monkeypatch.setattr(repro, "script", script)
    bad = Found([Failure(FAILED, CASE, steady=False)], complete=False, stop="enough")
    text = shown(bad, colors="standard")
    assert f"\x1b[1;31m1. fail  {CASE}\x1b[0m\n" in text
    assert "\x1b[2m   page 002: " in text
    assert "\x1b[33m   asked again, " in text
    assert "\x1b[33m   no script: " in text
    assert "\x1b[33mstopped: enough\x1b[0m" in text
    assert "\x1b[33minterrupted\x1b[0m" in text
    assert text.endswith("\x1b[31m1 kind of failure\x1b[0m\n")
    good = shown(Found(forgotten=["an id"]), colors="standard")
    assert good.startswith("\x1b[32mpasses now, and is forgotten: an id\x1b[0m\n")
    assert good.endswith("\x1b[32mnothing fails\x1b[0m\n")
    stale = Result(f"{CASE},script=stale", (), "fail", "")
    shifted = Result(f"shift:{CASE}", (), "fail", "")
    for result in (stale, shifted):
        text = shown(Found([Failure(result, "")]), folder=tmp_path, colors="standard")
        assert text.startswith("\x1b[33mno vector: ")
