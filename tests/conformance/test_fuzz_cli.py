"""``crossent fuzz`` as a user runs it, with real workers."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from conformance import runner
from conformance.cli import main
from conformance.fuzz import referee
from conformance.golden.verify import verify

STRENGTH = str(Path(__file__).parents[2] / "conformance" / "strength" / "adapter.py")


def fuzz(*arguments):
    return CliRunner().invoke(main, ["fuzz", *map(str, arguments)])


def test_a_seeded_fault_is_found_shrunk_remembered_and_written(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSENT_FAULT", "scaled")
    options = (STRENGTH, "--database", tmp_path / "found", "--max-failures", 1, "--seed", 5)
    first = fuzz(*options, "-k", "ce/*", "--write-candidate", tmp_path / "new")
    assert first.exit_code == 1, first.output
    # Two classes: of one alone the loss is 0, however it is scaled.
    shown = re.search(r"^1\. fail  (ce/\w+/(1x)?2/f32/default\S*)$", first.output, re.MULTILINE)
    assert shown, first.output
    minimal = shown[1]
    assert f"--replay {minimal}" in first.output
    assert "page 002: “" in first.output
    proved = verify(tmp_path / "new", 1, lambda _: None, lambda: None)
    assert (proved.vectors, proved.problems) == (1, {})

    again = fuzz(*options)
    assert again.exit_code == 1
    assert f"1. fail  {minimal}" in again.output
    assert "remembered from an earlier search" in again.output
    assert "0 examples drawn" in again.output

    monkeypatch.delenv("CROSSENT_FAULT")
    mended = fuzz(*options, "-k", "ce/*", "--max-examples", 1)
    assert mended.exit_code == 0, mended.output
    assert f"passes now, and is forgotten: {minimal}" in mended.output


def test_replay_judges_what_it_is_told(tmp_path):
    good = fuzz("embedded", "--replay", "split:ce/index/5x4/f32/mean", "--database", tmp_path)
    assert good.exit_code == 0, good.output
    assert "nothing fails" in good.output


def test_expected_failures_are_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSENT_FAULT", "scaled")
    case = "ce/index/2x3/f32/mean"
    options = (STRENGTH, "--replay", case, "--database", tmp_path / "found")
    assert fuzz(*options).exit_code == 1
    file = tmp_path / "expected.toml"
    file.write_text('[[expect]]\ncase = "ce/index/*"\nreason = "known"\n')
    assert fuzz(*options, "--expect", file).exit_code == 0
    file.write_text('[[expect]]\nverdict = "fail"\n')
    refused = fuzz(*options, "--expect", file)
    assert refused.exit_code == 2
    assert "--expect: " in refused.output


def test_a_failure_comes_with_its_script(monkeypatch, tmp_path):
    """The embedded implementation is right, so what is wrong is the expectation, on purpose."""
    monkeypatch.setattr(referee, "examine_case", _expecting_too_much)
    result = fuzz("embedded", "--replay", "ce/index/2x3/f32/mean", "--database", tmp_path)
    assert result.exit_code == 1, result.output
    assert "crossent repro 'ce/index/2x3/f32/mean' --adapter embedded" in result.output
    assert "report(" in result.output


def _expecting_too_much(case, ask):
    return replace(runner.examine(case, ask), verdict="fail", message="not good enough")


def test_a_relation_fails_and_is_explained(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSENT_FAULT", "mean-by-kept-count")
    name = "scale-weight:ce/index/4x5/f32/mean,weight=mixed"
    result = fuzz(STRENGTH, "--replay", name, "--database", tmp_path, "--write-candidate", tmp_path)
    assert result.exit_code == 1, result.output
    assert "scale-weight: Class weights times a power of two." in result.output
    assert "no vector: a relation is several calls" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--replay", "reverse:ce/index/4x10/f32/mean"), "allowed are shift, permute"),
        (("--replay", "ce/index/4x10/f32/median"), "allowed are default, none, mean, sum"),
        (("no-such-framework",), "no-such-framework"),
        (("--max-examples", "0"), "0 is not in the range"),
        (("embedded", "--command", "true"), "--command stands alone"),
    ],
)
def test_bad_usage_is_refused(arguments, words):
    result = fuzz(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output
