"""The same on a GPU: arrays there, CUDA's clock, a plain device copy, and the peers of GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

import crossent_spec
from conformance.bench import torch_peers
from conformance.bench.contestant import GRADIENT, LOSS, Contestant, Values
from conformance.bench.peers import OURS, OURS_OUT
from conformance.bench.workloads import FULL, LINEAR, PROBABILITIES, SMALL, Inputs, Workload

Make = Callable[[Workload, Inputs], list[Contestant]]

DEVICE = "cuda"
COPY, PRODUCTS = "plain device copy", "three bare products"
OVERWRITES = "overwrites the logits, so that later calls read what the first one left"
#: Beside the CPU's workloads: cut-cross-entropy takes 16 bits only.
WORKLOADS = (*FULL, Workload(LINEAR, (8192, 2048, 128256), "bfloat16"))
SMALL_WORKLOADS = (*SMALL, Workload(LINEAR, (128, 32, 500), "bfloat16", small=True))


def workloads(small: bool) -> tuple[Sequence[Workload], list[str]]:
    """Return what can be timed here, and what is missing for the rest."""
    from crossent_spec.cuda.target import SIMULATED

    every = SMALL_WORKLOADS if small else WORKLOADS
    if SIMULATED or find_spec("cupy"):
        return every, []
    return [one for one in every if one.kind != LINEAR], ["cupy, for the linear loss"]


def require() -> None:
    """Raise ``RuntimeError`` where nothing can be timed."""
    from crossent_spec.cuda import memory
    from crossent_spec.cuda.target import SIMULATED

    if SIMULATED:
        raise RuntimeError("cuda: the simulator's times say nothing; unset NUMBA_ENABLE_CUDASIM")
    memory.require_device()


def describe() -> dict[str, Any]:
    """Return the facts about the GPU."""
    from numba import cuda

    device = cuda.get_current_device()
    name = device.name
    return {
        "name": name.decode() if isinstance(name, bytes) else str(name),
        "compute_capability": ".".join(map(str, device.compute_capability)),
        "multiprocessors": device.MULTIPROCESSOR_COUNT,
        "cuda": ".".join(map(str, cuda.runtime.get_version())),
    }


def seconds(contestant: Contestant, calls: int) -> float:
    """Return what a call takes between two CUDA events around so many of them.

    That includes the time in which the GPU waits for the host to give it work.
    """
    from numba import cuda

    start, end = cuda.event(timing=True), cuda.event(timing=True)
    start.record()
    for _ in range(calls):
        contestant.call()
    end.record()
    end.synchronize()
    return float(cuda.event_elapsed_time(start, end)) * 1e-3 / calls


def bases(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return copies of as many bytes as each task must read and write; or the bare products."""
    if workload.kind == LINEAR:
        return [_products(inputs) if find_spec("torch") else _own_products(inputs)]
    read = inputs.x.nbytes
    if workload.kind == PROBABILITIES:
        read += inputs.target.nbytes
    return [_copy(LOSS, read), _copy(GRADIENT, read + inputs.x.nbytes)]


def _copy(task: str, moved: int) -> Contestant:
    """Return the copy that moves so many bytes: half of them read, half of them written."""
    from crossent_spec.cuda import memory

    half = (np.arange(moved // 2, dtype=np.int64) % 251).astype(np.uint8)
    source, to = memory.to_device(half), memory.to_device(np.zeros_like(half))
    from_memory, to_memory = memory.memory_of(source), memory.memory_of(to)

    def copy() -> Any:
        to_memory.copy_to_device(from_memory)
        return to

    def check(result: Any) -> str:
        same = np.array_equal(memory.to_host(result), half)
        return "" if same else "it did not copy everything"

    return Contestant(task=task, name=COPY, call=copy, values=check,
                      note="of half the bytes that must be read and written")  # fmt: skip


def _products(inputs: Inputs, device: str = DEVICE) -> Contestant:
    """Return the products that no evaluation can do without, by torch's cuBLAS."""
    import torch

    features = torch_peers.tensor(inputs.x, device)
    matrix = torch_peers.tensor(inputs.linear_weight, device)  # type: ignore[arg-type]
    # The logits stand for their gradient: the time of a product does not depend on its numbers.
    logits = torch.ones((len(features), len(matrix)), dtype=features.dtype, device=device)
    of_features, of_matrix = torch.empty_like(features), torch.empty_like(matrix)

    def products() -> Any:
        torch.mm(features, matrix.T, out=logits)
        torch.mm(logits, matrix, out=of_features)
        return torch.mm(logits.T, features, out=of_matrix)

    def check(result: Any) -> str:
        right = torch.isfinite(result).all() and torch.allclose(
            logits[:8].float(), features[:8].float() @ matrix.T.float(), rtol=0.02, atol=0.02
        )
        return "" if right else "the products are wrong"

    return Contestant(PRODUCTS, GRADIENT, products, check, "into memory that is there already")


def _own_products(inputs: Inputs) -> Contestant:
    """Return the same by the library's own cuBLAS, in float32, where there is no torch."""
    from crossent_spec.cuda import memory
    from crossent_spec.cuda.copying import converted
    from crossent_spec.cuda.products import Operand, Products

    single, stream = np.dtype(np.float32), memory.stream_from(None)
    x, weight = inputs.x, inputs.linear_weight
    assert weight is not None
    features, matrix = (converted(memory.to_device(a), single, stream) for a in (x, weight))
    logits = memory.empty((len(x), len(weight)), single)
    of_features, of_matrix = (memory.empty(a.shape, single) for a in (x, weight))
    multiply = Products(stream).multiply

    def products() -> Any:
        multiply(Operand(features), Operand(matrix, True), logits)
        multiply(Operand(logits), Operand(matrix), of_features)
        multiply(Operand(logits, True), Operand(features), of_matrix)
        return of_matrix

    def check(result: Any) -> str:
        wanted = x[:8].astype(single) @ weight.astype(single).T
        right = np.isfinite(memory.to_host(result)).all() and np.allclose(
            memory.to_host(logits.part(0, min(8, len(x)))), wanted, rtol=0.02, atol=0.02
        )
        return "" if right else "the products are wrong"

    note = "in float32, into memory that is there already"
    return Contestant(PRODUCTS, GRADIENT, products, check, note)


def crossent(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return the library's calls on arrays that are on the GPU."""
    from crossent_spec.cuda import memory

    # Typed for NumPy's arrays alone.
    x: Any = memory.to_device(inputs.x)
    target: Any = memory.to_device(inputs.target)
    if workload.kind == LINEAR:
        assert inputs.linear_weight is not None
        matrix: Any = memory.to_device(inputs.linear_weight)

        def linear() -> Any:
            return crossent_spec.linear_cross_entropy_value_and_grad(x, matrix, target)

        return [Contestant(OURS, GRADIENT, linear, _values)]
    buffer: Any = memory.empty(x.shape, x.dtype)
    weight: Any = None if inputs.weight is None else memory.to_device(inputs.weight)
    arguments: dict[str, Any] = {"weight": weight, "label_smoothing": inputs.epsilon}

    def loss() -> Any:
        return crossent_spec.cross_entropy(x, target, **arguments)

    def gradient() -> Any:
        return crossent_spec.cross_entropy_value_and_grad(x, target, **arguments)

    def gradient_out() -> Any:
        return crossent_spec.cross_entropy_value_and_grad(x, target, **arguments, out=buffer)

    return [
        Contestant(OURS, LOSS, loss, lambda result: Values(float(memory.to_host(result)), {})),
        Contestant(OURS_OUT, GRADIENT, gradient_out, _values),
        Contestant(OURS, GRADIENT, gradient, _values, "a new array for the gradient at every call"),
    ]


def _values(result: Any) -> Values:
    from crossent_spec.cuda import memory

    loss, grads = result
    found = {"input": grads.input, "linear_weight": grads.linear_weight}
    return Values(
        float(memory.to_host(loss)),
        {name: memory.to_host(value) for name, value in found.items() if value is not None},
    )


def torch_eager(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return PyTorch's calls."""
    return torch_peers.eager(workload, inputs, DEVICE)


def torch_compiled(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return PyTorch's calls, compiled."""
    return torch_peers.compiled(workload, inputs, DEVICE)


def liger(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return Liger Kernel's calls, for logits of two axes and class indices."""
    from liger_kernel.transformers.functional import (
        liger_cross_entropy,
        liger_fused_linear_cross_entropy,
    )

    if workload.kind == LINEAR:
        function = liger_fused_linear_cross_entropy
        return [torch_peers.on_features(inputs, "liger-kernel", {}, function, DEVICE)]
    if workload.kind == PROBABILITIES or inputs.x.ndim != 2:
        return []
    return torch_peers.on_logits(inputs, "liger-kernel", liger_cross_entropy, DEVICE, OVERWRITES)


def cut(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return Apple's cut-cross-entropy: the linear loss, in 16 bits."""
    from cut_cross_entropy import linear_cross_entropy

    if workload.kind != LINEAR or workload.dtype == "float32":
        return []
    note = "leaves out gradients that are small"
    exact = {"filter_eps": None}
    return [
        torch_peers.on_features(
            inputs, "cut-cross-entropy", {}, linear_cross_entropy, DEVICE, note
        ),
        torch_peers.on_features(
            inputs, "cut-cross-entropy, all", exact, linear_cross_entropy, DEVICE
        ),
    ]


#: The peers that may be asked for, the packages that they need, and how they are made.
PEERS: dict[str, tuple[str, Make]] = {
    "torch": ("torch", torch_eager),
    "torch.compile": ("torch", torch_compiled),
    "liger-kernel": ("liger_kernel", liger),
    "cut-cross-entropy": ("cut_cross_entropy", cut),
}


def contestants(workload: Workload, inputs: Inputs, peers: list[str]) -> list[Contestant]:
    """Return the bases, the library and the peers, in this order."""
    found = bases(workload, inputs) + crossent(workload, inputs)
    for peer in peers:
        found += PEERS[peer][1](workload, inputs)
    return found
