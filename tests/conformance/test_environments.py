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
from click.testing import CliRunner

from conformance import adapters, cli
from conformance.case import Case
from conformance.driver import Unavailable, Worker
from conformance.environments import interpreters
from conformance.environments.build import BuildError, create
from conformance.environments.manifest import manifest_of
from conformance.environments.resolve import resolve
from conformance.environments.store import Environment, all_environments
from tests.conformance import fakes

CASE = Case(reduction="mean", dtype="f64")
RUNNING = "{}.{}".format(*sys.version_info)

ADAPTER = '''\
"""A framework that is not installed where the tests are."""

import os

import numpy as np
import tiny_framework

from conformance.protocol import Adapter as Base, Array


class Adapter(Base):
    def describe(self):
        versions = {"tiny-framework": tiny_framework.__version__, "level": os.environ["LEVEL"]}
        return {"name": "tiny", "systems": ["torch.nn.CrossEntropyLoss"], "versions": versions}

    def forward(self, call):
        x, y = call.arrays["input"].data, call.arrays["target"].data
        loss, gradient = tiny_framework.cross_entropy(x, y)
        return Array(np.asarray(loss), "float64"), gradient

    def backward(self, state, grad_output, retain):
        return {"input": Array(state, "float64")}

    def script(self, call, step):
        return "import tiny_framework" if step["do"] == "forward" else "grads = {}"
'''

FRAMEWORK = """\
import numpy as np

__version__ = "2.0+local"


def cross_entropy(x, y):
    z = x - x.max(axis=1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    hot = np.eye(x.shape[1])[y]
    return -(logs * hot).sum() / len(x), (np.exp(logs) - hot) / len(x)
"""

MANIFEST = f"""
version = "2.0"
python = "{RUNNING}"
packages = ["tiny-framework=={{version}}"]

[variables]
LEVEL = "4"
"""

#: What does as little as possible where a Python is asked to build.
STAND_IN = """\
#!/bin/sh
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  *" freeze") echo tiny-framework==2.0 ;;
  *" install "*)
    echo "Collecting tiny-framework"
    if [ -n "$STAND_IN_SLEEPS" ]; then sleep "$STAND_IN_SLEEPS"; fi
    if [ -n "$STAND_IN_FAILS" ]; then echo "ERROR: No matching distribution" >&2; exit 4; fi ;;
  *) exec "$REAL_PYTHON" "$@" ;;
esac
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An adapter with a manifest, and no environment."""
    return furnish(tmp_path, monkeypatch)


def furnish(folder, monkeypatch):
    monkeypatch.setattr(adapters, "FOLDER", str(folder))
    monkeypatch.setattr(cli, "corpus", lambda quick=False: [CASE])  # noqa: ARG005
    monkeypatch.setenv("CROSSENT_CACHE", str(folder / "cache"))
    (folder / "tiny.py").write_text(ADAPTER)
    (folder / "tiny.toml").write_text(MANIFEST)
    return folder


@pytest.fixture
def stand_in(folder, monkeypatch):
    """The stand-in for Python, in place of whatever is installed."""
    python = folder / "stand-in"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    monkeypatch.setenv("REAL_PYTHON", sys.executable)
    monkeypatch.setattr(
        interpreters, "find", lambda wanted: interpreters.Interpreter(str(python), f"{wanted}.9")
    )
    return python


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert outcome.exit_code == code, outcome.output
    return outcome


def silent(line):
    pass


def tiny(version=None):
    return Environment.of(manifest_of("tiny", version))


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
    assert str(tiny().log) in outcome.stderr
    assert "ERROR: No matching distribution" in tiny().log.read_text()
    assert tiny().state() == "unfinished"
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
    assert tiny().state() == "unfinished"
    wait_until(lambda: not find_process("77.25"))

    monkeypatch.delenv("STAND_IN_SLEEPS")
    assert create(manifest_of("tiny"), silent)
    assert tiny().state() == "ready"


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
        assert tiny().state() == "being built"
        assert (
            "not removed: tiny==2.0 is being built"
            in invoke("env", "remove", "tiny", code=1).stderr
        )
        builder.kill()
    wait_until(lambda: find_process("77.5"))
    assert tiny().state() == "being built"
    for pid in find_process("77.5"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: tiny().state() == "unfinished")


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
    assert tiny().state() == "ready"
    manifest.write_text(MANIFEST.replace("packages = [", 'packages = ["extra",'))
    assert tiny().state() == "out of date"
    assert "out of date" in invoke("env", "list").stdout
    note = "tiny==2.0 is out of date; build it again: crossent env create --rebuild tiny"
    assert resolve("tiny").note.endswith(note)
    assert note in invoke("repro", CASE.id, "--adapter", "tiny", code=2).stderr
    assert create(manifest_of("tiny"), silent)
    assert tiny().state() == "ready"
    environment = tiny()
    manifest.unlink()
    assert environment.state() == "out of date"


@pytest.mark.usefixtures("stand_in")
def test_an_environment_whose_python_is_gone_is_not_used():
    create(manifest_of("tiny"), silent)
    tiny().python.unlink()
    tiny().python.symlink_to("/no/python")
    assert tiny().state() == "broken"
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


# Where an adapter is run --------------------------------------------------------------------------


@pytest.mark.usefixtures("stand_in")
def test_a_given_python_comes_before_the_environment_and_that_before_this_python():
    here = resolve("tiny")
    assert here.command[0] == sys.executable
    assert here.variables == {"LEVEL": "4"}
    assert here.remedy == "build its environment: crossent env create tiny"
    create(manifest_of("tiny", "1.0"), silent)
    assert resolve("tiny") == here
    create(manifest_of("tiny"), silent)
    there = resolve("tiny")
    assert there.command[0] == str(tiny().python)
    assert there.variables["LEVEL"] == "4"
    assert there.variables["PYTHONPATH"] == ""
    assert resolve("tiny==1.0").command[0] == str(tiny("1.0").python)
    given = resolve("tiny", "/usr/bin/python9")
    assert given.command[0] == "/usr/bin/python9"
    assert given.variables == {"LEVEL": "4"}


@pytest.mark.usefixtures("stand_in")
def test_the_environment_keeps_the_callers_packages_out(monkeypatch, tmp_path):
    (tmp_path / "tiny_framework.py").write_text(FRAMEWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker(resolve("tiny"))
    assert worker.start().versions["tiny-framework"] == "2.0+local"
    worker.close()
    create(manifest_of("tiny"), silent)
    with pytest.raises(Unavailable, match="tiny_framework"):
        Worker(resolve("tiny")).start()


@pytest.mark.parametrize("python", [None, sys.executable])
def test_another_version_than_the_one_asked_for_is_refused(folder, monkeypatch, python):
    (folder / "tiny_framework.py").write_text(FRAMEWORK)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    given = [] if python is None else ["--python", python]
    error = invoke("run", "tiny==1.9", *given, code=2).stderr
    assert "tiny==1.9 cannot be run: it has tiny-framework 2.0+local, asked for is 1.9" in error
    if python is None:
        assert error.endswith("crossent env create tiny==1.9\n")
    assert "conforms" in invoke("run", "tiny==2", *given, "-j", 1).stdout


def test_an_adapter_without_a_manifest_has_no_versions(folder):
    (folder / "bare.py").write_text("")
    assert resolve("bare").command[0] == sys.executable
    assert "a manifest bare.toml beside it" in invoke("run", "bare==1", code=2).stderr


@pytest.mark.usefixtures("stand_in")
def test_a_file_that_nobody_registered_has_an_environment_too(tmp_path):
    mine = tmp_path / "elsewhere" / "mine.py"
    mine.parent.mkdir()
    mine.write_text(ADAPTER)
    mine.with_suffix(".toml").write_text(MANIFEST)
    assert resolve(str(mine)).remedy.endswith(f"crossent env create {mine}")
    invoke("env", "create", mine)
    assert resolve(f"{mine}==2.0").command[0].startswith(str(tmp_path / "cache"))


# Other languages ----------------------------------------------------------------------------------

#: Stands in for node: "node ADAPTER" speaks the protocol for the hostile adapter.
NODE = f"""\
#!/bin/sh
echo "$NODE_PATH" > "$1.path"
exec {sys.executable} {Path(cli.__file__).with_name("worker.py")} {fakes.HOSTILE}
"""
#: Stands in for npm: install ... --prefix FOLDER PACKAGES.
NPM = """\
#!/bin/sh
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/node_modules"
echo '{"packages": {"": {}, "node_modules/@web/core": {"version": "4.1"}}}' > "$2/package-lock.json"
"""


@pytest.fixture
def web(folder, monkeypatch):
    """An adapter for node."""
    (folder / "web.mjs").write_text("// The web.\n")
    (folder / "web.toml").write_text(
        'version = "4.1"\nnpm = ["@web/core@{version}"]\ncommand = ["node", "{adapter}"]\n'
    )
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    (folder / "bin").mkdir()
    for name, text in (("node", NODE), ("npm", NPM)):
        program = folder / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    return folder


def test_an_adapter_in_another_language_runs_with_its_packages(web):
    invoke("env", "create", "web")
    environment = Environment.of(manifest_of("web"))
    assert environment.record()["packages"] == ["@web/core@4.1"]
    assert environment.state() == "ready"
    outcome = invoke("run", "web", "-j", 1, code=1)
    assert "web: " in outcome.stdout
    assert f"crossent run web -k '{CASE.id}'" in outcome.stdout
    seen = (web / "web.mjs.path").read_text().strip()
    assert seen == str(environment.path / "node_modules")
    assert "The web." in invoke("adapters").stdout
    error = invoke("repro", CASE.id, "--adapter", "web", code=2).stderr
    assert "only adapters that are Python files write scripts" in error
    assert (
        "--python: web is no Python program" in invoke("run", "web", "--python", "x", code=2).stderr
    )
    assert "reports the versions of" in invoke("run", "web==4.1", code=2).stderr


@pytest.mark.usefixtures("web")
def test_npm_that_is_missing_is_said_before_anything_is_removed(monkeypatch):
    create(manifest_of("web"), silent)
    monkeypatch.setenv("PATH", "/no/folder")
    with pytest.raises(BuildError, match=r"needs npm, which is not on the PATH"):
        create(manifest_of("web"), silent, again=True)
    assert Environment.of(manifest_of("web")).state() == "ready"


@pytest.mark.usefixtures("web")
def test_a_program_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/no/folder")
    error = invoke("run", "web", code=2).stderr
    assert "cannot run node" in error
    assert error.endswith("build its environment: crossent env create web\n")
