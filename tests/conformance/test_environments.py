"""Environments: built by real tools once, and by a stand-in for Python where things go wrong."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from conformance.environments import interpreters
from conformance.environments.build import create
from conformance.environments.manifest import manifest_of
from conformance.environments.resolve import resolve
from conformance.environments.store import Environment, all_environments
from tests.conformance.tiny import (
    ADAPTER,
    CASE,
    FRAMEWORK,
    MANIFEST,
    RUNNING,
    environment,
    invoke,
    silent,
)

# The whole way, with venv and pip ---------------------------------------------------------------


def write_wheel(folder, name, version, files):
    stem = f"{name}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{stem}.dist-info/METADATA", info)
        wheel.writestr(
            f"{stem}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{stem}.dist-info/RECORD", "")


def test_an_environment_is_built_and_the_adapter_runs_there(folder, monkeypatch):
    write_wheel(folder, "tiny_framework", "2.0", {"tiny_framework.py": FRAMEWORK})
    # There is no network in a test, so numpy is this Python's own.
    own = str(Path(np.__file__).parents[1])
    write_wheel(folder, "numpy", "99.0", {"numpy_of_the_tests.pth": own + "\n"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    # What a caller has in PYTHONPATH must not count as installed.
    monkeypatch.setenv("PYTHONPATH", str(folder))

    refusal = invoke("run", "tiny", code=2).stderr
    assert "No module named 'tiny_framework'" in refusal
    assert refusal.endswith("crossent env create tiny\n")
    assert "not built: tiny==2.0" in invoke("env", "list").stdout

    built = invoke("env", "create", "tiny")
    path = folder / "cache" / "environments" / "tiny" / "2.0"
    assert built.stdout.startswith("tiny==2.0 is ready, ")
    assert f"making an environment of Python {RUNNING}" in built.stderr
    assert invoke("env", "path", "tiny").stdout == f"{path}\n"
    assert "is ready already" in invoke("env", "create", "tiny==2.0").stdout
    record = json.loads((path / "environment.json").read_text())
    assert "tiny-framework==2.0" in [line.replace("_", "-") for line in record["packages"]]
    assert "numpy>=1.21" in record["manifest"]["packages"]
    log = (path / "environment.log").read_text()
    assert "$ " in log
    assert "Successfully installed" in log

    outcome = invoke("run", "tiny==2.0", "-j", 1, "--json", folder / "result.json")
    assert "tiny==2.0: tiny-framework 2.0+local, level 4, numpy" in outcome.stdout
    assert "conforms in all 1 cases" in outcome.stdout
    assert json.loads((folder / "result.json").read_text())["adapter"] == "tiny==2.0"
    assert "import tiny_framework" in invoke("repro", CASE.id, "--adapter", "tiny").stdout

    (row,) = [line for line in invoke("env", "list").stdout.split("\n") if "2.0" in line]
    assert row.split()[:4] == ["tiny", "2.0", ".".join(map(str, sys.version_info[:3])), "ready"]
    assert row.split()[-1] == str(path)
    assert invoke("env", "remove", "tiny").stdout == "removed tiny==2.0\n"
    assert not path.parent.exists()
    assert invoke("run", "tiny", code=2).stderr == refusal


# What goes wrong ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("stand_in")
def test_what_pip_says_when_it_fails_is_shown(monkeypatch):
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    outcome = invoke("env", "create", "tiny", code=1)
    assert "tiny==2.0 is not built: pip failed with status 4" in outcome.stderr
    assert "    ERROR: No matching distribution" in outcome.stderr
    assert str(environment().log) in outcome.stderr
    assert "ERROR: No matching distribution" in environment().log.read_text()
    assert environment().state() == "unfinished"
    assert "unfinished" in invoke("env", "list").stdout
    error = invoke("env", "path", "tiny", code=2).stderr
    assert "is unfinished; build it: crossent env create tiny" in error
    assert "(unfinished): crossent env create tiny" in resolve("tiny").remedy

    monkeypatch.delenv("STAND_IN_FAILS")
    assert "is ready" in invoke("env", "create", "tiny").stdout


def test_the_others_are_built_where_one_fails(stand_in, folder, monkeypatch):
    (folder / "next.py").write_text(ADAPTER)
    (folder / "next.toml").write_text(MANIFEST.replace(RUNNING, "3.77"))

    def find(wanted):
        if wanted == "3.77":
            raise interpreters.MissingInterpreterError("it needs Python 3.77")
        return interpreters.Interpreter(str(stand_in), "3.9.9")

    monkeypatch.setattr(interpreters, "find", find)
    outcome = invoke("env", "create", "--all", code=1)
    assert "next==2.0 is not built: it needs Python 3.77" in outcome.stderr
    assert "1 of 2 failed: next==2.0" in outcome.stderr
    assert "tiny==2.0 is ready" in outcome.stdout
    assert Environment.of(manifest_of("next")).state() == "missing"


@pytest.mark.usefixtures("stand_in")
def test_an_interruption_leaves_no_environment_and_no_process(monkeypatch):
    monkeypatch.setenv("STAND_IN_SLEEPS", "77.25")

    def interrupt(line):
        if line.startswith("Collecting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(manifest_of("tiny"), interrupt)
    assert environment().state() == "unfinished"
    wait_until(lambda: not find_process("77.25"))

    monkeypatch.delenv("STAND_IN_SLEEPS")
    assert create(manifest_of("tiny"), silent)
    assert environment().state() == "ready"


@pytest.mark.usefixtures("folder")
def test_an_interruption_is_told_and_has_its_own_exit_code(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("conformance.environments.cli.create", interrupt)
    error = invoke("env", "create", "tiny", code=130).stderr
    assert error == "interrupted: tiny==2.0 is not built\n"


def wait_until(true):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def find_process(text):
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True)
    lines = [line.split(None, 1) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, args in lines if args == f"sleep {text}"]


def test_a_killed_build_is_in_nobodys_way_but_while_its_tool_works(stand_in, folder, monkeypatch):
    monkeypatch.setenv("STAND_IN_SLEEPS", "77.5")
    code = f"""
        from conformance import adapters
        from conformance.environments import build, interpreters, manifest
        adapters.FOLDER = {str(folder)!r}
        interpreters.find = lambda _: interpreters.Interpreter({str(stand_in)!r}, "3.9.9")
        build.create(manifest.manifest_of("tiny"), print)
    """
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as builder:
        while not next(builder.stdout).startswith("Collecting"):
            pass
        assert environment().state() == "being built"
        assert (
            "not removed: tiny==2.0 is being built"
            in invoke("env", "remove", "tiny", code=1).stderr
        )
        builder.kill()
    wait_until(lambda: find_process("77.5"))
    assert environment().state() == "being built"
    for pid in find_process("77.5"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: environment().state() == "unfinished")


@pytest.mark.usefixtures("stand_in")
def test_two_that_build_the_same_do_it_once(monkeypatch):
    monkeypatch.setenv("STAND_IN_SLEEPS", "0.5")
    said = []
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(lambda _: create(manifest_of("tiny"), said.append), range(2)))
    assert sorted(built) == [False, True]
    assert "another process is building it; waiting" in said


@pytest.mark.usefixtures("stand_in")
def test_a_changed_manifest_is_noticed_and_told(folder):
    create(manifest_of("tiny"), silent)
    manifest = folder / "tiny.toml"
    # Variables are given anew at every start.
    manifest.write_text(MANIFEST.replace('LEVEL = "4"', 'LEVEL = "5"'))
    assert environment().state() == "ready"
    manifest.write_text(MANIFEST.replace("packages = [", 'packages = ["extra",'))
    assert environment().state() == "out of date"
    assert "out of date" in invoke("env", "list").stdout
    note = "tiny==2.0 is out of date; build it again: crossent env create --rebuild tiny"
    assert resolve("tiny").note.endswith(note)
    assert note in invoke("repro", CASE.id, "--adapter", "tiny", code=2).stderr
    assert create(manifest_of("tiny"), silent)
    assert environment().state() == "ready"
    built = environment()
    manifest.unlink()
    assert built.state() == "out of date"


@pytest.mark.usefixtures("stand_in")
def test_an_environment_whose_python_is_gone_is_not_used():
    create(manifest_of("tiny"), silent)
    environment().python.unlink()
    environment().python.symlink_to("/no/python")
    assert environment().state() == "broken"
    assert resolve("tiny").command[0] == sys.executable
    assert create(manifest_of("tiny"), silent)


@pytest.mark.usefixtures("stand_in")
def test_what_was_built_can_be_removed_although_its_adapter_is_gone(folder):
    for version in (None, "1.0"):
        create(manifest_of("tiny", version), silent)
    (folder / "tiny.py").unlink()
    assert "no adapter named" in invoke("env", "remove", "tiny", code=2).stderr
    assert invoke("env", "remove", "tiny==1.0").stdout == "removed tiny==1.0\n"
    assert [environment.label for environment in all_environments()] == ["tiny==2.0"]
    assert invoke("env", "remove", "--all").stdout == "removed tiny==2.0\n"
    assert all_environments() == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["create"], "name at least one environment, or say --all"),
        (["create", "tiny", "--all"], "name at least one environment, or say --all"),
        (["create", "tiny", "no"], "no adapter named 'no'"),
        (["create", "bare"], "bare has no manifest, so it needs no environment"),
        (["create", "tiny==.."], "'..' is no version"),
        (["create", "wrong"], "wrong.toml: python: missing"),
        (["remove", "tiny"], "tiny==2.0 is not built; built are none"),
        (["path", "tiny==1"], "tiny==1 is missing; build it: crossent env create tiny==1"),
    ],
)
def test_usage_errors_say_what_is_wrong(folder, arguments, text):
    (folder / "bare.py").write_text("")
    (folder / "wrong.py").write_text("")
    (folder / "wrong.toml").write_text('version = "1"')
    assert text in invoke("env", *arguments, code=2).stderr
    assert all_environments() == []
