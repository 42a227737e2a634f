"""What the adapters of frameworks with a documentation of their own have in common.

Such a framework is judged by the page of the loss that its documentation follows.  Where its own
documentation ends, the call is unsupported.
"""

from typing import Any, Dict, Iterable, Tuple

import numpy as np

from conformance.protocol import Array, Call, Unsupported

SYSTEM = "torch.nn.CrossEntropyLoss"


class Scope:
    """What a framework's documentation covers.

    Parameters
    ----------
    name
        The framework's.
    arguments
        The scalar arguments that it documents.
    dtypes
        The element types of the input that it documents.
    indices
        The element types of class indices that it documents.
    unbatched
        Whether it documents an input of shape (C).
    """

    def __init__(
        self,
        name: str,
        arguments: Iterable[str],
        dtypes: Tuple[str, ...],
        indices: Tuple[str, ...],
        unbatched: bool = False,
    ) -> None:
        self.name = name
        self.arguments = set(arguments)
        self.dtypes = dtypes
        self.indices = indices
        self.unbatched = unbatched

    def check(self, call: Call) -> None:
        """Refuse what the documentation does not cover."""
        if call.system != SYSTEM:
            raise Unsupported(f"the {self.name} adapter does not drive {call.system}")
        for name in call.arguments:
            if name not in self.arguments:
                raise Unsupported(f"{self.name} documents no {name}")
        input, target = call.arrays["input"], call.arrays["target"]
        if input.dtype not in self.dtypes:
            raise Unsupported(f"{self.name} documents no input of {input.dtype}")
        if input.data.ndim == 1 and not self.unbatched:
            raise Unsupported(f"{self.name} documents no input without a batch")
        # The page asks for long, and must be broken to see whether another dtype is refused.
        if has_classes(call) and target.dtype != "int64" and target.dtype in self.indices:
            raise Unsupported(f"{self.name} documents class indices of {target.dtype}, not of long")


def has_classes(call: Call) -> bool:
    """Return whether the target has the shape of class indices."""
    return call.arrays["target"].data.ndim == call.arrays["input"].data.ndim - 1


def ignores_by_default(call: Call) -> bool:
    """Return whether a target has the class that the page ignores where the caller names none."""
    target = call.arrays["target"]
    integers = target.dtype.startswith(("int", "uint"))
    return "ignore_index" not in call.arguments and integers and (target.data == -100).any()


def from_numpy(data: Any) -> Array:
    """Return a result in the dtype that it has."""
    data = np.asarray(data)
    return Array(data, data.dtype.name)


def to_arguments(written: Dict[str, Any]) -> Dict[str, Any]:
    """Return the caller's scalar arguments; a smoothing of "nan" becomes a number."""
    arguments = dict(written)
    if isinstance(arguments.get("label_smoothing"), str):
        arguments["label_smoothing"] = float(arguments["label_smoothing"])
    return arguments
