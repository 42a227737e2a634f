"""An adapter whose framework is not installed, and stand-ins for what would install it."""

import sys

from click.testing import CliRunner

from conformance import adapters, cli, selection
from conformance.case import Case
from conformance.environments.manifest import manifest_of
from conformance.environments.store import Environment

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


def furnish(folder, monkeypatch):
    monkeypatch.setattr(adapters, "FOLDER", str(folder))
    monkeypatch.setattr(selection, "corpus", lambda quick=False: [CASE])  # noqa: ARG005
    monkeypatch.setenv("CROSSENT_CACHE", str(folder / "cache"))
    (folder / "tiny.py").write_text(ADAPTER)
    (folder / "tiny.toml").write_text(MANIFEST)
    return folder


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert outcome.exit_code == code, outcome.output
    return outcome


def silent(line):
    pass


def environment(version=None):
    return Environment.of(manifest_of("tiny", version))
