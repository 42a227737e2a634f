"""The library and its peers, each with what it calls for a workload."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.special

import crossent_spec
from conformance.bench import bases, jax_peer, torch_peers
from conformance.bench.contestant import GRADIENT, LOSS, Contestant, Values
from conformance.bench.workloads import LINEAR, PROBABILITIES, Inputs, Workload

Make = Callable[[Workload, Inputs], list[Contestant]]

#: The library with and without memory for the gradient, and with chunks of its caller's choice.
OURS, OURS_OUT = "crossent", "crossent out="
OURS_CHUNKS = "crossent options: N/4 a chunk"


def crossent(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return the library's calls."""
    if workload.kind == LINEAR:
        matrix = inputs.linear_weight
        assert matrix is not None

        quarter = crossent_spec.LinearCrossEntropyOptions(
            batch_chunk_size=max(1, -(-len(inputs.x) // 4))
        )

        def linear(options: Any = None) -> Any:
            return crossent_spec.linear_cross_entropy_value_and_grad(
                inputs.x, matrix, inputs.target, options=options
            )

        return [
            Contestant(OURS, GRADIENT, linear, _values),
            Contestant(OURS_CHUNKS, GRADIENT, partial(linear, quarter), _values),
        ]
    buffer = np.ones_like(inputs.x)
    arguments: dict[str, Any] = {"weight": inputs.weight, "label_smoothing": inputs.epsilon}

    def loss() -> Any:
        return crossent_spec.cross_entropy(inputs.x, inputs.target, **arguments)

    def gradient() -> Any:
        return crossent_spec.cross_entropy_value_and_grad(inputs.x, inputs.target, **arguments)

    def gradient_out() -> Any:
        return crossent_spec.cross_entropy_value_and_grad(
            inputs.x, inputs.target, **arguments, out=buffer
        )

    return [
        Contestant(OURS, LOSS, loss, lambda result: Values(float(result), {})),
        Contestant(OURS_OUT, GRADIENT, gradient_out, _values),
        Contestant(OURS, GRADIENT, gradient, _values, "a new array for the gradient at every call"),
    ]


def _values(result: Any) -> Values:
    loss, grads = result
    found = {"input": grads.input, "linear_weight": grads.linear_weight}
    return Values(float(loss), {name: value for name, value in found.items() if value is not None})


def scipy_peer(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return what one writes with ``scipy.special.log_softmax`` and NumPy, float32 only."""
    if workload.kind == LINEAR or workload.dtype != "float32":
        return []
    x, target, epsilon = inputs.x, inputs.target, np.float32(inputs.epsilon)
    classes, *positions = x.shape[1:]
    shape = (classes, *(1 for _ in positions))
    w = np.ones(classes, np.float32) if inputs.weight is None else inputs.weight
    probabilities = workload.kind == PROBABILITIES
    place = None if probabilities else target[:, None]
    counts: Any = None if probabilities else (1 - epsilon) * w[target]
    divisor = target.size / classes if probabilities else w[target].sum()

    def from_log_softmax(logp: Any) -> Any:
        if place is None:
            return -(logp * target).sum() / divisor
        total = -(counts * np.take_along_axis(logp, place, 1)[:, 0]).sum()
        if epsilon:
            total -= epsilon / classes * (w.reshape(shape) * logp).sum()
        return total / divisor

    def loss() -> Any:
        return from_log_softmax(scipy.special.log_softmax(x, axis=1))

    def gradient() -> Any:
        logp = scipy.special.log_softmax(x, axis=1)
        made = np.exp(logp)
        if place is None:
            made -= target
        else:
            uniform = epsilon / classes
            made *= (counts + uniform * w.sum())[:, None]
            if epsilon:
                made -= uniform * w.reshape(shape)
            at_target = np.take_along_axis(made, place, 1) - counts[:, None]
            np.put_along_axis(made, place, at_target, 1)
        made /= divisor
        return from_log_softmax(logp), made

    note = "one thread"
    return [
        Contestant("scipy", LOSS, loss, lambda result: Values(float(result), {}), note),
        Contestant(
            "scipy",
            GRADIENT,
            gradient,
            lambda result: Values(float(result[0]), {"input": result[1]}),
            note,
        ),
    ]


#: The peers that may be asked for, the packages that they need, and how they are made.  The names
#: of their contestants begin with their own.
PEERS: dict[str, tuple[str, Make]] = {
    "scipy": ("scipy", scipy_peer),
    "torch": ("torch", torch_peers.eager),
    "torch.compile": ("torch", torch_peers.compiled),
    "jax": ("jax", jax_peer.contestants),
}


def maker(contestant: str) -> Make:
    """Return what makes the contestant of a name."""
    makes = {OURS: crossent, **{peer: make for peer, (_, make) in PEERS.items()}}
    begin = [name for name in makes if contestant.startswith(name)]
    return makes[max(begin, key=len)] if begin else bases.contestants


def contestants(workload: Workload, inputs: Inputs, peers: list[str]) -> list[Contestant]:
    """Return the bases, the library and the peers, in this order."""
    found = bases.contestants(workload, inputs) + crossent(workload, inputs)
    for peer in peers:
        found += PEERS[peer][1](workload, inputs)
    return found
