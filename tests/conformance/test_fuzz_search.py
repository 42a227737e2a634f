"""The search: what is drawn, shrunk, told apart and remembered; no loss is computed."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import adapters
from conformance.case import SYSTEMS, Case
from conformance.clauses import clauses_of
from conformance.driver import Program, Unavailable
from conformance.fuzz import referee, search, strategies
from conformance.fuzz.example import Example, parse
from conformance.fuzz.referee import Referee, SuiteFailedError
from conformance.fuzz.search import Search, explains, symptom, wanted
from conformance.fuzz.store import Store, default_folder
from conformance.request import build
from conformance.result import Result
from tests.conformance import fakes

ALL = tuple(SYSTEMS)


@settings(max_examples=80, deadline=None, database=None)
@given(strategies.examples(ALL))
def test_what_is_drawn_is_a_documented_call_or_breaks_one_requirement(example):
    assert parse(example.id) == example
    assert clauses_of(example.case), example.id
    json.dumps(build(example.case).message(), allow_nan=False)
    assert strategies.settle(example.case) == example.case


@pytest.mark.parametrize("system", ALL)
@pytest.mark.parametrize("target", ["index", "prob"])
def test_every_requirement_that_can_be_drawn_is_observed_and_meant(system, target):
    found = strategies.requirements(system, target)
    assert {"reduction-name", "prob-shape" if target == "prob" else "target-too-large"} <= {*found}
    shape = {"shape": (3, 4), "classes": (2,), "bias": "yes"} if system == "linear" else {}
    for bad in found:
        assert clauses_of(Case(system=system, target=target, bad=bad, **shape)), bad


def judge_by(fails):
    """Judge by a function of the case that returns the problem, or nothing."""

    def judge(example):
        problem = fails(example.case)
        verdict, _, text = problem.partition(" ") if problem else ("pass", "", "")
        return Result(example.id, clauses_of(example.case), verdict, text)

    return judge


def examples(systems=("ce",)):
    return strategies.cases(systems).map(Example)


def heavy_and_wide(case):
    wrong = case.bad == "no" and case.weight == "mixed" and case.num_classes >= 5
    return "fail loss is 0.5" if wrong else ""


def test_a_failure_is_shrunk_to_what_it_needs():
    found = Search(judge_by(heavy_and_wide), examples()).run(200, 10, 0)
    # One sample; an axis of length 1 may stay, since what is drawn depends on the modules loaded.
    shapes = "1x5", "1x5x1", "5"
    (minimal,) = (failure.result.case for failure in found.failures)
    assert minimal in {f"ce/index/{shape}/f32/default,weight=mixed" for shape in shapes}
    assert found.failures[0].drawn != found.failures[0].result.case
    assert found.shrinks > 0
    assert 190 < found.examples <= 200


def test_the_search_goes_on_for_other_kinds():
    def fails(case):
        if case.dtype == "f64":
            return "error refuses float64"
        return heavy_and_wide(case) or ("crash signal 6" if case.script == "stale" else "")

    found = Search(judge_by(fails), examples()).run(250, 10, 0)
    kinds = {failure.result.verdict: failure.result.case for failure in found.failures}
    assert kinds == {
        "error": "ce/index/1x1/f64/default",
        "fail": "ce/index/1x5/f32/default,weight=mixed",
        "crash": "ce/index/1x1/f32/default,script=stale",
    }
    assert len(Search(judge_by(fails), examples()).run(250, 2, 0).failures) == 2


def test_a_symptom_with_many_causes_does_not_end_the_search():
    """Each cause shrinks to its own value of one field, and the clause does not tell them apart."""

    def fails(case):
        if case.bad != "no":
            return ""
        if case.dtype == "f64":
            return "error refuses float64"
        return "fail loss is 0.5" if case.seed % 7 == 3 else ""

    found = Search(judge_by(fails), examples()).run(250, 10, 0)
    assert {failure.result.verdict for failure in found.failures} == {"fail", "error"}
    assert found.examples > 190


def test_expected_failures_are_passed_over():
    found = Search(
        judge_by(heavy_and_wide), examples(), expected=lambda result: "mixed" in result.case
    ).run(100, 10, 0)
    assert found.failures == []


def test_a_seed_draws_the_same_again():
    def ids(start):
        seen = []
        Search(judge_by(lambda _: ""), examples(), on_example=lambda r, _: seen.append(r.case)).run(
            40, 1, start
        )
        return seen

    assert ids(3) == ids(3) != ids(4)


def test_the_store_replays_at_once_and_forgets_what_passes(tmp_path):
    store = Store(tmp_path, "program")
    first = Search(judge_by(heavy_and_wide), examples(), store=store).run(150, 10, 0)
    assert store.ids() == [first.failures[0].result.case]
    store.add("ce/index/4x10/f32/median")  # of another version
    judged = []

    def judge(example):
        judged.append(example.id)
        return judge_by(heavy_and_wide)(example)

    again = Search(judge, examples(), store=store).run(150, 1, 1)
    assert judged == [first.failures[0].result.case]
    assert (again.replayed, again.examples, again.failures[0].remembered) == (1, 0, True)
    mended = Search(judge_by(lambda _: ""), examples(), store=store).run(1, 1, 0)
    assert mended.forgotten == judged
    assert store.ids() == []
    assert Store(tmp_path, "another program").ids() == []


def test_a_framework_that_does_not_repeat_itself_is_told(tmp_path):
    seen = set()

    def fails(case):
        return "" if case.id in seen or seen.add(case.id) else heavy_and_wide(case)

    store = Store(tmp_path, "program")
    found = Search(judge_by(fails), examples(), store=store).run(150, 1, 0)
    assert [failure.steady for failure in found.failures] == [False]
    assert store.ids() == []


def test_shrinking_ends_in_time(monkeypatch):
    monkeypatch.setattr(search, "SHRINK_LIMIT", 0.0)
    found = Search(judge_by(heavy_and_wide), examples()).run(150, 1, 0)
    assert found.shrinks <= 1
    assert found.failures[0].result.case == found.failures[0].drawn


def test_patterns_choose_by_id_and_clause():
    accepts = wanted(["smoothing=", "weight.one-per"], lambda name, pattern: pattern in name)
    assert accepts(parse("ce/index/4x10/f32/mean,smoothing=0.1"))
    assert accepts(parse("ce/index/4x10/f32/mean,bad=weight-short"))
    assert not accepts(parse("ce/index/4x10/f32/mean"))
    found = Search(judge_by(lambda _: ""), examples(), accepts=lambda _: False).run(20, 1, 0)
    assert found.examples == 0
    assert found.stop


def test_symptoms_and_explanations():
    one = Result(
        "a", (), "fail", "loss is 0.5 at [1, 2], expected 1e-3 ± 2 (3 of 4 elements are wrong)"
    )
    other = Result("b", (), "fail", "loss is 7.25, expected -1 ± 0.5\nand more")
    assert symptom(one) == symptom(other)
    assert symptom(one) != symptom(Result("a", (), "fail", "loss is nan, expected 1 ± 2"))
    small = parse("ce/index/1x2/f32/default,weight=mixed")
    assert not explains(small, parse("ce/index/9x7/f16/default,weight=large,seed=3"))
    assert explains(small, parse("ce/index/9x7/f16/sum,weight=mixed,seed=3"))
    unreduced = parse("ce/index/1x2/f32/none,grad=mixed")
    assert explains(unreduced, parse("ce/index/1x2/f32/none,grad=ones"))
    assert not explains(unreduced, parse("ce/index/1x2/f32/sum,grad=mixed"))
    assert not explains(small, parse("permute:ce/index/9x7/f16/sum,weight=mixed"))


def test_a_worker_that_crashes_or_hangs_is_a_failing_example():
    deeds = [Example(fakes.case(deed)) for deed in ("nothing", "abort", "hang", "refuse")]
    with Referee(fakes.hostile(), 0.5, fakes.examine) as judge:
        assert judge.systems == ["ce"]
        found = Search(judge, st.sampled_from(deeds)).run(40, 10, 0)
    assert sorted(failure.result.verdict for failure in found.failures) == ["crash", "timeout"]
    assert "the last words" in "".join(failure.result.message for failure in found.failures)


def test_a_program_that_cannot_be_started_again_ends_the_search(monkeypatch):
    with Referee(fakes.hostile(), 5.0, fakes.examine) as judge:
        monkeypatch.setattr(judge._seat.worker, "start", _unavailable)
        crash = Example(fakes.case("abort"))
        assert judge(crash).verdict == "crash"
        for _ in range(referee.START_ATTEMPTS - 1):
            assert judge(crash).verdict == "crash"
        with pytest.raises(Unavailable, match="in vain"):
            judge(crash)


def _unavailable():
    raise Unavailable("gone")


def test_a_defect_of_the_suite_is_no_failure_of_the_framework():
    def broken(case, ask):  # noqa: ARG001
        raise ZeroDivisionError("ours")

    started = time.monotonic()
    with (
        Referee(fakes.hostile(), 5.0, broken) as judge,
        pytest.raises(SuiteFailedError, match=r"(?s)in ce/index/1x1/f32/default.*ours"),
    ):
        Search(judge, examples()).run(50, 1, 0)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("text", ["reverse:ce/index/4x10/f32/mean", "shift:", "nonsense"])
def test_a_wrong_id_is_refused(text):
    with pytest.raises(ValueError, match="^(relation|case id)"):
        parse(text)


def test_sizes_of_chunks_are_free():
    case = Case.parse("linear/index/4x8-10/f32/sum,options=chunk17")
    assert build(case).arguments["options"]["batch_chunk_size"] == 17
    case = Case.parse("linear/index/4x8-10/f32/sum,options=aspect9")
    assert build(case).arguments["options"] == {"chunking_method": "aspect_ratio:9"}
    with pytest.raises(ValueError, match="options"):
        Case.parse("linear/index/4x8-10/f32/sum,options=chunk0")


def test_an_example_has_the_id_from_which_it_is_read():
    case = Case.parse("ce/index/4x10/f32/mean,weight=mixed")
    assert Example(case).id == case.id
    assert parse(case.id) == Example(case)
    assert Example(case, "permute").id == f"permute:{case.id}"
    assert parse(f" permute:{case.id}\n") == Example(case, "permute")


def test_what_is_remembered_lies_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "crossent-spec" / "fuzz"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "crossent-spec" / "fuzz"


def test_a_damaged_store_is_still_read(tmp_path):
    store = Store(tmp_path, "torch")
    store.add("a longer")
    store.add("id")
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.read_bytes() == b"a longer":
            file.write_bytes(b"a long\xffr")
    assert store.ids() == ["id", "a long\ufffdr"]
    assert Store(tmp_path, "jax").ids() == []


def test_a_relation_is_judged_and_timed():
    program = Program.of_adapter("embedded", adapters.find("embedded"))
    with Referee(program, 60.0) as judge:
        result = judge(Example(Case.parse("ce/index/3x5/f32/mean"), "permute"))
        assert judge(Example(Case.parse("ce/prob/3x5/f32/mean"), "one-hot")) is None
    assert result is not None
    assert (result.case, result.verdict) == ("permute:ce/index/3x5/f32/mean", "pass")
    assert 0 < result.seconds < 60


def test_what_is_replayed_is_judged_and_nothing_drawn():
    good = Example(Case.parse("ce/index/4x5/f32/mean"))
    bad = Example(Case.parse("ce/index/4x5/f32/mean,weight=mixed"))
    found = Search(judge_by(heavy_and_wide), examples()).replay([good, bad])
    assert (found.replayed, found.examples, found.shrinks) == (2, 0, 0)
    assert (found.complete, found.stop) == (True, "")
    (failure,) = found.failures
    assert (failure.result.case, failure.result.verdict) == (bad.id, "fail")
    assert (failure.drawn, failure.remembered, failure.steady) == (bad.id, False, True)
    silent = Search(lambda _: None, examples()).replay([Example(good.case, "shift")])
    assert silent.failures == []
    assert silent.stop == f"shift says nothing about {good.id}"
