"""Words in which clauses say which cases observe them."""

from __future__ import annotations

from conformance.case import Case


def unreduced(case: Case) -> bool:
    """One loss for each sample."""
    return case.effective_reduction == "none"


def averaged(case: Case) -> bool:
    """The mean."""
    return case.effective_reduction == "mean"


def summed(case: Case) -> bool:
    """The sum."""
    return case.effective_reduction == "sum"


def reduced(case: Case) -> bool:
    """The mean or the sum."""
    return not unreduced(case)


def has_weight(case: Case) -> bool:
    """Class weights are passed."""
    return case.weight != "absent"


def weight_matters(case: Case) -> bool:
    """Class weights are passed, and not all of them are one."""
    return case.weight not in ("absent", "ones")


def smoothed(case: Case) -> bool:
    """Label smoothing is above zero."""
    return case.epsilon > 0


def unsmoothed(case: Case) -> bool:
    """Label smoothing is zero."""
    return not smoothed(case)


def some_ignored(case: Case) -> bool:
    """Some targets carry the ignored index."""
    return case.is_index and case.ignored != "nowhere"


def some_counted(case: Case) -> bool:
    """Some targets carry a class."""
    return case.ignored != "all"


def gradient_seen(case: Case) -> bool:
    """The case goes backward with a gradient that is not zero."""
    return case.grad not in ("skip", "zero")


def unbatched(case: Case) -> bool:
    """Logits of shape (C)."""
    return len(case.logits_shape) == 1


def batched(case: Case) -> bool:
    """Logits of shape (N, C)."""
    return len(case.logits_shape) == 2


def spatial(case: Case) -> bool:
    """Logits of shape (N, C, d1, ..., dK) with K of at least one."""
    return len(case.logits_shape) >= 3


def k_dimensional_bias(case: Case) -> bool:
    """A bias of the linear loss that is not (C)-shaped."""
    return case.bias == "yes" and len(case.classes) > 1


def legacy_absent(case: Case) -> bool:
    """Neither of the deprecated ``size_average`` and ``reduce`` is passed."""
    return case.size_average == "absent" and case.reduce == "absent"


def all_defaults(case: Case) -> bool:
    """No optional argument of the loss is passed, and the call goes forward and backward."""
    return (
        case.reduction == "default"
        and legacy_absent(case)
        and case.weight == "absent"
        and case.ignore_index is None
        and case.smoothing is None
        and case.mult is None
        and case.bias == "no"
        and not case.has_options
        and gradient_seen(case)
    )
