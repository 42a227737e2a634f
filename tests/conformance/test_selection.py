"""Which cases are chosen."""

from conformance import selection
from conformance.case import Case
from conformance.corpus import corpus

IDS = [f"ce/index/{n}x3/f32/mean,seed=7" for n in (7, 5, 6)]


def test_the_corpus_is_the_whole_one_unless_the_quick_part_is_asked_for():
    assert selection.corpus() == selection.corpus(quick=False) == corpus()
    assert selection.corpus(quick=True) == corpus(quick=True)
    assert selection.cases(True, []) == corpus(quick=True)
    assert selection.cases(False, []) == corpus()


def test_cases_that_are_not_given_come_last_and_in_order():
    given = [Case(shape=(9, 3)), Case(shape=(8, 3))]
    chosen = selection.select(given, [*IDS, given[1].id, given[0].id, IDS[0]])
    assert chosen == [*given, *(Case.parse(text) for text in sorted(IDS))]
