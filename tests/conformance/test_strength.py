"""The suite measured: correct variants pass, seeded faults are killed."""
# ruff: noqa: E501 - ids of cases

import re

import pytest
from click.testing import CliRunner

from conformance.case import Case
from conformance.corpus import corpus
from conformance.strength import catalogue, run
from conformance.strength.adapter import SYSTEMS, Adapter
from conformance.strength.cli import strength
from conformance.strength.measure import cost, first_kill, measure, name_of, verdict_on
from conformance.strength.reference import Reference

#: Faults that the quick corpus may miss, each with a case of the full corpus that kills it.
ONLY_FULL = {
    "legacy-reduce-not-first": "ce/index/4x10/f32/default,size_average=false,reduce=false,weight=mixed,ignored=some,grad=mixed",
    "indices-int16": "ce/index/2x32769/f32/sum,logits=edge",
    "indices-uint16": "ce/index/2x65537/f32/sum,logits=edge",
    "indices-half": "ce/index/3x4096/f32/mean,logits=edge",
    "ignore-int32": "ce/index/5x4/f32/none,ignore_index=-9223372036854775808,ignored=some,grad=mixed",
    "ignore-uint8": "ce/index/6x5/f32/sum,ignore_index=-252",
    "ignore-all-negative": "ce/index/2x5x3/f32/mean,bad=target-negative",
    "ignore-out-of-range": "ce/index/2x5x3/f32/mean,bad=target-too-large",
    "ignore-in-probabilities": "ce/prob/4x3/f32/mean,ignore_index=1",
    "softmax-over-last-axis": "ce/index/3x3x3/f32/none,weight=mixed,grad=mixed",
    "three-inner-axes-reversed": "ce/index/3x3x2x2x2/f32/none,grad=mixed,seed=5",
    "many-axes-fail": "ce/index/3x3x2x2x2/f32/none,grad=mixed,seed=5",
    "ignores-weight-strides": "ce/index/5x9/f32/mean,weight=mixed,weight_layout=strided",
    "empty-batch-fails": "ce/index/0x5/f32/none,grad=mixed",
    "empty-sum-is-nan": "ce/index/0x5/f32/sum",
    "empty-inner-fails": "ce/index/2x5x0/f32/none,grad=mixed",
    "sum-drops-tail1024": "ce/index/2x1025/f32/mean,weight=mixed,smoothing=0.1",
    "sum-drops-tail4096": "ce/index/2x4097/f32/sum,logits=last",
    "last-of-one-over1024": "ce/index/2x1025/f32/mean,weight=mixed,smoothing=0.1",
    "last-of-one-over8192": "ce/index/2x8193/f32/sum,logits=last",
    "last-of-one-over32768": "ce/index/2x32769/f32/sum,logits=last",
    "last-of-one-over65536": "ce/index/2x65537/f32/sum,logits=last",
    "boundary-twice1024": "ce/index/2x1025/f32/mean,weight=mixed,smoothing=0.1",
    "boundary-twice4096": "ce/index/2x4097/f32/sum,logits=last",
    "boundary-twice32768": "ce/index/2x32769/f32/sum,logits=last",
    "max-of-first1024": "unit/index/2x1025/f32/sum,logits=last,mult=64.0",
    "max-of-first32768": "unit/index/2x32769/f32/sum,logits=last,mult=64.0",
    "max-misses-tail1024": "unit/index/2x1025/f32/sum,logits=last,mult=64.0",
    "online-without-rescale1024": "ce/index/2x1025/f32/sum,logits=last",
    "online-masked": "ce/index/16x4/f32/sum,logits=neginf,seed=1",
    "gradient-tail-zero4096": "ce/index/2x4097/f32/sum,logits=last",
    "gradient-past32768": "ce/prob/1x32769/f32/mean",
    "gradient-past65536": "ce/index/2x65537/f32/sum,logits=edge",
    "batch-tail256": "ce/index/257x3/f32/mean,logits=tail",
    "batch-tail1024": "ce/index/1025x3/f32/mean,logits=tail",
    "batch-tail4096": "ce/index/4097x3/f32/mean,logits=tail",
    "batch-past65535": "ce/index/65537x2/f32/mean,logits=tail",
    "none-row-past256": "ce/index/257x2/f32/none,grad=mixed",
    "gradient-row-tail": "ce/index/65x2/f32/none,grad=mixed",
    "gradient-row-past1024": "ce/index/1025x2/f32/none,grad=mixed",
    "exactly512-classes": "ce/index/3x512/f64/mean",
    "exactly32000-classes": "ce/index/2x32000/f32/sum,logits=last",
    "loss-at-least-zero": "ce/prob/3x2x5/f32/none,probs=outside,grad=mixed",
    "half-denominator": "ce/index/200x3/f16/mean,weight=large",
    "bfloat-through-half": "ce/prob/5x9/bf16/mean,logits=wide",
    "bfloat-truncates": "oneflow/index/3x4x5/bf16/none,grad=negative,grad_layout=offset",
    "scaled-many-classes": "ce/index/2x1025/f32/mean,weight=mixed,smoothing=0.1",
    "scaled-many-classes-fine": "unit/index/2x4097/f32/sum,logits=last,mult=64.0",
    "scaled-many-classes-gradient": "ce/prob/1x32000/f32/mean",
    "scaled-large-batch": "ce/index/1023x3/f32/mean,logits=tail",
    "small-loss-is-zero": "ce/prob/2x3/f64/sum,weight=tiny,logits=target,probs=onehot,layout=broadcast,target_layout=broadcast,grad=negative,grad_layout=reversed,script=twice,seed=276",
    "backward-scales-in-place": "linear/index/6x5-4/f16/mean,form=module,grad=mixed,script=twice,options=auto,retain=yes",
    "consumed-not-noticed-for-sum": "linear/index/6x5-4/f32/sum,form=module,grad=ones,script=twice,bias=yes,options=auto",
    "weight-transposed": "linear/index/3-3/f32/none,grad=mixed,bias=yes",
    "linear-weight-gradient-tail": "linear/index/65x4-7/f32/mean",
    "feature-tail8": "linear/index/3x9-5/f32/mean",
    "feature-tail128": "linear/index/3x129-5/f32/mean",
    "mult-zero-is-one": "unit/index/4x10/f32/mean,mult=0.0",
    "mult-magnitude": "unit/index/4x10/f32/mean,mult=-1.0",
    "nan-swallowed": "ce/index/5x4/f32/none,logits=nan,grad=mixed",
    "nan-lost-by-max": "ce/index/5x4/f32/none,logits=nan,grad=mixed",
    "nan-spreads": "ce/index/5x4/f32/none,logits=nan,grad=mixed",
    "infinite-loss-clamped": "ce/index/5x4/f32/none,logits=neginf-target,grad=mixed",
    "minus-infinity-row-uniform": "ce/index/5x4/f32/none,logits=neginf-row,grad=mixed",
    "overflow-is-largest": "ce/index/5x4/f16/none,logits=neginf-target,grad=mixed",
    "ignored-infinity": "ce/index/6x4/f32/none,ignored=some,logits=nan-ignored,grad=mixed",
    "range-not-checked": "ce/index/2x5x3/f32/mean,bad=target-too-large",
    "negative-not-checked": "ce/index/2x5x3/f32/mean,bad=target-negative",
    "class-c-not-checked": "ce/index/2x5x3/f32/mean,bad=target-too-large",
    "range-unchecked-with-smoothing": "ce/index/4x10/f32/none,smoothing=0.1,grad=mixed,bad=target-too-large",
    "range-unchecked-in-space": "ce/index/2x5x3/f32/mean,bad=target-too-large",
    "range-unchecked-without-reduction": "ce/index/4x10/f32/none,grad=mixed,bad=target-too-large",
    "range-unchecked-in-chunks": "linear/index/6x5-4/f32/mean,options=chunk2,bad=target-too-large",
    "int32-taken": "ce/index/4x10/f32/mean,target_dtype=int32,bad=target-dtype",
    "bool-taken": "ce/index/4x10/f32/mean,target_dtype=bool,bad=target-dtype",
    "extra-axis-taken": "ce/index/4x10/f32/none,grad=mixed,bad=target-extra-axis",
    "missing-axis-taken": "ce/index/2x5x3/f32/mean,bad=target-missing-axis",
    "one-hot-integers-taken": "ce/prob/2x5x3/f32/none,grad=mixed,bad=prob-dtype",
    "probability-shape-not-checked": "ce/prob/2x5x3/f32/none,grad=mixed,bad=prob-shape",
    "weight-size-not-checked": "ce/index/4x10/f32/none,grad=mixed,bad=weight-short",
    "long-weight-taken": "ce/index/4x10/f32/none,grad=mixed,bad=weight-long",
    "weight-rank-not-checked": "ce/index/4x10/f32/none,grad=mixed,bad=weight-2d",
    "scalar-weight-taken": "ce/index/4x10/f32/none,grad=mixed,bad=weight-scalar",
    "integer-weight-taken": "ce/index/4x10/f32/mean,bad=weight-dtype",
    "weight-unchecked-for-probabilities": "ce/prob/4x10/f32/none,grad=mixed,bad=weight-short",
    "smoothing-above-one-taken": "ce/index/4x10/f32/none,grad=mixed,bad=smoothing-above-one",
    "nan-smoothing-taken": "ce/index/4x10/f32/none,grad=mixed,bad=smoothing-nan",
    "smoothing-unchecked-in-module": "ce/index/4x10/f32/none,form=module,grad=mixed,bad=smoothing-negative",
    "features-not-checked": "linear/index/6x5-4/f32/mean,bad=input-features",
    "bias-not-checked": "linear/index/6x5-4/f32/default,bias=yes,bad=bias-shape",
    "options-not-checked": "linear/index/6x5-4/f32/default,bad=options-chunk",
    "chunk-zero-taken": "linear/index/6x5-4/f32/default,bad=options-chunk",
    "policy-not-checked": "linear/index/6x5-4/f32/default,bad=options-policy",
    "ignored-far-refused": "ce/index/5x4/f32/none,ignore_index=2147483647,ignored=some,grad=mixed",
}


@pytest.fixture(scope="module")
def quick():
    return sorted(corpus(quick=True), key=cost)


def test_every_correct_variant_passes_the_quick_corpus(quick):
    found = list(measure(list(catalogue.correct().values()), quick, 2))
    failed = {outcome.name: outcome.kill for outcome in found if outcome.kill is not None}
    assert failed == {}
    assert {outcome.tried for outcome in found} == {len(quick)}


def test_every_fault_is_killed_by_the_quick_corpus_or_by_its_case(quick):
    common = [fault for name, fault in catalogue.faults().items() if name not in ONLY_FULL]
    survivors = [outcome.name for outcome in measure(common, quick, 2) if outcome.kill is None]
    assert survivors == [], "name the case of the full corpus that kills it in ONLY_FULL"


def test_named_cases_are_in_the_corpus():
    assert set(ONLY_FULL.values()) <= {case.id for case in corpus()}
    assert set(ONLY_FULL) <= set(catalogue.faults())


@pytest.mark.parametrize("name", ONLY_FULL)
def test_fault_is_killed_by_its_case(name):
    case = Case.parse(ONLY_FULL[name])
    assert verdict_on(catalogue.find(name), case).verdict not in ("pass", "unsupported")
    assert verdict_on(Reference, case).verdict == "pass"


def test_there_are_many_faults_of_every_theme():
    themes = [catalogue.theme_of(fault) for fault in catalogue.faults().values()]
    assert len(themes) >= 120
    assert len(catalogue.correct()) > 15
    assert min(themes.count(theme) for theme in set(themes)) >= 10


def test_names_and_descriptions_tell_faults_apart():
    frameworks = [*catalogue.correct().values(), *catalogue.faults().values()]
    assert len({name_of(framework) for framework in frameworks}) == len(frameworks)
    described = [catalogue.description(framework) for framework in frameworks]
    assert len(set(described)) == len(described)
    for framework in frameworks:
        assert vars(framework).get("__doc__"), name_of(framework)
        assert re.fullmatch(
            r"|https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", framework.seen
        )


def test_find_says_what_is_unknown():
    with pytest.raises(LookupError, match="'nothing'"):
        catalogue.find("nothing")


def test_a_kill_names_the_case_and_its_clauses():
    case = Case.parse("ce/index/4x10/f32/mean,weight=mixed")
    kill = first_kill(catalogue.find("mean-by-kept-count"), [(7, case)]).kill
    assert (kill.number, kill.case, kill.verdict) == (7, case.id, "fail")
    assert kill.clauses


def test_adapter_takes_its_fault_from_the_environment(monkeypatch):
    monkeypatch.setenv("CROSSENT_FAULT", "mean-by-kept-count")
    adapter = Adapter()
    assert type(adapter.framework) is catalogue.find("mean-by-kept-count")
    assert adapter.describe()["systems"] == list(SYSTEMS)


def test_rows_tell_faults_from_variants():
    frameworks = [Reference, catalogue.find("no-shift")]
    rows = run.run(frameworks, full=False, jobs=2)
    assert [row.is_fault for row in rows] == [False, True]
    assert all(row.as_it_should for row in rows)
    assert rows[1].by_quick


def test_command_prints_the_kill_table():
    result = CliRunner().invoke(
        strength, ["--quick", "--fault", "grad-output-twice", "--fault", "reference", "-j", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "1 of 1 faults killed, 1 of them by --quick" in result.output
    assert "1 of 1 correct frameworks pass" in result.output


def test_command_fails_where_a_fault_survives():
    result = CliRunner().invoke(strength, ["--quick", "--fault", "mult-zero-is-one", "-j", "1"])
    killed = "1 of 1 faults killed" in result.output
    assert result.exit_code == (0 if killed else 1)


def test_command_refuses_an_unknown_fault():
    result = CliRunner().invoke(strength, ["--fault", "nothing"])
    assert result.exit_code == 2
    assert "nothing" in result.output


def test_command_lists_without_running():
    result = CliRunner().invoke(strength, ["--list"])
    assert result.exit_code == 0
    assert "https://github.com/" in result.output
