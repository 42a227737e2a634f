"""Files of expected failures: read, judged by, and written so that they hold."""

import random
import tomllib

import pytest

from conformance import expected, selection
from conformance.case import Case
from conformance.clauses import clauses_of
from conformance.corpus import corpus
from conformance.expected import Entry
from conformance.expected.write import propose
from conformance.result import Result, Run
from tests.conformance import test_cli
from tests.conformance.test_cli import CASES, invoke

fake_run = test_cli.fake_run
NAN = "*,bad=smoothing-nan"


@pytest.fixture
def few_cases(monkeypatch):
    monkeypatch.setattr(selection, "corpus", lambda quick=False: CASES[:2] if quick else CASES)


def result(case, verdict="pass", message="forward (step 0): loss is 2, expected 1 ± 0.1"):
    if isinstance(case, Case):
        case = case.id
    message = "" if verdict == "pass" else message
    return Result(case, clauses_of(Case.parse(case)), verdict, message)


def file(tmp_path, text):
    path = tmp_path / "expected.toml"
    path.write_text(text)
    return path


FAILS = result(CASES[0], "fail")
PASSES = result(CASES[1])


def test_exactly_the_expected_failures_are_a_success():
    entry = Entry(case=CASES[0].id, reason="r")
    judgement = expected.judge([FAILS, PASSES], [entry])
    assert judgement.covered == {FAILS.case: entry}
    assert judgement.exit_code == 0
    assert expected.judge([PASSES], []).exit_code == 0


def test_a_failure_that_no_entry_covers_is_none():
    judgement = expected.judge([FAILS, PASSES], [])
    assert judgement.unexpected == [FAILS]
    assert judgement.exit_code == 1


def test_an_entry_of_which_some_case_passes_is_an_unexpected_pass():
    entry = Entry(case="ce/index/4x10/f64/mean*", reason="r")
    judgement = expected.judge([FAILS, PASSES], [entry])
    assert judgement.passes == {entry: [PASSES]}
    assert not judgement.unexpected
    assert judgement.exit_code == 1


@pytest.mark.parametrize(
    ("verdicts", "code"), [((), 0), (("fail",), 0), (("crash", "fail"), 0), (("crash",), 1)]
)
def test_an_entry_may_say_how_its_cases_fail(verdicts, code):
    entry = Entry(case=CASES[0].id, verdicts=verdicts, reason="r")
    judgement = expected.judge([FAILS], [entry])
    assert judgement.exit_code == code
    assert judgement.unexpected == ([FAILS] if code else [])
    assert judgement.unmet == ([entry] if code else [])


def test_what_is_unsupported_neither_meets_an_entry_nor_speaks_against_it():
    entry = Entry(case="ce/index/4x10/f64/mean*", reason="r")
    unsupported = result(CASES[1], "unsupported")
    assert expected.judge([FAILS, unsupported], [entry]).exit_code == 0
    judgement = expected.judge([unsupported], [entry])
    assert judgement.unmet == [entry]
    assert judgement.exit_code == 1


def test_an_entry_that_was_not_run_is_not_judged_unless_no_case_is_like_it():
    elsewhere = Entry(case=f"linear/{NAN}", reason="r")
    nowhere = Entry(case="linear/*/f128/*", reason="r")
    judgement = expected.judge([PASSES], [elsewhere])
    assert judgement.not_run == [elsewhere]
    assert judgement.exit_code == 0
    judgement = expected.judge([PASSES], [elsewhere, nowhere])
    assert (judgement.not_run, judgement.unknown) == ([elsewhere], [nowhere])
    assert judgement.exit_code == 1


def test_a_clause_covers_its_cases_and_with_a_case_only_both():
    weighted = result(CASES[4], "fail")
    clause = "index.mean.divides-by-target-weights"
    assert clause in weighted.clauses
    for entry in (Entry(clause=clause), Entry(clause="*.divides-by-target-*"),
                  Entry(clause=clause, case="ce/*,weight=mixed")):  # fmt: skip
        assert expected.judge([weighted, PASSES], [entry]).exit_code == 0, entry
    other = Entry(clause=clause, case="*,smoothing=0.1")
    assert expected.judge([weighted, PASSES], [other]).unexpected == [weighted]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = ", "Invalid value (at end of document)"),
        ("[expected]\n", "'expected' is no part of such a file"),
        ("[expect]\n", "two pairs of brackets"),
        ("expect = [1]\n", "entry 1: got 1, expected a table"),
        ("[[expect]]\ncases='x'\n", "entry 1: got 'cases', allowed are clause, case, verdicts"),
        ("[[expect]]\ncase=1\n", "entry 1: case: got 1, expected a string"),
        ("[[expect]]\nreason='r'\n", "entry 1: it needs a clause or a case"),
        ("[[expect]]\ncase='*'\n", 'entry 1 (case = "*"): it needs a reason'),
        ("[[expect]]\ncase='*'\nreason=' '\n", 'entry 1 (case = "*"): it needs a reason'),
        ("[[expect]]\ncase='*'\nreason='r'\nverdicts=['pass']\n", "some of fail, error, acc"),
        ("[[expect]]\ncase='*'\nreason='r'\nverdicts=[]\n", "verdicts: got []"),
        ("[[expect]]\ncase='*'\nreason='r'\nverdicts='fail'\n", "verdicts: got 'fail'"),
        ("[[expect]]\nclause='unit.losses'\nreason='r'\n", "did you mean unit.loss?"),
        ("[[expect]]\nclause='unti.*'\nreason='r'\n", "no clause matches 'unti.*'"),
        ("[[expect]]\ncase='ce/index/4x10/f33/mean'\nreason='r'\n", "case dtype: got 'f33'"),
    ],
)
@pytest.mark.parametrize("option", ["--expect", "--write-expect"])
def test_a_file_with_a_mistake_is_refused_before_anything_runs(tmp_path, text, words, option):
    path = file(tmp_path, text)
    error = invoke("run", option, path, code=2).stderr
    assert f"{path}: " in error
    assert words in error
    assert path.read_text() == text


def test_an_entry_is_what_the_file_says(tmp_path):
    assert vars(Entry(case="*")) == {
        "clause": "", "case": "*", "verdicts": (), "reason": "", "link": "",
    }  # fmt: skip
    text = (
        "[[expect]]\nclause='unit.*'\ncase='*'\nverdicts=['crash', 'fail']\nreason='ö'\nlink='l'\n"
    )
    (entry,) = expected.read(file(tmp_path, text))
    assert entry == Entry("unit.*", "*", ("crash", "fail"), "ö", "l")
    assert entry.title == 'clause = "unit.*", case = "*"'
    for name in ("clause='unit.*'", "case='ce/*'"):
        (entry,) = expected.read(file(tmp_path, f"[[expect]]\n{name}\nreason='r'\n"))
        assert entry.verdicts == ()
    with pytest.raises(expected.BadExpectFile, match="entry 1: case id: got 'X'"):
        expected.read(file(tmp_path, "[[expect]]\ncase='X'\nreason='r'\n"))
    with pytest.raises(expected.BadExpectFile, match=r"no\.toml: No such file or directory$"):
        expected.read(tmp_path / "no.toml")
    (tmp_path / "bytes.toml").write_bytes(b"# \xff")
    with pytest.raises(expected.BadExpectFile, match="bytes.toml: 'utf-8' codec"):
        expected.read(tmp_path / "bytes.toml")


def test_the_options_exclude_each_other_and_need_their_files(tmp_path):
    path = file(tmp_path, "")
    invoke("run", "--expect", path, "--write-expect", path, code=2)
    assert "does not exist" in invoke("run", "--expect", tmp_path / "no.toml", code=2).stderr
    words = invoke("run", "--write-expect", tmp_path / "no" / "x.toml", code=2).stderr
    assert "--write-expect: there is no folder" in words


@pytest.mark.usefixtures("few_cases")
def test_a_file_that_was_written_makes_the_next_run_a_success(fake_run, tmp_path):
    path = tmp_path / "expected.toml"
    fake_run["verdict"] = "fail"
    invoke("run", code=1)
    text = invoke("run", "--write-expect", path).stdout
    assert "6 failures were expected, and nothing else failed" in text
    outcome = invoke("run", "--expect", path)
    assert "crossent repro" not in outcome.stdout
    assert "6 cases do not conform" in outcome.stdout
    fake_run["verdict"] = "crash"
    outcome = invoke("run", "--expect", path, code=1)
    assert "6 unexpected failures" in outcome.stdout
    assert "crossent repro" in outcome.stdout
    fake_run["verdict"] = "pass"
    outcome = invoke("run", "--expect", path, code=1)
    assert "0 failures were expected; 6 unexpected passes" in outcome.stdout
    assert f"passes  {CASES[0].id}" in outcome.stdout
    invoke("run", "--write-expect", path)
    assert expected.read(path) == []


@pytest.mark.usefixtures("few_cases")
def test_a_run_that_was_stopped_writes_no_file_and_is_no_success(fake_run, tmp_path):
    fake_run["complete"] = False
    path = tmp_path / "expected.toml"
    assert "the run is incomplete" in invoke("run", "--write-expect", path, code=2).stderr
    assert not path.exists()
    path.write_text("")
    invoke("run", "--expect", path, code=130)


OLD = f"""\
# Ours.
[[expect]]
# holds
case = "{CASES[0].id}"
reason = "known"
link = "https://example.org/1"

[[expect]]
case = "ce/index/4x10/f64/*,smoothing=*"
reason = "mended"

[[expect]]
case = "ce/*/4x10/f32/*"
reason = "mended in part"
link = "https://example.org/2"

[[expect]]
case = "linear/*,bad=smoothing-nan"
reason = "not run"

[[expect]]
case = "linear/*/f128/*"
reason = "never was"
"""


def test_what_holds_keeps_its_words_and_what_does_not_goes(tmp_path):
    path = file(tmp_path, OLD)
    still = result(CASES[4], "fail")
    results = [FAILS, PASSES, result(CASES[3]), still]
    entries = expected.update(path, Run("torch", {}, results))
    text = path.read_text()
    assert text.startswith("# Ours.\n[[expect]]\n# holds\n")
    assert entries == expected.read(path)
    by_reason = {entry.reason: entry for entry in entries}
    assert by_reason.keys() == {"known", "mended in part", "not run"}
    assert by_reason["known"].link == "https://example.org/1"
    half = by_reason["mended in part"]
    assert half.covers(still)
    assert half.link == "https://example.org/2"
    assert expected.judge(results, entries).exit_code == 0


def test_a_file_that_is_up_to_date_is_not_changed(tmp_path):
    path = tmp_path / "expected.toml"
    run = Run("torch", {"torch": "2.13.0"}, [FAILS, PASSES])
    expected.update(path, run)
    assert path.read_text().startswith("# Expected failures of torch: torch 2.13.0\n")
    before = path.read_text()
    expected.update(path, run)
    assert path.read_text() == before


def test_reasons_are_what_was_seen_and_the_words_of_the_page():
    case = Case(reduction="mean", bad="smoothing-nan")
    (entry,) = propose(
        [result(case, "accepts-invalid", "forward (step 0): did not raise; returned 1")]
    )
    assert entry.reason.startswith("the forward pass: did not raise; page 002 says “A float in")
    assert entry.verdicts == ("accepts-invalid",)


def test_a_clause_of_which_every_case_fails_is_one_entry():
    cases = corpus()
    clause = "index.mean.divides-by-target-weights"
    results = [
        result(case, "fail" if clause in clauses_of(case) else "pass")
        for case in cases
        if case.system == "ce" and case.bad == "no"
    ]
    assert [(entry.clause, entry.case) for entry in propose(results)] == [(clause, "")]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("bad=smoothing-nan", "ce/*,bad=smoothing-nan"),
        ("smoothing=0.1,", "ce/*,smoothing=0.1,*"),
        ("/f16/sum", "ce/*/f16/sum*"),
    ],
)
def test_what_an_id_says_becomes_a_pattern(text, pattern):
    results = [
        result(case, "error" if text in case.id else "pass")
        for case in corpus()
        if case.system == "ce"
    ]
    entries = propose(results)
    assert expected.judge(results, entries).exit_code == 0
    if not text.endswith(","):
        assert [entry.case for entry in entries] == [pattern]


def test_a_file_of_which_nothing_holds_can_be_written_again(tmp_path):
    path = file(tmp_path, "# Ours.\n[[expect]]\ncase='linear/*/f128/*'\nreason='never was'\n")
    assert expected.update(path, Run("torch", {}, [PASSES])) == []
    assert path.read_text() == "# Ours.\n"
    (entry,) = expected.update(path, Run("torch", {}, [FAILS, PASSES]))
    assert expected.read(path) == [entry]
    assert path.read_text().startswith("# Ours.\n")


@pytest.mark.parametrize(
    ("count", "message", "reason"),
    [
        (1, "backward (step 1): loss is 2. :;\nmore", "the backward pass: loss is 2"),
        (3, "forward (step 10): no", "the forward pass: no (and 2 more)"),
        (2, "x" * 300, "x" * 200 + " (and 1 more)"),
    ],
)
def test_a_reason_is_the_first_line_of_the_first_message(count, message, reason):
    results = [Result(Case(seed=i).id, (), "fail", message) for i in range(count)]
    (entry,) = propose(results)
    assert entry.reason == reason


def made_up(verdict, *clauses, **fields):
    return Result(Case(**fields).id, clauses, verdict, "loss is 2")


#: Clauses that the cases below are said to be about; their ids differ in what is no part of one.
A, B, C = "unit.loss", "smoothing.range", "target.class-range"


def test_what_is_left_and_not_what_there_was_decides_about_the_next_entry():
    about = {1: [A], 2: [A], 3: [A, B], 4: [A, B], 5: [B, C], 6: [C]}
    results = [made_up("fail", *clauses, seed=seed) for seed, clauses in about.items()]
    results.append(made_up("pass", seed=9))
    assert [entry.clause for entry in propose(results)] == [A, C]


def test_a_clause_and_a_part_of_the_id_are_an_entry_where_neither_is_alone():
    results = [made_up("fail", A, dtype="f16", seed=seed) for seed in (1, 2)]
    results += [made_up("pass", B, dtype="f16", seed=3), made_up("pass", A, seed=3)]
    (entry,) = propose(results)
    assert (entry.clause, entry.case) == (A, "ce/*/f16/*")


def test_a_case_that_fails_alone_is_named():
    results = [made_up("fail", A, seed=1), made_up("pass", A, seed=2)]
    assert [(entry.clause, entry.case) for entry in propose(results)] == [("", results[0].case)]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_fails_the_file_for_it_holds(seed, tmp_path):
    choose = random.Random(seed)
    cases = choose.sample(corpus(), 400)
    share = choose.random() ** 3
    verdicts = ["fail", "error", "crash"]
    results = [
        result(case, choose.choice(verdicts) if choose.random() < share else "pass")
        for case in cases
    ]
    results += [result(case, "unsupported") for case in choose.sample(corpus(), 20)]
    results = list({item.case: item for item in results}.values())
    path = tmp_path / "expected.toml"
    entries = expected.update(path, Run("x", {}, results))
    failing = sum(item.verdict not in ("pass", "unsupported") for item in results)
    assert len(entries) <= failing
    judgement = expected.judge(results, expected.read(path))
    assert judgement.exit_code == 0
    assert len(judgement.covered) == failing
    assert len(tomllib.loads(path.read_text()).get("expect", [])) == len(entries)
