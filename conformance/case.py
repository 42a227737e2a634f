"""A case: what is called, spelled out in an id that rebuilds it on any machine.

An id is ``system/target/shape/dtype/reduction`` followed by ``,name=value`` for every other
field that differs from its default::

    ce/index/4x10/f32/mean,weight=mixed,smoothing=0.1
    linear/index/4x8-10/f32/sum,bias=yes,options=chunk3

The shape is the input's shape, ``scalar`` for a zero-dimensional input; for the linear loss a
dash separates it from the shape ``C x out_features`` that the projection produces.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

SYSTEMS = {
    "ce": "torch.nn.CrossEntropyLoss",
    "linear": "torch.nn.LinearCrossEntropyLoss",
    "oneflow": "oneflow.nn.CrossEntropyLoss",
    "unit": "unit_scaling.functional.cross_entropy",
}
DTYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}

#: Every field that has a fixed vocabulary, and the vocabulary.
VOCABULARY: dict[str, tuple[str, ...]] = {
    "system": tuple(SYSTEMS),
    "target": ("index", "prob"),
    "dtype": tuple(DTYPES),
    # "default" leaves the argument out.
    "reduction": ("default", "none", "mean", "sum"),
    "form": ("function", "module"),
    # The deprecated pair: left out, or passed.
    "size_average": ("absent", "true", "false"),
    "reduce": ("absent", "true", "false"),
    "weight": (
        "absent",
        "ones",
        "mixed",
        "somezero",
        "zeros",
        "large",
        "tiny",
        "signed",  # negative for every third class
        "infinite",  # for class 1
    ),
    # Which targets carry the ignored index.
    "ignored": ("nowhere", "some", "first", "last", "most", "all"),
    "logits": (
        "normal",  # independent, about N(0, 1), in every row another scale between 1/4 and 4
        "wide",  # uniform in ±1e4
        "offset",  # normal, plus 1e4
        "equal",  # the same value in every class
        "zeros",
        "denormal",  # subnormal numbers of the dtype
        "tiny",  # about 1e-3: every class nearly as likely
        "ascending",  # ordered along the classes
        "first",  # one dominant class: the first,
        "last",  # the last,
        "edge",  # the ones just before and after powers of two and multiples of vector lengths,
        # from the last on
        "peak",  # as edge, and so large that a maximum which misses it overflows
        "target",  # the target's class dominates: a loss near zero
        "against",  # another class dominates the target's: a large loss
        "tail",  # the last sample has by far the largest loss
        "brink",  # exp of each is finite, their sum is not; in every second row each exp is 0
        "masked",  # an eighth of the lowest number in some classes, and in all of the first row
        "window",  # -inf in all classes but the target's and those beside it
        "neginf",  # -inf in some classes that are not the target
        "neginf-target",  # -inf in the target's class of some rows
        "neginf-row",  # every class -inf in one row
        "posinf",  # +inf in one class (not the target's) of one row
        "posinf-target",  # +inf in the target's class of one row
        "nan",  # NaN in one class of one row
        "nan-ignored",  # NaN in rows that are ignored
        "page",  # the numbers printed on the page
    ),
    "probs": (
        "soft",  # positive, sum to one
        "onehot",
        "sparse",  # most classes have probability zero
        "zeros",
        "unnormalised",  # in [0, 1], do not sum to one
        "outside",  # outside [0, 1], which no page enforces
        "nan",  # NaN for one class of one row
        "page",
    ),
    "target_dtype": (
        "auto",  # int64 for indices, the input's for probabilities
        "int8",
        "int16",
        "int32",
        "uint8",
        "bool",
    ),
    # Memory layout; the letters are explained in conformance.layout.
    "layout": ("c", "transposed", "strided", "offset", "broadcast", "readonly", "reversed"),
    "target_layout": ("c", "transposed", "strided", "offset", "broadcast", "readonly", "reversed"),
    "weight_layout": ("c", "strided", "offset", "broadcast", "readonly", "reversed"),
    "grad_layout": ("c", "transposed", "strided", "offset", "broadcast", "readonly", "reversed"),
    # grad_output: "default" passes none (scalar losses only), "skip" does not go backward.
    "grad": ("default", "ones", "mixed", "negative", "zero", "large", "small", "skip"),
    "script": (
        "once",  # forward, backward
        "again",  # forward twice on the same arrays, then both backwards
        "stale",  # forward on A, forward on B, then the backward of A
        "twice",  # forward, then the same backward twice
    ),
    "bias": ("no", "yes"),
    "options": (
        # Beside these, any chunkN and aspectN with N from 1 on.
        "absent",  # options=None
        "auto",  # LinearCrossEntropyOptions()
        "chunk1",
        "chunk2",
        "chunk3",
        "chunk5",
        "chunk64",
        "whole",  # one chunk larger than the batch
        "aspect",  # chunking_method="aspect_ratio"
        "aspect4",  # chunking_method="aspect_ratio:4"
        "accurate",
        "balanced",
        "compact",
    ),
    "retain": ("no", "yes"),  # allow_retain_graph
    # A documented requirement that the call breaks; see conformance.invalid.
    "bad": (
        "no",
        "input-scalar",
        "input-unbatched",
        "input-3d",
        "input-features",
        "target-length",
        "target-extra-axis",
        "target-missing-axis",
        "target-shape-of-input",
        "target-spatial",
        "target-too-large",
        "target-negative",
        "target-wraps",
        "target-float",
        "target-dtype",
        "prob-shape",
        "prob-broadcast",
        "prob-dtype",
        "weight-short",
        "weight-long",
        "weight-2d",
        "weight-scalar",
        "weight-dtype",
        "reduction-name",
        "reduction-case",
        "smoothing-negative",
        "smoothing-above-one",
        "smoothing-nan",
        "bias-shape",
        "options-chunk",
        "options-method",
        "options-policy",
        "unsupported-weight",
        "unsupported-size-average",
        "unsupported-reduce",
        "unsupported-smoothing",
    ),
}

_POSITIONAL = ("system", "target", "shape", "dtype", "reduction")
#: Options of the linear loss that name a size.
_SIZED = re.compile(r"(chunk|aspect)[1-9]\d{0,8}")


@dataclass(frozen=True)
class Case:
    """One conformance case; every field is in its id.

    Attributes
    ----------
    shape
        Shape of ``input``: (C,), (N, C), (N, C, d1, ..., dK); for the linear loss
        (in_features,) or (N, in_features).
    classes
        For the linear loss (C, d1, ..., dK), the projected shape without the batch; else ().
    ignore_index
        The argument's value, ``None`` to leave it out.
    ignored
        Which targets carry the ignored index.
    smoothing
        ``label_smoothing``, ``None`` to leave it out.
    mult
        ``mult`` of the unit-scaled loss, ``None`` to leave it out.
    seed
        Draws other numbers for the same fields.
    """

    system: str = "ce"
    target: str = "index"
    shape: tuple[int, ...] = (4, 10)
    classes: tuple[int, ...] = ()
    dtype: str = "f32"
    reduction: str = "default"
    form: str = "function"
    size_average: str = "absent"
    reduce: str = "absent"
    weight: str = "absent"
    ignore_index: int | None = None
    ignored: str = "nowhere"
    smoothing: float | None = None
    logits: str = "normal"
    probs: str = "soft"
    target_dtype: str = "auto"
    layout: str = "c"
    target_layout: str = "c"
    weight_layout: str = "c"
    grad: str = "default"
    grad_layout: str = "c"
    script: str = "once"
    bias: str = "no"
    options: str = "absent"
    retain: str = "no"
    mult: float | None = None
    bad: str = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in VOCABULARY.items():
            value = getattr(self, name)
            if value not in allowed and not (name == "options" and _SIZED.fullmatch(value)):
                raise ValueError(f"case {name}: got {value!r}, allowed are {', '.join(allowed)}")
        if self.smoothing is not None and not 0 <= self.smoothing <= 1:
            raise ValueError(
                f"case smoothing: got {self.smoothing}, documented are 0 to 1; calls that must be "
                "refused have the field bad"
            )
        if self.mult is not None and not math.isfinite(self.mult):
            raise ValueError(f"case mult: got {self.mult}, expected a finite number")
        if self.system == "linear":
            documented = len(self.shape) == 2 or (len(self.shape) == 1 and len(self.classes) == 1)
            if not self.classes or (self.bad == "no" and not documented):
                raise ValueError(
                    "case shape: the linear loss takes in_features-C or N x in_features-C x d1..., "
                    f"got {_extents(self.shape)}-{_extents(self.classes)}"
                )
        elif self.classes:
            raise ValueError("case shape: only the linear loss has a projected shape")
        elif not self.shape and self.bad != "input-scalar":
            raise ValueError("case shape: a zero-dimensional input is not documented")

    @property
    def id(self) -> str:
        """The id, from which :meth:`parse` rebuilds the case."""
        shape = _extents(self.shape)
        if self.classes:
            shape += "-" + _extents(self.classes)
        parts = [f"{self.system}/{self.target}/{shape}/{self.dtype}/{self.reduction}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in (*_POSITIONAL, "classes") and value != field.default:
                parts.append(
                    f"{field.name}={value!r}" if _is_number(field) else f"{field.name}={value}"
                )
        return ",".join(parts)

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read an id.

        >>> Case.parse("ce/index/4x10/f32/mean,smoothing=0.1").smoothing
        0.1
        >>> Case.parse("ce/index/4x10/f32/median")
        Traceback (most recent call last):
        ...
        ValueError: case reduction: got 'median', allowed are default, none, mean, sum
        """
        head, *options = text.strip().split(",")
        names = head.split("/")
        if len(names) != len(_POSITIONAL):
            raise ValueError(
                f"case id: got {text!r}, expected system/target/shape/dtype/reduction"
                "[,name=value]..."
            )
        values: dict[str, Any] = dict(zip(_POSITIONAL, names, strict=True))
        shape, _, classes = values["shape"].partition("-")
        values["shape"] = _parse_extents(shape)
        values["classes"] = _parse_extents(classes) if classes else ()
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for option in options:
            name, separator, value = option.partition("=")
            if not separator or name not in fields or name in values:
                raise ValueError(f"case id: {option!r} is not a field of a case, or stands twice")
            values[name] = _parse_number(name, value) if _is_number(fields[name]) else value
        return cls(**values)

    # What follows reads the fields; everything that builds or judges a case uses these words.

    @property
    def is_index(self) -> bool:
        """Whether the target holds class indices."""
        return self.target == "index"

    @property
    def logits_shape(self) -> tuple[int, ...]:
        """Shape of the logits: of ``input``, or of what the projection makes of it."""
        if self.system == "linear":
            return (*self.shape[:-1], *self.classes)
        return self.shape

    @property
    def num_classes(self) -> int:
        """C."""
        shape = self.logits_shape
        return shape[0] if len(shape) == 1 else shape[1]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of an unreduced loss: (), (N) or (N, d1, ..., dK)."""
        shape = self.logits_shape
        return () if len(shape) == 1 else (shape[0], *shape[2:])

    @property
    def effective_reduction(self) -> str:
        """``reduction`` once the default and the deprecated pair are taken into account."""
        if self.size_average != "absent" or self.reduce != "absent":
            if self.reduce == "false":
                return "none"
            return "sum" if self.size_average == "false" else "mean"
        return "mean" if self.reduction == "default" else self.reduction

    @property
    def epsilon(self) -> float:
        """``label_smoothing`` once the default is taken into account."""
        return self.smoothing or 0.0

    @property
    def ignored_value(self) -> int:
        """``ignore_index`` once the default is taken into account."""
        return -100 if self.ignore_index is None else self.ignore_index

    @property
    def has_options(self) -> bool:
        """Whether chunking options are passed."""
        return self.options != "absent" or self.retain != "no"


_NUMBERS = {"ignore_index": int, "smoothing": float, "mult": float, "seed": int}


def _is_number(field: dataclasses.Field[Any]) -> bool:
    return field.name in _NUMBERS


def _parse_number(name: str, value: str) -> float | int:
    try:
        return _NUMBERS[name](value)
    except ValueError:
        raise ValueError(f"case {name}: got {value!r}, expected a number") from None


def _extents(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"


def _parse_extents(text: str) -> tuple[int, ...]:
    if text == "scalar":
        return ()
    if not re.fullmatch(r"\d{1,9}(x\d{1,9}){0,7}", text):
        raise ValueError(f"case shape: got {text!r}, expected sizes such as 4x10")
    return tuple(map(int, text.split("x")))
