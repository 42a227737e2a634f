"""Several frameworks in one table: columns, cells, and its forms as text."""

import io
import json
import math
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

import conformance
from conformance import cli, report, runner, selection
from conformance.case import Case
from conformance.clauses import CATALOGUE
from conformance.driver import Program, Unavailable
from conformance.matrix import cli as matrix_cli
from conformance.matrix import columns, page, scripts, table
from conformance.protocol import Unsupported
from conformance.result import Result, Run
from tests.conformance.test_cli import CASES, invoke
from tests.conformance.test_report import result

SCHEMA = json.loads(
    (Path(conformance.__file__).parent / "schemas" / "matrix.schema.json").read_text()
)
LINEAR = {"system": "linear", "shape": (4, 8), "classes": (10,)}


def run_of(*results, adapter="torch", **versions):
    return Run(adapter, versions or {"torch": "2.13.0", "numpy": "2"}, list(results), 1.5)


def matrix_of(*runs):
    made = [column for run, note in runs for column in columns.of_run(run, note)]
    return table.Matrix(columns.told_apart(made))


def some():
    first = run_of(
        result(reduction="mean", weight="mixed"),
        result("fail", "loss is 2", 3e20, math.inf, reduction="mean", weight="mixed", seed=1),
        result("unsupported", "no", reduction="mean", smoothing=0.5),
        result(**LINEAR),
    )
    second = run_of(result(reduction="mean", weight="mixed"), adapter="other", other="1.0")
    broken = table.Matrix([columns.Column("gone", problem="No module | named <gone>")])
    return table.Matrix([*matrix_of((first, ""), (second, "")).columns, *broken.columns])


def test_there_is_a_column_for_each_system_of_a_run():
    titles = [column.title for column in some().columns]
    assert titles == ["torch 2.13.0 ce", "torch 2.13.0 linear", "other 1.0 ce", "gone"]


@pytest.mark.parametrize(
    ("adapter", "versions", "version"),
    [
        ("torch", {"torch": "2.13.0+cpu", "numpy": "2"}, "2.13.0+cpu"),
        ("jax", {"optax": "0.2.8", "jax": "0.12"}, "optax 0.2.8"),
        ("embedded", {"crossent-spec": "1", "numpy": "2", "python": "3"}, ""),
        ("torch==1.13.1", {"torch": "1.13.1", "numpy": "2"}, "1.13.1"),
    ],
)
def test_a_column_names_its_framework(adapter, versions, version):
    assert columns.Column(adapter, "ce", versions).version == version


def test_columns_that_are_alike_are_told_apart_by_their_files():
    run, other = run_of(result()), run_of(result(), adapter="other", other="1")
    made = matrix_of((run, "first"), (run, "second"), (other, "third"))
    assert [column.note for column in made.columns] == ["first", "second", ""]


def test_cells_count_what_was_judged_and_tell_the_worst_error():
    made = some()
    cells = dict(made.rows())
    assert list(cells) == [*made.groups, table.TOTAL]
    order = [clause.group for clause in CATALOGUE]
    assert made.groups == sorted(made.groups, key=order.index)
    index = cells["index"]
    assert [cell and (cell.passed, cell.judged, cell.state) for cell in index] == [
        (1, 2, "failing"), None, (1, 1, "passing"), None,
    ]  # fmt: skip
    assert table.lines(index[0]) == ("1/2", "∞ · 3e20u")
    assert table.lines(index[2]) == ("1/1", "0.25 · 0.5u")
    assert table.lines(cells["smoothing"][0]) == ("unsup.", "")
    assert table.lines(None) == ("·", "")
    assert cells[table.TOTAL][0].judged == 2


def test_a_cell_names_a_wrong_shape_and_no_error_for_it():
    bad = conformance.result.OutputResult(
        "loss", 0, False, math.nan, math.nan, "", "has shape (1,), expected ()"
    )
    wrong = replace(result("fail", "loss has shape"), outputs=(bad,))
    alone = matrix_of((run_of(wrong), ""))
    assert table.lines(alone.columns[0].total) == ("0/1", "shape")
    beside = matrix_of((run_of(wrong, result(seed=1)), ""))
    assert table.lines(beside.columns[0].total) == ("1/2", "0.25 · shape")
    assert "values of wrong shape" in page.render(beside, {})


@pytest.mark.parametrize("width", [40, 80, 400])
def test_the_table_is_split_where_the_terminal_is_narrow(width):
    out = io.StringIO()
    table.print_matrix(Console(file=out, width=width, highlight=False), some())
    text = out.getvalue()
    parts = text.count("clauses")
    assert parts == (1 if width == 400 else parts)
    assert parts >= (2 if width == 40 else 1)
    for words in ("torch", "linear", "other", "cannot be run", "1/2", "No module | named <gone>"):
        assert words in text
    headings = text[: text.rindex("example") if "example" in text else None]
    assert all(len(line) <= max(width, 44) for line in headings.split("\n") if "gone" not in line)


def test_json_keeps_to_its_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    made = some()
    data = json.loads(table.json_text(made), parse_constant=pytest.fail)
    jsonschema.validate(data, SCHEMA)
    assert data["schema"] == SCHEMA["$id"] == table.SCHEMA
    first, _, _, gone = data["columns"]
    assert first["system"] == "torch.nn.CrossEntropyLoss"
    assert first["cells"]["index"]["failing"] == [made.columns[0].results[1].case]
    assert first["cells"]["index"]["bound_fraction"] == "inf"
    assert gone["problem"] == "No module | named <gone>"
    assert gone["system"] is None
    jsonschema.validate(table.to_json(table.Matrix([])), SCHEMA)


def test_markdown_is_a_table_that_nothing_of_a_framework_breaks():
    text = table.markdown(some())
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert len({len(line.replace("\\|", "").split("|")) for line in rows}) == 1
    assert "❌ **1/2**<br>∞ · 3e20u" in text
    assert "**gone** cannot be run: No module \\| named \\<gone\\>" in text


# Result files


def file_of(tmp_path, run, name="result.json"):
    path = tmp_path / name
    report.write_json(run, path)
    return path


def test_a_result_file_is_read_as_it_was_written(tmp_path):
    run = run_of(
        result("fail", "loss is 2", math.inf, math.nan, reading="x"),
        result("crash", "gone", seed=1),
        result(ulps=0.123456, fraction=1e-3, seed=2),
    )
    run.complete = False
    again = columns.read(file_of(tmp_path, run))
    assert str(again) == str(run)  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(schema="urn:x"), "is no result file"),
        (lambda data: data.pop("results"), "KeyError: 'results'"),
        (lambda data: data["results"][0].update(case="ce/x"), "case id: got 'ce/x'"),
        (lambda data: data["results"][0].update(clauses=["no.such"]), "clause: got 'no.such'"),
        (lambda data: data["results"][0].update(clauses=[]), "has no clause"),
        (lambda data: data["results"][0].update(verdict="fine"), "verdict: got 'fine'"),
        (lambda data: data["results"][0].pop("outputs"), "KeyError: 'outputs'"),
        (lambda data: data.update(results=[7]), "TypeError"),
        (lambda data: data.update(summary=7), "AttributeError"),
    ],
)
def test_what_is_no_result_file_is_refused_before_anything_runs(tmp_path, change, words):
    path = file_of(tmp_path, run_of(result()))
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    error = invoke("matrix", "embedded", path, code=2).stderr
    assert f"{path}: " in error
    assert words in error


def test_other_usage_errors(tmp_path):
    (tmp_path / "x.json").write_text("{")
    assert "Expecting property" in invoke("matrix", tmp_path / "x.json", code=2).stderr
    assert "No such file" in invoke("matrix", tmp_path / "y.json", code=2).stderr
    assert "no adapter named 'x'" in invoke("matrix", "x", code=2).stderr
    error = invoke("matrix", "--html", tmp_path / "no" / "x.html", code=2).stderr
    assert "--html: there is no folder" in error
    assert "-k no-thing: no case" in invoke("matrix", "-k", "no-thing", code=2).stderr


# The command


@pytest.fixture
def few_cases(monkeypatch):
    monkeypatch.setattr(selection, "corpus", lambda quick=False: CASES[:2] if quick else CASES)


@pytest.mark.usefixtures("few_cases")
def test_frameworks_are_run_and_files_read_and_what_is_missing_stops_nothing(tmp_path):
    path = file_of(tmp_path, run_of(result("fail", "no"), adapter="other", other="1"))
    (tmp_path / "gone.py").write_text("import no_such_framework")
    files = {name: tmp_path / f"matrix.{name}" for name in ("json", "html", "markdown")}
    options = [item for name, file in files.items() for item in (f"--{name}", file)]
    outcome = invoke("matrix", tmp_path / "gone.py", "embedded", path, "-j", 1, *options)
    assert "No module named 'no_such_framework'" in outcome.stdout
    data = json.loads(files["json"].read_text())
    jsonschema.validate(data, SCHEMA)
    told = [
        (column["adapter"], column["system"], column["total"]["pass"]) for column in data["columns"]
    ]
    assert told == [
        (str(tmp_path / "gone.py"), None, 0),
        ("embedded", "torch.nn.CrossEntropyLoss", 5),
        ("embedded", "torch.nn.LinearCrossEntropyLoss", 1),
        ("other", "torch.nn.CrossEntropyLoss", 0),
    ]
    assert "| clauses |" in files["markdown"].read_text()
    assert files["html"].read_text().startswith("<!doctype html>")


@pytest.mark.usefixtures("few_cases")
def test_a_full_disk_loses_no_table(tmp_path):
    path = file_of(tmp_path, run_of(result(), adapter="other", other="1"))
    (tmp_path / "full").symlink_to("/dev/full")
    written = tmp_path / "matrix.md"
    full = [item for name in ("json", "html") for item in (f"--{name}", tmp_path / "full")]
    outcome = invoke("matrix", path, *full, "--markdown", written, code=2)
    assert table.TOTAL in outcome.stdout
    for option in ("--json", "--html"):
        words = f"{option}: {tmp_path / 'full'} cannot be written: No space left on device"
        assert words in outcome.stderr
    assert "| clauses |" in written.read_text()


@pytest.mark.usefixtures("few_cases")
def test_files_are_narrowed_as_runs_are(tmp_path):
    results = [result(**vars(case)) for case in CASES]
    path = file_of(tmp_path, run_of(*results))
    text = invoke("matrix", path, "-k", CASES[0].id).stdout
    assert re.search(rf"{table.TOTAL} +1/1\n", text)
    text = invoke("matrix", path, "--quick").stdout
    assert re.search(rf"{table.TOTAL} +2/2\n", text)


@pytest.mark.usefixtures("few_cases")
def test_a_framework_that_is_about_other_systems_has_a_column_that_says_so(monkeypatch):
    def run(*_, **__):
        raise runner.NothingToRunError("x.loss")

    monkeypatch.setattr(runner, "run", run)
    assert "it implements x.loss, which no case is about" in invoke("matrix").stdout


def test_the_interrupted_matrix_shows_what_there_is(monkeypatch):
    def run(program, *_, **__):
        signal.raise_signal(signal.SIGINT)
        return Run(program.name, {}, [result()], 1.0, complete=False)

    monkeypatch.setattr(runner, "run", run)
    text = invoke("matrix", "embedded", "torch", code=130).stdout
    assert "the run is incomplete" in text
    assert "torch" not in text


def test_a_framework_that_cannot_be_started_again_does_not_stop_the_others(monkeypatch):
    def run(program, *_, **__):
        return Run(program.name, {}, [result()], 1.0, complete=False)

    monkeypatch.setattr(runner, "run", run)
    text = invoke("matrix", "embedded", "torch").stdout
    assert "embedded ce: the run is incomplete" in text
    assert "torch ce: the run is incomplete" in text


def test_a_defect_of_the_suite_is_told_after_what_there_is(monkeypatch, tmp_path):
    def run(program, *_, **__):
        made = Run(program.name, {}, [result()], 1.0, complete=False)
        if program.name == "embedded":
            raise runner.HarnessError("a defect of ours", made)
        return made

    monkeypatch.setattr(runner, "run", run)
    path = tmp_path / "matrix.json"
    outcome = invoke("matrix", "embedded", "torch", "--json", path, code=3)
    assert "a defect of ours" in outcome.stderr
    assert len(json.loads(path.read_text())["columns"]) == 2


# Scripts


def failing(**fields):
    return result("fail", "forward (step 0): loss is 1, expected 2 ± 0.1", **fields)


def test_of_each_kind_of_failure_in_each_cell_the_smallest_case_has_a_script():
    big, small = (
        failing(reduction="mean", weight="mixed", shape=(64, 10)),
        failing(reduction="mean", weight="mixed"),
    )
    other = result("error", "TypeError", reduction="mean", smoothing=0.5)
    (column,) = columns.of_run(run_of(big, small, other, result()))
    assert set(scripts.chosen(column, 9)) == {small.case, other.case}
    assert len(scripts.chosen(column, 1)) == 1
    assert scripts.chosen(column, 0) == []


def test_scripts_are_written_by_one_process(monkeypatch):
    cases = [Case(reduction="mean", weight="mixed"), Case(reduction="mean", smoothing=0.5)]
    made = [Result(case.id, ("index.mean.formula",), verdict, verdict) for case, verdict in
            zip(cases, ("fail", "error"), strict=True)]  # fmt: skip
    (column,) = columns.of_run(run_of(*made, adapter="embedded"))
    told = scripts.write(column, scripts.program_of("embedded"), 5)
    assert set(told) == {case.id for case in cases}
    for name, script in told.items():
        compile(script.text, "repro.py", "exec")
        assert f"crossent repro '{name}' --adapter embedded" in script.text
    monkeypatch.setattr(scripts, "SIZE_LIMIT", 100)
    for script in scripts.write(column, scripts.program_of("embedded"), 5).values():
        assert script.text == ""
        assert "kB; this prints it" in script.note


@pytest.mark.parametrize(
    ("error", "words"),
    [(Unavailable("no torch"), "could not be run"), (Unsupported("not this"), "not this")],
)
def test_where_there_is_no_script_the_page_says_why(monkeypatch, error, words):
    def refuse(*_):
        raise error
        yield

    monkeypatch.setattr(scripts.repro, "scripts", refuse)
    (column,) = columns.of_run(run_of(failing()))
    (script,) = scripts.write(column, Program("x", ("x",)), 5).values()
    assert words in script.note
    assert "no adapter of that name" in next(iter(scripts.write(column, None, 5).values())).note


def test_nothing_that_a_file_names_is_run(tmp_path):
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for name in (str(evil), f"{sys.executable} {evil}", "no-such"):
        assert scripts.program_of(name) is None


@pytest.mark.parametrize(
    ("adapter", "what", "command"),
    [
        (
            "torch",
            "ce/index/4x10/f32/mean",
            "crossent repro ce/index/4x10/f32/mean --adapter torch",
        ),
        ("torch==1.13.1", "index.*", "crossent run 'torch==1.13.1' -k 'index.*'"),
        ("./a b.py", "ce/x", "crossent repro ce/x --adapter './a b.py'"),
        ("node x.mjs", "ce/x", "crossent run --command 'node x.mjs' -k ce/x"),
    ],
)
def test_commands_are_what_a_shell_takes(adapter, what, command):
    assert scripts.command(columns.Column(adapter), what).replace("torch==1.13.1", "@").replace(
        "'@'", "@"
    ) == command.replace("torch==1.13.1", "@").replace("'@'", "@")


def test_matrix_is_a_command():
    assert matrix_cli.matrix.name in cli.main.commands
