"""JUnit XML: its structure, its counts, and that nothing of a framework's breaks it."""

from xml.etree import ElementTree

import pytest

from conformance import expected, junit
from conformance.case import Case
from conformance.result import HARMLESS, VERDICTS, Result, Run
from tests.conformance import test_cli
from tests.conformance.test_cli import CASES, invoke
from tests.conformance.test_report import result

fake_run = test_cli.fake_run
few_cases = test_cli.few_cases

#: The form that CI systems read: by element its required and further attributes, and the
#: elements in it.
FORM = {
    "testsuites": ({"name"}, {"time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"skipped", "time"},
        {"properties", "testcase"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": ({"name"}, {"classname", "time"}, {"skipped", "error", "failure"}),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}


def written(tmp_path, *results, entries=None, complete=True, **fields):
    path = tmp_path / "junit.xml"
    run = Run("torch", {"torch": "2.13.0"}, list(results), 1.5, complete)
    judgement = None if entries is None else expected.judge(run.results, entries)
    junit.write(run, path, again="crossent run torch", judgement=judgement, **fields)
    assert path.read_bytes().startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites')
    root = ElementTree.fromstring(path.read_bytes())
    check(root)
    return root


def check(root):
    assert root.tag == "testsuites"
    for element in root.iter():
        required, further, inside = FORM[element.tag]
        assert required <= element.attrib.keys() <= required | further, element.tag
        assert {child.tag for child in element} <= inside
        if "time" in element.attrib:
            assert float(element.get("time")) >= 0
        if element.tag == "testcase":
            assert len(element) <= 1
    for suite in (root, *root):
        assert int(suite.get("tests")) == len(list(suite.iter("testcase")))
        assert int(suite.get("failures")) == len(list(suite.iter("failure")))
        assert int(suite.get("errors")) == len(list(suite.iter("error")))
    for suite in root:
        assert int(suite.get("skipped")) == len(list(suite.iter("skipped")))
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(names) == len(set(names))


def shown(root, case):
    (found,) = (element for element in root.iter("testcase") if element.get("name") == case)
    return next(iter(found), None)


def test_every_verdict_has_its_element(tmp_path):
    results = [result(verdict, f"why {verdict}", seed=i) for i, verdict in enumerate(VERDICTS)]
    root = written(tmp_path, *results, repro="--adapter torch")
    tags = {item.verdict: getattr(shown(root, item.case), "tag", None) for item in results}
    assert tags == {
        "pass": None,
        "fail": "failure",
        "error": "failure",
        "accepts-invalid": "failure",
        "unsupported": "skipped",
        "crash": "error",
        "timeout": "error",
    }
    failure = shown(root, results[1].case)
    assert failure.get("type") == "fail"
    assert failure.get("message") == "why fail"
    assert "departs, most likely, from " in failure.text
    assert f"crossent repro '{results[1].case}' --adapter torch" in failure.text
    assert root.find("testsuite/properties/property").attrib == {"name": "torch", "value": "2.13.0"}


def test_suites_are_systems_and_clause_groups(tmp_path):
    root = written(
        tmp_path,
        result(reduction="mean", smoothing=0.5),
        result(reduction="mean", weight="mixed"),
        result(system="linear", shape=(4, 8), classes=(10,), bad="target-dtype"),
    )
    names = [suite.get("name") for suite in root]
    assert names == [
        "torch.nn.CrossEntropyLoss.smoothing",
        "torch.nn.CrossEntropyLoss.index",
        "torch.nn.LinearCrossEntropyLoss.dtype",
    ]
    assert all(case.get("classname") == names[0] for case in root[0].iter("testcase"))


HOSTILE = "\x00\x1b[31m]]> <b>&amp; \ud800 \uffff \x85 \U0001f600\r\n<!-- second"


def test_what_a_framework_says_cannot_break_the_file(tmp_path):
    failing = result("error", HOSTILE)
    root = written(tmp_path, failing, result("unsupported", HOSTILE, seed=1))
    element = shown(root, failing.case)
    assert element.text.startswith("��[31m]]> <b>&amp; � � \x85 \U0001f600")
    assert "<!-- second" in element.text
    assert "second" not in element.get("message")


def test_expected_failures_are_skipped_and_what_is_wrong_with_the_file_fails(tmp_path):
    failing, passing, other = result("fail", "no"), result(seed=1), result("crash", "x", seed=2)
    entries = [
        expected.Entry(case=failing.case, reason="known", link="https://example.org/1"),
        expected.Entry(case=passing.case, reason="mended"),
        expected.Entry(case=other.case, verdicts=("fail",), reason="unmet"),
        expected.Entry(case="ce/*/f128/*", reason="nowhere"),
        expected.Entry(case="linear/*,bad=smoothing-nan", reason="not run"),
    ]
    root = written(tmp_path, failing, passing, other, entries=entries)
    assert shown(root, failing.case).tag == "skipped"
    assert shown(root, failing.case).get("message") == "known (https://example.org/1)"
    assert shown(root, passing.case).tag == "failure"
    assert shown(root, passing.case).get("type") == "unexpected pass"
    assert shown(root, other.case).tag == "error"
    own = root.find("testsuite[@name='expected failures']")
    assert {item[0].get("type") for item in own} == {"not met", "about no case"}
    assert "not run" not in ElementTree.tostring(root, encoding="unicode")


def test_an_incomplete_run_is_no_success(tmp_path):
    assert int(written(tmp_path, result()).get("failures")) == 0
    assert int(written(tmp_path, result(), complete=False).get("failures")) == 1
    assert int(written(tmp_path, complete=False).get("failures")) == 1


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("with_file", [False, True])
def test_the_report_is_green_exactly_when_the_exit_code_is_zero(
    fake_run, tmp_path, verdict, with_file
):
    fake_run["verdict"] = verdict
    path, file = tmp_path / "junit.xml", tmp_path / "expected.toml"
    file.write_text(f"[[expect]]\ncase = '{CASES[0].id}'\nreason = 'r'\n")
    good = verdict in HARMLESS and not with_file
    options = ["--expect", file] if with_file else []
    invoke("run", "--junit", path, *options, code=0 if good else 1)
    root = ElementTree.fromstring(path.read_bytes())
    check(root)
    assert (int(root.get("failures")) + int(root.get("errors")) == 0) is good
    cases = {item.get("name") for item in root.iter("testcase")}
    assert cases >= {case.id for case in CASES}


def test_every_word_of_the_file(tmp_path):
    failing = result("fail", "no\nmore", reduction="mean", weight="mixed")
    passing, dead = result(seed=1), result("crash", "x", seed=2)
    plain = Result(Case(seed=4).id, (), "pass", seconds=0.25)
    entries = [
        expected.Entry(case=passing.case, reason="mended", link="l"),
        expected.Entry(case=dead.case, verdicts=("fail",), reason="unmet"),
        expected.Entry(case="ce/*/f128/*", reason="nowhere"),
    ]
    results = [failing, passing, dead, result("unsupported", "why", seed=3), plain]
    root = written(tmp_path, *results, entries=entries, complete=False)
    found = [(item.tag, item.attrib, (item.text or "").strip()) for item in root.iter()]
    assert [item for item in found if not item[0].startswith("propert")] == WHOLE


#: What the test above writes.
WHOLE = [
    (
        "testsuites",
        {"name": "crossent torch", "failures": "5", "errors": "1", "tests": "8", "time": "1.500"},
        "",
    ),
    (
        "testsuite",
        {
            "name": "torch.nn.CrossEntropyLoss.index",
            "time": "0.010",
            "failures": "1",
            "errors": "0",
            "skipped": "0",
            "tests": "1",
        },
        "",
    ),
    (
        "testcase",
        {
            "name": "ce/index/4x10/f32/mean,weight=mixed",
            "classname": "torch.nn.CrossEntropyLoss.index",
            "time": "0.010",
        },
        "",
    ),
    (
        "failure",
        {"type": "fail", "message": "no"},
        "no\n"
        "more\n"
        "departs, most likely, from index.mean.divides-by-target-weights (page 002): "
        "“<code>'mean'</code>: the weighted mean of the output is taken”\n"
        "crossent run torch -k 'ce/index/4x10/f32/mean,weight=mixed'",
    ),
    (
        "testsuite",
        {
            "name": "torch.nn.CrossEntropyLoss.reduction",
            "time": "0.030",
            "failures": "1",
            "errors": "1",
            "skipped": "1",
            "tests": "3",
        },
        "",
    ),
    (
        "testcase",
        {
            "name": "ce/index/4x10/f32/default,seed=1",
            "classname": "torch.nn.CrossEntropyLoss.reduction",
            "time": "0.010",
        },
        "",
    ),
    (
        "failure",
        {"type": "unexpected pass", "message": "passes, although it is expected to fail"},
        'case = "ce/index/4x10/f32/default,seed=1"\n'
        "mended (l)\n"
        "crossent run torch -k 'ce/index/4x10/f32/default,seed=1'",
    ),
    (
        "testcase",
        {
            "name": "ce/index/4x10/f32/default,seed=2",
            "classname": "torch.nn.CrossEntropyLoss.reduction",
            "time": "0.010",
        },
        "",
    ),
    (
        "error",
        {"type": "crash", "message": "x"},
        "x\n"
        "departs from no statement of the pages more likely than from another\n"
        "crossent run torch -k 'ce/index/4x10/f32/default,seed=2'",
    ),
    (
        "testcase",
        {
            "name": "ce/index/4x10/f32/default,seed=3",
            "classname": "torch.nn.CrossEntropyLoss.reduction",
            "time": "0.010",
        },
        "",
    ),
    ("skipped", {"message": "why"}, ""),
    (
        "testsuite",
        {
            "name": "torch.nn.CrossEntropyLoss.none",
            "time": "0.250",
            "failures": "0",
            "errors": "0",
            "skipped": "0",
            "tests": "1",
        },
        "",
    ),
    (
        "testcase",
        {
            "name": "ce/index/4x10/f32/default,seed=4",
            "classname": "torch.nn.CrossEntropyLoss.none",
            "time": "0.250",
        },
        "",
    ),
    (
        "testsuite",
        {
            "name": "expected failures",
            "time": "0.000",
            "failures": "2",
            "errors": "0",
            "skipped": "0",
            "tests": "2",
        },
        "",
    ),
    (
        "testcase",
        {
            "name": 'case = "ce/index/4x10/f32/default,seed=2"',
            "classname": "entry",
            "time": "0.000",
        },
        "",
    ),
    ("failure", {"type": "not met", "message": "none of its cases fails as expected: unmet"}, ""),
    ("testcase", {"name": 'case = "ce/*/f128/*"', "classname": "entry", "time": "0.000"}, ""),
    ("failure", {"type": "about no case", "message": "the corpus has no such case: nowhere"}, ""),
    (
        "testsuite",
        {
            "name": "run",
            "time": "0.000",
            "failures": "1",
            "errors": "0",
            "skipped": "0",
            "tests": "1",
        },
        "",
    ),
    ("testcase", {"name": "all cases", "classname": "run", "time": "0.000"}, ""),
    ("failure", {"type": "incomplete", "message": "the run was stopped before its last case"}, ""),
]
