"""Where an adapter is run: in a given Python, in its environment, where the suite is; in Node."""

import sys
from pathlib import Path

import pytest

from conformance import cli
from conformance.driver import Unavailable, Worker
from conformance.environments.build import BuildError, create
from conformance.environments.manifest import manifest_of
from conformance.environments.resolve import resolve
from conformance.environments.store import Environment
from tests.conformance import fakes
from tests.conformance.tiny import ADAPTER, CASE, FRAMEWORK, MANIFEST, environment, invoke, silent

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
    assert there.command[0] == str(environment().python)
    assert there.variables["LEVEL"] == "4"
    assert there.variables["PYTHONPATH"] == ""
    assert resolve("tiny==1.0").command[0] == str(environment("1.0").python)
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
    built = Environment.of(manifest_of("web"))
    assert built.record()["packages"] == ["@web/core@4.1"]
    assert built.state() == "ready"
    outcome = invoke("run", "web", "-j", 1, code=1)
    assert "web: " in outcome.stdout
    assert f"crossent run web -k '{CASE.id}'" in outcome.stdout
    seen = (web / "web.mjs.path").read_text().strip()
    assert seen == str(built.path / "node_modules")
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
