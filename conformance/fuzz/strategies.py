"""Hypothesis strategies for cases: every documented argument, and every documented-invalid one.

Whatever is drawn is a documented call, or breaks exactly one documented requirement.  The value
that says least stands first everywhere, so that shrinking ends at the shortest id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import strategies as st

from conformance.case import DTYPES, VOCABULARY, Case
from conformance.clauses import CATALOGUE
from conformance.corpus.combine import mend
from conformance.values import EDGES

from . import metamorphic
from .example import Example

#: The most logits, or nearly twice as many where two sizes meet; larger arrays belong to the
#: corpus, which chooses them well.
LARGEST = 6000

#: Requirements that are about the rank of the target, and need d1.
_SPATIAL = ("target-missing-axis", "target-spatial")
#: Kinds of logits that the linear loss's features can follow.
_FEATURES = ("normal", "wide", "zeros", "tail", "nan")
#: What only the pages' own shapes can carry, what sums and products of overflow (lowest numbers
#: that are smoothed or multiplied), and what needs an ignored sample.
_ELSEWHERE = ("page", "masked")
_NOT_DRAWN = (*_ELSEWHERE, "nan-ignored")
_LAYOUTS = ("layout", "target_layout", "weight_layout", "grad_layout")

# Strategies are made once: making them takes longer than drawing from them.


def _words(field: str, *without: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word for word in VOCABULARY[field] if word not in without])


@cache
def _edges(least: int, most: int) -> st.SearchStrategy[int]:
    """Sizes where loops change, the small ones first."""
    return st.sampled_from([edge for edge in EDGES if least <= edge <= most] or [least])


_ONE_IN_FOUR, _ONE_IN_EIGHT = st.integers(0, 3), st.integers(0, 7)
_TARGETS = _words("target")
_RANKS = st.sampled_from(("small", "classes", "batch", "spatial", "unbatched", "empty"))
_SMALL = {least: st.integers(least, 12) for least in (1, 2)}
_ROWS, _TWO_OR_MORE, _WIDTHS = st.integers(1, 8), st.integers(2, 6), st.integers(1, 9)
_POSITIONS = st.lists(st.integers(1, 5), min_size=1, max_size=3)
_VALUES = {name: _words(name) for name in VOCABULARY if name not in ("logits", "probs", "dtype")}
_DTYPES = st.sampled_from(("f32", *(name for name in DTYPES if name != "f32")))
_PROBS = _words("probs", "page", "nan")
_LOGITS = st.just("normal") | _words("logits", *_NOT_DRAWN)
_LOGITS_IGNORED = st.just("normal") | _words("logits", *_ELSEWHERE)
_LINEAR = st.just("normal") | st.sampled_from(_FEATURES)
_LINEAR_IGNORED = st.just("normal") | st.sampled_from((*_FEATURES, "nan-ignored"))
_SEEDS = st.integers(0, 999)
_REDUCTIONS = st.sampled_from(("default", "sum", "mean", "none"))
#: Numbers of few digits: they are typed in ids.
_MULTS = st.sampled_from((None, 1.0, 0.5, 0.3)) | st.integers(-40, 160).map(lambda n: n / 10)
_SMOOTHINGS = st.sampled_from((None, 0.1, 0.0, 1.0)) | st.integers(0, 1000).map(lambda n: n / 1000)
_IGNORE_INDICES = (
    st.sampled_from((None, -100, -1, 0, 1))
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-300, 300)
)
_OPTIONS = _words("options") | st.builds(
    "{}{}".format, st.sampled_from(("chunk", "aspect")), st.integers(1, 70)
)
_SCRIPTS = st.just("once") | _words("script")
_BAD_DTYPES = st.sampled_from(("int32", "int16", "int8", "uint8", "bool"))


@st.composite
def examples(draw: st.DrawFn, systems: Sequence[str]) -> Example:
    """Draw a case of one of the systems, or, one time in four, a relation that starts from one."""
    if draw(_ONE_IN_FOUR) < 3:
        return Example(_case(draw, systems))
    name = draw(st.sampled_from(metamorphic.applicable(systems)))
    starts = [system for system in systems if system in metamorphic.RELATIONS[name].starts]
    return Example(settle(metamorphic.start(name, _case(draw, starts))), name)


@st.composite
def cases(draw: st.DrawFn, systems: Sequence[str]) -> Case:
    """Draw a case of one of the systems."""
    return _case(draw, systems)


def _case(draw: st.DrawFn, systems: Sequence[str]) -> Case:
    system = draw(st.sampled_from(list(systems)))
    target = draw(_TARGETS)
    if draw(_ONE_IN_EIGHT) == 7:
        return invalid(draw, system, target)
    return settle(
        Case(
            system=system,
            target=target,
            **_shapes(draw, system),
            **_arguments(draw, system, target),
            **_memory(draw),
            grad=draw(_VALUES["grad"]),
            script=draw(_SCRIPTS),
        )
    )


def settle(case: Case) -> Case:
    """Take back what has no effect on the call, so that equal calls have one id."""
    case = mend(case)
    changes: dict[str, Any] = {}
    if case.grad == "skip":
        changes["script"] = "once"
    scalar_gradient = case.effective_reduction != "none" or not case.sample_shape
    if case.grad in ("default", "skip") or scalar_gradient:
        changes["grad_layout"] = "c"
    if case.weight == "absent" and case.bias == "no":
        changes["weight_layout"] = "c"
    return replace(case, **changes)


def _shapes(draw: st.DrawFn, system: str) -> dict[str, Any]:
    """Draw sizes: small ones, and those where loops change."""
    least = 2 if system == "unit" else 1
    kind = draw(_RANKS)
    if kind == "unbatched" and system == "oneflow":
        kind = "small"
    batch, classes = draw(_ROWS), draw(_SMALL[least])
    rest: tuple[int, ...] = ()
    if kind in ("classes", "unbatched"):
        if draw(_ONE_IN_FOUR):
            classes = draw(_edges(least, LARGEST // 2))
        batch = min(batch, max(1, LARGEST // classes))
    elif kind == "batch":
        classes = min(classes, 3)
        batch = draw(_edges(1, LARGEST // classes))
    elif kind == "spatial":
        rest = tuple(draw(_POSITIONS))
    elif kind == "empty":
        where = draw(_ONE_IN_FOUR)
        if where == 3 and system != "linear":
            rest = (0,)
        else:
            batch, rest = 0, (2,) * (where // 2)
    if system != "linear":
        return {"shape": (classes,) if kind == "unbatched" else (batch, classes, *rest)}
    # Products of matrices are the dearest part of judging.
    widest = 4 * LARGEST // (max(1, batch) * classes * math.prod(rest))
    width = draw(_edges(1, min(257, widest))) if draw(_ONE_IN_FOUR) == 3 else draw(_WIDTHS)
    rows = () if kind == "unbatched" else (batch,)
    return {"shape": (*rows, width), "classes": (classes, *rest)}


def _arguments(draw: st.DrawFn, system: str, target: str) -> dict[str, Any]:
    """Draw the arguments, and what their arrays hold.

    As much is drawn for one kind of target as for the other, so that neither seems the simpler.
    """
    fields: dict[str, Any] = {"reduction": draw(_REDUCTIONS), "form": draw(_VALUES["form"])}
    if system == "unit":
        fields["mult"] = draw(_MULTS)
    else:
        fields["weight"] = draw(_VALUES["weight"])
        fields["smoothing"] = draw(_SMOOTHINGS)
    if system == "ce" and draw(_ONE_IN_FOUR) == 3:
        fields["size_average"] = draw(_VALUES["size_average"])
        fields["reduce"] = draw(_VALUES["reduce"])
    ignored, ignore_index = draw(_VALUES["ignored"]), draw(_IGNORE_INDICES)
    probs = draw(_PROBS)
    if target == "index":
        fields.update(ignored=ignored, ignore_index=ignore_index)
    else:
        ignored = "nowhere"
        fields.update(probs=probs)
    if system == "linear":
        fields["bias"] = draw(_VALUES["bias"])
        fields["options"] = draw(_OPTIONS)
        fields["retain"] = draw(_VALUES["retain"])
    fields["dtype"] = draw(_DTYPES)
    kinds = (_LINEAR, _LINEAR_IGNORED) if system == "linear" else (_LOGITS, _LOGITS_IGNORED)
    fields["logits"] = draw(kinds[ignored != "nowhere"])
    fields["seed"] = draw(_SEEDS)
    return fields


def _memory(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a layout for each of the caller's arrays; most calls have contiguous ones."""
    if draw(_ONE_IN_FOUR) < 3:
        return {}
    return {name: draw(_VALUES[name]) for name in _LAYOUTS}


@cache
def requirements(system: str, target: str) -> tuple[str, ...]:
    """Return the values of ``Case.bad`` that break a requirement documented for the system."""
    found = {
        bad: None
        for clause in CATALOGUE
        if clause.observable and system in clause.systems and clause.target in ("", target)
        for bad in clause.breaks
    }
    # A clause about both targets is broken by each in its own way.
    other = "prob-" if target == "index" else ("target-float", "target-shape-of-input")
    return tuple(bad for bad in found if not bad.startswith(other))


def invalid(draw: st.DrawFn, system: str, target: str) -> Case:
    """Draw a call that breaks one requirement, beside valid arguments."""
    bad = draw(st.sampled_from(requirements(system, target)))
    batch, classes = draw(_TWO_OR_MORE), draw(_TWO_OR_MORE)
    rest: tuple[int, ...] = ()
    spatial = draw(_ONE_IN_FOUR) == 3 and bad not in ("input-scalar", "input-unbatched")
    if spatial or (bad in _SPATIAL and target == "index"):
        # As long as no other, or a wrong order of axes could be a valid call.
        rest = (7,)
    fields = {**_arguments(draw, system, target), "logits": "normal", "probs": "soft"}
    # An ignored index could make a class valid that is out of range.
    in_range = target == "index" and fields["ignore_index"] in (-100, 1)
    fields["ignore_index"] = fields["ignore_index"] if in_range else None
    fields["shape"] = (batch, classes, *rest)
    if system == "linear":
        fields.update(shape=(batch, draw(_TWO_OR_MORE)), classes=(classes, *rest))
    if bad.startswith("weight") and fields["weight"] != "absent":
        fields["weight"] = "mixed"
    if bad.startswith("options"):
        fields.update(options="auto", retain="no")
    if bad == "bias-shape":
        fields["bias"] = "yes"
    if bad.startswith("reduction"):
        fields.update(size_average="absent", reduce="absent")  # which would override it
    if bad == "target-dtype":
        fields["target_dtype"] = draw(_BAD_DTYPES)
    return settle(Case(system=system, target=target, bad=bad, **fields))
