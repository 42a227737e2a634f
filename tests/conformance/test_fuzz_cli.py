"""``crossent fuzz`` as a user runs it, with real workers."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from conformance.cli import main
from conformance.golden.verify import verify

STRENGTH = str(Path(__file__).parents[2] / "conformance" / "strength" / "adapter.py")
MINIMAL = "ce/index/1x2/f32/default,weight=mixed"


def fuzz(*arguments):
    return CliRunner().invoke(main, ["fuzz", *map(str, arguments)])


def test_a_seeded_fault_is_found_shrunk_remembered_and_written(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSENT_FAULT", "mean-by-kept-count")
    options = (STRENGTH, "--database", tmp_path / "found", "--max-failures", 1)
    narrow = ("-k", "ce/*weight=mixed*", "--seed", 5)
    first = fuzz(*options, *narrow, "--max-examples", 300, "--write-candidate", tmp_path / "new")
    assert first.exit_code == 1, first.output
    assert f"1. fail  {MINIMAL}" in first.output
    assert "index.mean.divides-by-target-weights" in first.output
    assert f"--replay {MINIMAL}" in first.output
    proved = verify(tmp_path / "new", 1, lambda _: None, lambda: None)
    assert (proved.vectors, proved.problems) == (1, {})

    again = fuzz(*options, "--max-examples", 50)
    assert again.exit_code == 1
    assert "remembered from an earlier search" in again.output
    assert "0 examples drawn" in again.output

    monkeypatch.delenv("CROSSENT_FAULT")
    mended = fuzz(*options, "-k", MINIMAL, "--max-examples", 1)
    assert mended.exit_code == 0, mended.output
    assert f"passes now, and is forgotten: {MINIMAL}" in mended.output


def test_replay_judges_what_it_is_told_and_prints_the_script(tmp_path):
    options = ("--database", tmp_path)
    good = fuzz("embedded", "--replay", "split:ce/index/5x4/f32/mean", *options)
    assert good.exit_code == 0, good.output
    assert "nothing fails" in good.output


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
