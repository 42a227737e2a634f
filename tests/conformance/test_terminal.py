"""What the commands that judge a framework do around the run, which is replaced by a fake."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner

from conformance import cli, on_gpu, report, resume, runner, selection, terminal
from conformance.case import Case
from conformance.clauses import clauses_of
from conformance.driver import Hello, Program, Unavailable
from conformance.result import Result, Run
from tests.conformance import fakes
from tests.conformance import screen as screens

CASES = [Case(shape=(rows, 5)) for rows in (1, 2, 3)]
screen = screens.screen
HELLO = Hello("hello of it", (), {"it": "1"})


def result(case, verdict="pass"):
    return Result(case.id, clauses_of(case), verdict, "because" if verdict != "pass" else "")


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Replace the run by one that gives every case the verdict that the test asks for."""
    asked = {"verdict": "pass", "complete": True, "during": lambda: None}

    def run(program, cases, **options):
        asked.update(program=program, cases=cases, **options, known=list(options["earlier"]))
        asked["during"]()
        options["on_start"](HELLO, len(cases))
        results = [result(case, asked["verdict"]) for case in cases]
        for item in results:
            options["on_result"](item)
        return Run(program.name, runner.versions(HELLO), results, 1.0, asked["complete"])

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(selection, "corpus", lambda quick=False: CASES[:2] if quick else CASES)
    return asked


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.main, ["run", *map(str, arguments)])
    assert outcome.exit_code == code, outcome.output
    return outcome


# What the run gets.


def test_everything_asked_for_reaches_the_run(asked):
    invoke("torch", "--quick", "--timeout", 3, "-j", 5, "--python", "/usr/bin/py", "--memory", "8G")
    assert asked["program"].name == "torch"
    assert asked["program"].command[0] == "/usr/bin/py"
    assert asked["cases"] == CASES[:2]
    assert (asked["timeout"], asked["jobs"], asked["memory"]) == (3.0, 5, 2**33)
    assert asked["examine"] is runner.examine
    assert asked["known"] == []
    assert not asked["stop"].requested


def test_without_options_nothing_is_limited(asked):
    invoke()
    assert asked["program"].name == "embedded"
    assert asked["cases"] == CASES
    assert (asked["timeout"], asked["jobs"], asked["memory"]) == (runner.TIMEOUT, None, None)


def test_cases_are_chosen_by_patterns(asked):
    invoke("-k", CASES[2].id, "-k", CASES[0].id)
    assert asked["cases"] == [CASES[0], CASES[2]]
    error = invoke("-k", "no-such-thing", code=2).stderr
    assert error == "Error: -k no-such-thing: no case has such an id or clause\n"


def test_the_gpu_is_judged_by_all_cases_and_its_simulator_by_small_ones(asked, monkeypatch):
    large = Case(shape=(1, 5000))
    monkeypatch.setattr(selection, "corpus", lambda *_: [large, *CASES])
    invoke("--backend", "cuda")
    assert asked["program"] == on_gpu.program(simulator=False)
    assert asked["cases"] == [large, *CASES]
    invoke("--backend", "cuda", "--simulator")
    assert asked["program"] == on_gpu.program(simulator=True)
    assert asked["cases"] == CASES
    for backend in ((), ("--backend", "cpu")):
        assert "--simulator goes with" in invoke(*backend, "--simulator", code=2).stderr
        invoke(*backend)
        assert asked["program"].name == "embedded"


def test_a_signal_reaches_the_run_as_a_wish_to_stop(asked):
    seen = []

    def interrupted():
        signal.raise_signal(signal.SIGINT)
        seen.append((asked["stop"].requested, asked["stop"].connection.poll()))
        asked["complete"] = False

    asked["during"] = interrupted
    invoke(code=130)
    assert seen == [(True, True)]


def test_a_command_of_ones_own_is_named_again_in_every_report(asked, tmp_path):
    asked["verdict"] = "fail"
    shown = invoke("--command", "it --flag", "--junit", tmp_path / "it.xml", code=1).stdout
    again = f"crossent run --command 'it --flag' -k '{CASES[0].id}'"
    assert again in shown
    assert "crossent repro" not in shown
    assert again in (tmp_path / "it.xml").read_text()
    shown = invoke("torch", "--junit", tmp_path / "it.xml", code=1).stdout
    script = f"crossent repro '{CASES[0].id}' --adapter torch"
    assert script in shown
    assert script in (tmp_path / "it.xml").read_text()


def test_a_program_without_scripts_is_run_again_by_its_name(asked, monkeypatch):
    asked["verdict"] = "fail"
    monkeypatch.setattr(terminal, "resolve", lambda *_: Program("it", ("it",)))
    assert f"crossent run it -k '{CASES[0].id}'" in invoke("it", code=1).stdout


def test_as_many_failures_are_shown_as_were_asked_for(asked):
    asked["verdict"] = "fail"
    assert invoke("--max-failures-shown", 1, code=1).stdout.count("crossent repro") == 1
    assert invoke("--max-failures-shown", 0, code=1).stdout.count("crossent repro") == 0


# The files.


def test_a_file_is_refused_before_the_work_by_the_option_that_names_it(asked, tmp_path):
    missing = tmp_path / "no" / "file"
    for option in ("--json", "--write-expect", "--junit"):
        error = invoke(option, missing, code=2).stderr
        assert f"Error: {option}: there is no folder {missing.parent}\n" in error
    assert "stop" not in asked


def test_a_file_of_this_very_folder_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invoke("--json", "here.json")
    assert len(json.loads(Path("here.json").read_text())["results"]) == len(CASES)


@pytest.mark.parametrize("name", ["r.json", "r.json.partial"])
def test_a_run_goes_on_into_the_file_it_goes_on_from(asked, tmp_path, name):
    whole = tmp_path / "r.json"
    begun = tmp_path / name
    program = terminal.find_program("embedded")
    prints = resume.fingerprint(program, "crossent run")
    earlier = Run("embedded", runner.versions(HELLO), [result(CASES[0])], 2.0, False, prints)
    report.write_json(earlier, begun)
    invoke("--resume", begun)
    assert asked["known"] == [CASES[0].id]
    data = json.loads(whole.read_text())
    assert [item["case"] for item in data["results"]] == [case.id for case in CASES]
    assert data["fingerprint"] == prints
    assert data["seconds"] == 3.0  # those of the earlier run, too
    assert list(tmp_path.iterdir()) == [whole]
    # With --json, another file is written, and this one stays.
    before = whole.read_bytes()
    invoke("--resume", whole, "--json", tmp_path / "other.json")
    assert len(json.loads((tmp_path / "other.json").read_text())["results"]) == len(CASES)
    assert whole.read_bytes() == before


def test_what_is_judged_is_kept_while_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "_INTERVAL", 0.0)
    monkeypatch.setattr(resume, "_SHARE", 1e9)
    file = tmp_path / "r.json"

    def run(program, cases, *, on_start, on_result, **_):
        on_start(HELLO, len(cases))
        for case in cases:
            on_result(result(case))
        (kept,) = tmp_path.iterdir()
        kept.rename(tmp_path / "seen")
        return Run(program.name)

    monkeypatch.setattr(runner, "run", run)
    invoke("--json", file)
    seen = Run.from_json(json.loads((tmp_path / "seen").read_text()))
    assert [item.case for item in seen.results] == [case.id for case in CASES]
    assert seen.versions == runner.versions(HELLO)


def test_how_to_go_on_is_told_where_that_can_be(asked, tmp_path):
    asked["complete"] = False
    file = tmp_path / "a result.json"
    shown = invoke("--json", file, code=130).stdout
    assert f"\nTo go on: add --resume '{file}'\n" in shown
    assert "To go on" not in invoke(code=130).stdout
    asked["complete"] = True
    assert "To go on" not in invoke("--json", file).stdout
    error = invoke("--resume", tmp_path / "no.json", code=2).stderr
    assert f"Error: --resume: {tmp_path / 'no.json'} cannot be read: No such file" in error


def test_a_stopped_run_with_failures_fails(asked):
    asked.update(complete=False, verdict="fail")
    invoke(code=1)


def test_what_cannot_be_written_is_told_after_the_report_all_at_once(asked, tmp_path, monkeypatch):
    asked["verdict"] = "fail"
    full = tmp_path / "full"
    full.symlink_to("/dev/full")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(terminal.expected, "update", refuse)
    new = tmp_path / "new.toml"
    outcome = invoke("--json", full, "--junit", full, "--write-expect", new, code=2)
    assert "3 cases do not conform" in outcome.stdout
    files = {"--json": full, "--write-expect": new, "--junit": full}
    reason = "cannot be written: No space left on device"
    told = [f"{option}: {file} {reason}\n" for option, file in files.items()]
    assert outcome.stderr == f"Error: {''.join(told)}"


def test_a_defect_of_the_suite_is_told_with_what_could_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "full").symlink_to("/dev/full")

    def run(program, *_, **__):
        raise runner.HarnessError("a defect of ours", Run(program.name, complete=False))

    monkeypatch.setattr(runner, "run", run)
    error = invoke("--json", tmp_path / "full", code=3).stderr
    assert error.startswith("Error: a defect of ours\n--json: ")
    assert error.endswith("cannot be written: No space left on device\n")


def test_expected_failures_are_read_updated_and_shown(asked, tmp_path):
    asked["verdict"] = "fail"
    file, xml = tmp_path / "expected.toml", tmp_path / "it.xml"
    shown = invoke("--write-expect", file, "--junit", xml).stdout
    assert "3 failures were expected, and nothing else failed" in shown
    assert "crossent repro" not in shown
    assert len(list(ElementTree.parse(xml).iter("skipped"))) == 3
    assert "1 unexpected failures" not in invoke("--expect", file).stdout
    # One that was expected passes: told, with its file, and as many as were asked for.
    asked["verdict"] = "pass"
    shown = invoke("--expect", file, "--max-failures-shown", 1, code=1).stdout
    assert "3 unexpected passes" in shown
    assert shown.count("    passes  ") == 1
    assert str(file) in shown.replace("\n", "")
    # A file to be written may be there, and then what it says is read before.
    file.write_text("[[expect]]\ncase = 1\n")
    assert "expected a string" in invoke("--write-expect", file, code=2).stderr
    # A run that was stopped knows too little.
    file.unlink()
    asked["complete"] = False
    error = invoke("--write-expect", file, code=2).stderr
    assert f"Error: {file} is not written: the run is incomplete\n" in error
    assert not file.exists()


# The program.


def test_a_program_is_named_in_one_way():
    assert terminal.program_of(None, None, None).name == "embedded"
    assert terminal.program_of("torch", None, "/py").command[0] == "/py"
    assert terminal.program_of(None, "it --flag", None).command[-2:] == ("it", "--flag")
    for adapter, python in (("torch", None), (None, "/py")):
        with pytest.raises(click.UsageError, match="--command stands alone"):
            terminal.program_of(adapter, "it", python)
    with pytest.raises(terminal.Refused, match="^--command: No closing quotation$"):
        terminal.program_of(None, "'", None)


def test_what_there_is_to_know_of_a_program_goes_to_stderr(monkeypatch, capsys):
    noted = replace(fakes.hostile(), note="build it again")
    monkeypatch.setattr(terminal, "resolve", lambda *_: noted)
    assert terminal.find_program("hostile") is noted
    assert capsys.readouterr() == ("", "build it again\n")
    monkeypatch.setattr(terminal, "resolve", lambda *_: fakes.hostile())
    terminal.find_program("hostile")
    assert capsys.readouterr() == ("", "")
    monkeypatch.undo()
    with pytest.raises(terminal.Refused, match="^no adapter named 'it'; registered are embedded"):
        terminal.find_program("it")


ADAPTER = Program("it", ("/py", "worker.py", "it.py"), "it.py")


@pytest.mark.parametrize(
    ("program", "module", "words"),
    [
        (
            ADAPTER,
            "a_framework.nn.loss",
            [
                "  install it there: /py -m pip install a-framework",
                "  or name a Python that has it: crossent run it --python /path/to/python",
            ],
        ),
        (
            ADAPTER,
            None,
            ["  or name a Python that has it: crossent run it --python /path/to/python"],
        ),
        (
            replace(ADAPTER, remedy="build its environment"),
            "a_framework",
            [
                "  or name a Python that has it: crossent run it --python /path/to/python",
                "  build its environment",
            ],
        ),
        (Program("it", ("it",)), "a_framework", []),
    ],
)
def test_a_program_that_cannot_be_run_comes_with_what_helps(program, module, words):
    told = terminal.unavailable(program, Unavailable("gone", module)).message.split("\n")
    assert told == ["it cannot be run: gone", f"  tried: {program.line}", *words]


def test_a_program_that_cannot_be_run_ends_the_command(monkeypatch):
    def refuse(*_, **__):
        raise Unavailable("no GPU")

    monkeypatch.setattr(runner, "run", refuse)
    assert "Error: embedded cannot be run: no GPU\n  tried: " in invoke(code=2).stderr

    def nothing(*_, **__):
        raise runner.NothingToRunError("x.loss")

    monkeypatch.setattr(runner, "run", nothing)
    words = "embedded implements x.loss, and none of the 3 cases is about that"
    assert f"Error: {words}\n" in invoke(code=2).stderr


# Progress.


def test_a_terminal_shows_how_a_run_goes(screen):
    with terminal.result_progress(9) as hooks:
        pass
    assert screen.last_line() == "starting | 0/9 "
    with terminal.result_progress(9) as hooks:
        hooks["on_start"](HELLO, 3)
        hooks["on_result"](result(CASES[0]))
        hooks["on_result"](result(CASES[1], "unsupported"))
    assert screen.last_line() == "hello of it | 2/3 "
    with terminal.result_progress(9) as hooks:
        hooks["on_start"](HELLO, 3)
        hooks["on_result"](result(CASES[0]))
        hooks["on_result"](result(CASES[1], "fail"))
        hooks["on_result"](result(CASES[0], "crash"))  # what came after the reply changed it
    assert screen.last_line() == "hello of it | 2/3 2 not conforming"
    # It goes away, and leaves the screen as it was.
    assert screen.getvalue().endswith("\x1b[2K")


def test_a_run_is_shown_from_before_it_starts(screen, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda program, *_, **__: Run(program.name))
    invoke()
    assert screen.last_line() == "starting | 0/3 "


def test_a_bar_moves_and_without_a_terminal_there_is_none(screen, monkeypatch):
    with terminal.progress_bar("proving", 7) as (progress, task):
        progress.advance(task)
    assert screen.last_line() == "proving | 1/7"
    plain = screens.Screen(is_terminal=False)
    monkeypatch.setattr(terminal, "Console", plain)
    with terminal.progress_bar("proving", 7) as (progress, task):
        progress.advance(task)
    assert plain.getvalue() == ""
