"""Every acceptable result where a page leaves one open, worked out.

:mod:`conformance.openings` holds the questions, the names of the readings and the words of the
pages.  Every other result is acceptable in one way only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossent_spec import formulas
from crossent_spec.formulas import Symbols

from .case import Case

Array = NDArray[Any]
Outputs = dict[str, Any]
Formula = Callable[[Symbols, Any], Outputs]

#: Stands for -inf in the limit: exp of it vanishes beside any number, and 0 times it is 0.
_FAR_BELOW = -(2.0**100)


def find(case: Case, s: Symbols, given: Array) -> frozenset[str]:
    """Name what the pages leave open in a case.

    Parameters
    ----------
    case, s
        The case and its symbols in float64, where an ignored sample's logits are 0.
    given
        The logits as they were given, in the same shape.
    """
    found = set()
    with np.errstate(all="ignore"):
        if _zero_times_log_zero(s).any():
            found.add("zero-log-zero")
        if np.isposinf(s.x).any():
            found.add("infinite-logit")
        if s.reduction == "mean" and case.system != "unit" and formulas.denominator(s) == 0:
            found.add("empty-mean")
    if ignored_nan(s, given).any():
        found.add("ignored-nan")
    if _impossible_and_smoothed(s).any():
        found.add("wholly-smoothed")
    if case.system == "unit" and s.reduction == "mean" and not s.keep.all():
        found.add("unit-mean")
    return frozenset(found)


def ignored_nan(s: Symbols, given: Array) -> NDArray[np.bool_]:
    """Mark ignored samples whose log softmax is NaN, in the logits as they were given."""
    if s.keep.all() or np.isfinite(given).all():
        return np.zeros_like(s.keep)
    with np.errstate(all="ignore"):
        return np.asarray(~s.keep & np.isnan(formulas.log_softmax(given)).any(axis=1))


def evaluate(
    case: Case,
    found: frozenset[str],
    s: Symbols,
    given: Array,
    formula: Formula,
    number: Any,
) -> Iterator[tuple[str, Outputs]]:
    """Yield every acceptable reading's name and outputs; the formula as written comes first."""
    plain = formula(s, number)
    yield _PLAIN[min(found)] if found else "", plain
    if "zero-log-zero" in found:
        where = _zero_times_log_zero(_in_float(s))
        far = number(np.full(where.shape, _FAR_BELOW))
        limit = formula(s._replace(x=np.where(where, far, s.x)), number)
        yield "0·log 0 = 0", {name: _finite_limit(plain[name], limit[name]) for name in plain}
    if "ignored-nan" in found:
        yield (
            "ignored NaN spreads (NaN·0)",
            _with_ignored_nan(case, ignored_nan(s, given), plain, number),
        )
    if "infinite-logit" in found and s.y is not None and s.epsilon == 0:
        yield "exp(x)/∞ = 0", _unshifted(s, plain, formula, number)
    if "empty-mean" in found and "loss" not in plain:
        for name, value in (("0", 0.0), ("NaN", np.nan)):
            yield (
                f"gradient of an empty mean is {name}",
                {key: number(np.full(np.shape(array), value)) for key, array in plain.items()},
            )
    if "wholly-smoothed" in found and "loss" in plain:
        nan = number(np.asarray(np.nan))[()]
        losses = np.where(_impossible_and_smoothed(_in_float(s)), nan, formulas.unreduced(s))
        yield (
            "(1 − ε)·log 0 = NaN (0·∞)",
            {"loss": formulas.reduced(losses, formulas.denominator(s), s.reduction)},
        )
    if "unit-mean" in found and "loss" in plain:
        kept = 0 * s.epsilon + int(s.keep.sum())
        yield (
            "mean over non-ignored targets",
            {"loss": formulas.reduced(formulas.unreduced(s), kept, "mean")},
        )


#: What the formula as written is called where there is another reading.
_PLAIN = {
    "empty-mean": "gradient of an empty mean by the formula",
    "ignored-nan": "ignored sample is absent",
    "infinite-logit": "shifted: NaN",
    "unit-mean": "mean over all elements of the output",
    "wholly-smoothed": "targets mixed first",
    "zero-log-zero": "0·log 0 = NaN (IEEE)",
}


def _zero_times_log_zero(s: Symbols) -> NDArray[np.bool_]:
    """Mark classes whose coefficient is 0 and whose logit is -inf, and that the sum reaches."""
    open_ = (formulas.coefficients(s) == 0) & np.isneginf(s.x) & s.keep[:, None, :]
    # Every p of a sample whose every logit is -inf is 0/0: no limit makes 0·log p a number.
    open_ &= ~np.isneginf(s.x).all(axis=1, keepdims=True)
    if s.y is not None and s.epsilon == 0:
        # The formula of class indices has no term but the target's.
        open_ &= np.arange(s.x.shape[1])[:, None] == s.y[:, None, :]
    return np.asarray(open_)


def _impossible_and_smoothed(s: Symbols) -> NDArray[np.bool_]:
    """Mark samples whose index target counts no more than any class, and has the logit -inf."""
    if s.y is None or s.epsilon != 1:
        return np.zeros_like(s.keep)
    own = np.take_along_axis(s.x, s.y[:, None, :], axis=1)[:, 0, :]
    return np.asarray(np.isneginf(own) & s.keep)


def _finite_limit(plain: Any, limit: Any) -> Any:
    """Keep an infinity, such as the gradient -log 0 of a probability; the limit is for NaN."""
    values = np.asarray(plain)
    return np.where(np.isinf(values.astype(np.float64)), values, limit)


def _in_float(s: Symbols) -> Symbols:
    return s._replace(
        x=s.x.astype(np.float64),
        q=None if s.q is None else s.q.astype(np.float64),
        w=s.w.astype(np.float64),
        epsilon=float(s.epsilon),
    )


def _with_ignored_nan(
    case: Case, spoiled: NDArray[np.bool_], plain: Outputs, number: Any
) -> Outputs:
    nan = number(np.asarray(np.nan))[()]
    spread = {}
    for name, values in plain.items():
        array = np.asarray(values)
        if name == "loss" and case.effective_reduction == "none":
            spread[name] = np.where(spoiled, nan, array)
        elif name == "input" and case.system == "linear":
            spread[name] = np.where(spoiled.any(axis=1, keepdims=True), nan, array)
        elif name == "input":
            spread[name] = np.where(spoiled[:, None, :], nan, array)
        else:
            spread[name] = np.full(array.shape, nan)
    return spread


def _unshifted(s: Symbols, plain: Outputs, formula: Formula, number: Any) -> Outputs:
    """-log(exp(x_y)/∞) = ∞ and softmax 0 where x is finite; NaN where the class is +inf.

    The softmax of the finite classes is that of a finite logit far above them.
    """
    assert s.y is not None
    rows = np.equal(_in_float(s).x, np.inf)
    spoiled: Array = np.asarray(rows.any(axis=1))
    if "loss" in plain:
        own = np.take_along_axis(rows, s.y[:, None, :], axis=1)[:, 0, :]
        literal = number(np.where(own, np.nan, np.inf)) * s.w[s.y]
        losses = np.where(spoiled, literal, formulas.unreduced(s))
        return {"loss": formulas.reduced(losses, formulas.denominator(s), s.reduction)}
    above = number(np.full(rows.shape, -_FAR_BELOW))
    outputs = formula(s._replace(x=np.where(rows, above, s.x)), number)
    nan = number(np.asarray(np.nan))[()]
    return {**outputs, "input": np.where(rows, nan, outputs["input"])}
