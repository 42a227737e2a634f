"""Chunking options of the linear cross-entropy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dtypes import floating_dtype

POLICIES = ("auto", "accurate", "balanced", "compact")


@dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How ``linear_cross_entropy`` splits the batch, and what it accumulates in.

    Parameters
    ----------
    allow_retain_graph
        Whether the same ``vjp`` may be called more than once.
    batch_chunk_size
        Rows per chunk; ``None`` leaves the choice to ``chunking_method``.
    chunking_method
        'aspect_ratio', which sizes the logits of a chunk like the input,
        next_pow2(⌈N / ⌈C / in_features⌉⌉) rows; 'aspect_ratio:K', that divided by K; ``None``, one
        chunk unless ``batch_chunk_size`` is given; or 'auto', which is 'aspect_ratio' for float16
        and bfloat16 input and otherwise 'aspect_ratio:2'.
    acc_policy
        'auto', 'accurate', 'balanced' or 'compact'.  Here all are one: the memory of 'compact',
        since no policy needs more, with the precision of 'accurate'.
    acc_dtype
        Dtype in which the chunks' gradients of the linear weight are accumulated.  ``None`` is
        float32 for float16 and bfloat16 input, otherwise the input's dtype.  The 16-bit dtype
        itself saves a float32 array of the weight's shape, and rounds after every chunk.

    Raises
    ------
    TypeError, ValueError
        A field has a value that is not allowed.

    Notes
    -----
    Source: page ``torch.nn.LinearCrossEntropyLoss`` (000), which refers to
    ``LinearCrossEntropyOptions`` for the fields; they are those of torch 2.13.0.

    Examples
    --------
    >>> LinearCrossEntropyOptions(batch_chunk_size=0)
    Traceback (most recent call last):
    ...
    ValueError: batch_chunk_size: got 0, expected a positive integer or None
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.allow_retain_graph, bool | np.bool_):
            raise TypeError(
                f"allow_retain_graph: got {self.allow_retain_graph!r}, expected True or False"
            )
        size = self.batch_chunk_size
        if size is not None and (
            not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1
        ):
            raise ValueError(f"batch_chunk_size: got {size!r}, expected a positive integer or None")
        method = self.chunking_method
        if method is not None and not (
            isinstance(method, str) and re.fullmatch(r"auto|aspect_ratio(:0*[1-9]\d*)?", method)
        ):
            raise ValueError(
                f"chunking_method: got {method!r}, allowed are None, 'auto', 'aspect_ratio' and "
                "'aspect_ratio:K' with K >= 1"
            )
        if self.acc_policy not in POLICIES:
            raise ValueError(f"acc_policy: got {self.acc_policy!r}, allowed are {POLICIES}")
        if self.acc_dtype is not None:
            dtype = floating_dtype(self.acc_dtype, "acc_dtype", ValueError)
            object.__setattr__(self, "acc_dtype", dtype)

    def chunk_size(
        self,
        batch: int,
        in_features: int,
        classes: int,
        dtype: np.dtype[Any] = np.dtype(np.float32),  # noqa: B008
    ) -> int:
        """Rows per chunk for a call of these sizes, by the documented heuristics.

        Parameters
        ----------
        batch, in_features
            Shape of the input.
        classes
            Logits of one row: C, or C·d1·…·dK.
        dtype
            Of the input.

        Raises
        ------
        ValueError
            ``batch_chunk_size`` and ``chunking_method`` are both given and disagree.

        Examples
        --------
        >>> LinearCrossEntropyOptions(chunking_method="aspect_ratio").chunk_size(4096, 512, 32000)
        128
        """
        method = self.chunking_method
        if method == "auto":
            ratio = "aspect_ratio" if dtype.itemsize == 2 else "aspect_ratio:2"
            method = None if self.batch_chunk_size is not None else ratio
        chosen = batch if self.batch_chunk_size is None else min(self.batch_chunk_size, batch)
        if method is not None:
            factor = int(method.partition(":")[2] or 1)
            rows = -(-batch // max(1, -(-classes // max(1, in_features))))
            chosen = min((1 << (rows - 1).bit_length()) // factor, batch)
            if self.batch_chunk_size not in (None, chosen):
                raise ValueError(
                    f"batch_chunk_size: got {self.batch_chunk_size}, but chunking_method "
                    f"{method!r} gives {chosen} for this call; pass only one of them"
                )
        return max(1, chosen)

    def check_dtype(self, dtype: np.dtype[Any]) -> None:
        """Refuse an accumulation dtype that does not go with the input's."""
        if self.acc_dtype is None or self.acc_dtype.name == dtype.name:
            return
        if dtype.name not in ("float16", "bfloat16") or self.acc_dtype.name != "float32":
            raise ValueError(
                f"acc_dtype: got {self.acc_dtype} for {dtype} input, allowed are the input's dtype "
                "and, for float16 and bfloat16 input, float32"
            )
