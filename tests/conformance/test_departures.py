"""Which statement a failing case departs from: the rare one if that explains it, or the broad."""

from collections import Counter

from conformance.case import Case
from conformance.corpus import clauses_by_rarity
from conformance.departures import departure, likeliest_clauses
from conformance.result import Result

RARE = "index.mean.divides-by-target-weights"


def result(verdict="pass", **fields):
    case = Case(**{"reduction": "mean", **fields})
    return Result(case.id, clauses_by_rarity(case), verdict)


def named(results):
    return Counter(likeliest_clauses(results).values())


def test_what_fails_wherever_a_rare_statement_is_seen_departs_from_that():
    results = [result("fail", weight="mixed", seed=i) for i in range(5)]
    results += [result(seed=i) for i in range(50)]
    assert named(results) == {RARE: 5}


def test_where_nearly_everything_fails_the_broadest_statement_is_named():
    results = [result("fail", seed=i) for i in range(95)] + [result(seed=i) for i in range(95, 100)]
    results += [result("fail", weight="mixed", seed=i) for i in range(20)]
    shared = set(results[0].clauses) & set(results[-1].clauses)
    ((name, count),) = named(results).items()
    assert name in shared
    assert count == 115


def test_a_crash_now_and_then_is_laid_to_no_statement():
    results = [result(seed=i) for i in range(50)]
    results += [result("crash", weight="mixed"), result("timeout", seed=60)]
    assert named(results) == {"": 2}
    assert "no statement" in departure("", results[0].case)[0]


def test_where_all_cases_of_a_statement_crash_it_is_named():
    results = [result(seed=i) for i in range(50)]
    results += [result("crash", weight="mixed", seed=i) for i in range(3)]
    assert named(results) == {RARE: 3}
    invalid = result("crash", bad="target-length")
    assert named([*results, invalid])[invalid.clauses[0]] == 1


def test_crashes_and_wrong_values_are_counted_apart():
    """Weights give a wrong loss; that a few of those calls crash says nothing of weights."""
    results = [result(seed=i) for i in range(50)]
    results += [result("fail", weight="mixed", seed=i) for i in range(20)]
    results += [result("crash", weight="mixed", seed=i) for i in (20, 21)]
    assert named(results) == {RARE: 20, "": 2}


def test_what_is_not_refused_says_nothing_of_wrong_values():
    results = [result(seed=i) for i in range(50)]
    results += [result("accepts-invalid", bad="target-too-large", seed=i) for i in range(50)]
    results += [result("fail", weight="mixed", seed=i) for i in range(5)]
    assert named(results) == {RARE: 5, "target.class-range": 50}


def test_what_is_unsupported_makes_nothing_less_likely():
    results = [result(seed=i) for i in range(50)]
    results += [result("fail", weight="mixed", seed=i) for i in range(5)]
    results += [result("unsupported", weight="mixed", seed=i) for i in range(5, 100)]
    assert named(results) == {RARE: 5}


def test_a_statement_is_cited_from_the_systems_own_page():
    own = departure("smoothing.range", "linear/index/6x5-4/f32/mean,bad=smoothing-negative")
    assert own[2].startswith(" (page 000): “")
