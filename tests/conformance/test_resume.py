"""Stopping a run, with real signals, and going on from what it left."""

import json
import os
import signal
import subprocess
import sys
import time

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from conformance import cli, report, resume, runner, selection
from conformance.case import Case
from conformance.result import Result, Run
from conformance.terminal import find_program
from tests.conformance.test_report import SCHEMA
from tests.conformance.test_runner import ROOT, workers_of

BASIS = "crossent run"
PYTHON = ".".join(map(str, sys.version_info[:3]))
CASES = [Case(reduction="sum", dtype="f64", shape=(rows, 5)) for rows in range(1, 41)]

ADAPTER = """
import time
from conformance.adapters.embedded import Adapter as Embedded

class Adapter(Embedded):
    def forward(self, call):
        with open({log!r}, "a") as log:
            log.write(f"{{len(call.arrays['input'].data)}}\\n")
        time.sleep(0.05)
        return super().forward(call)
"""

#: The command, with checkpoints so often that a test need not wait for one.
COMMAND = (
    "from conformance import cli, resume, selection\n"
    "from tests.conformance import test_resume\n"
    "selection.corpus = lambda quick=False: test_resume.CASES\n"
    "resume._INTERVAL = 0.1\n"
    "cli.main(prog_name='crossent')\n"
)


@pytest.fixture
def adapter(tmp_path):
    path = tmp_path / "adapter.py"
    path.write_text(ADAPTER.format(log=str(tmp_path / "log")))
    return path


@pytest.fixture(autouse=True)
def few_cases(monkeypatch):
    monkeypatch.setattr(selection, "corpus", lambda quick=False: CASES[:10] if quick else CASES)


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "run", "-j", "2", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        start_new_session=True,
    )


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.main, ["run", "-j", "2", *map(str, arguments)])
    assert outcome.exit_code == code, outcome.output
    return outcome


def asked(adapter):
    log = adapter.with_name("log")
    return sorted(map(int, log.read_text().split())) if log.exists() else []


def wait_until_asked(adapter, process, count=8):
    while len(asked(adapter)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def read(path):
    data = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(data, SCHEMA)
    return data


def timeless(data):
    results = [{**result, "seconds": 0} for result in data["results"]]
    return {**data, "results": results, "seconds": 0}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return what an uninterrupted run of the same adapter writes, by its path."""
    cache = {}

    def run(adapter):
        if not cache:
            file = tmp_path_factory.mktemp("whole") / "r.json"
            invoke(adapter, "--json", file)
            adapter.with_name("log").unlink()
            cache.update(timeless(read(file)))
        return cache

    return run


def assert_resumes(adapter, file, undisturbed):
    judged = [result["case"] for result in read(file)["results"]]
    assert 0 < len(judged) < len(CASES)
    adapter.with_name("log").unlink()
    invoke(adapter, "--resume", file)
    rest = [case.shape[0] for case in CASES if case.id not in judged]
    assert asked(adapter) == rest
    file = resume.whole(file)
    whole = timeless(read(file))
    expected = undisturbed(adapter)
    # The two adapters differ in where they write their log.
    expected = {**expected, "adapter": str(adapter), "fingerprint": whole["fingerprint"]}
    assert whole == expected
    assert list(adapter.parent.glob(f"*{file.name}*")) == [file]


@pytest.mark.parametrize(
    ("number", "send", "again"),
    [
        (signal.SIGINT, os.killpg, False),  # as a terminal does: everyone gets it
        (signal.SIGTERM, os.kill, False),
        (signal.SIGTERM, os.killpg, True),
        (signal.SIGINT, os.killpg, True),
    ],
)
def test_a_signal_leaves_a_file_to_go_on_from(adapter, tmp_path, number, send, again, undisturbed):
    undisturbed(adapter)
    file = tmp_path / "r.json"
    with start(adapter, "--json", file) as process:
        wait_until_asked(adapter, process)
        send(process.pid, number)
        while again and not file.exists():
            send(process.pid, number)
            time.sleep(0.005)
        output, errors = process.communicate(timeout=60)
    assert errors == ""
    assert process.returncode == 130
    assert "The run is incomplete" in output
    assert f"To go on: add --resume {file}" in output
    assert read(file)["complete"] is False
    assert workers_of(str(adapter)) == []
    assert_resumes(adapter, file, undisturbed)


def test_a_kill_leaves_the_old_file_and_what_was_kept_beside_it(adapter, tmp_path, undisturbed):
    undisturbed(adapter)
    file = tmp_path / "r.json"
    file.write_text("old")
    kept = tmp_path / "r.json.partial"
    with start(adapter, "--json", file) as process:
        wait_until_asked(adapter, process)
        while not kept.exists():
            time.sleep(0.02)
        process.kill()
        process.communicate(timeout=60)
    assert file.read_text() == "old"
    file.unlink()
    deadline = time.monotonic() + 20
    while workers_of(str(adapter)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert f"there is {kept}" in invoke(adapter, "--resume", file, code=2).stderr
    for temporary in tmp_path.glob(".r.json*"):  # where it was killed while it wrote
        temporary.unlink()
    assert_resumes(adapter, kept, undisturbed)


def finished(adapter="embedded", **changes):
    """Return the data of a run that judged ten cases, as this suite writes it now."""
    record = Run(str(adapter), fingerprint=resume.fingerprint(find_program(str(adapter)), BASIS))
    record.versions = {"crossent-spec": runner.version(), "numpy": np.__version__, "python": PYTHON}
    record.results = [Result(case.id, ("index.sum.formula",), "pass") for case in CASES[:10]]
    return {**report.to_json(record), **changes}


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_run_that_is_whole_is_taken_as_it_is(tmp_path, adapter):
    file = write(tmp_path / "r.json", finished(adapter))
    invoke(adapter, "--quick", "--resume", file, "--json", tmp_path / "new.json")
    assert asked(adapter) == []
    assert timeless(read(tmp_path / "new.json")) == timeless(read(file))
    # Without --json, the file itself grows.
    invoke(adapter, "-k", CASES[0].id, *[x for case in CASES[:12] for x in ("-k", case.id)],
           "--resume", file)  # fmt: skip
    assert asked(adapter) == [11, 12]
    assert len(read(file)["results"]) == 12


def test_what_no_worker_was_asked_is_asked_again(tmp_path, adapter):
    data = finished(adapter)
    data["results"][3] |= {"verdict": "crash", "message": f"{runner.NEVER_ASKED}: no device"}
    data["results"][4] |= {"verdict": "crash", "message": "the process was killed by SIGSEGV"}
    file = write(tmp_path / "r.json", data)
    invoke(adapter, "--quick", "--resume", file, code=1)
    assert asked(adapter) == [4]
    assert [item["verdict"] for item in read(file)["results"]].count("crash") == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"adapter": "torch"}, "has results of torch, not of embedded"),
        ({"schema": "urn:other"}, "is not a result file (urn:crossent-spec:result:1)"),
        ({"results": [{"case": "x"}]}, "is not a result file"),
        ({"versions": None}, "is not a result file"),
        ({"fingerprint": {}}, "does not say by what its results were judged"),
        ({"fingerprint": {"basis": "crossent golden run 12"}}, "was judged by crossent golden run"),
        ({"fingerprint": {"suite": "12"}}, "was judged by other sources of this suite"),
        ({"fingerprint": {"adapter": "12"}}, "the adapter is not the one that gave"),
        ({"versions": {"numpy": "1.0"}}, "numpy 1.0, now "),
        ({"versions": {"cuda": "13"}}, "cuda 13, now (none)"),
        ("{", "is not JSON"),
        ("[]", "is not a result file"),
    ],
)
def test_other_peoples_results_are_refused(tmp_path, changes, text):
    if isinstance(changes, dict):
        data = finished()
        for name, value in changes.items():
            data[name] = {**data[name], **value} if value and isinstance(value, dict) else value
    else:
        data = changes
    file = write(tmp_path / "r.json", data)
    before = file.read_bytes()
    assert text in invoke("--quick", "--resume", file, code=2).stderr
    assert file.read_bytes() == before


def test_results_of_cases_that_are_not_chosen_are_refused(tmp_path):
    file = write(tmp_path / "r.json", finished())
    error = invoke("-k", CASES[0].id, "--resume", file, code=2).stderr
    assert f"has results of 9 cases that are not chosen now, such as {CASES[1].id}" in error


def test_a_missing_file_is_named(tmp_path):
    error = invoke("--resume", tmp_path / "r.json", code=2).stderr
    assert "r.json cannot be read: No such file or directory\n" in error


def test_a_full_disk_loses_no_report(tmp_path):
    (tmp_path / "r.json").symlink_to("/dev/full")
    outcome = invoke("--quick", "--json", tmp_path / "r.json", code=2)
    assert "conforms in all 10 cases" in outcome.stdout
    assert "r.json cannot be written: No space left on device" in outcome.stderr


def test_a_full_disk_loses_no_report_of_any_kind(tmp_path):
    (tmp_path / "full").symlink_to("/dev/full")
    outcome = invoke("--quick", "--junit", tmp_path / "full", code=2)
    assert "conforms in all 10 cases" in outcome.stdout
    assert "--junit: " in outcome.stderr
    assert "cannot be written: No space left on device" in outcome.stderr
    assert "the suite itself failed" not in outcome.stderr
