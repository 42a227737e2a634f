"""Flags: what mistake a vector catches, and where that mistake was really made.

A thread is cited only where it shows the mistake, or the misunderstanding behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..case import Case

_TORCH = "https://github.com/pytorch/pytorch"
_LIGER = "https://github.com/linkedin/Liger-Kernel"
_OPTAX = "https://github.com/google-deepmind/optax"


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes
    ----------
    catches
        The mistake, for a reader who has just failed the vector.
    threads
        Public threads about it.
    applies
        Which cases carry the flag.
    """

    name: str
    catches: str
    applies: Callable[[Case], bool]
    threads: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the note as JSON data."""
        note: dict[str, Any] = {"catches": self.catches}
        if self.threads:
            note["threads"] = list(self.threads)
        return note


def _mean(case: Case) -> bool:
    return case.effective_reduction == "mean"


def _weighted(case: Case) -> bool:
    return case.weight not in ("absent", "ones")


def _some_ignored(case: Case) -> bool:
    return case.is_index and case.ignored != "nowhere"


def _valid(applies: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: case.bad == "no" and applies(case)


def _breaks(*prefixes: str) -> Callable[[Case], bool]:
    return lambda case: case.bad.startswith(prefixes)


_VALID = (
    Flag(
        "WeightedMean",
        "The mean over class indices divides by the sum of the targets' weights, not by N.",
        lambda case: case.is_index and _mean(case) and _weighted(case),
        (f"{_TORCH}/issues/25571", f"{_TORCH}/issues/40560", f"{_TORCH}/issues/8062"),
    ),
    Flag(
        "ProbabilityMean",
        "The mean over class probabilities divides by the number of samples, d1 to dK among "
        "them, whatever the weights and the probabilities sum to.",
        lambda case: not case.is_index and _mean(case),
    ),
    Flag(
        "IgnoredSample",
        "An ignored sample adds nothing to the loss, its gradient is zero, and the mean's "
        "denominator does not count it.",
        _some_ignored,
        ("https://github.com/qubvel-org/segmentation_models.pytorch/issues/852",),
    ),
    Flag(
        "IgnoreIndexInRange",
        "ignore_index may be a class: its samples are ignored, while the class itself stays in "
        "every softmax.",
        lambda case: case.is_index and 0 <= case.ignored_value < case.num_classes,
        (f"{_TORCH}/issues/63004",),
    ),
    Flag(
        "IgnoreIndexOutOfRange",
        "ignore_index need not be a class, and must neither index the weights nor the logits.",
        lambda case: _some_ignored(case) and not 0 <= case.ignored_value < case.num_classes,
        (f"{_TORCH}/issues/15508", f"{_TORCH}/issues/91383"),
    ),
    Flag(
        "AllIgnored",
        "With nothing left, the mean is 0/0 = NaN and the sum is 0.",
        lambda case: case.is_index and case.ignored == "all",
        (f"{_TORCH}/issues/70348", f"{_TORCH}/issues/116349"),
    ),
    Flag(
        "IgnoreIndexWithProbabilities",
        "ignore_index does not apply to class probabilities: no effect, or an error.",
        lambda case: not case.is_index and case.ignore_index is not None,
        (f"{_TORCH}/issues/69339",),
    ),
    Flag(
        "Smoothing",
        "label_smoothing mixes in the uniform distribution over all C classes, the target's "
        "among them: ε/C, not ε/(C − 1).",
        lambda case: case.epsilon > 0,
        ("https://github.com/fastai/fastai/pull/1814",),
    ),
    Flag(
        "SmoothingWithWeight",
        "With smoothing each class's term carries that class's weight, while the mean still "
        "divides by the targets' weights.",
        lambda case: case.epsilon > 0 and _weighted(case),
        (f"{_TORCH}/issues/104776",),
    ),
    Flag(
        "SmoothingWithIgnored",
        "The uniform part of a smoothed loss leaves ignored samples out, too.",
        lambda case: case.epsilon > 0 and _some_ignored(case),
        (f"{_TORCH}/issues/73205", f"{_TORCH}/issues/69339"),
    ),
    Flag(
        "ZeroWeight",
        "A class of weight zero adds nothing, but stays in every softmax; a mean over nothing "
        "else is 0/0 = NaN.",
        lambda case: case.weight in ("somezero", "zeros"),
        (f"{_TORCH}/issues/63004",),
    ),
    Flag(
        "UnnormalisedTarget",
        "Class probabilities that do not sum to one are used as they are: the gradient of a "
        "logit is softmax·Σt − t, not softmax − t.",
        lambda case: (
            not case.is_index and case.probs in ("unnormalised", "outside", "zeros", "page")
        ),
        ("https://github.com/kvark/meganeura/pull/102",),
    ),
    Flag(
        "TargetGradient",
        "Class probabilities have a gradient: −w·log softmax, times the gradient of the loss.",
        lambda case: not case.is_index and case.system != "oneflow" and case.grad != "skip",
    ),
    Flag(
        "LegacyReduction",
        "size_average and reduce override reduction; reduce=False wins over size_average.",
        lambda case: (
            "absent" not in (case.size_average, case.reduce) or case.size_average != case.reduce
        ),
        (f"{_TORCH}/pull/8018",),
    ),
    Flag(
        "ClassAxis",
        "The classes stand in the second axis, before d1, ..., dK, not in the last.",
        lambda case: len(case.logits_shape) > 2,
    ),
    Flag(
        "Unbatched",
        "Logits of shape (C) are one sample: its unreduced loss has the shape ().",
        lambda case: len(case.logits_shape) == 1,
    ),
    Flag(
        "SingleClass",
        "With one class the loss and the gradient of the logits are exactly zero.",
        lambda case: case.num_classes == 1,
    ),
    Flag(
        "EmptyBatch",
        "Without samples the sum is 0 and the mean 0/0; nothing must crash.",
        lambda case: 0 in case.sample_shape,
        (f"{_TORCH}/issues/15870", f"{_TORCH}/issues/50224"),
    ),
    Flag(
        "LargeLogits",
        "exp of a logit as it stands overflows; subtract the row's maximum first.",
        lambda case: case.logits in ("wide", "offset", "brink", "masked"),
        (f"{_TORCH}/issues/11752", "https://github.com/FluxML/NNlib.jl/issues/68"),
    ),
    Flag(
        "LargeLoss",
        "The target's probability underflows: log(softmax(x)) is −inf where log softmax is finite.",
        lambda case: case.logits in ("wide", "against", "tail"),
        ("https://github.com/Theano/Theano/issues/3162",),
    ),
    Flag(
        "SmallLoss",
        "A target of probability near one: the loss is tiny and must keep its digits as far as "
        "the documented evaluation does.",
        lambda case: case.logits in ("target", "first", "last", "edge"),
    ),
    Flag(
        "EqualLogits",
        "All logits alike, zero or subnormal: every probability is about 1/C.",
        lambda case: case.logits in ("equal", "zeros", "denormal", "tiny"),
    ),
    Flag(
        "NegativeInfinity",
        "A class of logit −inf has probability zero and takes nothing from the others; where its "
        "coefficient is zero, 0·log 0 may be 0 or NaN.",
        lambda case: case.logits.startswith("neginf") or case.logits == "window",
        (f"{_OPTAX}/issues/896", "https://github.com/Dao-AILab/flash-attention/issues/1930"),
    ),
    Flag(
        "PositiveInfinity",
        "A logit of +inf spoils its own sample only.",
        lambda case: case.logits.startswith("posinf"),
    ),
    Flag(
        "NaN",
        "NaN reaches the loss and its sample's gradient; a maximum that drops it hides it.",
        lambda case: "nan" in (case.logits, case.probs),
    ),
    Flag(
        "IgnoredNaN",
        "A sample that is ignored and holds NaN: absent, or NaN by NaN·0.",
        lambda case: case.logits == "nan-ignored",
    ),
    Flag(
        "GradOutput",
        "Gradients scale with the gradient of the loss, for unreduced losses sample by sample.",
        lambda case: case.grad not in ("default", "ones", "skip"),
        (f"{_LIGER}/issues/968", f"{_LIGER}/pull/1298"),
    ),
    Flag(
        "UnreducedLoss",
        "reduction='none' keeps the shape of the samples, in the loss and in its gradient.",
        lambda case: case.effective_reduction == "none",
        ("https://github.com/paiml/aprender/pull/2182",),
    ),
    Flag(
        "SixteenBit",
        "16-bit results are rounded once at the end; sums in 16 bits lose digits or overflow.",
        lambda case: case.dtype in ("f16", "bf16"),
        (f"{_TORCH}/issues/85791", f"{_TORCH}/issues/29429", f"{_OPTAX}/issues/1020"),
    ),
    Flag(
        "DoublePrecision",
        "float64 results are good to float64: no constant or intermediate is a float32.",
        lambda case: case.dtype == "f64",
    ),
    Flag(
        "TargetType",
        "Class indices of another integer type than int64.",
        lambda case: case.target_dtype != "auto",
    ),
    Flag(
        "Multiplier",
        "mult scales the logits before the softmax, and the gradient does not carry it.",
        lambda case: case.mult is not None,
    ),
    Flag(
        "UnitScale",
        "The gradient of the unit-scaled loss is C/√(C − 1)·(softmax − target), under the mean "
        "as under the sum.",
        lambda case: case.system == "unit",
        ("https://github.com/graphcore-research/unit-scaling/issues/63",),
    ),
    Flag(
        "LinearBias",
        "The bias of the projection has the shape (C, d1, ..., dK), and its own gradient.",
        lambda case: case.bias == "yes",
    ),
    Flag(
        "Chunks",
        "Chunking options change speed and memory, never the result.",
        lambda case: case.has_options,
        (f"{_TORCH}/pull/176338",),
    ),
    Flag(
        "SecondBackward",
        "The same backward again gives the same gradients, or raises where options consume them.",
        lambda case: case.script == "twice",
        ("https://github.com/Dao-AILab/quack/pull/209",),
    ),
    Flag(
        "RepeatedForward",
        "A second forward on the same arrays finds them untouched and disturbs no gradient.",
        lambda case: case.script == "again",
        ("https://github.com/unslothai/unsloth/issues/5002",),
    ),
)

_INVALID = (
    Flag(
        "InvalidClass",
        "A class index outside [0, C) that is not ignore_index must be refused, not read from "
        "memory.",
        _breaks("target-too-large", "target-negative", "target-wraps"),
        (f"{_TORCH}/issues/5296", f"{_TORCH}/issues/12670"),
    ),
    Flag(
        "InvalidShape",
        "Arrays whose shapes do not belong together must be refused, not broadcast.",
        _breaks(
            "input-",
            "target-length",
            "target-extra",
            "target-missing",
            "target-shape",
            "target-spatial",
            "prob-shape",
            "prob-broadcast",
            "weight-short",
            "weight-long",
            "weight-2d",
            "weight-scalar",
            "bias-shape",
        ),
    ),
    Flag(
        "InvalidType",
        "An array of an element type that the page does not document for it must be refused.",
        _breaks("target-float", "target-dtype", "prob-dtype", "weight-dtype"),
    ),
    Flag(
        "InvalidArgument",
        "A scalar argument outside its documented values must be refused.",
        _breaks("reduction-", "smoothing-", "options-"),
    ),
    Flag(
        "UnsupportedArgument",
        'An argument that the page calls "not supported by unit-scaling" must be refused.',
        _breaks("unsupported-"),
    ),
)

FLAGS = tuple(
    Flag(flag.name, flag.catches, _valid(flag.applies), flag.threads) for flag in _VALID
) + tuple(_INVALID)
BY_NAME = {flag.name: flag for flag in FLAGS}


def flags_of(case: Case) -> tuple[str, ...]:
    """Return the flags of a case, in the catalogue's order.

    >>> flags_of(Case.parse("ce/index/4x10/f32/mean,weight=mixed"))
    ('WeightedMean',)
    """
    return tuple(flag.name for flag in FLAGS if flag.applies(case))
