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


def eager(workload: Workload, inputs: Inputs, device: str = "cpu") -> list[Contestant]:
    """Return ``F.cross_entropy`` or ``F.linear_cross_entropy``, as it is."""
    torch = _torch()

    if workload.kind != LINEAR:
        return on_logits(inputs, "torch", torch.nn.functional.cross_entropy, device)
    call = torch.nn.functional.linear_cross_entropy
    made = [on_features(inputs, LINEAR_NONE, {"options": None}, call, device)]
    for name, (fields, divisor) in OPTIONS.items():
        if divisor:
            fields = {**fields, "batch_chunk_size": max(1, -(-len(inputs.x) // divisor))}
        options = torch.nn.LinearCrossEntropyOptions(**fields)
        named = LINEAR_OPTIONS + name
        made.append(on_features(inputs, named, {"options": options}, call, device))
    return made


def compiled(workload: Workload, inputs: Inputs, device: str = "cpu") -> list[Contestant]:
    """Return the same under ``torch.compile``, which needs a C++ compiler at the first call."""
    torch = _torch()

    # Otherwise the shapes of earlier workloads count as recompilations, of which few are allowed.
    torch._dynamo.reset()
    if workload.kind == LINEAR:
        call = torch.compile(torch.nn.functional.linear_cross_entropy, dynamic=False)
        return [on_features(inputs, "torch.compile", {"options": None}, call, device)]
    call = torch.compile(torch.nn.functional.cross_entropy, dynamic=False)
    return on_logits(inputs, "torch.compile", call, device)


def _torch() -> Any:
    """Return the package, with as many threads as the library uses."""
    import torch

    torch.set_num_threads(thread_count())
    return torch


def tensor(array: np.ndarray[Any, Any], device: str = "cpu") -> Any:
    """Return a tensor on the array's memory, or a copy on another device."""
    torch = _torch()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.from_numpy(array).to(device)


def numbers(tensor: Any) -> np.ndarray[Any, Any]:
    """Return a tensor as an array, bfloat16 as float32."""
    torch = _torch()

    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()


def on_logits(
    inputs: Inputs, name: str, function: Any, device: str = "cpu", note: str = NOTE
) -> list[Contestant]:
    """Return a function with the arguments of ``F.cross_entropy``: the loss, and with gradient."""
    torch = _torch()

    x, target = tensor(inputs.x, device), tensor(inputs.target, device)
    leaf = tensor(inputs.x, device).requires_grad_()
    arguments: dict[str, Any] = {"label_smoothing": inputs.epsilon}
    if inputs.weight is not None:
        arguments["weight"] = tensor(inputs.weight, device)

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
        Contestant(name, GRADIENT, gradient, values, note),
    ]


def on_features(
    inputs: Inputs,
    name: str,
    arguments: dict[str, Any],
    call: Any,
    device: str = "cpu",
    note: str = NOTE,
) -> Contestant:
    """Return a function of features, the projection's matrix and the target."""
    assert inputs.linear_weight is not None
    leaves = {
        "input": tensor(inputs.x, device).requires_grad_(),
        "linear_weight": tensor(inputs.linear_weight, device).requires_grad_(),
    }
    target = tensor(inputs.target, device)

    def gradient() -> Any:
        for leaf in leaves.values():
            leaf.grad = None
        found = call(leaves["input"], leaves["linear_weight"], target, **arguments)
        found.backward()
        return found

    def values(result: Any) -> Values:
        return Values(result.item(), {key: numbers(leaf.grad) for key, leaf in leaves.items()})

    return Contestant(name, GRADIENT, gradient, values, note)
