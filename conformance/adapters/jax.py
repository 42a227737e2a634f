"""JAX with the losses of optax, which are functions only.

optax documents losses of one example each, a mask ``where`` of the examples to include, and
``smooth_labels``; the reductions are ``jax.numpy``'s, with the same mask.
"""

import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import optax

from conformance.adapters._documented import (
    SYSTEM,
    Scope,
    from_numpy,
    has_classes,
    ignores_by_default,
    to_arguments,
)
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

# Without it JAX makes float32 of float64.
jax.config.update("jax_enable_x64", True)

SCOPE = Scope(
    "optax",
    arguments=("reduction", "ignore_index", "label_smoothing"),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    # "Integers specifying the correct class for each input"
    indices=("int8", "int16", "int32", "uint8"),
    unbatched=True,
)
REDUCTIONS = ("none", "mean", "sum")


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    pull_back: Any
    wrt: Tuple[str, ...]


class Adapter(BaseAdapter):
    """``optax.softmax_cross_entropy(_with_integer_labels)``, differentiated by ``jax.vjp``."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"optax": optax.__version__, "jax": jax.__version__, "numpy": np.__version__}
        return {"name": "jax", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the closure that differentiates it."""
        check(call)
        arrays = {name: to_jax(array) for name, array in call.arrays.items()}
        wrt, arguments = tuple(call.wrt), to_arguments(call.arguments)

        def forward(arrays: Dict[str, Any]) -> Tuple[Any, Any]:
            def of(*variables: Any) -> Any:
                return loss({**arrays, **dict(zip(wrt, variables))}, arguments)

            return jax.vjp(of, *(arrays[name] for name in wrt)) if wrt else (of(), None)

        # Compiled as a whole, as JAX documents training steps: five times as fast as one by one.
        value, pull_back = jax.jit(forward)(arrays)
        return to_array(value), State(value, pull_back, wrt)

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Pull the gradient of the loss back."""
        del retain
        seed = jnp.ones_like(state.loss) if grad_output is None else to_jax(grad_output)
        gradients = jax.jit(lambda pull_back, seed: pull_back(seed))(state.pull_back, seed)
        return {name: to_array(gradient) for name, gradient in zip(state.wrt, gradients)}


def check(call: Call) -> None:
    """Refuse what optax does not document."""
    SCOPE.check(call)
    if "weight" in call.arrays:
        raise Unsupported("optax documents no class weights")
    reduction = call.arguments.get("reduction", "mean")
    if reduction not in REDUCTIONS:
        raise Unsupported(f"optax documents no reduction, so none called {reduction!r}")
    if ignores_by_default(call):
        raise Unsupported("optax documents no label that is ignored by default")
    if "ignore_index" in call.arguments and not has_classes(call):
        raise Unsupported("optax documents its mask by example, and probabilities name none")


def loss(arrays: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Call optax, and reduce."""
    logits, labels = arrays["input"], arrays["target"]
    axis = 1 if logits.ndim > 1 else 0
    where = labels != arguments["ignore_index"] if "ignore_index" in arguments else None
    index = not jnp.issubdtype(labels.dtype, jnp.floating)
    if "label_smoothing" in arguments:
        if index:
            index, classes = False, logits.shape[axis]
            labels = jax.nn.one_hot(labels, classes, dtype=logits.dtype, axis=axis)
        labels = optax.smooth_labels(labels, arguments["label_smoothing"], axis=axis)
    function = (
        optax.softmax_cross_entropy_with_integer_labels if index else optax.softmax_cross_entropy
    )
    losses = function(logits, labels, axis=axis, where=where)
    reduction = arguments.get("reduction", "mean")
    if reduction == "none":
        return losses
    return getattr(jnp, reduction)(losses, where=where)


def to_jax(array: Array) -> Any:
    """Give JAX the caller's view; it takes a copy where it must."""
    data = array.data.view(jnp.bfloat16) if array.dtype == "bfloat16" else array.data
    return jnp.asarray(data)


def to_array(result: Any) -> Array:
    """Return a result's values in its own dtype."""
    if result.dtype == jnp.bfloat16:
        return Array(np.asarray(result).view(np.uint16), "bfloat16")
    return from_numpy(result)
