"""Manifests, and the interpreters that they ask for."""

import sys
from pathlib import Path

import pytest

from conformance import adapters
from conformance.environments import interpreters
from conformance.environments.manifest import (
    ManifestError,
    all_manifests,
    manifest_of,
    split,
)

GOOD = """
version = "1.5"
python = "3.11"
packages = ["tiny=={version}", "tiny-extra==7"]
without-dependencies = ["odd=={version}"]

[variables]
LEVEL = "4"

[versions."0.9"]
python = "3.8"
packages = ["tiny=={version}", "numpy<1.24"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "FOLDER", str(tmp_path))
    (tmp_path / "tiny_one.py").write_text('"""Tiny."""\n')
    return tmp_path


def read(folder, text, version=None, name="tiny-one"):
    (folder / f"{name.replace('-', '_')}.toml").write_text(text)
    return manifest_of(name, version)


def test_a_manifest_is_read(folder):
    made = read(folder, GOOD)
    assert (made.label, made.asked, made.python) == ("tiny-one==1.5", "tiny-one", "3.11")
    # The worker needs numpy even where the framework does not.
    assert made.packages == ("tiny==1.5", "tiny-extra==7", "numpy>=1.21")
    assert made.without_dependencies == ("odd==1.5",)
    assert made.variables == {"LEVEL": "4"}
    assert made.pin.names == ("tiny", "odd", "tiny-one")


def test_a_version_may_differ_in_anything(folder):
    made = read(folder, GOOD, "0.9")
    assert (made.label, made.asked, made.python) == ("tiny-one==0.9", "tiny-one==0.9", "3.8")
    assert made.packages == ("tiny==0.9", "numpy<1.24")
    assert made.without_dependencies == ("odd==0.9",)


def test_a_version_that_the_manifest_does_not_name_is_built_like_the_default(folder):
    assert read(folder, GOOD, "1.6").packages == ("tiny==1.6", "tiny-extra==7", "numpy>=1.21")


def test_an_environment_is_shared(folder):
    read(folder, GOOD)
    (folder / "other.py").write_text("")
    assert read(folder, 'shares = "tiny-one"', "0.9", "other") == manifest_of("tiny-one", "0.9")
    assert [made.label for made in all_manifests()] == ["tiny-one==1.5"]


def test_a_file_that_nobody_registered_has_a_name_of_its_own(folder, tmp_path_factory):
    read(folder, GOOD)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tiny_one.py"
    elsewhere.write_text("")
    assert manifest_of(str(elsewhere)) is None
    elsewhere.with_suffix(".toml").write_text(GOOD)
    made = manifest_of(str(elsewhere))
    assert made.name.startswith("tiny-one-")
    assert made.asked == str(elsewhere)
    assert manifest_of(str(folder / "tiny_one.py")).name == "tiny-one"


def test_a_program_in_another_language_needs_a_command(folder):
    (folder / "web.mjs").write_text("#!/usr/bin/env node\n// The loss of the web.\n")
    assert "web" not in adapters.registered()
    made = read(
        folder,
        'version = "4"\nnpm = ["@web/core@{version}"]\ncommand = ["node", "{adapter}"]',
        name="web",
    )
    assert made.command == ("node", str(folder / "web.mjs"))
    assert (made.python, made.packages, made.npm) == ("", (), ("@web/core@4",))
    assert made.pin.names == ("@web/core", "web")
    assert adapters.registered()["web"] == str(folder / "web.mjs")
    assert adapters.summary(adapters.find("web")) == "The loss of the web."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version = ", "Invalid value"),
        ('python = "3.11"', "version: missing"),
        ('version = "1"', "python: missing"),
        ('version = "../1"\npython = "3.11"', "version: got '../1', expected a version"),
        ('version = "1"\npython = "3.11.7"', "python: got '3.11.7', expected a minor version"),
        ('version = "1"\npython = 3.11', "python: got 3.11, expected a minor version"),
        ('version = "1"\npython = "3.11"\npackages = "x"', "packages: got 'x', expected a list"),
        ('version = "1"\npython = "3.11"\npackage = []', "package: unknown; allowed are version,"),
        ('version = "1"\npython = "3.11"\nvariables = {A = 1}', "variables: got {'A': 1}"),
        ('version = "1"\npython = "3.11"\nversions = ["2"]', "versions: got ['2']"),
        (
            'version = "1"\npython = "3.11"\n[versions."2"]\nversion = "3"',
            "versions.'2'.version: unknown",
        ),
        ('version = "1"\npython = "3.11"\n[versions]\n"a b" = {}', "versions.'a b': expected"),
        ('version = "1"\npython = "3.11"\ncommand = ["x"]', "tiny_one.py is a Python file"),
        ('shares = "none"', "shares: no adapter named 'none'"),
        ('shares = "bare"', "bare has no environment that could be shared"),
        ('shares = "bare"\nversion = "1"', "version: unknown beside shares"),
    ],
)
def test_a_wrong_manifest_is_refused_by_file_and_key(folder, text, problem):
    (folder / "bare.py").write_text("")
    with pytest.raises(ManifestError) as caught:
        read(folder, text)
    assert problem in str(caught.value)
    assert ".toml: " in str(caught.value)


def test_a_program_without_a_command_is_refused(folder):
    (folder / "web.mjs").write_text("")
    with pytest.raises(ManifestError, match=r"command: web.mjs is no Python file"):
        read(folder, 'version = "4"', name="web")
    with pytest.raises(ManifestError, match=r"packages: they need a python"):
        read(folder, 'version = "4"\ncommand = ["x"]\npackages = ["y"]', name="web")


@pytest.mark.parametrize("spec", ["torch==", "torch==../x", "torch==1 2", "torch==-e"])
def test_a_version_that_is_none_is_refused(spec):
    with pytest.raises(ManifestError, match="is no version"):
        split(spec)


def test_every_manifest_of_the_suite_can_be_read():
    made = {manifest.label: manifest for manifest in all_manifests()}
    assert made["torch==2.13.0"].python == "3.11"
    assert manifest_of("torch-linear") == made["torch==2.13.0"]
    assert manifest_of("torch", "1.13.1").packages == ("torch==1.13.1", "numpy<2")
    for name, path in adapters.registered().items():
        if name not in ("embedded", "embedded-cuda"):
            assert Path(path).with_suffix(".toml").is_file(), name


# Interpreters ---------------------------------------------------------------------------------


def write_python(path, version="3.77.1", implementation="CPython", missing=""):
    """Write a program that answers like a Python, and says so in a file that it was asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = f'["{implementation}", "{version}", [{missing}]]'
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with no Pythons but the running one."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", f"/usr/no-such-folder:{tmp_path / 'bin'}")
    return tmp_path


def test_the_running_interpreter_is_taken_where_it_fits(machine):
    running = "{}.{}".format(*sys.version_info)
    write_python(machine / "bin" / f"python{running}", running)
    assert interpreters.find(running).path == sys.executable


def test_the_newest_of_pyenv_comes_before_the_path(machine):
    for version in ("3.77.9", "3.77.10", "3.7.7"):
        write_python(machine / "pyenv" / "versions" / version / "bin" / "python", version)
    on_path = write_python(machine / "bin" / "python3.77", "3.77.11")
    found = interpreters.find("3.77")
    assert found.path.endswith("versions/3.77.10/bin/python")
    assert found.version == "3.77.10"
    assert interpreters.find("3.7").version == "3.7.7"
    (machine / "pyenv").rename(machine / "gone")
    assert interpreters.find("3.77").path == str(on_path)


def test_a_python_is_asked_and_not_believed_by_its_name(machine):
    write_python(machine / "bin" / "python3.77", "3.76.0")
    write_python(machine / "bin" / "python3", "3.77.2", missing='"ensurepip"')
    write_python(machine / "bin" / "python", "3.77.2", implementation="PyPy")
    found = write_python(machine / "pyenv" / "versions" / "mine" / "bin" / "python", "3.77.3")
    assert interpreters.find("3.77").path == str(found)


def test_what_is_missing_is_said_with_what_there_is(machine):
    write_python(machine / "pyenv" / "versions" / "3.5.1" / "bin" / "python", "3.5.1")
    broken = write_python(machine / "bin" / "python3.77", missing='"ensurepip"')
    with pytest.raises(interpreters.MissingInterpreterError) as caught:
        interpreters.find("3.77")
    text = str(caught.value)
    assert "it needs Python 3.77, and none is installed here" in text
    assert f"3.5.1 ({machine}" in text
    assert f"{broken}, which lacks the module ensurepip" in text
    assert "pyenv install 3.77" in text
    assert str(machine / "pyenv") in text


def test_a_program_that_fails_is_no_python(machine):
    (machine / "bin").mkdir()
    shim = machine / "bin" / "python3.77"
    shim.write_text("#!/bin/sh\necho no such version >&2; exit 127\n")
    shim.chmod(0o755)
    with pytest.raises(interpreters.MissingInterpreterError, match="which does not answer"):
        interpreters.find("3.77")
