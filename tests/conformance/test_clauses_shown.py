"""Which cases show a clause or a flag: the committed vectors say it, case by case."""

import json

import pytest

from conformance.case import SYSTEMS, Case
from conformance.clauses import CATALOGUE, by_id, clauses_of
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
    ("oneflow/prob/4x10/f32/mean,target_dtype=int32", "oneflow.target.int32"),
    ("linear/index/2x5-10x4x3/f32/sum", "example.linear.index"),
    ("linear/prob/2x5-10x4x3/f64/default", "example.linear.prob"),
]

#: What the pages say in symbols, or what symbols say best.
WITH_FORMULA = """
target.class-range
index.unreduced.formula
index.mean.formula
index.mean.divides-by-target-weights
index.sum.formula
index.log-softmax-and-nll
prob.unreduced.formula
prob.mean.formula
prob.mean.divides-by-count-whatever-the-weights
prob.sum.formula
prob.range
weight.default-is-none
weight.index.rescales-target-class
weight.prob.rescales-each-class
weight.smoothing.rescales-each-class
ignore.loss-is-zero
ignore.adds-nothing-to-the-total
ignore.gradient-is-zero
ignore.mean-over-the-rest
reduction.counts-every-position
smoothing.range
smoothing.one-is-allowed
smoothing.index.mixture
smoothing.prob.mixture
linear.projection
linear.definition
linear.bias.adds-to-logits
linear.bias.learnable
linear.bias.flat-storage
unit.loss
unit.gradient.scaled
unit.mean.divides-by-output-elements
unit.mult.default-is-one
unit.mult.multiplies
unit.mult.above-one-sharpens
unit.mult.below-one-flattens
example.oneflow.none
example.oneflow.sum
example.oneflow.mean
example.oneflow.ignore-index
example.oneflow.label-smoothing
example.oneflow.probs
"""


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


def test_what_is_mathematics_has_a_formula():
    assert [clause.id for clause in CATALOGUE if clause.formula] == WITH_FORMULA.split()
    assert all(isinstance(clause.why, str) for clause in CATALOGUE)
