"""A run of the real command over an adapter that does, in one case each, all that is bad."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import jsonschema
import pytest

from tests.conformance.adapters import ruinous
from tests.conformance.test_report import SCHEMA
from tests.conformance.test_runner import ROOT, workers_of

TIMEOUT = 6
BREAKS = "the worker's reply breaks the protocol: "
NOT_THE_REPLY = "a line on stdout is not the reply to this request: "
LATE = f"no reply within {TIMEOUT} s"

#: Deed: the verdict, and how its message begins.
EXPECTED = {
    "segfault": ("crash", "the process was killed by SIGSEGV without a reply"),
    "abort": ("crash", "the process was killed by SIGABRT without a reply"),
    "exit silently": ("crash", "the process exited with status 0 without a reply"),
    "kill itself": ("crash", "the process was killed by SIGKILL without a reply"),
    "loop, deaf to signals": ("timeout", LATE),
    "sleep": ("timeout", LATE),
    "sleep in C": ("timeout", LATE),
    "stop itself": ("timeout", LATE),
    "print 100 MiB": ("pass", ""),
    "print 100 MiB from C": ("pass", ""),
    "write 100 MiB to stdout": ("pass", ""),
    "write 100 MiB to stderr": ("pass", ""),
    "print no UTF-8": ("pass", ""),
    "flood the pipe": ("crash", "the reply is too long: over "),
    "flood the pipe with lines": ("crash", NOT_THE_REPLY + "'{}'"),
    "reply with 4 GiB": ("crash", "the reply is too long: over "),
    "half a reply, then exit": (
        "crash",
        "the process exited with status 0 without a reply; its last line breaks off: "
        '\'{"case": "ce/ind\'',
    ),
    "half a reply, then hang": ("timeout", LATE),
    "wrong id": ("crash", NOT_THE_REPLY),
    "no id": ("crash", NOT_THE_REPLY),
    "id of an earlier case": ("crash", NOT_THE_REPLY),
    "reply after the time limit": ("timeout", LATE),
    "reply twice": ("crash", 'another line followed the reply: \'{"case": "another"}\''),
    "malformed JSON": ("crash", NOT_THE_REPLY),
    "JSON of another kind": ("crash", NOT_THE_REPLY),
    "no UTF-8": ("crash", NOT_THE_REPLY),
    "deep nesting": ("crash", NOT_THE_REPLY),
    "nesting below the limit": ("fail", "forward (step 0): loss is 0.0"),
    "a number of 10,000 digits": ("crash", NOT_THE_REPLY),
    "NaN shape": ("crash", NOT_THE_REPLY),
    "negative shape": ("crash", BREAKS + "ValueError: array shape: got [-1]"),
    "huge shape": ("crash", BREAKS + "ValueError: array shape: got [0, 1000"),
    "large shape without elements": ("crash", BREAKS + "ValueError: "),
    "fractional shape": ("crash", BREAKS + "ValueError: array shape: got [1.5]"),
    "boolean shape": ("crash", BREAKS + "ValueError: array shape: got [True]"),
    "shape of text": ("crash", BREAKS + "ValueError: array shape: got '2x2'"),
    "70 dimensions": ("crash", BREAKS + "ValueError: "),
    "10^12 elements": ("crash", BREAKS + "ValueError: array data: got 8 bytes"),
    "10^12 elements by strides": ("crash", BREAKS + "ValueError: array data: got 8 bytes"),
    "no base64": ("crash", BREAKS + "Error: "),
    "no data": ("crash", BREAKS + "TypeError: "),
    "dtype of another kind": ("crash", BREAKS + "TypeError: "),
    "no steps": ("crash", BREAKS + "ValueError: expected 2 steps, got []"),
    "steps of another kind": ("crash", BREAKS + "ValueError: expected 2 steps, got {"),
    "no arrays": ("crash", BREAKS + "KeyError: 'arrays'"),
    "an outcome of another kind": ("crash", BREAKS + "ValueError: outcome []"),
    "half a surrogate pair": ("error", "forward (step 0): �: ��[2J"),
    "a message of 8 MiB": ("error", "forward (step 0): E: xxxxx"),
    "a broadcast array of 10^12 elements": ("error", "forward (step 0): MemoryError: "),
    "close the pipe": ("crash", "the process closed its stdout without a reply"),
    "close the pipe and return": ("crash", "the process exited with status 1 without a reply"),
    "fork and exit": ("crash", "the process exited with status 0 without a reply"),
    "fork 40 children": ("pass", ""),
    "leave a daemon": ("pass", ""),
    "leave a daemon and crash": ("crash", "the process was killed by SIGABRT without a reply"),
    "eat memory": ("error", "forward (step 0): MemoryError: "),
    "eat memory in C": ("crash", "the process was killed by SIGSEGV without a reply"),
}


def descendants(pid):
    """Return the ids of a process and of all below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while new := {child for child, parent in parents.items() if parent in found} - found:
        found |= new
    return found


def watch_memory(process, peaks):
    """Note the most memory that each process of the harness, no worker, ever had."""
    while process.poll() is None:
        for pid in descendants(process.pid):
            with contextlib.suppress(OSError, IndexError, ValueError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if pid == process.pid or b"multiprocessing" in command:
                    status = Path(f"/proc/{pid}/status").read_text()
                    peaks[pid] = int(status.split("VmHWM:")[1].split()[0]) << 10
        time.sleep(0.2)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Run it all once, an innocent case after every deed."""
    folder = tmp_path_factory.mktemp("hostile")
    adapter = folder / "ruinous.py"
    shutil.copy(ruinous.__file__, adapter)
    command = [sys.executable, "-m", "conformance", "run", str(adapter), "-j", "2"]
    command += ["--timeout", str(TIMEOUT), "--memory", "500M", "--json", str(folder / "r.json")]
    for deed in EXPECTED:
        for case in ruinous.cases_of(deed):
            command += ["-k", case]
    peaks = {}
    started = time.monotonic()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        threading.Thread(target=watch_memory, args=(process, peaks), daemon=True).start()
        output, errors = process.communicate(timeout=400)
    return {
        "code": process.returncode,
        "output": output,
        "errors": errors,
        "seconds": time.monotonic() - started,
        "left": workers_of(str(adapter)),
        "peaks": peaks,
        "data": json.loads((folder / "r.json").read_text(encoding="utf-8")),
    }


@pytest.mark.parametrize("deed", EXPECTED)
def test_every_deed_gets_its_verdict_and_harms_no_other_case(outcome, deed):
    results = {result["case"]: result for result in outcome["data"]["results"]}
    case, innocent = ruinous.cases_of(deed)
    verdict, message = EXPECTED[deed]
    assert results[case]["verdict"] == verdict
    assert results[case]["message"].startswith(message)
    assert len(results[case]["message"]) < 11_000
    assert results[innocent]["verdict"] == "pass", results[innocent]["message"]


def test_no_deed_is_left_out():
    assert list(EXPECTED) == list(ruinous.DEEDS)


def test_the_run_is_whole_and_leaves_no_process(outcome):
    assert outcome["code"] == 1
    assert outcome["errors"] == ""
    jsonschema.validate(outcome["data"], SCHEMA)
    assert outcome["data"]["complete"]
    assert len(outcome["data"]["results"]) == 2 * len(EXPECTED)
    assert outcome["left"] == []
    assert "\x1b" not in outcome["output"]


def test_the_time_of_the_run_is_bounded(outcome):
    late = sum(verdict == "timeout" for verdict, _ in EXPECTED.values())
    # Beside what hangs: a start of the worker for every deed, and the printing.
    assert outcome["seconds"] < 60 + TIMEOUT * late + 3 * len(EXPECTED)


def test_the_harness_itself_stays_small(outcome):
    assert len(outcome["peaks"]) >= 3  # the command and two lanes
    assert max(outcome["peaks"].values()) < 1 << 30
