"""The catalogue of clauses: well formed, complete, and precise about what covers what."""

from __future__ import annotations

import re

import pytest

from conformance.case import SYSTEMS, VOCABULARY, Case
from conformance.clauses import CATALOGUE, PAGES, by_id, clauses_of

#: For every observable clause one case that observes it.
EXAMPLE = {
    "input.raw-scores": "ce/index/4x10/f32/mean",
    "target.indices-or-probabilities": "ce/prob/4x10/f32/mean",
    "target.class-range": "ce/index/4x10/f32/mean,bad=target-too-large",
    "index.unreduced.formula": "ce/index/4x10/f32/none",
    "index.mean.formula": "ce/index/4x10/f32/mean",
    "index.mean.divides-by-target-weights": "ce/index/4x10/f32/mean,weight=mixed",
    "index.sum.formula": "ce/index/4x10/f32/sum",
    "index.log-softmax-and-nll": "oneflow/index/4x10/f32/mean",
    "prob.unreduced.formula": "ce/prob/4x10/f32/none",
    "prob.mean.formula": "ce/prob/4x10/f32/mean",
    "prob.mean.divides-by-count-whatever-the-weights": "ce/prob/4x10/f32/mean,weight=mixed",
    "prob.sum.formula": "unit/prob/4x10/f32/sum",
    "prob.blended-labels": "ce/prob/4x10/f32/mean",
    "prob.range": "ce/prob/4x10/f32/none,probs=onehot",
    "prob.constraints-not-enforced": "linear/prob/4x8-10/f32/mean,probs=outside",
    "weight.default-is-none": "ce/index/4x10/f32/mean",
    "weight.one-per-class": "ce/index/4x10/f32/mean,bad=weight-short",
    "weight.floating": "ce/index/4x10/f32/mean,bad=weight-dtype",
    "weight.index.rescales-target-class": "ce/index/4x10/f32/none,weight=mixed",
    "weight.prob.rescales-each-class": "ce/prob/4x10/f32/none,weight=mixed",
    "weight.smoothing.rescales-each-class": "ce/index/4x10/f32/none,weight=mixed,smoothing=0.1",
    "legacy.absent-leaves-reduction": "ce/index/4x10/f32/none",
    "legacy.size-average.default-is-true": "ce/index/4x10/f32/default,reduce=true",
    "legacy.size-average.true": "ce/index/4x10/f32/default,size_average=true",
    "legacy.size-average.counts-every-element": "ce/index/4x10x3/f32/default,size_average=true",
    "legacy.size-average.false": "ce/index/4x10/f32/default,size_average=false",
    "legacy.reduce.default-is-true": "ce/index/4x10/f32/default,size_average=false",
    "legacy.reduce.true": "ce/index/4x10/f32/none,size_average=false,reduce=true",
    "legacy.reduce.false": "ce/index/4x10/f32/default,reduce=false",
    "legacy.reduce.false-ignores-size-average": (
        "ce/index/4x10/f32/default,size_average=false,reduce=false"
    ),
    "legacy.size-average.overrides-reduction": "ce/index/4x10/f32/none,size_average=true",
    "legacy.reduce.overrides-reduction": "ce/index/4x10/f32/sum,reduce=false",
    "ignore.default-is-minus-100": "ce/index/4x10/f32/mean,ignored=some",
    "ignore.may-lie-outside-the-class-range": (
        "ce/index/4x10/f32/mean,ignore_index=255,ignored=some"
    ),
    "ignore.may-be-a-class": "ce/index/4x10/f32/mean,ignore_index=3,ignored=some",
    "ignore.loss-is-zero": "ce/index/4x10/f32/none,ignored=some",
    "ignore.adds-nothing-to-the-total": "ce/index/4x10/f32/sum,ignored=some",
    "ignore.gradient-is-zero": "ce/index/4x10/f32/sum,ignored=some",
    "ignore.mean-over-the-rest": "ce/index/4x10/f32/mean,ignored=some",
    "ignore.each-position-by-itself": "ce/index/4x10x3/f32/sum,ignored=some",
    "ignore.not-for-probabilities": "ce/prob/4x10/f32/mean,ignore_index=3",
    "reduction.default-is-mean": "ce/index/4x10/f32/default",
    "reduction.none": "ce/index/4x10/f32/none",
    "reduction.mean": "ce/index/4x10/f32/mean",
    "reduction.sum": "ce/index/4x10/f32/sum",
    "reduction.names": "ce/index/4x10/f32/mean,bad=reduction-name",
    "reduction.counts-every-position": "ce/prob/4x10x3/f32/mean",
    "smoothing.default-is-zero": "ce/index/4x10/f32/mean",
    "smoothing.zero-means-none": "ce/index/4x10/f32/mean,smoothing=0.0",
    "smoothing.range": "ce/index/4x10/f32/mean,bad=smoothing-above-one",
    "smoothing.one-is-allowed": "ce/index/4x10/f32/mean,smoothing=1.0",
    "smoothing.index.mixture": "ce/index/4x10/f32/mean,smoothing=0.1",
    "smoothing.prob.mixture": "ce/prob/4x10/f32/mean,smoothing=0.1",
    "shape.input.unbatched": "ce/index/10/f32/mean",
    "shape.input.batched": "ce/index/4x10/f32/mean",
    "shape.input.k-dimensional": "ce/index/4x10x3/f32/mean",
    "shape.input.images": "ce/index/2x10x3x4/f32/mean",
    "shape.input.no-other": "ce/index/4x10/f32/mean,bad=input-scalar",
    "shape.target.index.unbatched": "ce/index/10/f32/mean",
    "shape.target.index.batched": "ce/index/4x10/f32/mean",
    "shape.target.index.k-dimensional": "ce/index/4x10x3/f32/mean",
    "shape.target.index.no-other": "ce/index/4x10/f32/mean,bad=target-extra-axis",
    "shape.target.prob.same-as-logits": "ce/prob/4x10/f32/mean,bad=prob-shape",
    "shape.output.scalar": "ce/index/4x10/f32/mean",
    "shape.output.same-as-target": "ce/index/4x10x3/f32/none",
    "shape.output.unbatched": "ce/prob/10/f32/none",
    "shape.output.batched": "ce/prob/4x10/f32/none",
    "shape.output.k-dimensional": "ce/prob/4x10x3/f32/none",
    "dtype.target.long": "ce/index/4x10/f32/mean,target_dtype=int32,bad=target-dtype",
    "dtype.target.float": "ce/prob/4x10/f32/mean,bad=prob-dtype",
    "linear.projection": "linear/index/4x8-10/f32/mean",
    "linear.definition": "linear/index/4x8-10/f32/mean",
    "linear.in-features": "linear/index/4x8-10/f32/mean,bad=input-features",
    "linear.num-classes": "linear/index/4x8-10/f32/mean",
    "linear.out-features.dimensions": "linear/index/4x8-10x3/f32/mean",
    "linear.out-features.default-is-empty": "linear/index/4x8-10/f32/mean",
    "linear.input.unbatched": "linear/index/8-10/f32/mean",
    "linear.input.batched": "linear/index/4x8-10/f32/mean",
    "linear.input.no-other": "linear/index/4x8-10/f32/mean,bad=input-3d",
    "linear.bias.adds-to-logits": "linear/index/4x8-10/f32/mean,bias=yes",
    "linear.bias.learnable": "linear/index/4x8-10/f32/mean,bias=yes",
    "linear.bias.default-is-false": "linear/index/4x8-10/f32/mean",
    "linear.bias.shape": "linear/index/4x8-10/f32/mean,bias=yes,bad=bias-shape",
    "linear.bias.flat-storage": "linear/index/4x8-10x3x2/f32/mean,form=module,bias=yes",
    "linear.bias.k-dimensional-falls-back": (
        "linear/index/4x8-10x3/f32/mean,bias=yes,options=chunk2"
    ),
    "linear.bias.chunked": "linear/index/4x8-10/f32/mean,bias=yes,options=chunk2",
    "linear.dtype": "linear/index/4x8-10/f64/mean,form=module",
    "linear.ignore-index.default-is-minus-100": "linear/index/4x8-10/f32/mean,ignored=some",
    "linear.ignore-index.default-with-probabilities": "linear/prob/4x8-10/f32/mean",
    "linear.options.default-is-none": "linear/index/4x8-10/f32/mean",
    "linear.options.chunking": "linear/index/4x8-10/f32/mean,options=chunk3",
    "linear.forward": "linear/index/4x8-10/f32/mean,form=module",
    "state.second-backward-raises": ("linear/index/4x8-10/f32/mean,script=twice,options=chunk2"),
    "state.allow-retain-graph": "linear/index/4x8-10/f32/mean,script=twice,retain=yes",
    "state.reference-repeats": "linear/index/4x8-10/f32/mean,script=twice",
    "state.gradients-of-their-own-forward": (
        "linear/index/4x8-10/f32/mean,script=stale,options=chunk2"
    ),
    "unit.loss": "unit/index/4x10/f32/mean",
    "unit.gradient.scaled": "unit/index/4x10/f32/mean",
    "unit.mean.divides-by-output-elements": "unit/prob/4x10/f32/mean",
    "unit.mult.default-is-one": "unit/index/4x10/f32/mean",
    "unit.mult.multiplies": "unit/index/4x10/f32/mean,mult=-1.0",
    "unit.mult.above-one-sharpens": "unit/index/4x10/f32/mean,mult=4.0",
    "unit.mult.below-one-flattens": "unit/index/4x10/f32/mean,mult=0.25",
    "unit.unsupported.weight": "unit/index/4x10/f32/mean,bad=unsupported-weight",
    "unit.unsupported.size-average": "unit/index/4x10/f32/mean,bad=unsupported-size-average",
    "unit.unsupported.reduce": "unit/index/4x10/f32/mean,bad=unsupported-reduce",
    "unit.unsupported.label-smoothing": "unit/index/4x10/f32/mean,bad=unsupported-smoothing",
    "oneflow.signature": "oneflow/index/4x10/f32/mean,weight=mixed,smoothing=0.1",
    "oneflow.input.batched-only": "oneflow/index/4x10/f32/mean,bad=input-unbatched",
    "oneflow.target.int32": "oneflow/index/4x10/f32/mean,target_dtype=int32",
    "example.ce.index": "ce/index/3x5/f32/default,form=module",
    "example.ce.prob": "ce/prob/3x5/f32/default,form=module",
    "example.linear.index": "linear/index/2x5-10x4x3/f32/default,form=module",
    "example.linear.prob": "linear/prob/2x5-10x4x3/f32/default,form=module",
    "example.unit.index": "unit/index/3x5/f32/default",
    "example.unit.prob": "unit/prob/3x5/f32/default",
    "example.oneflow.none": "oneflow/index/3x3/f32/none,logits=page,target_dtype=int32",
    "example.oneflow.sum": "oneflow/index/3x3/f32/sum,logits=page,target_dtype=int32",
    "example.oneflow.mean": "oneflow/index/3x3/f32/mean,logits=page,target_dtype=int32",
    "example.oneflow.ignore-index": (
        "oneflow/index/3x3/f32/none,ignore_index=0,ignored=first,logits=page,target_dtype=int32"
    ),
    "example.oneflow.label-smoothing": (
        "oneflow/index/3x3/f32/none,smoothing=0.5,logits=page,target_dtype=int32"
    ),
    "example.oneflow.probs": "oneflow/prob/3x3/f32/default,logits=page,probs=page",
}

#: A case, and clauses that it must not be said to observe.
NOT_OBSERVED = [
    ("ce/index/4x10/f32/none", "index.mean.formula index.sum.formula shape.output.scalar"),
    ("ce/index/4x10/f32/mean", "index.mean.divides-by-target-weights index.unreduced.formula"),
    ("ce/index/4x10/f32/mean,weight=ones", "index.mean.divides-by-target-weights"),
    ("ce/index/4x10/f32/none,weight=ones", "weight.index.rescales-target-class"),
    ("ce/index/4x10/f32/sum,weight=mixed", "index.mean.divides-by-target-weights"),
    ("ce/prob/4x10/f32/mean,weight=mixed", "index.mean.divides-by-target-weights"),
    (
        "ce/index/4x10/f32/mean,weight=mixed,ignored=all",
        "index.mean.divides-by-target-weights target.class-range",
    ),
    ("ce/prob/4x10/f32/mean", "prob.mean.divides-by-count-whatever-the-weights"),
    ("ce/index/4x10/f32/none,smoothing=0.1", "index.unreduced.formula index.log-softmax-and-nll"),
    ("ce/index/4x10/f32/mean,smoothing=0.0", "smoothing.default-is-zero smoothing.index.mixture"),
    ("ce/prob/4x10/f32/mean,smoothing=0.1", "smoothing.index.mixture"),
    ("ce/prob/4x10/f32/mean,probs=onehot", "prob.blended-labels prob.constraints-not-enforced"),
    ("ce/prob/4x10/f32/mean,probs=outside", "prob.range"),
    ("ce/index/4x10/f32/mean,ignored=some,grad=skip", "ignore.gradient-is-zero"),
    ("ce/index/4x10/f32/mean,ignore_index=3", "ignore.loss-is-zero ignore.mean-over-the-rest"),
    (
        "ce/index/4x10/f32/mean,ignore_index=3,ignored=some",
        "ignore.default-is-minus-100 ignore.may-lie-outside-the-class-range",
    ),
    ("ce/prob/4x10/f32/mean", "ignore.not-for-probabilities target.class-range"),
    ("ce/prob/4x10/f32/none", "shape.output.same-as-target"),
    ("ce/index/4x10x3/f32/none", "shape.input.batched shape.input.images shape.output.batched"),
    ("ce/index/4x10/f32/none,size_average=true", "reduction.none reduction.default-is-mean"),
    ("ce/index/4x10/f32/mean,size_average=true", "legacy.size-average.overrides-reduction"),
    (
        "ce/index/4x10/f32/default,size_average=false,reduce=false",
        "legacy.size-average.false legacy.size-average.overrides-reduction",
    ),
    ("ce/index/4x10/f32/sum,size_average=false,reduce=true", "legacy.reduce.overrides-reduction"),
    ("ce/index/4x10/f32/mean,target_dtype=int32", "dtype.target.long oneflow.target.int32"),
    ("ce/index/4x10/f32/mean,script=twice", "state.reference-repeats"),
    ("linear/index/10-10/f32/mean", "shape.input.unbatched linear.input.batched"),
    ("linear/index/4x8-10/f32/mean", "legacy.size-average.default-is-true linear.bias.learnable"),
    (
        "linear/index/4x8-10/f32/mean,script=twice,options=chunk2",
        "state.reference-repeats state.allow-retain-graph linear.options.default-is-none",
    ),
    (
        "linear/index/4x8-10x3/f32/mean,script=twice,options=chunk2,bias=yes",
        "state.second-backward-raises linear.bias.chunked",
    ),
    ("linear/index/4x8-10x3/f32/mean,bias=yes", "linear.bias.k-dimensional-falls-back"),
    ("linear/index/4x8-10x3/f32/mean,bias=yes,options=auto", "linear.bias.flat-storage"),
    ("unit/index/4x10/f32/mean", "index.mean.formula reduction.mean smoothing.zero-means-none"),
    ("unit/index/4x10/f32/mean,mult=1.0", "unit.mult.default-is-one unit.mult.above-one-sharpens"),
    ("ce/index/3x5/f32/mean", "example.ce.index"),
    ("oneflow/index/3x3/f32/none", "example.oneflow.none"),
]

#: A call that breaks a requirement, and all that it observes.
BROKEN = [
    ("ce/index/4x10/f32/mean,bad=input-scalar", "shape.input.no-other"),
    ("oneflow/index/4x10/f32/mean,bad=input-scalar", "oneflow.input.batched-only"),
    ("linear/index/4x8-10/f32/mean,bad=input-scalar", "linear.input.no-other"),
    ("oneflow/prob/4x10/f32/mean,bad=input-unbatched", "oneflow.input.batched-only"),
    ("linear/index/4x8-10/f32/mean,bad=input-3d", "linear.input.no-other"),
    ("linear/prob/4x8-10/f32/mean,bad=input-features", "linear.in-features"),
    ("ce/index/4x10/f32/none,bad=target-length", "shape.target.index.no-other"),
    ("unit/index/4x10/f32/mean,bad=target-extra-axis", "shape.target.index.no-other"),
    ("oneflow/index/4x10x3/f32/mean,bad=target-spatial", "shape.target.index.no-other"),
    ("linear/index/4x8-10x3/f32/mean,bad=target-missing-axis", "shape.target.index.no-other"),
    ("ce/index/4x10/f32/mean,bad=target-shape-of-input", "shape.target.index.no-other"),
    ("ce/prob/4x10/f32/mean,bad=target-length", "shape.target.prob.same-as-logits"),
    ("oneflow/prob/4x10/f32/mean,bad=prob-shape", "shape.target.prob.same-as-logits"),
    ("unit/index/4x10/f32/mean,bad=target-negative", "target.class-range"),
    ("oneflow/index/4x10/f32/mean,bad=target-too-large", "target.class-range"),
    (
        "ce/index/4x10/f32/mean,bad=target-float",
        "target.indices-or-probabilities dtype.target.long",
    ),
    ("oneflow/index/4x10/f32/mean,bad=target-float", "target.indices-or-probabilities"),
    ("linear/index/4x8-10/f32/mean,target_dtype=int16,bad=target-dtype", "dtype.target.long"),
    ("linear/prob/4x8-10/f32/mean,bad=prob-dtype", "dtype.target.float"),
    ("linear/index/4x8-10/f32/mean,bad=weight-2d", "weight.one-per-class"),
    ("oneflow/prob/4x10/f32/mean,bad=weight-long", "weight.one-per-class"),
    ("ce/index/4x10/f32/mean,bad=weight-dtype", "weight.floating"),
    ("unit/index/4x10/f32/mean,bad=reduction-name", "reduction.names"),
    ("linear/index/4x8-10/f32/mean,bad=smoothing-nan", "smoothing.range"),
    ("linear/index/4x8-10/f32/mean,bias=yes,bad=bias-shape", "linear.bias.shape"),
    ("linear/index/4x8-10/f32/mean,options=chunk2,bad=options-chunk", "linear.options.chunking"),
    ("linear/index/4x8-10/f32/mean,options=aspect,bad=options-method", "linear.options.chunking"),
    ("unit/index/4x10/f32/mean,bad=unsupported-weight", "unit.unsupported.weight"),
]

#: Every combination of the deprecated pair: the clauses of the group, beside reduction='sum'.
LEGACY = [
    ("absent", "absent", "absent-leaves-reduction"),
    ("true", "absent", "size-average.true reduce.default-is-true size-average.overrides-reduction"),
    ("false", "absent", "size-average.false reduce.default-is-true"),
    ("absent", "true", "size-average.default-is-true reduce.true reduce.overrides-reduction"),
    ("true", "true", "size-average.true reduce.true size-average.overrides-reduction"),
    ("false", "true", "size-average.false reduce.true"),
    ("absent", "false", "reduce.false reduce.overrides-reduction"),
    ("true", "false", "reduce.false reduce.false-ignores-size-average reduce.overrides-reduction"),
    ("false", "false", "reduce.false reduce.false-ignores-size-average reduce.overrides-reduction"),
]


def observed(case_id: str) -> set[str]:
    """Return the clauses of a case, by its id."""
    return set(clauses_of(Case.parse(case_id)))


def test_ids_are_unique_and_well_formed():
    """An id is dotted, in lower case, with hyphens; its group stands in one run."""
    ids = [clause.id for clause in CATALOGUE]
    assert len(set(ids)) == len(ids)
    word = "[a-z0-9]+(-[a-z0-9]+)*"
    for name in ids:
        assert re.fullmatch(rf"{word}(\.{word})+", name), name
    groups = [clause.group for clause in CATALOGUE]
    runs = [group for before, group in zip(["", *groups], groups, strict=False) if group != before]
    assert runs == list(dict.fromkeys(groups))


def test_every_clause_says_what_it_checks_and_where_it_stands():
    """A clause has whole sentences, words of known pages, and systems; none repeats a source."""
    for clause in CATALOGUE:
        assert clause.check.endswith((".", ".)")), clause.id
        assert clause.sources, clause.id
        assert len(set(clause.sources)) == len(clause.sources), clause.id
        assert clause.systems, clause.id
        assert clause.target in ("", "index", "prob"), clause.id
        for source in clause.sources:
            assert source.page in PAGES, clause.id
            assert source.words == " ".join(source.words.split()), clause.id


def test_every_page_has_clauses():
    """No page is left out, and a clause holds for the systems of its pages."""
    for page, system in PAGES.items():
        stated = [c for c in CATALOGUE if page in {source.page for source in c.sources}]
        assert stated, page
        assert all(system in clause.systems for clause in stated), page


def test_only_a_clause_that_no_case_observes_says_why():
    """The few unobservable clauses give a reason and claim no case."""
    unobservable = [clause for clause in CATALOGUE if not clause.observable]
    assert {clause.id for clause in unobservable} == {
        "prob.performance",
        "legacy.deprecated",
        "linear.keyword-only",
        "linear.bias.fallback-warns",
        "linear.device",
        "linear.dtype.default-is-none",
        "linear.options.not-scriptable",
        "linear.options.unsupported-transforms",
        "state.retain-allocates",
        "oneflow.provenance",
    }
    for clause in CATALOGUE:
        assert bool(clause.why) != clause.observable, clause.id
    assert not any(
        clause.covers(Case.parse(case_id))
        for clause in unobservable
        for case_id in EXAMPLE.values()
    )


def test_every_observable_clause_has_an_example():
    """The examples name each observable clause once, in the catalogue's order or not."""
    assert set(EXAMPLE) == {clause.id for clause in CATALOGUE if clause.observable}


@pytest.mark.parametrize("clause_id", EXAMPLE)
def test_example_observes_its_clause(clause_id):
    """Each clause covers its example, whose id is the canonical one."""
    case = Case.parse(EXAMPLE[clause_id])
    assert Case.parse(case.id) == case
    assert by_id(clause_id).covers(case)
    assert clause_id in clauses_of(case)


@pytest.mark.parametrize(("case_id", "absent"), NOT_OBSERVED)
def test_case_does_not_observe(case_id, absent):
    """A case is not said to observe what it could not show to be violated."""
    unwanted = set(absent.split())
    assert all(by_id(name).observable for name in unwanted)
    assert not unwanted & observed(case_id)
    assert observed(case_id)


@pytest.mark.parametrize(("case_id", "requirements"), BROKEN)
def test_broken_requirement_is_all_that_shows(case_id, requirements):
    """A call that must raise observes the requirement that it breaks, and no value."""
    assert observed(case_id) == set(requirements.split())


def test_every_way_to_break_a_call_breaks_a_clause():
    """Each value of ``Case.bad`` belongs to a clause, and no clause invents one."""
    broken = {name for clause in CATALOGUE for name in clause.breaks}
    assert broken == set(VOCABULARY["bad"]) - {"no"}


@pytest.mark.parametrize(("size_average", "reduce", "expected"), LEGACY)
def test_deprecated_pair(size_average, reduce, expected):
    """Each combination of size_average and reduce observes its part of the mapping."""
    case = Case(reduction="sum", size_average=size_average, reduce=reduce)
    legacy = {name for name in clauses_of(case) if name.startswith("legacy.")}
    assert legacy == {f"legacy.{name}" for name in expected.split()}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("target", VOCABULARY["target"])
@pytest.mark.parametrize("reduction", VOCABULARY["reduction"])
@pytest.mark.parametrize("logits", ["normal", "neginf", "nan", "denormal", "zeros"])
@pytest.mark.parametrize("script", VOCABULARY["script"])
def test_every_valid_case_has_a_formula(system, target, reduction, logits, script):
    """Whatever the numbers and the script, some clause says what the values must be."""
    linear = system == "linear"
    shape = "4x8-10" if linear else "4x10"
    case = Case.parse(f"{system}/{target}/{shape}/f32/{reduction},logits={logits},script={script}")
    names = clauses_of(case)
    formulas = [name for name in names if by_id(name).formula]
    values = ("index.", "prob.", "unit.mean.")
    assert any(name.startswith(values) for name in formulas)
    assert linear == any(name.startswith("linear.") for name in names)
    assert (linear and script != "once") == any(name.startswith("state.") for name in names)


@pytest.mark.parametrize(
    ("clause_id", "systems"),
    [
        ("index.unreduced.formula", "ce linear oneflow unit"),
        ("index.mean.formula", "ce linear oneflow"),
        ("unit.mean.divides-by-output-elements", "unit"),
        ("weight.floating", "ce linear"),
        ("legacy.reduce.false", "ce"),
        ("shape.target.index.unbatched", "ce linear unit"),
        ("ignore.default-is-minus-100", "ce oneflow unit"),
        ("state.allow-retain-graph", "linear"),
    ],
)
def test_systems(clause_id, systems):
    """A clause holds for the systems of its pages and for those that refer to them."""
    assert by_id(clause_id).systems == tuple(systems.split())


def test_unknown_id_names_its_neighbours():
    """The error for an unknown id suggests ids, or the groups where none is near."""
    with pytest.raises(ValueError, match=r"did you mean .*weight\.one-per-class"):
        by_id("weight.one-per-clas")
    with pytest.raises(ValueError, match="the groups are input, target, index"):
        by_id("?")
