"""A consumer of the golden files that shares no code with this project."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from tests.conformance import golden_files
from tests.conformance.golden_files import CONSUMER, GOLDEN, damage_hash, edit

committed = golden_files.committed
folder = golden_files.folder
vectors = golden_files.vectors


def node():
    found = shutil.which("node")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have node: the consumer is the proof that any language can read")
        pytest.skip("no node on this machine")
    return found


def consume(folder):
    return subprocess.run(
        [node(), str(CONSUMER), str(folder)], capture_output=True, text=True, check=False
    )


def test_the_consumer_agrees_with_every_committed_vector(committed):
    outcome = consume(GOLDEN)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"{len(committed)} of {len(committed)} vectors agree" in outcome.stdout


def spoil_loss(vector):
    output = vector["expected"]["loss"]
    bound = output["tolerance"]
    bounds = bound if isinstance(bound, list) else [bound] * len(output["values"])
    output["values"][0] += 3 * bounds[0]


def spoil_gradient(vector):
    vector["expected"]["gradients"]["input"]["values"][-1] = "NaN"


def let_it_raise(vector):
    vector["expected"] = {"raises": True}


@pytest.mark.parametrize("change", [spoil_loss, spoil_gradient, let_it_raise])
def test_the_consumer_finds_what_is_wrong(folder, change):
    assert consume(folder).returncode == 0
    edit(folder, change)
    outcome = consume(folder)
    assert outcome.returncode == 1
    assert "6 of 7 vectors agree" in outcome.stdout
    damage_hash(folder)
    assert consume(folder).returncode == 1


def test_the_consumer_refuses_calls_itself(folder):
    edit(folder, lambda v: v.update(expected={"loss": None, "gradients": {}}),
         "cross_entropy_invalid.json")  # fmt: skip
    outcome = consume(folder)
    assert outcome.returncode == 1
    assert "refused: class 10" in outcome.stdout


def test_numbers_of_a_file_are_exact_in_any_json_parser(committed):
    """What Python reads is what FLINT rounded: no parser has to round to a shorter type."""
    for vector in committed[::100]:
        for tensor in vector.inputs.values():
            if tensor.dtype == "float32":
                assert np.array_equal(
                    tensor.values.astype(np.float32).astype(np.float64),
                    tensor.values,
                    equal_nan=True,
                )
