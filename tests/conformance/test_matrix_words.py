"""The matrix in words: on a terminal, as Markdown and as JSON."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from conformance.matrix import columns, table
from conformance.result import Run
from tests.conformance.test_matrix import matrix_of, run_of, some
from tests.conformance.test_report import result


def test_a_column_without_results_has_no_total_and_a_crash_no_error():
    made = some()
    assert dict(made.rows())[table.TOTAL][3] is None
    dead = matrix_of((run_of(result("crash", "gone")), ""))
    assert table.lines(dead.columns[0].total) == ("0/1", "")


def terminal(made, width, **options):
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, **options)
    table.print_matrix(console, made)
    return out.getvalue()


def test_a_part_of_the_table_has_as_many_columns_as_fit():
    text = terminal(some(), 60)
    assert text.split("\n")[0].split() == ["torch", "torch", "other"]
    assert text.count("clauses") == 2


def test_what_fails_is_red_and_what_conforms_is_green():
    made = some()
    stopped = replace(made.columns[0], complete=False)
    text = terminal(table.Matrix([stopped, *made.columns[1:]]), 100, force_terminal=True,
                    color_system="standard")  # fmt: skip
    for style, words in (("1;31", "1/2"), ("32", "1/1"), ("33", "unsup."), ("2", "·")):
        assert re.search(rf"\x1b\[{style}m *{re.escape(words)} *\x1b\[0m", text), words
    assert "\x1b[1;31mtorch 2.13.0 ce: the run is incomplete\x1b[0m" in text
    assert "\x1b[1;31mgone: \x1b[0mNo module" in text


def test_the_json_file_is_readable_text():
    text = table.json_text(table.Matrix([columns.Column("gone", problem="weg · fort")]))
    assert text.startswith('{\n "schema": ')
    assert "weg · fort" in text


def test_every_word_of_the_table():
    out = io.StringIO()
    table.print_matrix(Console(file=out, width=72, highlight=False), some())
    assert [line.rstrip() for line in out.getvalue().split("\n")] == TERMINAL.split("\n")


TERMINAL = """\
                torch         torch         other
               2.13.0        2.13.0           1.0            gone
clauses            ce        linear            ce   cannot be run
─────────────────────────────────────────────────────────────────
index             1/2             ·           1/1               –
            ∞ · 3e20u                 0.25 · 0.5u
reduction           ·           1/1             ·               –
                        0.25 · 0.5u
smoothing      unsup.             ·             ·               –

all cases         1/2           1/1           1/1               –
            ∞ · 3e20u   0.25 · 0.5u   0.25 · 0.5u

passed/judged, then the worst error as a fraction of the allowed error
and in ulps (u) of the output's dtype, or shape, dtype or missing where
a value has no error to measure; · no cases, unsup. unsupported by the
framework
gone: No module | named <gone>
"""


def test_every_word_of_the_markdown():
    made = some()
    stopped = replace(made.columns[0], complete=False, note="a|b")
    found = table.markdown(table.Matrix([stopped, *made.columns[1:]])).split("\n")
    assert found == MARKDOWN


MARKDOWN = [
    "| clauses | **torch**<br>2.13.0<br>ce<br>a\\|b | **torch**<br>2.13.0<br>linear | "
    "**other**<br>1.0<br>ce | **gone** |",
    "| --- | ---: | ---: | ---: | ---: |",
    "| index | ❌ **1/2**<br>∞ · 3e20u | · | 1/1<br>0.25 · 0.5u | – |",
    "| reduction | · | 1/1<br>0.25 · 0.5u | · | – |",
    "| smoothing | unsup. | · | · | – |",
    "| **all cases** | ❌ **1/2**<br>∞ · 3e20u | 1/1<br>0.25 · 0.5u | 1/1<br>0.25 · 0.5u | – |",
    "",
    "A cell tells passed/judged, then the worst error as a fraction of the allowed error and in "
    "ulps (u) of the output's dtype, or shape, dtype or missing where a value has no error to "
    "measure; ❌ something fails, · no cases.",
    "",
    "**torch 2.13.0 ce \\(a\\|b\\)**: the run is incomplete.",
    "",
    "**gone** cannot be run: No module \\| named \\<gone\\>",
]


def test_a_run_without_results_has_one_column_that_says_so():
    run = Run("torch", {"torch": "2.13.0"}, [])
    assert columns.of_run(run, "file.json") == [
        columns.Column(
            "torch",
            versions={"torch": "2.13.0"},
            problem="the run has no results",
            note="file.json",
        )
    ]
    (column,) = columns.of_run(run)
    assert (column.system, column.note, column.title) == ("", "", "torch 2.13.0")
    other = columns.Column("gone")
    assert (other.problem, other.complete, other.title, other.total.state) == (
        "", True, "gone", "unsupported",
    )  # fmt: skip


def test_failing_cases_know_their_kind():
    results = [
        result("fail", "loss is 2", reduction="mean", weight="mixed"),
        result(seed=1),
        result("crash", "gone", seed=2),
        result("fail", "loss is 2", reduction="mean", weight="mixed", seed=3),
    ]
    kinds = columns.Column("torch", "ce", results=results).kinds
    assert list(kinds) == [results[0].case, results[3].case, results[2].case]
    first, second, third = kinds.values()
    assert first == second
    assert [(kind.number, kind.verdict) for kind in (first, third)] == [(0, "fail"), (1, "crash")]
    assert first.clause in results[0].clauses


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[]", "is no result file, which `crossent run --json` writes"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path, content, words):
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(columns.BadResultFile) as caught:
        columns.read(path)
    assert str(caught.value) == f"{path}: {words}"
