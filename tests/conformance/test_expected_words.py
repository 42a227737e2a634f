"""What a run prints about a file of expected failures, word for word."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from conformance.expected import Entry
from conformance.expected.judge import Judgement, judge, show
from conformance.result import Result

FILE = Path("expected.toml")
BROKEN = Entry(
    case="a*",
    reason="it overflows, as every float16 sum does",
    link="https://example.org/1",
    verdicts=("fail",),
)
LOOSE = Entry(
    case="ce/index/4x10/f64/mean,weight=mixed,ignored=some",
    reason="it hangs",
    verdicts=("crash", "timeout"),
)
ANY = Entry(case="c", clause="index.mean.divides-by-target-weights", reason="it may")


LONG = "a/case/whose/id/is/longer/than/the/terminal/is/wide"


def printed(judgement, limit=2):
    out = io.StringIO()
    show(Console(file=out, width=40, force_terminal=False), judgement, FILE, limit)
    return out.getvalue().splitlines()


def results(*names):
    return [Result(name, (), "pass") for name in names]


def test_nothing_but_the_expected():
    assert vars(Judgement()) == {
        "covered": {}, "unexpected": [], "passes": {}, "unmet": [], "unknown": [], "not_run": [],
    }  # fmt: skip
    found = Judgement(covered={"a1": BROKEN, "a2": BROKEN})
    assert found.exit_code == 0
    assert printed(found) == ["expected.toml: 2 failures were expected, and nothing else failed"]


@pytest.mark.parametrize(
    ("cases", "shown"),
    [
        ((LONG,), [f"    passes  {LONG}"]),
        (("a1", "a2"), ["    passes  a1", "    passes  a2"]),
        (("a1", "a2", "a3"), ["    passes  a1", "    passes  a2", "    ... and 1 more pass"]),
    ],
)
def test_unexpected_passes(cases, shown):
    found = Judgement(passes={BROKEN: results(*cases)})
    assert found.exit_code == 1
    assert printed(found) == [
        f"unexpected pass  {BROKEN.title}",
        "    it overflows, as every float16 sum does (https://example.org/1)",
        *shown,
        f"expected.toml: 0 failures were expected; {len(cases)} unexpected passes",
    ]


def test_entries_that_are_not_met():
    found = Judgement(unmet=[LOOSE, ANY])
    assert found.exit_code == 1
    assert printed(found) == [
        f"not met  {LOOSE.title}",
        "    it hangs",
        "    none of its cases fails with crash ",
        "or timeout, and none passes",
        f"not met  {ANY.title}",
        "    it may",
        "    none of its cases fails, and none ",
        "passes",
        "expected.toml: 0 failures were expected; 2 entries not met",
    ]


def test_entries_about_nothing_and_about_what_was_not_run():
    found = Judgement(unknown=[ANY], not_run=[LOOSE, BROKEN], unexpected=results("d"))
    assert found.exit_code == 1
    assert printed(found) == [
        f"about no case  {ANY.title}",
        "    it may",
        "    the corpus has no such case",
        "expected.toml: not judged, because none ",
        "of their cases was run:",
        f"    {LOOSE.title}",
        f"    {BROKEN.title}",
        "expected.toml: 0 failures were expected; 1 unexpected failures, 1 entries about no case",
    ]
    assert Judgement(not_run=[LOOSE]).exit_code == 0


@pytest.mark.parametrize(
    ("found", "last"), [(Judgement(), "1;32"), (Judgement(passes={BROKEN: results("a")}), "1;31")]
)
def test_good_news_is_green_and_bad_news_red(found, last):
    out = io.StringIO()
    show(Console(file=out, force_terminal=True, color_system="standard"), found, FILE, 2)
    lines = out.getvalue().splitlines()
    assert lines[-1].startswith(f"\x1b[{last}mexpected.toml")
    if found.passes:
        assert lines[0].startswith("\x1b[1;31munexpected pass")
        assert lines[2] == "\x1b[36m    passes  a\x1b[0m"


def test_the_first_entry_that_fits_covers_a_failure():
    failed = Result("a1", (), "fail", "loss is 2")
    wide = Entry(case="*", reason="r")
    assert judge([failed], [LOOSE, BROKEN, wide]).covered == {"a1": BROKEN}
    assert judge([failed], [wide, BROKEN]).covered == {"a1": wide}
