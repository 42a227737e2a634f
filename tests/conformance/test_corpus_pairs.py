"""Every two kinds of values meet in some case whose numbers are judged."""

import itertools

import pytest

from conformance.case import SYSTEMS, Case
from conformance.corpus import corpus

#: Kinds whose losses or gradients are mostly NaN, or nothing: they show little of what they meet.
SPOILT = ("posinf", "posinf-target", "neginf-row", "neginf-target", "nan")


def kinds(case):
    """What a framework may treat in a way of its own."""
    found = {
        "target": case.target,
        "dtype": case.dtype,
        "reduction": case.effective_reduction,
        "axes": min(len(case.logits_shape), 4),
        "form": case.form,
        "script": case.script,
        "grad": {"default": "one", "ones": "one", "skip": "skip"}.get(case.grad, "given"),
        "ignored": "nothing",
    }
    if case.ignored != "nowhere":
        found["ignored"] = 0 <= case.ignored_value < case.num_classes
    if case.system == "unit":
        found["mult"] = case.mult not in (None, 1.0)
    else:
        found["weight"] = case.weight not in ("absent", "ones")
        found["smoothing"] = {0.0: "none", 1.0: "all"}.get(case.epsilon, "some")
    if case.system == "linear":
        found.update(bias=case.bias, options=case.has_options, retain=case.retain)
    if case.system == "ce":
        found["legacy"] = (case.size_average, case.reduce) != ("absent", "absent")
    return found


def means_something(pair):
    given = dict(pair)
    return not (
        (given.get("target") == "prob" and given.get("ignored", "nothing") != "nothing")
        or (given.get("retain") == "yes" and given.get("options") is False)
        or (given.get("grad") == "skip" and given.get("script", "once") != "once")
        or (given.get("grad") == "skip" and given.get("retain") == "yes")
    )


def is_judged_by_its_numbers(case):
    return (
        case.bad == "no"
        and 0 not in case.shape
        and case.ignored != "all"
        and case.weight != "zeros"
        and case.probs != "nan"
        and case.logits not in SPOILT
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_any_two_kinds_meet(system):
    cases = [case for case in corpus() if case.system == system and is_judged_by_its_numbers(case)]
    shown = [kinds(case) for case in cases]
    values = {name: {found[name] for found in shown} for name in shown[0]}
    met = {pair for found in shown for pair in itertools.combinations(found.items(), 2)}
    possible = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(shown[0], 2)
        for a in values[one]
        for b in values[other]
    }
    assert len(possible) > 250
    lonely = sorted(str(pair) for pair in possible - met if means_something(pair))
    assert not lonely


def test_kinds_tell_calls_apart():
    plain = kinds(Case.parse("ce/index/4x10/f32/mean"))
    other = kinds(Case.parse("ce/index/4x10/f32/mean,weight=ones,smoothing=0.0,grad=ones"))
    assert plain == other
    assert kinds(Case.parse("ce/index/4x10/f32/mean,ignored=some"))["ignored"] is False
    assert (
        kinds(Case.parse("ce/index/4x10/f32/mean,ignored=some,ignore_index=3"))["ignored"] is True
    )
