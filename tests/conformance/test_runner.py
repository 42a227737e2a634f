"""Runs over real lanes and workers, with fakes in place of requests and verdicts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conformance import runner
from conformance.case import Case
from conformance.driver import Program, Unavailable
from conformance.interrupt import Stop
from conformance.runner import HarnessError, NothingToRunError
from tests.conformance import fakes

ROOT = Path(__file__).parents[2]
MIXED = ["nothing", "abort", "nothing", "hang", "raise", "garbage", "refuse", "exit", "overwrite"]
VERDICTS = ["pass", "crash", "pass", "timeout", "error", "crash", "unsupported", "crash", "fail"]


def run(cases, program=None, examine=fakes.examine, **options):
    return runner.run(program or fakes.hostile(), cases, examine=examine, **options)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_case_gets_its_verdict_whatever_the_framework_does(jobs):
    cases = [fakes.case(do) for do in MIXED]
    seen, started = [], []
    result = run(
        cases,
        jobs=jobs,
        timeout=1.5,
        on_result=seen.append,
        on_start=lambda hello, total: started.append((hello.name, total)),
    )
    assert [item.verdict for item in result.results] == VERDICTS
    assert [item.case for item in result.results] == [case.id for case in cases]
    assert sorted(item.case for item in seen) == sorted(case.id for case in cases)
    assert started == [("hostile", len(cases))]
    assert result.complete
    assert result.exit_code == 1
    assert result.adapter == "hostile"
    assert result.versions.keys() == {"hostile", "python", "numpy", "crossent-spec"}
    assert result.seconds > 0
    assert all(item.seconds > 0 for item in result.results)
    assert result.results[3].seconds >= 1.5


def test_only_cases_of_the_programs_systems_are_run():
    cases = [Case(), Case(system="linear", shape=(4, 8), classes=(10,)), Case(dtype="f64")]
    result = run(cases, jobs=1)
    assert [item.case for item in result.results] == [cases[0].id, cases[2].id]
    assert result.exit_code == 0


def test_a_run_without_a_case_of_the_programs_systems_is_refused():
    with pytest.raises(NothingToRunError, match=r"torch\.nn\.CrossEntropyLoss"):
        run([Case(system="linear", shape=(4, 8), classes=(10,))])


def test_a_missing_framework_is_unavailable(tmp_path):
    (tmp_path / "adapter.py").write_text("import no_such_framework")
    program = Program.of_adapter("x", str(tmp_path / "adapter.py"))
    with pytest.raises(Unavailable, match="No module named") as caught:
        run([Case()], program, jobs=2)
    assert caught.value.module == "no_such_framework"


def test_a_worker_that_cannot_come_back_ends_the_run_with_its_results(tmp_path):
    flag = tmp_path / "started"
    (tmp_path / "adapter.py").write_text(
        f"import os\nif os.path.exists({str(flag)!r}): raise RuntimeError('the device is lost')\n"
        f"open({str(flag)!r}, 'w').close()\n" + fakes.HOSTILE.read_text()
    )
    program = Program.of_adapter("x", str(tmp_path / "adapter.py"))
    cases = [fakes.case("nothing"), fakes.case("abort"), *(Case(shape=(n, 4)) for n in range(1, 9))]
    result = run(cases, program, jobs=1)
    assert [item.verdict for item in result.results] == ["pass"] + ["crash"] * 4
    assert "cannot be started again: RuntimeError: the device is lost" in result.results[-1].message
    assert not result.complete


def test_a_defect_of_the_suite_names_the_case_and_keeps_the_results():
    cases = [Case(shape=(n, 10)) for n in range(1, 6)]
    with pytest.raises(
        HarnessError, match=r"in ce/index/3x10/f32/default\n(.|\n)*of ours"
    ) as caught:
        run(cases, examine=fakes.defect_in_third, jobs=1)
    assert [item.case for item in caught.value.run.results] == [case.id for case in cases[:2]]
    assert not caught.value.run.complete


def test_a_lane_that_dies_is_a_defect_of_the_suite():
    with pytest.raises(HarnessError, match=r"a lane died in .*exit code 7"):
        run([Case()], examine=fakes.die, jobs=1)


def test_the_callers_own_wish_to_stop_is_heard():
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        result = run([fakes.case("nothing")], stop=stop, jobs=1)
        assert stop.connection.poll()
    assert (result.results, result.complete) == ([], False)


@pytest.mark.parametrize(
    ("processors", "jobs", "lanes"), [(3, None, 3), (None, None, 1), (2, 9, 4)]
)
def test_there_is_one_lane_a_processor_and_none_without_a_case(
    monkeypatch, processors, jobs, lanes
):
    made = []

    class Counted(runner._Lane):
        def __init__(self, *arguments):
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(runner, "_Lane", Counted)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert run([Case(shape=(n, 4)) for n in range(1, 5)], jobs=jobs).complete
    assert len(made) == lanes


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    script = (
        "import sys\n"
        "from conformance import runner\n"
        "from conformance.case import Case\n"
        "from tests.conformance import fakes\n"
        "if __name__ == '__main__':\n"
        "    cases = [Case(shape=(n, 10)) for n in range(1, 2000)]\n"
        "    result = runner.run(fakes.hostile(), cases, jobs=2, examine=fakes.slow,\n"
        "        on_result=lambda result: print('.', flush=True))\n"
        "    print(len(result.results), result.complete, flush=True)\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        start_new_session=True,
    )
    with process:
        for _ in range(4):
            assert process.stdout.readline() == ".\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: lanes get it too
        output, errors = process.communicate(timeout=30)
    *dots, last = output.split("\n")[:-1]
    count, complete = last.split()
    assert int(count) == len(dots) + 4
    assert complete == "False"
    assert errors == ""


def test_nothing_is_left_when_the_run_is_killed(tmp_path):
    marker = str(tmp_path / "adapter.py")
    (tmp_path / "adapter.py").write_text(fakes.HOSTILE.read_text())
    script = (
        "from conformance import runner\n"
        "from conformance.driver import Program\n"
        "from tests.conformance import fakes\n"
        "if __name__ == '__main__':\n"
        f"    program = Program.of_adapter('x', {marker!r})\n"
        "    cases = [fakes.case('hang', shape=(n, 10)) for n in range(1, 5)]\n"
        "    runner.run(program, cases, jobs=2, examine=fakes.examine,\n"
        "        on_start=lambda hello, total: print('started', flush=True))\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout.readline() == b"started\n"
        assert workers_of(marker)
        process.kill()
    deadline = time.monotonic() + 15
    while workers_of(marker):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(marker):
    """Return the processes, zombies excepted, that have the marker on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
