"""The program that drives TensorFlow.js, here a package that tells what it is given."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

import conformance
from conformance.driver import Program, Unavailable, Worker
from conformance.protocol import Array, decode, encode_view

PROGRAM = Path(conformance.__file__).parent / "adapters" / "tfjs.mjs"

#: Its loss is what it is given: the logits, plus the smoothing, plus 100 where it is the mean.
PACKAGE = """
const make = (values, shape, dtype) => ({ values, shape, dtype, dataSync: () => values });
const add = (tensor, n) => make(tensor.values.map((x) => x + n), tensor.shape, "float32");
exports.version = { tfjs: "0.0.0" };
exports.tensor = make;
exports.Reduction = { NONE: "none", MEAN: "mean", SUM: "sum" };
exports.engine = () => ({ startScope() {}, endScope() {} });
exports.gather = (weight, at) =>
  make(Float32Array.from(at.values, (i) => weight.values[i]), at.shape, "float32");
exports.oneHot = (at, depth) => {
  const values = new Float32Array(at.values.length * depth);
  at.values.forEach((y, n) => (values[n * depth + y] = 1));
  return make(values, [...at.shape, depth], "float32");
};
exports.losses = {
  softmaxCrossEntropy(labels, logits, weights, smoothing = 0, reduction = "default") {
    console.log("a banner on stdout would break the protocol");
    if (reduction === "average") throw new Error("Unknown reduction: average");
    if (weights) return weights;
    if (reduction === "sum") return labels;
    return add(logits, smoothing + (reduction === "mean" ? 100 : 0));
  },
};
exports.grads = (loss) => (leaves, seed) => leaves.map((leaf) => seed ?? loss(...leaves));
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    folder = tmp_path / "node_modules" / "@tensorflow" / "tfjs"
    folder.mkdir(parents=True)
    (folder / "index.js").write_text(PACKAGE, encoding="utf-8")
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "node_modules"))
    made = Worker(Program("tfjs", ("node", str(PROGRAM))))
    yield made
    made.close()


def view(values, dtype="float32", step=2):
    """Encode a view of every second element of a buffer."""
    values = np.asarray(values, dtype)
    base = np.zeros(step * values.size, dtype)
    strided = base.reshape(*values.shape[:-1], -1)[..., ::step]
    strided[...] = values
    return encode_view(Array(base, dtype), strided)


def ask(worker, arguments, arrays, wrt=("input",), grad_output=None):
    passed = {name: name for name in arrays if name != "grad_output"}
    worker.send(
        {
            "op": "call",
            "case": "the case",
            "system": "torch.nn.CrossEntropyLoss",
            "form": "function",
            "arguments": arguments,
            "arrays": arrays,
            "wrt": list(wrt),
            "steps": [
                {"do": "forward", "as": "a", "arrays": passed},
                {"do": "backward", "of": "a", "grad_output": grad_output, "retain": False},
            ],
        }
    )
    reply = worker.receive(30)
    assert isinstance(reply, dict), reply
    assert reply["modified"] == []
    return reply["steps"]


LOGITS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
INDEX = {"input": view(LOGITS), "target": view([2, 0], "int64")}


def test_without_the_package_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("NODE_PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="@tensorflow/tfjs") as caught:
        Worker(Program("tfjs", ("node", str(PROGRAM)))).start()
    assert caught.value.module == "@tensorflow/tfjs"


def test_it_introduces_itself(worker):
    hello = worker.start()
    assert (hello.name, hello.systems) == ("tfjs", ("torch.nn.CrossEntropyLoss",))
    assert hello.versions["tfjs"] == "0.0.0"


def test_views_and_arguments_reach_the_framework(worker):
    worker.start()
    forward, backward = ask(worker, {"reduction": "mean", "label_smoothing": 0.5}, INDEX)
    loss = decode(forward["arrays"]["loss"])
    assert loss.dtype == "float32"
    np.testing.assert_array_equal(loss.data, np.add(LOGITS, 100.5))
    assert backward["arrays"]["input"] == forward["arrays"]["loss"]
    forward, _ = ask(worker, {"label_smoothing": "nan"}, INDEX)
    assert np.isnan(decode(forward["arrays"]["loss"]).data).all()


def test_classes_become_one_hot_and_select_their_weights(worker):
    worker.start()
    forward, _ = ask(worker, {"reduction": "sum"}, INDEX)
    np.testing.assert_array_equal(decode(forward["arrays"]["loss"]).data, [[0, 0, 1], [1, 0, 0]])
    forward, _ = ask(worker, {"reduction": "sum"}, {**INDEX, "weight": view([7, 8, 9])})
    np.testing.assert_array_equal(decode(forward["arrays"]["loss"]).data, [9, 7])


def test_probabilities_pass_as_they_are_and_have_a_gradient(worker):
    worker.start()
    probabilities = [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]
    arrays = {"input": view(LOGITS), "target": view(probabilities), "grad_output": view([3, 5])}
    forward, backward = ask(
        worker, {"reduction": "sum"}, arrays, wrt=("input", "target"), grad_output="grad_output"
    )
    np.testing.assert_array_equal(decode(forward["arrays"]["loss"]).data, probabilities)
    assert set(backward["arrays"]) == {"input", "target"}
    np.testing.assert_array_equal(decode(backward["arrays"]["target"]).data, [3, 5])


def test_what_the_framework_refuses_is_raised(worker):
    worker.start()
    forward, backward = ask(worker, {"reduction": "average"}, INDEX)
    assert forward == {
        "outcome": "raised",
        "type": "Error",
        "message": "Unknown reduction: average",
    }
    assert backward == {"outcome": "skipped"}


@pytest.mark.parametrize(
    ("arguments", "arrays", "reason"),
    [
        ({"ignore_index": 1}, {}, "no ignore_index"),
        ({"reduce": True}, {}, "no reduce"),
        ({}, {"input": view(LOGITS, "float64")}, "no float64"),
        ({}, {"input": view([1.0, 2.0, 3.0])}, "two axes"),
        ({}, {"target": view([2, -100], "int64")}, "ignored"),
        ({}, {"weight": view([7, 8, 9])}, "number of weights"),
        ({"reduction": "sum"}, {"weight": view([7, 8])}, "weights of classes"),
        ({"reduction": "sum", "label_smoothing": 0.1}, {"weight": view([7, 8, 9])}, "samples"),
        ({"reduction": "sum"}, {"target": view(LOGITS), "weight": view([7, 8, 9])}, "samples"),
    ],
)
def test_what_is_not_documented_is_unsupported(worker, arguments, arrays, reason):
    worker.start()
    forward, backward = ask(worker, arguments, {**INDEX, **arrays})
    assert forward["outcome"] == "unsupported"
    assert reason in forward["reason"]
    assert backward == {"outcome": "skipped"}


def test_it_leaves_at_the_end_of_its_input():
    done = subprocess.run(["node", str(PROGRAM)], input="", timeout=30, check=True)
    assert done.returncode == 0
