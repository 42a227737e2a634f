"""Hypothesis strategies for cases: every documented argument, and every documented-invalid one.

Whatever is drawn is a documented call, or breaks exactly one documented requirement.  The value
that says least stands first everywhere, so that shrinking ends at the shortest id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from conformance.case import DTYPES, VOCABULARY, Case
from conformance.clauses import CATALOGUE
from conformance.corpus.combine import mend
from conformance.values import EDGES

from . import metamorphic
from .example import Example

#: The largest array of logits; larger ones belong to the corpus, which chooses them well.
LARGEST = 6000
_LARGEST_SEED = 999

_CLASS_EDGES = tuple(edge for edge in EDGES if edge <= LARGEST // 2)
#: Requirements that are about the rank of the target, and need d1.
_SPATIAL = ("target-missing-axis", "target-spatial")
#: Kinds of logits that the linear loss's features can follow.
_FEATURES = ("normal", "wide", "zeros", "tail", "nan")
#: What only the pages' own shapes can carry, and what needs an ignored sample.
_NOT_DRAWN = ("page", "nan-ignored")
_LOGITS = tuple(kind for kind in VOCABULARY["logits"] if kind not in _NOT_DRAWN)
_PROBS = tuple(kind for kind in VOCABULARY["probs"] if kind != "page")
_BAD_TARGET_DTYPES = ("int32", "int16", "int8", "uint8", "bool")


@st.composite
def examples(draw: st.DrawFn, systems: Sequence[str]) -> Example:
    """Draw a case of one of the systems, or, one time in four, a relation that starts from one."""
    if draw(st.integers(0, 3)) < 3:
        return Example(draw(cases(systems)))
    name = draw(st.sampled_from(metamorphic.applicable(systems)))
    starts = [system for system in systems if system in metamorphic.RELATIONS[name].starts]
    return Example(settle(metamorphic.start(name, draw(cases(starts)))), name)


@st.composite
def cases(draw: st.DrawFn, systems: Sequence[str] = ("ce",)) -> Case:
    """Draw a case of one of the systems."""
    system = draw(st.sampled_from(list(systems)))
    target = draw(st.sampled_from(("index", "prob")))
    if draw(st.integers(0, 7)) == 7:
        return draw(_invalid(system, target))
    fields: dict[str, Any] = {"system": system, "target": target}
    fields.update(draw(_shapes(system)))
    fields.update(draw(_arguments(system, target)))
    fields.update(draw(_numbers(system, target, fields)))
    fields.update(draw(_memory()))
    fields.update(draw(_calls()))
    return settle(Case(**fields))


def settle(case: Case) -> Case:
    """Take back what has no effect on the call, so that equal calls have one id."""
    case = mend(case)
    changes: dict[str, Any] = {}
    if case.grad == "skip":
        changes["script"] = "once"
    scalar_gradient = case.effective_reduction != "none" or not case.sample_shape
    if case.grad in ("default", "skip") or scalar_gradient:
        changes["grad_layout"] = "c"
    if case.weight == "absent":
        changes["weight_layout"] = "c"
    return Case(**{**vars(case), **changes})


@st.composite
def _shapes(draw: st.DrawFn, system: str, least: int = 1) -> dict[str, Any]:
    """Draw sizes: small ones, and those where loops change."""
    least = max(least, 2 if system == "unit" else 1)
    kind = draw(st.sampled_from(("small", "classes", "batch", "spatial", "unbatched", "empty")))
    if kind == "unbatched" and system == "oneflow":
        kind = "small"
    batch = draw(st.integers(1, 8))
    classes = draw(st.integers(least, 12))
    rest: tuple[int, ...] = ()
    if kind in ("classes", "unbatched"):
        classes = draw(st.one_of(st.just(classes), st.sampled_from(_CLASS_EDGES)))
        batch = min(batch, max(1, LARGEST // classes))
    elif kind == "batch":
        classes = min(classes, 3)
        batch = draw(st.sampled_from([edge for edge in EDGES if edge <= LARGEST // classes]))
    elif kind == "spatial":
        rest = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple))
    elif kind == "empty":
        empty_position = system != "linear" and draw(st.booleans())
        batch, rest = (batch, (0,)) if empty_position else (0, draw(st.sampled_from(((), (2,)))))
    if kind == "unbatched":
        if system == "linear":
            return {"shape": (draw(_widths(classes)),), "classes": (classes,)}
        return {"shape": (classes,)}
    if system == "linear":
        width = draw(_widths(max(1, batch) * classes * math.prod(rest)))
        return {"shape": (batch, width), "classes": (classes, *rest)}
    return {"shape": (batch, classes, *rest)}


def _widths(logits: int) -> st.SearchStrategy[int]:
    """In-features; products of matrices are the dearest part of judging."""
    edges = [edge for edge in EDGES if edge <= 257 and edge * logits <= 4 * LARGEST]
    return st.integers(1, 9) | st.sampled_from(edges or [3])


@st.composite
def _arguments(draw: st.DrawFn, system: str, target: str) -> dict[str, Any]:
    """Draw the arguments that are no arrays, and whether optional arrays are passed."""
    fields: dict[str, Any] = {
        "reduction": draw(st.sampled_from(("default", "sum", "mean", "none"))),
        "form": draw(st.sampled_from(VOCABULARY["form"])),
    }
    if system == "unit":
        tenths = st.integers(-40, 160).map(lambda n: n / 10)
        fields["mult"] = draw(st.none() | st.sampled_from((1.0, 0.5, 0.3)) | tenths)
    else:
        fields["weight"] = draw(st.sampled_from(VOCABULARY["weight"]))
        fields["smoothing"] = draw(
            st.none() | st.sampled_from((0.1, 0.0, 1.0)) | _rounded_fractions()
        )
    if system == "ce" and draw(st.integers(0, 3)) == 3:
        fields["size_average"] = draw(st.sampled_from(VOCABULARY["size_average"]))
        fields["reduce"] = draw(st.sampled_from(VOCABULARY["reduce"]))
    if target == "index":
        fields["ignored"] = draw(st.sampled_from(VOCABULARY["ignored"]))
        fields["ignore_index"] = draw(
            st.none()
            | st.sampled_from((-100, -1, 0, 1))
            | st.integers(-(2**63), 2**63 - 1)
            | st.integers(-300, 300)
        )
    if system == "linear":
        fields["bias"] = draw(st.sampled_from(VOCABULARY["bias"]))
        fields["options"] = draw(
            st.sampled_from(VOCABULARY["options"])
            | st.builds("{}{}".format, st.sampled_from(("chunk", "aspect")), st.integers(1, 70))
        )
        fields["retain"] = draw(st.sampled_from(VOCABULARY["retain"]))
    return fields


def _rounded_fractions() -> st.SearchStrategy[float]:
    """Any number of three digits in [0, 1]: it is typed in an id."""
    return st.integers(0, 1000).map(lambda n: n / 1000)


@st.composite
def _numbers(draw: st.DrawFn, system: str, target: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Draw the dtype and what the arrays hold."""
    kinds = _FEATURES if system == "linear" else _LOGITS
    if fields.get("ignored", "nowhere") != "nowhere":
        kinds = (*kinds, "nan-ignored")
    found = {
        "dtype": draw(st.sampled_from(("f32", *(name for name in DTYPES if name != "f32")))),
        "logits": draw(st.just("normal") | st.sampled_from(kinds)),
        "seed": draw(st.integers(0, _LARGEST_SEED)),
    }
    if target == "prob":
        found["probs"] = draw(st.sampled_from(_PROBS))
    return found


@st.composite
def _memory(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a layout for each of the caller's arrays; most calls have contiguous ones."""
    names = ("layout", "target_layout", "weight_layout", "grad_layout")
    if draw(st.integers(0, 2)) < 2:
        return {}
    return {name: draw(st.sampled_from(VOCABULARY[name])) for name in names}


@st.composite
def _calls(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the sequence of calls and the gradient that flows in."""
    return {
        "grad": draw(st.sampled_from(VOCABULARY["grad"])),
        "script": draw(st.just("once") | st.sampled_from(VOCABULARY["script"])),
    }


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


@st.composite
def _invalid(draw: st.DrawFn, system: str, target: str) -> Case:
    """Draw a call that breaks one requirement, beside valid arguments."""
    bad = draw(st.sampled_from(requirements(system, target)))
    shape = (draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    rest: tuple[int, ...] = ()
    if (bad in _SPATIAL and target == "index") or (
        draw(st.booleans()) and bad not in ("input-scalar", "input-unbatched")
    ):
        # None of them as long as another, or a wrong order of axes could be a valid call.
        rest = (draw(st.sampled_from((7, 8, 9))),)
    fields = {"system": system, "target": target, "bad": bad, **draw(_arguments(system, target))}
    # An ignored index could make a class valid that is out of range.
    fields.update(ignore_index=draw(st.sampled_from((None, -100, 1))))
    if target == "prob":
        fields["ignore_index"] = None
    if system == "linear":
        fields.update(shape=(shape[0], draw(st.integers(2, 6))), classes=(shape[1], *rest))
    else:
        fields.update(shape=(*shape, *rest))
    if bad.startswith("weight"):
        fields["weight"] = draw(st.sampled_from(("absent", "mixed")))
    if bad.startswith("options"):
        fields.update(options="auto", retain="no")
    if bad == "bias-shape":
        fields["bias"] = "yes"
    if bad == "reduction-name":
        fields.update(size_average="absent", reduce="absent")  # which would override it
    if bad == "target-dtype":
        fields["target_dtype"] = draw(st.sampled_from(_BAD_TARGET_DTYPES))
    fields["dtype"] = draw(st.sampled_from(("f32", "f64", "f16", "bf16")))
    return mend(Case(**fields, grad="default"))
