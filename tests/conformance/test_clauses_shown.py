"""Which cases show a clause or a flag: the committed vectors say it, case by case."""

import json

import pytest

from conformance.case import SYSTEMS, Case
from conformance.clauses import by_id, clauses_of
from conformance.golden.flags import flags_of
from tests.conformance.golden_files import GOLDEN

STORED = [
    vector
    for path in sorted((GOLDEN / "vectors").glob("*_*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
]

#: What no vector shows by itself: a case, and clauses that it observes.
OBSERVED = [
    (
        f"{system}/prob/4x10/f32/mean,probs={probs}",
        "prob.mean.divides-by-count-whatever-the-weights",
    )
    for system in ("ce", "oneflow")
    for probs in ("zeros", "unnormalised", "outside")
]

#: A case, and clauses that it must not be said to observe.
NOT_OBSERVED = [
    (
        "ce/index/4x10/f32/default,size_average=true",
        "legacy.size-average.overrides-reduction",
    ),
    ("ce/index/4x10/f32/default,reduce=true", "legacy.reduce.overrides-reduction"),
    ("ce/index/4x10/f32/mean,probs=zeros", "prob.constraints-not-enforced"),
]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_vector_names_the_clauses_and_flags_of_its_case(system):
    stored = [vector for vector in STORED if vector["id"].startswith(f"{system}/")]
    assert len(stored) > 200
    wrong = [
        vector["id"]
        for vector in stored
        if clauses_of(Case.parse(vector["id"])) != tuple(vector["clauses"])
        or flags_of(Case.parse(vector["id"])) != tuple(vector["flags"])
    ]
    assert wrong == []


@pytest.mark.parametrize(("case_id", "names"), OBSERVED)
def test_a_case_observes(case_id, names):
    assert {*names.split()} <= {*clauses_of(Case.parse(case_id))}


@pytest.mark.parametrize(("case_id", "names"), NOT_OBSERVED)
def test_a_case_does_not_observe(case_id, names):
    assert not {*names.split()} & {*clauses_of(Case.parse(case_id))}
    assert all(by_id(name).observable for name in names.split())
