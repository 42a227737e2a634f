"""What the search draws: all that is documented, and nothing too large to judge."""

import math

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from conformance.case import SYSTEMS, VOCABULARY
from conformance.fuzz import metamorphic, strategies


def draw(strategy, count, start=1):
    """Return so many of what a strategy draws, those of one seed."""
    found = []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(value):
        found.append(value)

    keep()
    return found


@pytest.fixture(scope="module")
def valid():
    """Return documented calls."""
    of_all = draw(strategies.cases(tuple(SYSTEMS)), 2500)
    # The linear loss has the most options.
    return [case for case in of_all + draw(strategies.cases(["linear"]), 1500) if case.bad == "no"]


@pytest.fixture(scope="module")
def broken():
    """Return calls that break a requirement."""
    invalid = st.composite(strategies.invalid)
    return [
        case
        for system in SYSTEMS
        for target in VOCABULARY["target"]
        for case in draw(invalid(system, target), 250)
    ]


def test_cases_and_every_relation_are_drawn():
    examples = draw(strategies.examples(tuple(SYSTEMS)), 1500)
    assert {one.relation for one in examples} == {"", *metamorphic.RELATIONS}
    assert {one.case.system for one in examples} == set(SYSTEMS)
    assert {one.case.bad == "no" for one in examples if not one.relation} == {True, False}


#: What only the pages' own examples have, and what only a call that must be refused has.
ELSEWHERE = {
    "logits": {"page", "masked"},
    "probs": {"page", "nan"},
    "bad": set(VOCABULARY["bad"]) - {"no"},
}


@pytest.mark.parametrize("name", sorted(set(VOCABULARY) - {"target_dtype"}))
def test_every_word_is_drawn(valid, name):
    found = {getattr(case, name) for case in valid}
    # What a seed draws depends on Hypothesis's release and on the modules that are loaded, of
    # which it takes constants: a rare word may be in the next thousands only.
    for start in range(2, 12):
        if set(VOCABULARY[name]) - found == ELSEWHERE.get(name, set()):
            break
        more = draw(strategies.cases(tuple(SYSTEMS)), 2500, start)
        found |= {getattr(case, name) for case in more if case.bad == "no"}
    assert set(VOCABULARY[name]) - found == ELSEWHERE.get(name, set())
    assert found - set(VOCABULARY[name]) == set() or name == "options"


def test_no_argument_is_drawn_that_a_system_lacks(valid):
    for case in valid:
        assert case.system == "linear" or (case.bias, case.options, case.retain) == (
            "no",
            "absent",
            "no",
        )
        assert case.system == "ce" or (case.size_average, case.reduce) == ("absent", "absent")
        assert case.system == "unit" or case.mult is None
        assert case.target_dtype == "auto"
        assert case.logits != "nan-ignored" or case.ignored != "nowhere"
    assert {case.mult for case in valid if case.system == "unit"} > {None, 1.0, 0.5, 0.3}
    assert {case.smoothing for case in valid} > {None, 0.1, 0.0, 1.0}
    assert {case.smoothing for case in valid if case.system == "unit"} == {None}


def test_ignored_indices_may_be_any_int64(valid):
    found = {case.ignore_index for case in valid if case.is_index} - {None}
    assert found > {-100, -1, 0, 1}
    assert -(2**63) <= min(found) < -(2**40)
    assert 2**40 < max(found) < 2**63
    assert any(1 < abs(index) <= 300 and index != -100 for index in found)
    assert {case.ignore_index for case in valid if not case.is_index} == {None}


@pytest.mark.parametrize("system", SYSTEMS)
def test_sizes_reach_from_nothing_to_where_loops_change(valid, system):
    # Beside the fifth of all calls that are a system's, enough for what is drawn rarely.
    own = [case for case in draw(strategies.cases([system]), 4000) if case.bad == "no"]
    shapes = [case.logits_shape for case in valid + own if case.system == system]
    ranks = {len(shape) for shape in shapes if 0 not in shape}
    assert ranks == ({2, 3, 4, 5} if system == "oneflow" else {1, 2, 3, 4, 5})
    assert any(shape[0] == 0 and len(shape) == 2 for shape in shapes)
    assert any(shape[0] == 0 and len(shape) == 3 for shape in shapes)
    assert any(shape[-1] == 0 and shape[0] > 0 for shape in shapes) == (system != "linear")
    classes = [shape[min(1, len(shape) - 1)] for shape in shapes]
    assert min(classes) == (2 if system == "unit" else 1)
    assert max(classes) > 256
    assert system == "oneflow" or max(shape[0] for shape in shapes if len(shape) == 1) > 64
    assert max(shape[0] for shape in shapes if len(shape) == 2) > 256
    assert all(math.prod(shape) <= 2 * strategies.LARGEST for shape in shapes)


def test_products_of_matrices_stay_small(valid):
    linear = [case for case in valid if case.system == "linear"]
    widths = [case.shape[-1] for case in linear]
    assert min(widths) == 1
    assert max(widths) > 64
    for case in linear:
        products = math.prod(case.logits_shape) * case.shape[-1]
        assert case.shape[-1] <= 9 or products <= 4 * strategies.LARGEST, case.id


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("target", VOCABULARY["target"])
def test_every_requirement_is_broken(broken, system, target):
    found = {case.bad for case in broken if (case.system, case.target) == (system, target)}
    documented = set(strategies.requirements(system, target))
    assert found <= documented
    # Some are missed by so few draws, hardly one by those of all systems.
    assert len(found) > 0.7 * len(documented)
    assert len({case.bad for case in broken}) >= len(VOCABULARY["bad"]) - 3


def test_what_breaks_a_requirement_breaks_no_other(broken):
    types = {case.target_dtype for case in broken if case.bad == "target-dtype"}
    assert types <= set(VOCABULARY["target_dtype"]) - {"auto"}
    assert len(types) > 2
    for case in broken:
        assert (case.logits, case.probs) == ("normal", "soft"), case.id
        assert case.bad == "target-dtype" or case.target_dtype == "auto"
        batch, classes, *rest = case.logits_shape
        # An axis of another length than the others, or a wrong order could be a valid call.
        assert set(rest).isdisjoint((batch, classes, case.shape[-1] if case.classes else 0))
    # Neither makes a class valid that is out of range.
    assert {case.ignore_index for case in broken if case.is_index} == {None, -100, 1}
    assert {case.ignore_index for case in broken if not case.is_index} == {None}
