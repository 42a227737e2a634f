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
    "zero-weight-counts-one": "oneflow/index/2x3/bf16/default,form=module,weight=somezero,smoothing=0.05,logits=last,layout=transposed,target_layout=offset,grad=negative,script=stale,seed=404",
    "legacy-reduce-not-first": "ce/index/4x10/f32/default,size_average=false,reduce=false,weight=mixed,ignored=some,grad=mixed",
    "ignores-weight-strides": "ce/index/5x9/f32/mean,weight=mixed,weight_layout=strided",
    "gradient-past65536": "ce/index/2x65537/f32/sum,logits=edge",
    "none-row-past256": "ce/index/257x2/f32/none,ignored=first,grad=mixed",
    "exactly512-classes": "ce/index/3x512/f32/mean,logits=edge",
    "half-denominator": "ce/index/200x3/f16/mean,weight=large",
    "bfloat-through-half": "ce/prob/4096x3/bf16/mean,logits=against",
    "bfloat-truncates": "oneflow/index/3x4x5/bf16/none,grad=negative,grad_layout=offset",
    "scaled-bfloat": "ce/index/1x2/bf16/none,form=module,weight=large,ignored=some,logits=wide,target_layout=readonly,grad=mixed,grad_layout=strided,script=again,seed=682",
    "grad-output-zero-is-one": "ce/index/4x10/f32/none,grad=zero",
    "chunk-ignores-ignored": "linear/index/6x5-4/f32/sum,ignored=some,options=chunk2",
    "chunk-larger-than-batch": "linear/index/1x4-7/f32/mean,options=chunk64",
    "mult-forgotten-with-probabilities": "unit/prob/2x4x3/f64/none,grad=mixed,mult=0.5",
    "zero-times-nan-is-zero": "unit/prob/1x2/f32/default,logits=neginf-row,probs=zeros",
    "zero-log-zero-is-one": "ce/prob/5x4/f32/none,logits=neginf,probs=sparse,grad=mixed",
    "range-unchecked-with-smoothing": "ce/index/4x10/f32/none,smoothing=0.1,grad=mixed,bad=target-too-large",
    "range-unchecked-in-space": "ce/index/2x5x3/f32/mean,bad=target-too-large",
    "range-unchecked-in-chunks": "linear/index/6x5-4/f32/mean,options=chunk2,bad=target-too-large",
    "weight-unchecked-for-probabilities": "ce/prob/4x10/f32/none,grad=mixed,bad=weight-short",
    "smoothing-unchecked-in-module": "ce/index/4x10/f32/none,form=module,grad=mixed,bad=smoothing-negative",
    "unchecked-range": "ce/index/1x10/f64/sum,grad=skip,bad=target-too-large",
    "unchecked-range-in-half": "ce/index/4x10/f16/mean,form=module,weight=mixed,ignore_index=1,ignored=first,smoothing=0.1,bad=target-too-large",
    "unchecked-range-in-bfloat": "ce/index/4x1/bf16/none,weight=mixed,grad=mixed,bad=target-too-large",
    "unchecked-range-in-modules": "ce/index/4x10/f16/mean,form=module,weight=mixed,ignore_index=1,ignored=first,smoothing=0.1,bad=target-too-large",
    "unchecked-range-without-gradient": "ce/index/1x10/f64/sum,grad=skip,bad=target-too-large",
    "unchecked-range-unbatched": "ce/index/10/f32/mean,bad=target-too-large",
    "unchecked-shape": "ce/index/1x10/f64/mean,grad=skip,bad=target-length",
    "unchecked-shape-with-smoothing": "ce/index/4x10/f16/none,form=module,weight=mixed,ignore_index=1,ignored=first,smoothing=0.1,grad=mixed,bad=target-length",
    "unchecked-shape-of-one-class": "ce/index/4x1/bf16/sum,weight=mixed,bad=target-length",
    "unchecked-weight": "ce/index/4x10/f16/sum,form=module,weight=mixed,ignore_index=1,ignored=first,smoothing=0.1,bad=weight-short",
    "unchecked-weight-in-sum": "ce/index/4x1/bf16/sum,weight=mixed,bad=weight-long",
    "unchecked-weight-unbatched": "ce/index/10/f32/mean,bad=weight-short",
    "short-weight-unless-asked": "ce/index/1x10/f64/none,grad=skip,bad=weight-short",
    "indices-squeezed": "ce/index/5/f32/mean,bad=target-extra-axis",
    "reduction-of-nothing-unchecked": "ce/index/0x5/f32/default,bad=reduction-name",
    "max-from-zero-in-tail": "ce/index/3x65/f32/none,logits=masked,grad=mixed",
    "empty-first1024": "ce/index/2x2049/f32/none,logits=window,grad=mixed",
    "ignored-loss-times-zero": "ce/index/6x9/f32/none,ignored=some,logits=window,grad=mixed",
    "half-probability-count": "ce/prob/70001x2/f16/mean",
    "half-row-sum": "ce/index/1x70001/f16/mean,logits=zeros",
    "small-smoothing-dropped": "ce/index/4x9/f32/mean,smoothing=1e-06,logits=target",
    "tiny-smoothing-dropped": "ce/prob/4x9/f64/mean,smoothing=1e-09,logits=target,probs=onehot",
    "legacy-mean-counts-ignored": "ce/index/6x5/f32/default,size_average=true,ignored=some",
    "bias-step-ignored": "linear/index/6x5-4/f32/mean,weight_layout=strided,bias=yes",
    "bias-read-forwards": "linear/index/6x5-4/f32/mean,weight_layout=reversed,bias=yes",
    "default-index-still-ignored": "ce/index/4x10/f16/sum,form=module,weight=mixed,ignore_index=1,ignored=first,smoothing=0.1,bad=target-negative",
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
