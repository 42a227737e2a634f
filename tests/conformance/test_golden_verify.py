"""What verification says of files whose numbers are right and whose bytes are not."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from conformance.case import Case
from conformance.golden.make import make_vector
from conformance.golden.verify import check, verify
from conformance.golden.write import render_all, replace_files

TEXTS = ("ce/index/3x4/f32/mean", "ce/index/3x4/f32/sum", "unit/index/3x4/f32/mean")


@pytest.fixture
def folder(tmp_path):
    replace_files(tmp_path, render_all([make_vector(Case.parse(text)) for text in TEXTS]))
    return tmp_path


def test_every_vector_is_counted(folder):
    counts, steps = [], []
    found = verify(folder, 1, counts.append, lambda: steps.append(1))
    assert (found.vectors, found.problems, counts, len(steps)) == (3, {}, [3], 3)


def test_an_index_that_is_written_otherwise(folder):
    path = folder / "vectors" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    assert verify(folder, 1).problems == {
        "index.json": ("its bytes are not those that regeneration writes: the index",)
    }


def test_notes_that_are_written_otherwise(folder):
    name = "unit_scaled_cross_entropy_indices_mean.json"
    path, index = folder / "vectors" / name, folder / "vectors" / "index.json"
    text = path.read_text(encoding="utf-8").replace('"schema":', '"schema": ', 1)
    path.write_text(text, encoding="utf-8")
    held = json.loads(index.read_text())
    data = path.read_bytes()
    held["files"][name].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    index.write_text(json.dumps(held))
    assert verify(folder, 1).problems[name] == (
        "its bytes are not those that regeneration writes: "
        "the notes or the spelling of its numbers",
    )


def spoiled(text, name, change):
    """A vector with one of its inputs changed."""
    vector = make_vector(Case.parse(text))
    tensor = vector.inputs[name]
    inputs = {**vector.inputs, name: replace(tensor, values=change(tensor.values.copy()))}
    return replace(vector, inputs=inputs)


def test_results_are_proved_from_the_inputs_that_the_file_holds():
    found = check(spoiled(TEXTS[0], "input", lambda values: values + 1.5 * np.eye(3, 4)))
    assert found[0] == "input: not what the case holds"
    assert any(line.startswith("expected.loss.values: ") for line in found)


def test_what_cannot_be_worked_out_is_told():
    found = check(spoiled(TEXTS[0], "target", lambda values: values + 4))
    assert found[0] == "target: not what the case holds"
    assert found[1].startswith("cannot be proved: IndexError: index ")
