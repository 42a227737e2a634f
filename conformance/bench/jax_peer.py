"""JAX: the loss as one writes it there, under ``jax.jit``."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.bench.contestant import GRADIENT, LOSS, Contestant, Values
from conformance.bench.workloads import LINEAR, PROBABILITIES, Inputs, Workload

#: XLA has no setting of its own for the number of its threads.
NOTE = "as many threads as cores; new gradients at every call"


def contestants(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return the jitted loss, and its value with gradients."""
    import jax
    import jax.numpy as jnp

    target = jnp.asarray(inputs.target)
    epsilon, classes = inputs.epsilon, workload.classes
    weight = None if inputs.weight is None else jnp.asarray(inputs.weight)

    def on_logits(x: Any) -> Any:
        logp = jax.nn.log_softmax(x, axis=1)
        if workload.kind == PROBABILITIES:
            return -(target * logp).sum(axis=1).mean()
        losses = -jnp.take_along_axis(logp, target[:, None], axis=1)[:, 0]
        if weight is None:
            return losses.mean()
        counts = weight[target]
        smooth = -jnp.tensordot(weight, logp, (0, 1))
        losses = (1 - epsilon) * counts * losses + epsilon / classes * smooth
        return losses.sum() / counts.sum()

    def values(result: Any) -> Values:
        loss, gradients = result
        names = ("input", "linear_weight")
        return Values(
            float(loss), {n: np.asarray(g) for n, g in zip(names, gradients, strict=False)}
        )

    x = jnp.asarray(inputs.x)
    if workload.kind == LINEAR:
        matrix = jnp.asarray(inputs.linear_weight)
        both = jax.jit(jax.value_and_grad(lambda x, w: on_logits(x @ w.T), (0, 1)))
        return [
            Contestant(
                "jax.jit",
                GRADIENT,
                lambda: jax.block_until_ready(both(x, matrix)),
                values,
                NOTE,
            )
        ]
    forward = jax.jit(on_logits)
    backward = jax.jit(jax.value_and_grad(on_logits, (0,)))
    return [
        Contestant(
            "jax.jit",
            LOSS,
            lambda: forward(x).block_until_ready(),
            lambda result: Values(float(result), {}),
            NOTE,
        ),
        Contestant("jax.jit", GRADIENT, lambda: jax.block_until_ready(backward(x)), values, NOTE),
    ]
