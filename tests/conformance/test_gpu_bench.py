"""The benchmark's peers of GPUs, on the CPU, and its refusal where there is no GPU."""

import os
import subprocess
import sys
from types import ModuleType

import pytest

from conformance.bench import cli, gpu, measuring, reference
from conformance.bench.workloads import INDEX, LINEAR, PROBABILITIES, SMOOTHING, Workload

WORKLOADS = [
    Workload(INDEX, (6, 8)),
    Workload(INDEX, (2, 3, 4, 4)),
    Workload(PROBABILITIES, (6, 8), "bfloat16"),
    Workload(SMOOTHING, (6, 8)),
    Workload(LINEAR, (6, 4, 10)),
    Workload(LINEAR, (6, 4, 10), "bfloat16"),
]


@pytest.fixture
def on_the_cpu(monkeypatch):
    """PyTorch in the place of what needs a GPU."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    calls = []

    def liger(input, target, weight=None, label_smoothing=0.0):
        calls.append("liger")
        return functional.cross_entropy(
            input, target, weight=weight, label_smoothing=label_smoothing
        )

    def linear(name):
        def loss(features, matrix, target, **options):
            calls.append((name, *options.items()))
            return functional.cross_entropy(features @ matrix.T, target)

        return loss

    for name, functions in (
        ("liger_kernel", {}),
        ("liger_kernel.transformers", {}),
        (
            "liger_kernel.transformers.functional",
            {"liger_cross_entropy": liger, "liger_fused_linear_cross_entropy": linear("liger")},
        ),
        ("cut_cross_entropy", {"linear_cross_entropy": linear("cut")}),
    ):
        module = ModuleType(name)
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(gpu, "DEVICE", "cpu")
    return calls


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_the_peers_return_what_the_formulas_say(workload, on_the_cpu):
    inputs = workload.inputs()
    wanted = reference.expected(workload, inputs)
    peers = [peer for peer in gpu.PEERS if peer != "torch.compile"]
    made = [contestant for peer in peers for contestant in gpu.PEERS[peer][1](workload, inputs)]
    for contestant in made:
        assert measuring.check(workload, contestant, wanted) == "", contestant.key
    others = {c.name for c in made if not c.name.startswith("torch")}
    liger = {"liger-kernel"}
    cut = {"cut-cross-entropy", "cut-cross-entropy, all"}
    few = workload.kind == PROBABILITIES or len(workload.shape) == 4
    assert others == (set() if few else liger) | (
        cut if (workload.kind, workload.dtype) == (LINEAR, "bfloat16") else set()
    )
    if cut <= others:
        assert ("cut", ("filter_eps", None)) in on_the_cpu


def test_the_base_of_the_linear_loss_computes_three_products():
    pytest.importorskip("torch")
    workload = Workload(LINEAR, (6, 4, 10))
    base = gpu._products(workload.inputs(), "cpu")
    result = base.call()
    assert base.values(result) == ""
    result[0, 0] = float("nan")
    assert base.values(result) == "the products are wrong"


def test_the_names_are_those_that_the_help_lists():
    assert tuple(gpu.PEERS) == cli._GPU_PEERS
    names = [workload.name for workload in (*gpu.WORKLOADS, *gpu.SMALL_WORKLOADS)]
    assert len(set(names)) == len(names)


def test_without_a_gpu_it_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "bench", "--cuda"],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "NUMBA_ENABLE_CUDASIM": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = [text for text in done.stderr.splitlines() if text]
    assert line.startswith("Error: --cuda: looked for an NVIDIA GPU with its driver (libcuda)")


@pytest.mark.parametrize("small", [False, True])
def test_without_cupy_the_linear_loss_is_left_out_and_named(small, monkeypatch):
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name == "cupy" else name)
    some, missing = gpu.workloads(small)
    assert {workload.kind for workload in some} == {INDEX, PROBABILITIES, SMOOTHING}
    assert missing == ["cupy, for the linear loss"]
    monkeypatch.setattr(gpu, "find_spec", lambda name: name)
    every, missing = gpu.workloads(small)
    assert LINEAR in {workload.kind for workload in every}
    assert missing == []
