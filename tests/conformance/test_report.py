"""Reports of runs made up for the purpose."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

import conformance
from conformance import report
from conformance.case import Case
from conformance.corpus import clauses_by_rarity
from conformance.departures import failure_kinds
from conformance.result import VERDICTS, OutputResult, Result, Run

SCHEMA = json.loads(
    (Path(conformance.__file__).parent / "schemas" / "result.schema.json").read_text()
)


def result(verdict="pass", message="", ulps=0.5, fraction=0.25, reading="", **fields):
    case = Case(**fields)
    outputs = (OutputResult("loss", 0, verdict == "pass", ulps, fraction, reading),)
    if verdict not in ("pass", "fail"):
        outputs = ()
    return Result(case.id, clauses_by_rarity(case), verdict, message, outputs, 0.01)


def run_of(*results, **fields):
    return Run("torch", {"torch": "2.13.0"}, list(results), 1.5, **fields)


def printed(run, width=100, **options):
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    report.print_run(
        console, run, **{"again": "crossent run torch", "repro": "--adapter torch", **options}
    )
    return out.getvalue()


def test_the_table_counts_a_case_under_what_it_is_about():
    # Named here: which of a case's clauses is the rarest changes with the corpus.
    first = replace(
        result(smoothing=0.5, weight="mixed"),
        clauses=("weight.smoothing.rescales-each-class", "index.mean.divides-by-target-weights"),
    )
    other = replace(
        result("fail", "loss is 2", 3e20, 12.5, weight="mixed"),
        clauses=("index.mean.divides-by-target-weights", "weight.floating"),
    )
    text = printed(run_of(first, other))
    rows = {line.split()[0]: line.split() for line in text.split("\n") if "·" in line}
    assert rows["weight"] == ["weight", "1", "1", *"······", "0.5", "0.25"]
    assert rows["index"] == ["index", "1", "·", "1", *"·····", "3e+20", "12.5"]
    assert rows["all"] == ["all", "cases", "2", "1", "1", *"·····", "3e+20", "12.5"]
    assert len(rows) == 3
    assert "1 cases do not conform, 1 do; 1.5 s" in text


def test_errors_of_what_was_not_judged_are_no_zeros():
    row = printed(run_of(result("crash", "gone"))).split("all cases")[1].split("\n")[0].split()
    assert row == ["1", *"·····", "1", *"···"]


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_but_commands_is_wider_than_the_terminal_and_nothing_has_escapes(width):
    runs = run_of(*(result(verdict, "word " * 60, seed=i) for i, verdict in enumerate(VERDICTS)))
    text = printed(runs, width)
    assert "\x1b" not in text
    for line in text.split("\n"):
        assert line == line.rstrip()
        assert len(line) <= width or "crossent repro" in line
    assert all(verdict in text for verdict in ("accepts", "invalid", "unsup-", "ported", "crash"))


def test_a_wrong_shape_is_no_infinite_error():
    shape = OutputResult("loss", 0, False, math.nan, math.nan, "", "has shape (1,), expected ()")
    gradient = OutputResult("grad.input", 1, True, 0.75, 0.5)
    wrong = replace(result("fail", "loss has shape (1,)"), outputs=(shape, gradient))
    row = printed(run_of(wrong)).split("all cases")[1].split("\n")[0].split()
    assert row[-2:] == ["shape", "0.5"]
    only = replace(wrong, outputs=(shape,))
    row = printed(run_of(only)).split("all cases")[1].split("\n")[0].split()
    assert row[-2:] == ["shape", "·"]
    data = report.to_json(run_of(wrong, only))
    jsonschema.validate(data, SCHEMA)
    assert data["summary"]["ulps"] == 0.75
    # However many outputs fit, what is told is why the others do not.
    assert report.misfit([replace(wrong, outputs=(gradient, gradient, shape))]) == "shape"
    assert report.misfit([replace(wrong, outputs=(gradient,))]) == ""
    assert Run.from_json(data).results[1].outputs[0].misfit == "shape"


def test_one_defect_with_many_cases_does_not_hide_another():
    many = [
        result("fail", f"loss is {i}.5 at [{i}], expected 1.0", weight="mixed", seed=i)
        for i in range(50)
    ]
    other = result("error", "TypeError: no", smoothing=0.5)
    passing = [result(seed=100 + i) for i in range(20)]
    text = printed(run_of(*many, *passing, other))
    assert many[0].case in text
    assert many[1].case in text
    assert many[2].case not in text
    assert "... and 48 more like it" in text
    assert other.case in text
    assert "TypeError: no" in text


def test_failures_name_the_likeliest_clause_and_its_words():
    failing = [
        result("fail", "loss is 1", reduction="mean", weight="mixed", seed=i) for i in (1, 2)
    ]
    passing = [result(reduction="mean", seed=i) for i in (3, 4)]
    passing += [result(reduction="sum", weight="mixed", seed=i) for i in (5, 6)]
    ((verdict, clause, form),) = failure_kinds([*failing, *passing])
    assert (verdict, form) == ("fail", "loss is #")
    assert clause == "index.mean.divides-by-target-weights"
    text = " ".join(printed(run_of(*failing, *passing)).split())
    assert f"departs, most likely, from {clause} (page 002): “" in text


def test_a_second_failure_of_one_clause_waits_for_the_first_of_another():
    results = [
        result("fail", "loss is 1", weight="mixed"),
        result("accepts-invalid", "did not", weight="mixed", seed=1),
        result("error", "TypeError", smoothing=0.5),
        *(result(seed=i) for i in range(5)),
    ]
    verdicts = [kind[0] for kind in failure_kinds(results)]
    assert verdicts == ["fail", "error", "accepts-invalid"]


def test_the_number_of_failures_shown_is_limited():
    runs = run_of(*(result("error", f"{letter}Error", seed=ord(letter)) for letter in "abcdef"))
    text = printed(runs, limit=2)
    assert text.count("crossent repro") == 2
    assert "... and 4 more kinds of failure" in text
    assert "crossent repro" not in printed(runs, limit=0)
    pairs = run_of(*(result("error", f"{'ab'[seed // 2]}Error", seed=seed) for seed in range(4)))
    assert printed(pairs, limit=3).count("crossent repro") == 3
    more = run_of(
        *(result("error", f"{letter}Error", seed=ord(letter)) for letter in "abcdefghijk")
    )
    assert printed(more).count("crossent repro") == 10


def test_a_program_without_scripts_is_run_again_instead():
    case = result("fail", "wrong")
    text = printed(run_of(case), again="crossent run --command x", repro="")
    assert f"crossent run --command x -k '{case.case}'" in text


def test_a_long_message_loses_its_middle():
    text = printed(run_of(result("crash", "\n".join(f"line {i}" for i in range(99)))))
    assert "line 0\n" in text
    assert "line 98\n" in text
    assert "line 50\n" not in text


def test_readings_are_counted():
    runs = run_of(*(result(reading="NaN", seed=i) for i in range(3)), result(reading="zero"))
    assert "it chose:\n    3 × NaN\n    1 × zero\n" in printed(runs)


def test_a_reading_is_printed_with_the_question_and_why_it_is_open():
    names = ("ignored sample is absent", "NaN", "ignored NaN spreads (NaN·0)")
    text = printed(run_of(*(result(reading=name, seed=i) for i, name in enumerate(names))))
    both = "    1 × ignored sample is absent\n    1 × ignored NaN spreads (NaN·0)\n      open (page"
    assert both in text
    words = " ".join(text.split())
    assert "“does not contribute to the input gradient”" in words
    assert words.count("neither outranks the other.") == 1


def test_a_clean_run_says_what_it_did_not_test():
    text = printed(run_of(result(), result("unsupported", "no", seed=1)))
    assert "conforms in all 1 cases, 1 are unsupported; 1.5 s" in text
    assert "torch: torch 2.13.0" in text
    assert "incomplete" not in text
    assert "incomplete" in printed(run_of(result(), complete=False))


def test_markup_in_messages_stays_as_it_is():
    assert "[bold]x[/bold] :smile:" in printed(run_of(result("error", "[bold]x[/bold] :smile:")))


@pytest.mark.parametrize("ulps", [0.5, float("inf")])
def test_the_file_keeps_to_its_schema(tmp_path, ulps):
    runs = run_of(
        result(ulps=ulps, fraction=ulps),
        *(result(verdict, "why", seed=i) for i, verdict in enumerate(VERDICTS)),
    )
    runs.results.append(
        replace(runs.results[0], outputs=(OutputResult("call", 0, True, reading="refused"),))
    )
    path = tmp_path / "result.json"
    path.write_text("old")
    report.write_json(runs, path)
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
    data = json.loads(path.read_text(), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(data, SCHEMA)
    assert data["schema"] == SCHEMA["$id"] == report.SCHEMA
    assert data["summary"]["cases"] == len(data["results"]) == 9
    assert data["summary"]["ulps"] == (ulps if ulps == 0.5 else "inf")
    assert data["results"][0]["clauses"]


def test_an_empty_run_keeps_to_its_schema_too():
    jsonschema.validate(report.to_json(run_of(complete=False)), SCHEMA)


def test_seconds_are_written_to_the_thousandth():
    assert report.to_json(Run("torch", seconds=1.23456))["seconds"] == 1.235


def test_the_schema_knows_every_verdict():
    assert tuple(SCHEMA["$defs"]["verdict"]["enum"]) == VERDICTS


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_text("old")
    monkeypatch.setattr(report.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        report.write_json(run_of(result()), path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_middle_of_a_message_is_left_out_and_its_empty_lines_stay_empty():
    lines = [str(i) * 500 for i in range(10, 30)]
    cut = [line[:400] for line in lines]
    assert report.clip("\n".join(lines)) == "\n".join([*cut[:6], "[...]", *cut[-6:]])
    assert report.clip("\n".join(lines[:12])) == "\n".join(cut[:12])
    assert report.clip("\n".join(lines[:13])) == "\n".join([*cut[:6], "[...]", *cut[7:13]])
    text = printed(run_of(result("crash", "gone; stderr ends:\n\nwords")))
    assert "\n    gone; stderr ends:\n\n    words\n" in text


def test_what_is_expected_is_counted_and_not_shown():
    known, news = result("fail", "old", seed=1), result("fail", "new", seed=2)
    text = printed(run_of(known, news), expected={known.case})
    assert known.case not in text
    assert news.case in text
    assert "2 cases do not conform, 0 do; 1.5 s" in text


def test_a_loss_that_was_judged_alone_is_told():
    text = printed(run_of(result("pass", "no gradient"), result(seed=1)))
    assert "conforms in all 2 cases (1 by the loss alone); 1.5 s" in text


def test_a_command_stands_on_one_line_on_any_terminal():
    case = result("fail", "wrong")
    text = printed(run_of(case), width=40)
    assert f"\n    crossent repro '{case.case}' --adapter torch\n" in text
    long = result("fail", "wrong", weight="mixed", smoothing=0.25, layout="transposed")
    assert f"\nfail  {long.case}\n" in printed(run_of(long), width=40)
    out = io.StringIO()
    report.print_run(Console(file=out, width=40), run_of(case), again="crossent run x")
    assert f"\n    crossent run x -k '{case.case}'\n" in out.getvalue()


@pytest.mark.parametrize(("count", "words"), [(2, None), (3, "and 1 more like it"), (4, "and 2")])
def test_what_is_alike_is_counted(count, words):
    text = printed(run_of(*(result("fail", "loss is 2", seed=i) for i in range(count))))
    assert text.count("crossent repro") == 2
    assert words in text if words else "like it" not in text


def test_failures_are_red_and_what_is_good_is_green():
    styles = {
        str(column.header).replace("\n", " "): column.style
        for column in report.table([result()], gap=1).columns
    }
    assert styles == {
        "clauses": "", "cases": "", "pass": "green", "fail": "red", "error": "red",
        "accepts invalid": "red", "unsup- ported": "yellow", "crash": "red", "time- out": "red",
        "worst ulps": "", "worst of bound": "",
    }  # fmt: skip
    for verdict, code in (("pass", "1;32"), ("fail", "1;31")):
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, color_system="standard", highlight=False)
        given = result(verdict, reading="ignored sample is absent")
        report.print_run(console, run_of(given), again="crossent run x")
        assert out.getvalue().splitlines()[-1].startswith(f"\x1b[{code}m")
        if verdict == "fail":
            assert "\x1b[1;31mfail\x1b[0m  ce/" in out.getvalue()
            assert "\x1b[36m    crossent run x" in out.getvalue()
            assert f"\x1b[1m{result().clauses[0]}\x1b[0m" in out.getvalue()
        else:
            assert "\x1b[2mopen (page " in out.getvalue()
        report.print_run(console, run_of(result(verdict), complete=False), again="x")
        assert out.getvalue().splitlines()[-1].startswith("\x1b[1;31mThe run is incomplete")


def test_the_console_is_plain_and_wide_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert report.console().width == 100
    report.console().print("a 1.5 'b' " * 11)
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    made = report.console()
    assert made.width == 60
    monkeypatch.setenv("FORCE_COLOR", "1")
    report.console().print("1.5")
    assert capsys.readouterr().out == "1.5\n"


def test_the_file_is_readable_text_and_says_nothing_of_no_fingerprint(tmp_path):
    report.write_json(run_of(result("fail", "loss is ∞")), tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text(encoding="utf-8")
    assert text.startswith('{\n "schema": "')
    assert "loss is ∞" in text
    with pytest.raises(ValueError, match="JSON"):
        report.write_json(replace(run_of(), seconds=math.nan), tmp_path / "r.json")
    assert "fingerprint" not in text
    assert report.to_json(run_of(fingerprint={"suite": "1"}))["fingerprint"] == {"suite": "1"}


def test_every_word_of_the_report():
    results = [
        result(),
        result("fail", "loss is 2, expected 1", 3e20, 12.5, weight="mixed"),
        result("unsupported", "no", seed=1),
        result("timeout", "no reply", seed=5),
        result(reading="ignored sample is absent", seed=7),
    ]
    text = printed(run_of(*results, complete=False), width=90)
    assert [line.rstrip() for line in text.split("\n")] == WHOLE.split("\n")


WHOLE = """\
                                                                                     worst
                                          accep…   unsup-           time-   worst       of
clauses     cases   pass   fail   error   inval…   ported   crash     out    ulps    bound
──────────────────────────────────────────────────────────────────────────────────────────
index           1      ·      1       ·        ·        ·       ·       ·   3e+20     12.5
reduction       4      2      ·       ·        ·        1       ·       1     0.5     0.25
──────────────────────────────────────────────────────────────────────────────────────────
all cases       5      2      1       ·        ·        1       ·       1   3e+20     12.5

fail  ce/index/4x10/f32/default,weight=mixed
    loss is 2, expected 1
    crossent repro 'ce/index/4x10/f32/default,weight=mixed' --adapter torch
    departs, most likely, from index.mean.divides-by-target-weights (page 002):
    “<code>'mean'</code>: the weighted mean of the output is taken”

timeout  ce/index/4x10/f32/default,seed=5
    no reply
    crossent repro 'ce/index/4x10/f32/default,seed=5' --adapter torch
    departs from no statement of the pages more likely than from another

Where a page leaves the result open, it chose:
    1 × ignored sample is absent
      open (page 002): an ignored sample whose log softmax is NaN, from a NaN or an
      infinity among its logits. In words an ignored target “does not contribute to the
      input gradient”, so its NaN stays out of the loss and of every gradient. But the
      formula does not leave the sample out: it multiplies log softmax by 0, and NaN·0 is
      NaN; and the page calls the loss equivalent to LogSoftmax followed by NLLLoss, whose
      gradients are multiplied in the same way, so that the gradient of the ignored row is
      NaN·0 too. Neither sentence speaks of NaN, and neither outranks the other.

torch: torch 2.13.0
2 cases do not conform, 2 do, 1 are unsupported; 1.5 s
The run is incomplete: it was stopped before the last case.
"""
