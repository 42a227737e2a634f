"""``crossent matrix`` around runs and scripts, which fakes stand for."""

import json
import signal

import pytest
from click.testing import CliRunner

from conformance import report, runner, selection
from conformance.case import Case
from conformance.cli import main
from conformance.driver import Hello, Unavailable
from conformance.matrix import page, scripts, table
from conformance.result import Run
from tests.conformance import screen as screens
from tests.conformance.test_report import result

screen = screens.screen
CASES = [Case(reduction="mean"), Case(reduction="mean", smoothing=0.5)]


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Replace each run by one whose first case fails, and keep what it was asked."""
    asked = []

    def run(program, cases, **options):
        asked.append((program, cases, options))
        options["on_start"](Hello(f"hello of {program.name}", (), {}), len(cases))
        results = [result("fail", "no", reduction="mean"), result(reduction="mean", smoothing=0.5)]
        for item in results:
            options["on_result"](item)
        return Run(program.name, {}, results, 1.0)

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(selection, "corpus", lambda quick=False: CASES[:1] if quick else CASES)
    return asked


def invoke(*arguments, code=0):
    words = ["matrix", *map(str, arguments)]
    outcome = CliRunner().invoke(main, words, terminal_width=200)
    assert outcome.exit_code == code, outcome.output
    return outcome


def file_of(path, verdict="pass", adapter="other"):
    results = [result(verdict, **vars(case)) for case in CASES]
    report.write_json(Run(adapter, {}, results, 1.0), path)
    return path


def told(folder, *arguments, **options):
    file = folder / "told.json"
    invoke(*arguments, "--json", file, **options)
    columns = json.loads(file.read_text())["columns"]
    return [(column["adapter"], column["total"]["cases"]) for column in columns]


def test_help_says_what_options_take_and_their_defaults():
    text = " ".join(invoke("--help").output.split())
    for words in (
        "[OPTIONS] [ADAPTER|RESULT.json]...",
        "-k PATTERN Only cases that PATTERN selects",
        "--json FILE Write JSON.",
        "--markdown FILE Write Markdown.",
        "--html FILE Write one HTML page.",
        "--scripts N How many reproduction scripts",
        "[default: 20; x>=0]",
        "--timeout SECONDS What a framework may take for one case.",
        "-j, --jobs INTEGER",
    ):
        assert words in text, words


def test_everything_asked_for_reaches_each_run(asked, tmp_path):
    adapters = told(tmp_path, "embedded", "torch", "--timeout", 3, "-j", 5, "--quick")
    assert adapters == [("embedded", 2), ("torch", 2)]
    assert [program.name for program, _, _ in asked] == ["embedded", "torch"]
    for _, cases, options in asked:
        assert cases == CASES[:1]
        assert (options["timeout"], options["jobs"]) == (3.0, 5)
        assert not options["stop"].requested
    invoke("-k", CASES[1].id)
    program, cases, options = asked[-1]
    assert program.name == "embedded"
    assert cases == CASES[1:]
    assert (options["timeout"], options["jobs"]) == (runner.TIMEOUT, None)


def test_what_is_named_twice_is_run_once_in_its_first_place(asked, tmp_path):
    file = file_of(tmp_path / "r.json")
    sources = ("torch", file, "embedded", "torch", file)
    assert [name for name, _ in told(tmp_path, *sources)] == ["torch", "other", "embedded"]
    assert len(asked) == 2


def test_a_file_is_narrowed_to_the_chosen_cases(tmp_path):
    file = file_of(tmp_path / "r.json", "fail")
    first, second = (case.id for case in CASES)

    def failing(*options):
        invoke(file, *options, "--json", tmp_path / "told.json")
        (column,) = json.loads((tmp_path / "told.json").read_text())["columns"]
        return sorted({case for cell in column["cells"].values() for case in cell["failing"]})

    assert failing() == sorted([first, second])
    assert failing("--quick") == [first]
    assert failing("-k", second) == [second]
    assert failing("-k", Case(shape=(2, 2)).id, "-k", first) == [first]


def test_columns_that_are_alike_have_their_files_names(tmp_path):
    files = [file_of(tmp_path / f"{name}.json") for name in ("first", "second")]
    text = invoke(*files, "--json", tmp_path / "told").stdout
    assert "first" in text
    assert "second" in text
    assert ".json" not in text


@pytest.mark.parametrize("option", ["--json", "--markdown", "--html"])
def test_a_file_is_refused_before_the_work_by_the_option_that_names_it(asked, tmp_path, option):
    missing = tmp_path / "no" / "file"
    words = f"Error: {option}: there is no folder {missing.parent}\n"
    assert invoke(option, missing, code=2).stderr == words
    assert asked == []


def test_what_is_no_source_is_refused_before_anything_runs(asked, tmp_path):
    (tmp_path / "x.json").write_text("{")
    error = invoke("embedded", tmp_path / "x.json", code=2).stderr
    assert error.startswith(f"Error: {tmp_path / 'x.json'}: ")
    assert "no adapter named 'x'" in invoke("embedded", "x", code=2).stderr
    assert "-k no-thing: no case" in invoke("-k", "no-thing", code=2).stderr
    assert asked == []


def test_each_file_holds_the_table_in_its_own_form(tmp_path):
    names = ("json", "markdown", "html")
    options = [item for name in names for item in (f"--{name}", tmp_path / name)]
    invoke("torch", "--scripts", 0, *options)
    assert json.loads((tmp_path / "json").read_text())["schema"] == table.SCHEMA
    assert (tmp_path / "markdown").read_text().startswith("|")
    assert (tmp_path / "html").read_text().startswith("<!doctype html>")


def test_what_cannot_be_written_is_told_after_the_table(tmp_path):
    (tmp_path / "full").symlink_to("/dev/full")
    names = ("json", "markdown", "html")
    options = [item for name in names for item in (f"--{name}", tmp_path / "full")]
    outcome = invoke(*options, "--scripts", 0, code=2)
    reason = f"{tmp_path / 'full'} cannot be written: No space left on device\n"
    assert outcome.stderr == "Error: " + "".join(f"--{name}: {reason}" for name in names)
    assert table.TOTAL in outcome.stdout


def test_defects_come_with_what_could_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "full").symlink_to("/dev/full")

    def run(program, *_, **__):
        made = Run(program.name, {}, [result()], 1.0, complete=False)
        raise runner.HarnessError(f"a defect in {program.name}", made)

    monkeypatch.setattr(runner, "run", run)
    outcome = invoke("torch", "embedded", "--json", tmp_path / "full", code=3)
    assert outcome.stderr == (
        "Error: a defect in torch\na defect in embedded\n"
        f"--json: {tmp_path / 'full'} cannot be written: No space left on device\n"
    )
    assert "torch ce: the run is incomplete" in outcome.stdout
    assert "embedded ce: the run is incomplete" in outcome.stdout


def test_what_cannot_be_run_has_a_column_that_says_why(monkeypatch, tmp_path):
    def run(program, *_, **__):
        if program.name != "embedded":
            raise Unavailable("no GPU")
        raise runner.NothingToRunError("x.loss")

    monkeypatch.setattr(runner, "run", run)
    file = tmp_path / "m.json"

    def problems(*sources):
        invoke(*sources, "--json", file)
        columns = json.loads(file.read_text())["columns"]
        assert [column["adapter"] for column in columns] == list(map(str, sources))
        return [column["problem"] for column in columns]

    nothing = "it implements x.loss, which no case is about"
    found = problems("torch", "embedded")
    assert found[1] == nothing
    first, remedy = found[0].split("\n")
    assert first == "no GPU"
    assert remedy == "build its environment: crossent env create torch"
    (tmp_path / "mine.py").write_text("")
    assert problems(tmp_path / "mine.py") == ["no GPU"]


def test_a_wish_to_stop_ends_the_runs_and_files_are_still_read(monkeypatch, tmp_path):
    def run(program, *_, stop, **__):
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        return Run(program.name, {}, [result()], 1.0, complete=False)

    monkeypatch.setattr(runner, "run", run)
    file = file_of(tmp_path / "r.json")
    adapters = told(tmp_path, "embedded", "torch", file, code=130)
    assert adapters == [("embedded", 1), ("other", 2)]


# The page's scripts.


def test_the_page_has_as_many_scripts_of_each_column_as_asked_for(monkeypatch, tmp_path, screen):
    seen, pages = [], []

    def write(column, program, limit, advance):
        seen.append((column.adapter, program and program.command[0], limit))
        made = scripts.chosen(column, limit)
        for _ in made:
            advance()
        return {case: scripts.Script(f"script of {column.adapter}") for case in made}

    monkeypatch.setattr(scripts, "write", write)
    monkeypatch.setattr(page, "render", lambda *given: pages.append(given) or "the page")
    unknown = file_of(tmp_path / "r.json", adapter="somebody's")
    html = ("--html", tmp_path / "page.html")
    invoke("torch==2.13.0", "embedded", unknown, *html)
    assert [(name, limit) for name, _, limit in seen] == [
        ("torch==2.13.0", 20), ("embedded", 20), ("somebody's", 20),
    ]  # fmt: skip
    assert seen[0][1] is not None
    assert seen[2][1] is None
    ((made, found),) = pages
    assert [column.adapter for column in made.columns] == [
        "torch==2.13.0",
        "embedded",
        "somebody's",
    ]
    failing = CASES[0].id
    assert {key: script.text for key, script in found.items()} == {
        (0, failing): "script of torch==2.13.0",
        (1, failing): "script of embedded",
    }
    assert (tmp_path / "page.html").read_text() == "the page\n"
    assert screen.last_line() == "scripts | 2/2"
    invoke("--scripts", 0, *html)
    assert seen[-1] == (*seen[1][:2], 0)
    assert pages[-1][1] == {}


def test_a_terminal_shows_how_a_run_goes(screen, monkeypatch):
    invoke()
    assert screen.last_line() == "hello of embedded | 2/2 1 not conforming"
    monkeypatch.setattr(runner, "run", lambda program, *_, **__: Run(program.name))
    invoke()
    assert screen.last_line() == "starting | 0/2 "
