"""The cross-entropy loss of torch, OneFlow and unit-scaling on NumPy arrays, with gradients.

>>> import numpy as np
>>> import crossent_spec
>>> loss, grads = crossent_spec.cross_entropy_value_and_grad(np.zeros((1, 4)), np.array([2]))
>>> grads.input
array([[ 0.25,  0.25, -0.75,  0.25]])
"""

from .cross_entropy import cross_entropy, cross_entropy_value_and_grad, cross_entropy_vjp
from .evaluate import Gradients
from .higher_order import (
    cross_entropy_hvp,
    cross_entropy_jvp,
    linear_cross_entropy_hvp,
    linear_cross_entropy_jvp,
)
from .linear import (
    linear_cross_entropy,
    linear_cross_entropy_value_and_grad,
    linear_cross_entropy_vjp,
)
from .linear_module import LinearCrossEntropyLoss
from .modules import (
    CrossEntropyLoss,
    OneFlowCrossEntropyLoss,
    UnitScaledCrossEntropyLoss,
)
from .options import LinearCrossEntropyOptions
from .unit_scaled import (
    unit_scaled_cross_entropy,
    unit_scaled_cross_entropy_value_and_grad,
    unit_scaled_cross_entropy_vjp,
)

__all__ = [
    "CrossEntropyLoss",
    "Gradients",
    "LinearCrossEntropyLoss",
    "LinearCrossEntropyOptions",
    "OneFlowCrossEntropyLoss",
    "UnitScaledCrossEntropyLoss",
    "cross_entropy",
    "cross_entropy_hvp",
    "cross_entropy_jvp",
    "cross_entropy_value_and_grad",
    "cross_entropy_vjp",
    "linear_cross_entropy",
    "linear_cross_entropy_hvp",
    "linear_cross_entropy_jvp",
    "linear_cross_entropy_value_and_grad",
    "linear_cross_entropy_vjp",
    "unit_scaled_cross_entropy",
    "unit_scaled_cross_entropy_value_and_grad",
    "unit_scaled_cross_entropy_vjp",
]
