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

from conformance import protocol
from conformance.protocol import Array, Call, Unsupported

# Without it JAX makes float32 of float64.
jax.config.update("jax_enable_x64", True)

SYSTEM = "torch.nn.CrossEntropyLoss"
#: The documented default, which optax has not.
IGNORE_INDEX = -100
REDUCTIONS = ("none", "mean", "sum")


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    pull_back: Any
    wrt: Tuple[str, ...]


class Adapter(protocol.Adapter):
    """``optax.softmax_cross_entropy(_with_integer_labels)``, differentiated by ``jax.vjp``."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"optax": optax.__version__, "jax": jax.__version__, "numpy": np.__version__}
        return {"name": "jax", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the closure that differentiates it."""
        check(call)
        arrays = {name: to_jax(array) for name, array in call.arrays.items()}
        wrt = tuple(call.wrt)

        def forward(arrays: Dict[str, Any]) -> Tuple[Any, Any]:
            def of(*variables: Any) -> Any:
                return loss({**arrays, **dict(zip(wrt, variables))}, call.arguments)

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
    if "weight" in call.arrays:
        raise Unsupported("optax documents no class weights")
    for name in ("size_average", "reduce"):
        if name in call.arguments:
            raise Unsupported(f"optax documents no {name}")
    reduction = call.arguments.get("reduction", "mean")
    if reduction not in REDUCTIONS:
        raise Unsupported(f"optax documents no reduction, so none called {reduction!r}")
    target = call.arrays["target"]
    relies = "ignore_index" not in call.arguments and is_index(target.dtype)
    if relies and (target.data == IGNORE_INDEX).any():
        raise Unsupported("optax documents no label that is ignored by default")
    if "ignore_index" in call.arguments and not is_index(target.dtype):
        raise Unsupported("optax documents its mask by example, and probabilities name none")


def loss(arrays: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Call optax, and reduce."""
    logits, labels = arrays["input"], arrays["target"]
    axis = 1 if logits.ndim > 1 else 0
    where = labels != arguments["ignore_index"] if "ignore_index" in arguments else None
    index = is_index(str(labels.dtype))
    if "label_smoothing" in arguments:
        if index:
            index, classes = False, logits.shape[axis]
            labels = jax.nn.one_hot(labels, classes, dtype=logits.dtype, axis=axis)
        alpha = float(arguments["label_smoothing"])
        labels = optax.smooth_labels(labels, alpha, axis=axis)
    function = (
        optax.softmax_cross_entropy_with_integer_labels if index else optax.softmax_cross_entropy
    )
    losses = function(logits, labels, axis=axis, where=where)
    reduction = arguments.get("reduction", "mean")
    if reduction == "none":
        return losses
    return getattr(jnp, reduction)(losses, where=where)


def is_index(dtype: str) -> bool:
    """Return whether a target of this dtype holds classes."""
    return not dtype.startswith(("float", "bfloat"))


def to_jax(array: Array) -> Any:
    """Give JAX the caller's view; it takes a copy where it must."""
    data = array.data.view(jnp.bfloat16) if array.dtype == "bfloat16" else array.data
    return jnp.asarray(data)


def to_array(result: Any) -> Array:
    """Return a result's values in its own dtype."""
    data = np.asarray(result)
    dtype = str(data.dtype)
    return Array(data.view(np.uint16) if dtype == "bfloat16" else data, dtype)
