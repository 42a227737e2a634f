"""Golden files of a few cases, and what spoils them."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from conformance.case import Case
from conformance.golden import cli
from conformance.golden.make import make_vector
from conformance.golden.read import read_folder
from conformance.golden.write import render_all, replace_files

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "golden"
CONSUMER = ROOT / "tools" / "golden_consumer.mjs"
FEW = [
    Case.parse("ce/index/6x5/f32/mean,weight=mixed,ignored=some"),
    Case.parse("ce/index/4x3/bf16/none,grad=mixed,smoothing=0.1"),
    Case.parse("ce/index/5x4/f64/sum,logits=posinf,grad=ones"),
    Case.parse("ce/index/5x4/f32/mean,ignore_index=-9223372036854775808,ignored=some"),
    Case.parse("ce/index/4x10/f32/mean,bad=target-too-large"),
    Case.parse("ce/prob/4x3/f16/mean,weight=mixed"),
    Case.parse("linear/index/6x5-4/f32/sum,bias=yes,options=chunk2,script=twice"),
]
#: Files of FEW: one whose vector has several losses, and one of two vectors.
INDICES, MEANS = "cross_entropy_indices_none.json", "cross_entropy_indices_mean.json"


@pytest.fixture(scope="module")
def vectors():
    return [make_vector(case) for case in FEW]


@pytest.fixture(scope="module")
def committed():
    return read_folder(GOLDEN)


@pytest.fixture
def folder(tmp_path, vectors):
    replace_files(tmp_path, render_all(vectors))
    return tmp_path


def rewrite(folder, change, name=INDICES):
    """Change a file as text, and let the index know its new hash."""
    path = folder / "vectors" / name
    before = path.read_text(encoding="utf-8")
    content = change(before).encode("utf-8")
    assert content != before.encode("utf-8")
    path.write_bytes(content)
    index_path = folder / "vectors" / "index.json"
    index = json.loads(index_path.read_text())
    index["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
    index["files"][name]["bytes"] = len(content)
    index_path.write_text(json.dumps(index))


def edit(folder, change, name=INDICES):
    """Change the first vector of a file as data."""

    def as_text(text):
        document = json.loads(text)
        change(document["vectors"][0])
        return json.dumps(document)

    rewrite(folder, as_text, name)


def snapshot(folder):
    return {path.name: path.read_bytes() for path in (folder / "vectors").iterdir()}


def damage_hash(folder):
    path = folder / "vectors" / INDICES
    path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))


def at(*path):
    """Return a function that sets the member at a path of a vector."""

    def change(value):
        def apply(vector):
            place = vector
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value

        return apply

    return change


INPUT, LOSS = ("inputs", "input"), ("expected", "loss")


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.golden, [str(argument) for argument in arguments])
    assert outcome.exit_code == code, outcome.output
    return outcome.output
