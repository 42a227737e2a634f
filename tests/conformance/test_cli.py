"""The command line; the cases are few, everything else is real."""

import ast
import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from conformance import adapters, cli, repro, runner, selection
from conformance.case import SYSTEMS, Case
from conformance.clauses import CATALOGUE, by_id, clauses_of
from conformance.driver import Hello, Unavailable
from conformance.protocol import Unsupported
from conformance.result import Result, Run
from tests.conformance import fakes
from tests.conformance.test_report import SCHEMA

EXAMPLE = Path(__file__).parent / "adapters" / "example.mjs"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
CASES = [
    Case(reduction="mean", dtype="f64"),
    Case(reduction="mean", dtype="f64", smoothing=0.1),
    Case(reduction="sum", shape=(3,), dtype="f64"),
    Case(reduction="mean", target="prob"),
    Case(reduction="mean", weight="mixed"),
    Case(system="linear", shape=(4, 8), classes=(10,)),
]


@pytest.fixture(autouse=True)
def few_cases(monkeypatch):
    monkeypatch.setattr(selection, "corpus", lambda quick=False: CASES[:2] if quick else CASES)


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert outcome.exit_code == code, outcome.output
    return outcome


@pytest.fixture
def fake_run(monkeypatch):
    """Replace the run by one that gives every case the verdict that the test asks for."""
    asked = {}

    def run(program, cases, **options):
        asked.update(program=program, cases=cases, **options)
        options["on_start"](Hello("fake", (), {}), len(cases))
        results = [Result(case.id, clauses_of(case), asked["verdict"], "because") for case in cases]
        for result in results:
            options["on_result"](result)
        if "defect" in asked:
            raise runner.HarnessError(asked["defect"], Run(program.name, complete=False))
        return Run(program.name, {}, results, 1.0, asked.get("complete", True))

    monkeypatch.setattr(runner, "run", run)
    asked["verdict"] = "pass"
    return asked


def test_the_embedded_implementation_is_judged_without_arguments(tmp_path):
    outcome = invoke("run", "-j", 2, "--json", tmp_path / "result.json")
    assert "conforms in all 6 cases" in outcome.stdout
    assert outcome.stderr == ""
    data = json.loads((tmp_path / "result.json").read_text())
    jsonschema.validate(data, SCHEMA)
    assert data["adapter"] == "embedded"
    assert [item["case"] for item in data["results"]] == [case.id for case in CASES]


def test_a_file_that_nobody_registered_is_judged_and_fails():
    outcome = invoke("run", fakes.HOSTILE, "-j", 1, "-k", CASES[2].id, code=1)
    assert f"fail  {CASES[2].id}" in outcome.stdout
    assert f"crossent repro '{CASES[2].id}' --adapter {fakes.HOSTILE}" in outcome.stdout


@needs_node
def test_a_program_of_another_language_is_judged():
    outcome = invoke("run", "--command", f"node {EXAMPLE}", "-j", 1)
    assert "conforms in all 2 cases, 3 are unsupported" in outcome.stdout
    assert "node 2" in outcome.stdout


@needs_node
@pytest.mark.parametrize("layout", ["transposed", "strided", "offset", "reversed", "broadcast"])
def test_the_example_program_reads_every_layout(layout, monkeypatch):
    case = Case(
        dtype="f64", reduction="none", layout=layout, target_layout="strided", grad="mixed",
        grad_layout="reversed", ignored="some",
    )  # fmt: skip
    monkeypatch.setattr(selection, "corpus", lambda *_: [case])
    invoke("run", "--command", f"node {EXAMPLE}", "-j", 1)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("pass", 0), ("unsupported", 0), ("fail", 1), ("crash", 1), ("timeout", 1)],
)
def test_the_exit_code_tells_the_verdict(fake_run, verdict, code):
    fake_run["verdict"] = verdict
    invoke("run", code=code)


def test_an_interrupted_run_is_no_success_and_still_writes_its_file(fake_run, tmp_path):
    fake_run["complete"] = False
    outcome = invoke("run", "--json", tmp_path / "result.json", code=130)
    assert "incomplete" in outcome.stdout
    assert json.loads((tmp_path / "result.json").read_text())["complete"] is False


def test_a_defect_of_the_suite_has_its_own_exit_code(fake_run, tmp_path):
    fake_run["defect"] = "the suite failed in ce/x"
    outcome = invoke("run", "--json", tmp_path / "result.json", code=3)
    assert "the suite failed in ce/x" in outcome.stderr
    assert (tmp_path / "result.json").exists()


def test_any_exception_of_the_suite_has_that_exit_code(monkeypatch):
    monkeypatch.setattr(selection, "corpus", lambda *_: 1 / 0)
    assert "ZeroDivisionError" in invoke("cases", code=3).stderr


def test_options_reach_the_run(fake_run):
    invoke("run", "torch", "--quick", "--timeout", 3, "-j", 5, "--python", "/usr/bin/py")
    assert fake_run["cases"] == CASES[:2]
    assert (fake_run["timeout"], fake_run["jobs"]) == (3.0, 5)
    assert fake_run["program"].name == "torch"
    assert fake_run["program"].command[0] == "/usr/bin/py"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tensorflow"], "no adapter named 'tensorflow'; registered are embedded,"),
        (["./missing.py"], "no adapter file ./missing.py"),
        (["-k", "no-such-thing"], "-k no-such-thing: no case has such an id or clause"),
        (["--json", "/no/such/folder/x.json"], "there is no folder /no/such/folder"),
        (["torch", "--command", "x"], "--command stands alone"),
        (["--command", ""], "the command is empty"),
        (["--command", "'"], "--command: No closing quotation"),
        (["-j", "0"], "0 is not in the range"),
        (["--timeout", "0"], "0.0 is not in the range"),
        ([str(fakes.HOSTILE), "-k", "linear/"], "none of the 1 cases is about that"),
        (["--command", "no-such-program"], "cannot run no-such-program: No such file"),
        (["torch", "--python", "/no/python"], "/no/python: No such file"),
    ],
)
def test_usage_errors_say_what_is_wrong(arguments, text):
    outcome = invoke("run", *arguments, code=2)
    assert text in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_missing_framework_says_what_was_tried_and_what_helps(tmp_path):
    (tmp_path / "adapter.py").write_text("import no_such_framework.nn")
    error = invoke("run", tmp_path / "adapter.py", "--python", sys.executable, code=2).stderr
    assert "cannot be run: ModuleNotFoundError: No module named 'no_such_framework'" in error
    assert f"tried: {sys.executable} " in error
    assert f"{sys.executable} -m pip install no-such-framework" in error
    assert "--python /path/to/python" in error


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (CASES[0].id, [0]),  # not CASES[1], whose id begins alike
        ("ce/index/4x10/f64/mean*", [0, 1]),
        ("smoothing=", [1]),
        ("*/prob/*", [3]),
        ("weight.smoothing", []),
        ("index.mean.divides-by-target-weights", None),
        ("linear.", [5]),
    ],
)
def test_patterns_select_by_case_and_by_clause(pattern, expected):
    if expected == []:
        with pytest.raises(selection.NoMatchError):
            selection.select(CASES, [pattern])
        return
    if expected is None:
        expected = [i for i, case in enumerate(CASES) if pattern in clauses_of(case)]
        assert expected
    assert selection.select(CASES, [pattern]) == [CASES[i] for i in expected]


def test_several_patterns_add_up_in_the_corpus_order():
    assert selection.select(CASES, ["linear/", CASES[2].id]) == [CASES[2], CASES[5]]


def test_a_case_outside_the_corpus_is_selected_by_its_id():
    other = Case(shape=(99, 3))
    assert selection.select(CASES, [other.id, CASES[0].id]) == [CASES[0], other]


def test_what_was_meant_for_an_id_is_told_why_it_is_none():
    patterns = ["ce/", "nothing", "ce/index/4x10/f32/mean,smoothing=1.5"]
    with pytest.raises(selection.NoMatchError) as caught:
        selection.select(CASES, [patterns[0], patterns[2]])
    assert str(caught.value).startswith(f"-k {patterns[2]}: no case has such an id or clause; as")
    assert "got 1.5" in str(caught.value)
    with pytest.raises(selection.NoMatchError) as caught:
        selection.select(CASES, patterns)
    assert str(caught.value) == "-k nothing: no case has such an id or clause"


def test_clauses_are_listed_and_narrowed_down():
    everything = invoke("clauses").stdout
    assert all(clause.id in everything and clause.check in everything for clause in CATALOGUE)
    narrow = json.loads(
        invoke("clauses", "--group", "linear", "--system", "linear", "--json").stdout
    )
    assert {item["group"] for item in narrow} == {"linear"}
    assert narrow[0].keys() >= {"id", "group", "systems", "sources", "check", "formula"}
    assert narrow[0]["sources"][0].keys() == {"page", "words"}
    full = json.loads(invoke("clauses", "--system", "oneflow.nn.CrossEntropyLoss", "--json").stdout)
    assert full == json.loads(invoke("clauses", "--system", "oneflow", "--json").stdout)
    assert {item["id"] for item in full} < {clause.id for clause in CATALOGUE}
    assert "there are input," in invoke("clauses", "--group", "x", code=2).stderr
    assert "there are ce," in invoke("clauses", "--system", "x", code=2).stderr


def test_a_listed_clause_has_its_pages_in_order_and_as_json_every_word():
    clause = by_id("index.mean.divides-by-target-weights")
    pages = " ".join(dict.fromkeys(source.page for source in clause.sources))
    assert " " in pages
    plain = f"{clause.id}  ({pages})\n    {clause.check}\n"
    assert plain in invoke("clauses", "--group", "index").stdout
    colored = CliRunner().invoke(cli.main, ["clauses", "--group", "index"], color=True).stdout
    assert plain.replace(clause.id, f"\x1b[1m{clause.id}\x1b[0m") in colored
    text = invoke("clauses", "--group", "index", "--json").stdout
    (found,) = (item for item in json.loads(text) if item["id"] == clause.id)
    assert found == {
        "id": clause.id,
        "group": "index",
        "systems": [SYSTEMS[name] for name in clause.systems],
        "sources": [{"page": source.page, "words": source.words} for source in clause.sources],
        "check": clause.check,
        "formula": clause.formula,
        "observable": clause.observable,
        "why": clause.why,
    }
    assert text.startswith('[\n {\n  "id": ')
    assert "Σ" in text


def test_a_clause_is_explained_with_its_words_formula_and_cases():
    text = invoke("explain", "index.mean.divides-by-target-weights").stdout
    assert "page 002" in text
    assert "formula    ℓ = " in text
    assert f"\n    {CASES[4].id}\n" in text


@pytest.mark.parametrize("clause", CATALOGUE, ids=lambda clause: clause.id)
def test_every_clause_can_be_explained(clause):
    assert clause.check in invoke("explain", clause.id).stdout


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_is_explained_with_its_arrays_clauses_and_expectation(case):
    text = invoke("explain", case.id).stdout
    assert "a = forward(input, " in text
    assert "input: " in text
    assert all(name in text for name in clauses_of(case))
    assert "expected:\n    step 0: loss" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("index.meen", "'index.meen'"),
        ("ce/index/4x10/f32/median", "got 'median', allowed are default, none, mean, sum"),
        ("ce/", "case id: got 'ce/'"),
    ],
)
def test_what_cannot_be_explained_is_a_usage_error(name, words):
    assert words in invoke("explain", name, code=2).stderr


def test_cases_are_listed_one_a_line():
    assert invoke("cases").stdout.split("\n")[:-1] == [case.id for case in CASES]
    assert invoke("cases", "--quick").stdout.split("\n")[:-1] == [case.id for case in CASES[:2]]
    assert invoke("cases", "--quick", "-k", "smoothing=").stdout == CASES[1].id + "\n"


def test_a_case_is_reproduced_as_a_script():
    script = invoke("repro", CASES[0].id).stdout
    compile(script, "repro.py", "exec")
    assert "crossent_spec.cross_entropy" in script
    assert script.endswith('overwritten")\n')
    assert invoke("repro", CASES[0].id, "--adapter", "no", code=2).stderr.count("\n") == 1
    assert "case id: got 'nonsense'" in invoke("repro", "nonsense", code=2).stderr


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Unsupported("not this"), "Error: embedded: not this\n"),
        (Unavailable("no GPU"), "Error: embedded cannot be run: no GPU\n  tried: "),
    ],
)
def test_where_there_is_no_script_the_command_says_why(monkeypatch, reason, words):
    def refuse(*_):
        raise reason

    monkeypatch.setattr(repro, "script", refuse)
    assert invoke("repro", CASES[0].id, code=2).stderr.startswith(words)


def test_adapters_are_listed_from_the_folder():
    lines = invoke("adapters").stdout.split("\n")[:-1]
    assert lines[0].startswith("embedded ")
    assert {line.split()[0] for line in lines} >= {"torch", "torch-linear", "unit-scaling"}
    assert all(len(line.split()) > 3 for line in lines)
    assert not any(name.startswith("_") for name in adapters.registered())


def test_nothing_but_the_command_line_imports_a_command_line():
    root = Path(cli.__file__).parent
    for file in root.rglob("*.py"):
        if file.name in ("cli.py", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                module = (node.module or "").split(".")[-1]
                assert "cli" not in {module, *(alias.name for alias in node.names)}, file
    for file in root.glob("*/cli.py"):
        assert "conformance.cli" not in file.read_text()


def test_the_command_has_help_and_a_version():
    for arguments in [["--help"], ["run", "-h"], ["--version"]]:
        assert invoke(*arguments).stdout
