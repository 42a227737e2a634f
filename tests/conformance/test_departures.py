"""Which statement a failing case departs from: the rare one if that explains it, or the broad."""

from collections import Counter
from dataclasses import replace

from conformance.case import Case
from conformance.corpus import clauses_by_rarity
from conformance.departures import departure, failure_kinds, likeliest_clauses
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
    before, *others = departure("", results[0].case)
    assert "no statement" in before
    assert others == ["", ""]


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


def test_two_deaths_are_enough_and_one_is_not():
    results = [result(seed=i) for i in range(50)]
    two = [result("crash", weight="mixed", seed=i) for i in range(2)]
    assert named([*results, *two]) == {RARE: 2}
    assert named([*results, two[0]]) == {"": 1}
    half = [result(weight="mixed", seed=i) for i in (5, 6)]
    assert named([*results, *two, *half]) == {RARE: 2}
    assert named([*results, *two, *half, result(weight="mixed", seed=7)]) == {"": 2}


def test_unsupported_cases_hide_nothing_that_follows():
    results = [result("unsupported", weight="mixed", seed=9), result("fail", weight="mixed")]
    assert likeliest_clauses(results).keys() == {results[1].case}


def test_the_first_failures_of_all_statements_come_before_the_second_of_any():
    messages = ("loss is 1 at [3]\nand more", "loss is nan", "grad is 1", "loss has shape (2, 3)")
    results = [
        replace(result("fail", weight="mixed", seed=i), message=text)
        for i, text in enumerate((*messages, "loss is 2 at [0, 4]"))
    ]
    results += [
        replace(result("accepts-invalid", bad="target-too-large", seed=i), message=text)
        for i, text in enumerate(("did not raise", "did raise later"))
    ]
    results += [result(seed=i) for i in range(50)]
    kinds = failure_kinds(results)
    target = "target.class-range"
    assert list(kinds) == [
        ("fail", RARE, "loss is #"),
        ("accepts-invalid", target, "did not raise"),
        ("fail", RARE, "grad is #"),
        ("accepts-invalid", target, "did raise later"),
        ("fail", RARE, "loss has shape (#)"),
    ]
    alike = kinds["fail", RARE, "loss is #"]
    assert alike == [results[0], results[1], results[4]]
    assert sum(map(len, kinds.values())) == 7


def test_below_half_the_likeliest_statement_is_named_and_no_broader_one():
    results = [result("fail" if i < 8 else "pass", weight="mixed", seed=i) for i in range(20)]
    results += [result("fail" if i < 38 else "pass", seed=i) for i in range(20, 70)]
    assert named(results)[RARE] == 8


def test_a_call_that_must_be_refused_is_laid_to_the_likeliest_statement_alone():
    def case(seed, verdict, *clauses):
        return Result(Case(bad="target-negative", seed=seed).id, clauses, verdict)

    results = [case(i, "accepts-invalid", "rare", "broad") for i in range(10)]
    results += [case(i, "accepts-invalid", "broad") for i in range(10, 40)]
    results += [case(i, "pass", "broad") for i in range(40, 44)]
    assert named(results) == {"rare": 10, "broad": 30}


def test_a_failing_case_without_statements_departs_from_none():
    assert named([Result(Case().id, (), "fail")]) == {"": 1}
