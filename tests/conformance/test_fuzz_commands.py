"""``crossent fuzz`` around the search, which is replaced by one that a test leads."""

import secrets

import pytest
from click.testing import CliRunner

from conformance import runner
from conformance.case import Case
from conformance.clauses import clauses_of
from conformance.cli import main
from conformance.driver import Program, Unavailable
from conformance.fuzz import referee, search, show, store, strategies
from conformance.fuzz.example import Example
from conformance.fuzz.search import Failure, Found
from conformance.golden.parse import GoldenFileError
from conformance.result import Result
from tests.conformance import screen as screens

screen = screens.screen
CASE = Case.parse("ce/index/2x3/f32/mean")


def result(verdict="fail", case=CASE):
    return Result(case.id, clauses_of(case), verdict, "loss is 1, expected 2")


class Lead:
    """What the test asks for, and what the command asked of referee and search."""

    def __init__(self, monkeypatch, folder):
        self.systems = ["ce"]
        self.found = Found(seconds=2.0)
        self.during = lambda: None
        self.closed = False
        monkeypatch.setattr(referee, "Referee", self.referee)
        monkeypatch.setattr(search, "Search", self.search)
        monkeypatch.setattr(store, "default_folder", lambda: folder / "cache")
        monkeypatch.setattr(strategies, "examples", lambda systems: ("examples of", systems))

    def referee(self, program, timeout):
        self.program, self.timeout = program, timeout
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def search(self, judge, strategy, **options):
        assert judge is self
        self.strategy, self.options = strategy, options
        return self

    def run(self, *arguments):
        self.ran = arguments
        self.during()
        return self.found

    def replay(self, examples):
        self.replayed = examples
        return self.found


@pytest.fixture
def lead(monkeypatch, tmp_path):
    return Lead(monkeypatch, tmp_path)


def fuzz(*arguments, code=0):
    outcome = CliRunner().invoke(main, ["fuzz", *map(str, arguments)], terminal_width=200)
    assert outcome.exit_code == code, outcome.output
    return outcome


def test_help_says_what_options_take_and_their_defaults():
    text = " ".join(fuzz("--help").output.split())
    for words in (
        "--max-examples N ",
        "[default: 1000; x>=1]",
        "--max-failures N ",
        "[default: 10; x>=1]",
        "--seed N ",
        "x>=0",
        "-k PATTERN Only examples",
        "What a framework may take for one call.",
        "--database FOLDER ",
        "--replay ID ",
        "--expect FILE Pass over",
        "--write-candidate FOLDER ",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--max-examples", "0"), "0 is not in the range x>=1"),
        (("--max-failures", "0"), "0 is not in the range x>=1"),
        (("--seed", "-1"), "-1 is not in the range x>=0"),
        (("--database", __file__), "is a file"),
        (("--write-candidate", __file__), "is a file"),
        (("--replay", "ce/"), "Invalid value for --replay: case id: got 'ce/'"),
        (("--command", "'"), "--command: No closing quotation"),
    ],
)
def test_what_an_option_does_not_take_is_refused(arguments, words):
    assert words in " ".join(fuzz(*arguments, code=2).stderr.split())


def test_without_options_a_search_draws_a_thousand_from_a_seed_of_its_own(
    lead, tmp_path, monkeypatch
):
    limits = []
    monkeypatch.setattr(secrets, "randbelow", lambda limit: limits.append(limit) or 77)
    shown = fuzz().stdout
    assert lead.program.name == "embedded"
    assert lead.timeout == runner.TIMEOUT
    assert lead.ran == (1000, 10, 77)
    assert limits == [10**6]
    assert "(--seed 77)" in shown
    assert lead.strategy == ("examples of", ["ce"])
    assert lead.closed
    kept = lead.options["store"]
    kept.add("x")
    assert kept.ids() == ["x"]
    assert store.Store(tmp_path / "cache", "embedded").ids() == ["x"]
    assert lead.options["accepts"](Example(CASE))
    assert not lead.options["expected"](result())


def test_everything_asked_for_reaches_the_search(lead, tmp_path):
    file, folder = tmp_path / "expected.toml", tmp_path / "found"
    file.write_text('[[expect]]\ncase = "ce/index/*"\nreason = "known"\n')
    shown = fuzz(
        "torch", "--python", "/py", "--max-examples", 7, "--max-failures", 3, "--seed", 0,
        "--timeout", 2.5, "-k", "/prob/", "-k", "linear/*", "--database", folder,
        "--expect", file,
    ).stdout  # fmt: skip
    assert lead.program.name == "torch"
    assert lead.program.command[0] == "/py"
    assert lead.timeout == 2.5
    assert lead.ran == (7, 3, 0)
    assert "(--seed 0)" in shown
    accepts, expected = lead.options["accepts"], lead.options["expected"]
    assert [
        accepts(Example(Case.parse(text)))
        for text in ("ce/index/2x3/f32/mean", "ce/prob/2x3/f32/mean", "linear/index/2x3-4/f32/mean")
    ] == [False, True, True]
    assert expected(result())
    assert not expected(result(case=Case.parse("ce/prob/2x3/f32/mean")))
    lead.options["store"].add("x")
    assert store.Store(folder, "torch").ids() == ["x"]


def test_a_file_of_expected_failures_with_a_mistake_is_refused(lead, tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text("[[expect]]\ncase = 1\n")
    error = fuzz("--expect", file, code=2).stderr
    assert error.startswith(f"Error: --expect: {file}: entry 1: ")
    assert not lead.closed


def test_replay_draws_nothing(lead):
    assert "nothing fails" in fuzz("--replay", CASE.id, "--replay", f"shift:{CASE.id}").stdout
    assert lead.replayed == [Example(CASE), Example(CASE, "shift")]
    assert not hasattr(lead, "ran")


def test_a_program_that_implements_nothing_is_refused(lead):
    lead.systems = []
    error = fuzz(code=2).stderr
    assert error.startswith("Error: embedded implements none of torch.nn.CrossEntropyLoss, ")
    assert lead.closed


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (Found(), 0, "nothing fails"),
        (Found(complete=False), 130, "interrupted"),
        (Found([Failure(result(), CASE.id)]), 1, "1 kind of failure"),
        (Found([Failure(result(), CASE.id)], complete=False), 1, "1 kind of failure"),
    ],
)
def test_the_exit_code_tells_what_was_found(lead, monkeypatch, found, code, words):
    monkeypatch.setattr(show.repro, "script", lambda *_: "the script\n")
    lead.found = found
    assert words in fuzz(code=code).stdout


def test_a_failure_names_the_program_as_it_was_named(lead):
    lead.found = Found([Failure(result(), CASE.id)])
    shown = fuzz("--command", "it --x", code=1).stdout
    assert lead.program == Program.of_command("it --x")
    assert f"crossent fuzz --command 'it --x' --replay {CASE.id}" in shown
    shown = fuzz("torch", "--python", "/no/py", code=1).stdout
    assert f"crossent fuzz torch --python /no/py --replay {CASE.id}" in shown


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Unavailable("no GPU"), 2, "Error: embedded cannot be run: no GPU\n  tried: "),
        (
            referee.SuiteFailedError("in x\ntrace"),
            3,
            "Error: the suite itself failed in x\ntrace\n",
        ),
    ],
)
def test_what_ends_a_search_is_told(lead, error, code, words):
    def fail():
        raise error

    lead.during = fail
    assert fuzz(code=code).stderr.startswith(words)
    assert lead.closed


@pytest.mark.parametrize("error", [GoldenFileError("x: lacks 'mode'"), OSError("a full disk")])
def test_candidates_are_written_after_all_is_shown(lead, tmp_path, monkeypatch, error):
    folder, asked = tmp_path / "new", []
    monkeypatch.setattr(
        show.Reporter, "write_candidates", lambda _, *given: asked.append(given)
    )  # fmt: skip
    fuzz()
    assert asked == []
    fuzz("--write-candidate", folder)
    assert asked == [(lead.found, folder)]

    def refuse(*_):
        raise error

    monkeypatch.setattr(show.Reporter, "write_candidates", refuse)
    outcome = fuzz("--write-candidate", folder, code=2)
    assert outcome.stderr == f"Error: --write-candidate: {error}\n"
    assert "nothing fails" in outcome.stdout


def test_a_terminal_shows_how_a_search_goes(lead, screen):
    def after(*judged):
        def during():
            for verdict, drawn in judged:
                lead.options["on_example"](result(verdict), drawn)

        lead.during = during
        fuzz("--max-examples", 9)
        return screen.last_line()

    assert after() == "embedded | 0/9 "
    assert after(("pass", True), ("unsupported", True)) == "embedded | 2/9 "
    assert after(("pass", True), ("fail", True), ("crash", True)) == "embedded | 3/9 2 failing"
    shrinking = "embedded | 2/9 1 failing, shrinking"
    assert after(("pass", True), ("fail", True), ("fail", False), ("pass", False)) == shrinking
