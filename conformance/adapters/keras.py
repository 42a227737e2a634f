"""Keras's losses on TensorFlow: ``SparseCategoricalCrossentropy``, ``CategoricalCrossentropy``.

Keras documents weights of samples, not of classes: a sample's weight is that of its class.
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import keras
import numpy as np
import tensorflow as tf

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, has_classes, to_arguments
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "keras",
    arguments=("ignore_index", "reduction", "label_smoothing"),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    # "We expect labels to be provided as integers."
    indices=("int8", "int16", "int32", "uint8"),
)
#: What the page takes as an ignored class where the caller names none.
IGNORED = -100


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    tape: Any
    leaves: Dict[str, Any]


class Adapter(BaseAdapter):
    """The classes, with logits and the class axis at 1, in the dtype of the input."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        }
        return {"name": "keras", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the tape that recorded it."""
        check(call)
        tensors = {name: to_tensor(array) for name, array in call.arrays.items()}
        leaves = {name: tensors[name] for name in call.wrt}
        arguments = to_arguments(call.arguments)
        options: Dict[str, Any] = {"from_logits": True, "axis": 1}
        options["dtype"] = call.arrays["input"].dtype
        reduction = arguments.get("reduction", "mean")
        weights = None
        if "weight" in tensors:
            # An ignored class has no weight of its own, and no share in the loss.
            target, weight = call.arrays["target"].data, call.arrays["weight"]
            weights = to_tensor(Array(np.take(weight.data, target, mode="clip"), weight.dtype))
            reduction = "mean_with_sample_weight" if reduction == "mean" else reduction
        options["reduction"] = reduction
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(list(leaves.values()))
            target = tensors["target"]
            if has_classes(call) and "label_smoothing" not in arguments:
                options["ignore_class"] = arguments.get("ignore_index")
                function = keras.losses.SparseCategoricalCrossentropy(**options)
            else:
                if has_classes(call):
                    # "If you want to provide labels as one-hot, use CategoricalCrossentropy."
                    classes = tensors["input"].shape[1]
                    target = keras.ops.one_hot(target, classes, axis=1, dtype=options["dtype"])
                options["label_smoothing"] = arguments.get("label_smoothing", 0.0)
                function = keras.losses.CategoricalCrossentropy(**options)
            loss = function(target, tensors["input"], sample_weight=weights)
        return to_array(loss), State(loss, tape, leaves)

    def backward(
        self,
        state: State,
        grad_output: Optional[Array],
        retain: bool,  # noqa: ARG002 - a persistent tape always can
    ) -> Dict[str, Array]:
        """Play the tape back."""
        given = None if grad_output is None else to_tensor(grad_output)
        found = state.tape.gradient(state.loss, state.leaves, output_gradients=given)
        gradients = {}
        for name, gradient in found.items():
            if gradient is None:
                raise RuntimeError(f"no gradient: the tape gave None for {name}")
            gradients[name] = to_array(tf.convert_to_tensor(gradient))
        return gradients


def check(call: Call) -> None:
    """Refuse what Keras's documentation does not cover."""
    SCOPE.check(call)
    input, target = call.arrays["input"], call.arrays["target"]
    weight = call.arrays.get("weight")
    integers = target.dtype.startswith(("int", "uint"))
    if not has_classes(call) or "label_smoothing" in call.arguments:
        if weight is not None:
            raise Unsupported("keras documents no class weights, and weights of samples differ")
        if "ignore_index" in call.arguments:
            raise Unsupported("keras documents an ignored class of integer labels only")
    if has_classes(call):
        ignored = call.arguments.get("ignore_index")
        if integers and (target.data == IGNORED).any() and ignored != IGNORED:
            raise Unsupported("keras documents no class that is ignored by default")
    elif integers and target.data.shape == input.data.shape:
        raise Unsupported("keras documents one-hot labels that are integers")
    one_each = (input.data.shape[1:2], input.dtype)
    if weight is not None and (weight.data.shape, weight.dtype) != one_each:
        raise Unsupported("keras documents no class weights, which it could check")


def to_tensor(array: Array) -> Any:
    """Return the caller's array as a tensor."""
    if array.dtype == "bfloat16":
        return tf.bitcast(tf.constant(array.data), tf.bfloat16)
    return tf.constant(array.data)


def to_array(tensor: Any) -> Array:
    """Return a tensor's values in its own dtype."""
    if tensor.dtype == tf.bfloat16:
        return Array(tf.bitcast(tensor, tf.uint16).numpy(), "bfloat16")
    return from_numpy(tensor.numpy())
