"""PyTorch, eager and compiled; and its linear loss with the options it offers."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.bench.contestant import GRADIENT, LOSS, Contestant, Values
from conformance.bench.workloads import LINEAR, Inputs, Workload
from crossent_spec.cpu.threads import thread_count

#: It writes into a gradient of its own making at every call; there is no ``out=``.
NOTE = "backward() makes a new .grad at every call"

#: Options of the linear loss by name: fields, and which part of the batch is a chunk.
OPTIONS: dict[str, tuple[dict[str, Any], int]] = {
    "auto": ({}, 0),
    "aspect_ratio": ({"chunking_method": "aspect_ratio"}, 0),
    "accurate, aspect_ratio": ({"acc_policy": "accurate", "chunking_method": "aspect_ratio"}, 0),
    "compact, N/4 a chunk": ({"acc_policy": "compact"}, 4),
    "compact, N/8 a chunk": ({"acc_policy": "compact"}, 8),
    "compact, N/16 a chunk": ({"acc_policy": "compact"}, 16),
}
LINEAR_NONE, LINEAR_OPTIONS = "torch options=None", "torch options: "


def eager(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return ``F.cross_entropy`` or ``F.linear_cross_entropy``, as it is."""
    torch = _torch()

    if workload.kind != LINEAR:
        return _on_logits(inputs, "torch", torch.nn.functional.cross_entropy)
    made = [_linear(inputs, LINEAR_NONE, {"options": None})]
    for name, (fields, divisor) in OPTIONS.items():
        if divisor:
            fields = {**fields, "batch_chunk_size": max(1, -(-len(inputs.x) // divisor))}
        options = torch.nn.LinearCrossEntropyOptions(**fields)
        made.append(_linear(inputs, LINEAR_OPTIONS + name, {"options": options}))
    return made


def compiled(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return the same under ``torch.compile``, which needs a C++ compiler at the first call."""
    torch = _torch()

    # Otherwise the shapes of earlier workloads count as recompilations, of which few are allowed.
    torch._dynamo.reset()
    if workload.kind == LINEAR:
        call = torch.compile(torch.nn.functional.linear_cross_entropy, dynamic=False)
        return [_linear(inputs, "torch.compile", {"options": None}, call)]
    call = torch.compile(torch.nn.functional.cross_entropy, dynamic=False)
    return _on_logits(inputs, "torch.compile", call)


def _torch() -> Any:
    """Return the package, with as many threads as the library uses."""
    import torch

    torch.set_num_threads(thread_count())
    return torch


def tensor(array: np.ndarray[Any, Any]) -> Any:
    """Return a tensor on the array's memory."""
    torch = _torch()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def numbers(tensor: Any) -> np.ndarray[Any, Any]:
    """Return a tensor as an array, bfloat16 as float32."""
    torch = _torch()

    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def _on_logits(inputs: Inputs, name: str, function: Any) -> list[Contestant]:
    torch = _torch()

    x, target = tensor(inputs.x), tensor(inputs.target)
    leaf = tensor(inputs.x).requires_grad_()
    arguments: dict[str, Any] = {"label_smoothing": inputs.epsilon}
    if inputs.weight is not None:
        arguments["weight"] = tensor(inputs.weight)

    def loss() -> Any:
        with torch.no_grad():
            return function(x, target, **arguments)

    def gradient() -> Any:
        leaf.grad = None
        found = function(leaf, target, **arguments)
        found.backward()
        return found

    def values(result: Any) -> Values:
        return Values(result.item(), {"input": numbers(leaf.grad)})

    return [
        Contestant(name, LOSS, loss, lambda result: Values(result.item(), {})),
        Contestant(name, GRADIENT, gradient, values, NOTE),
    ]


def _linear(
    inputs: Inputs, name: str, arguments: dict[str, Any], function: Any = None
) -> Contestant:
    torch = _torch()

    call = torch.nn.functional.linear_cross_entropy if function is None else function
    assert inputs.linear_weight is not None
    leaves = {
        "input": tensor(inputs.x).requires_grad_(),
        "linear_weight": tensor(inputs.linear_weight).requires_grad_(),
    }
    target = tensor(inputs.target)

    def gradient() -> Any:
        for leaf in leaves.values():
            leaf.grad = None
        found = call(leaves["input"], leaves["linear_weight"], target, **arguments)
        found.backward()
        return found

    def values(result: Any) -> Values:
        return Values(result.item(), {key: numbers(leaf.grad) for key, leaf in leaves.items()})

    return Contestant(name, GRADIENT, gradient, values, NOTE)
