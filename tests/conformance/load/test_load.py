"""Every row of the load table at small size, and that a row can fail."""

import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from conformance import cli
from conformance.load import check, library, writes
from conformance.load.check import SMALL, Check, Row, carry_out
from tests.conformance.load import misdeeds

CHECKS = {item.what: item for item in library.CHECKS + writes.CHECKS}


@pytest.mark.parametrize("what", CHECKS)
def test_no_harm_is_done_under_load(what):
    row = carry_out(CHECKS[what], SMALL)
    assert row.ok, row.result
    assert re.match(r"[1-9]", row.amount)
    assert row.result
    assert row.seconds > 0


@pytest.mark.parametrize(
    ("work", "result"),
    [
        (misdeeds.find_fault, "something is wrong"),
        (misdeeds.raise_error, "ZeroDivisionError: a defect"),
        (misdeeds.die, "the process ended with 7"),
        (misdeeds.unsteady_threads, "12 counter gave other bits"),
        (misdeeds.unsteady_forks, "4 other bits"),
        (misdeeds.faults_in_place, "old files and an error expected"),
        (misdeeds.faults_that_leave, r"expected, there are \['temporary', 'x'\]"),
        (misdeeds.kills_in_place, "neither version is whole"),
    ],
)
def test_harm_is_found(work, result):
    row = carry_out(Check("x", work), replace(SMALL, kills=30))
    assert not row.ok
    assert re.search(result, row.result), row.result


def test_a_check_that_hangs_is_ended():
    row = carry_out(Check("x", misdeeds.hang, limit=1.0), SMALL)
    assert (row.ok, row.result) == (False, "not finished after 1 s")
    assert row.seconds < 60


@pytest.mark.parametrize("ok", [True, False])
def test_the_command_prints_the_table_and_its_exit_code_tells(monkeypatch, ok):
    def fake(item, size):
        assert size == SMALL
        return Row(item.what, "3 calls", "fine" if ok else "harm", 0.5, ok)

    monkeypatch.setattr(check, "carry_out", fake)
    outcome = CliRunner().invoke(cli.main, ["load", "--quick"])
    assert outcome.exit_code == (0 if ok else 1)
    words = " ".join(outcome.stdout.split())
    assert all(what.split(",")[0] in words for what in CHECKS)
    assert outcome.stdout.count("3 calls") == len(CHECKS)
    assert f"{len(CHECKS)} of {len(CHECKS)} failed" in outcome.stdout or ok
