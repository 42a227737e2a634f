"""The corpus: identity, coverage and reproducibility of its cases."""

import dataclasses
import hashlib
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import layout, streams
from conformance.case import SYSTEMS, VOCABULARY, Case
from conformance.clauses import CATALOGUE, clauses_of
from conformance.corpus import QUICK_ELEMENTS, clauses_by_rarity, corpus
from conformance.corpus.combine import mend, product, rotate
from conformance.protocol import decode
from conformance.request import build

CASES = corpus()
QUICK = corpus(quick=True)


def test_ids_are_unique_and_rebuild_the_case():
    ids = [case.id for case in CASES]
    assert len(set(ids)) == len(ids)
    assert all(Case.parse(text) == case for text, case in zip(ids, CASES, strict=True))
    # They can be typed in any shell without quotes.
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,=/._+-")
    assert not {letter for text in ids for letter in text} - allowed


def test_the_corpus_is_about_as_large_as_promised():
    assert 4000 <= len(CASES) <= 6000
    assert 9 * len(QUICK) <= len(CASES)
    assert set(QUICK) <= set(CASES)


#: How many cases each system has, and the SHA-256 of their ids, one a line, in their order.
CASES_OF = {
    "ce": (2750, "1218b40e844c555c"),
    "linear": (1225, "53d302b3941be9dc"),
    "oneflow": (905, "7efeac8841abd5cc"),
    "unit": (805, "55e14d7090759d82"),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_cases_change_only_knowingly(system):
    """Files of expected failures and stored results name cases: a new corpus is a new release.

    Whoever changes the corpus puts here what this test then finds.
    """
    ids = [case.id for case in CASES if case.system == system]
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    assert (len(ids), digest[:16]) == CASES_OF[system]


@pytest.mark.parametrize("cases", [CASES, QUICK], ids=["full", "quick"])
def test_every_clause_has_cases_and_every_case_clauses(cases):
    covered: dict[str, set[str]] = {}
    for case in cases:
        found = clauses_of(case)
        assert found, case.id
        for clause in found:
            covered.setdefault(clause, set()).add(case.system)
    for clause in CATALOGUE:
        if clause.observable:
            # In every system that it holds for, wherever that system can show it at all.
            assert covered.get(clause.id), clause.id
            assert covered[clause.id] <= set(clause.systems)


def test_every_word_of_the_vocabulary_is_used():
    for field, words in VOCABULARY.items():
        used = {getattr(case, field) for case in CASES}
        assert set(words) <= used, (field, set(words) - used)


def test_the_corpus_crosses_what_the_plan_names():
    counts = {case.num_classes for case in CASES}
    assert {1, 2, 3, 10, 1000, 32000, 65537} <= counts
    for edge in (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768):
        assert {edge - 1, edge, edge + 1} <= counts
        batches = {case.shape[0] for case in CASES if len(case.shape) > 1}
        if edge <= 4096:
            assert {edge - 1, edge, edge + 1} <= batches
    for system in ("ce", "linear", "oneflow", "unit"):
        mine = [case for case in CASES if case.system == system]
        assert {case.dtype for case in mine} == {"f16", "bf16", "f32", "f64"}
        assert {case.script for case in mine} == set(VOCABULARY["script"])
        assert {case.layout for case in mine} == set(VOCABULARY["layout"])
        assert any(case.bad != "no" for case in mine)


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("ce/index/4x10/f32/none", "ce/index/4x10/f32/none,grad=mixed"),
        ("ce/index/4x10/f32/none,grad=ones", "ce/index/4x10/f32/none,grad=ones"),
        ("ce/index/4x10/f32/default,reduce=false",
         "ce/index/4x10/f32/default,reduce=false,grad=mixed"),
        ("ce/prob/4x10/f32/mean,ignored=some", "ce/prob/4x10/f32/mean"),
        ("ce/prob/4x10/f32/mean,probs=onehot", "ce/prob/4x10/f32/mean,probs=onehot"),
        ("ce/index/4x10/f32/mean,probs=onehot", "ce/index/4x10/f32/mean"),
        ("ce/index/4x10/f32/mean,logits=page,probs=page",
         "ce/index/4x10/f32/mean,logits=page,probs=page"),
        ("ce/index/4x10/f16/mean,weight=large,grad=large",
         "ce/index/4x10/f16/mean,weight=large,grad=mixed"),
        ("ce/index/4x10/f16/mean,weight=large,grad=small",
         "ce/index/4x10/f16/mean,weight=large,grad=small"),
        ("ce/index/4x10/f16/mean,weight=tiny,grad=large",
         "ce/index/4x10/f16/mean,weight=tiny,grad=large"),
        ("ce/index/4x10/bf16/mean,weight=large,grad=large",
         "ce/index/4x10/bf16/mean,weight=large,grad=large"),
        ("unit/index/4x10/f32/mean,weight=mixed,smoothing=0.1", "unit/index/4x10/f32/mean"),
        ("ce/index/4x10/f32/mean,weight=mixed,smoothing=0.1",
         "ce/index/4x10/f32/mean,weight=mixed,smoothing=0.1"),
    ],
)  # fmt: skip
def test_fields_that_do_not_fit_together_are_mended(text, mended):
    assert mend(Case.parse(text)).id == mended


def test_every_combination_is_a_case_and_rotating_fields_go_their_own_ways():
    made = [case.id for case in product(dtype=("f32", "f16"), reduction=("sum", "mean"))]
    assert made == [f"ce/index/4x10/{d}/{r}" for d in ("f32", "f16") for r in ("sum", "mean")]
    cases = [Case(reduction="sum", seed=i) for i in range(6)]
    turned = list(rotate(cases, weight=("ones", "mixed"), dtype=("f32", "f16")))
    assert [case.seed for case in turned] == list(range(6))
    assert [case.weight for case in turned] == ["ones", "mixed"] * 3
    assert [case.dtype for case in turned] == ["f32", "f16", "f16", "f32", "f32", "f16"]


@pytest.mark.parametrize("length", range(1, 8))
def test_a_rotating_field_comes_to_all_its_values_wherever_it_stands(length):
    fields = {
        "ignore_index": range(7),
        "seed": range(7),
        "mult": [float(number) for number in range(7)],
        "smoothing": [number / 8 for number in range(7)],
        "layout": VOCABULARY["layout"],
        "target_layout": VOCABULARY["layout"],
        "grad": VOCABULARY["grad"],
    }
    fields = {name: tuple(values)[:length] for name, values in fields.items()}
    turned = list(rotate([Case(reduction="sum")] * 60, **fields))
    for name, values in fields.items():
        assert {getattr(case, name) for case in turned} == set(values), name


def test_the_rarest_statement_of_a_case_comes_first():
    counts = Counter((case.system, name) for case in CASES for name in clauses_of(case))
    for case in CASES[::50]:
        found = clauses_by_rarity(case)
        assert sorted(found) == sorted(clauses_of(case))
        numbers = [counts[case.system, name] for name in found]
        assert numbers == sorted(numbers), case.id


def pairs(case):
    """Pairs of the values that a case gives to its fields; of shapes, how many axes."""
    values = {
        field.name: getattr(case, field.name)
        for field in dataclasses.fields(case)
        if field.name not in ("shape", "classes", "seed")
        and getattr(case, field.name) != field.default
    }
    values["axes"] = min(len(case.logits_shape), 3)
    return {(case.system, *pair) for pair in itertools.combinations(sorted(values.items()), 2)}


def test_the_quick_part_shows_every_value_and_is_soon_done():
    for system in SYSTEMS:
        for name in ("bad", "logits", "probs", "weight", "mult", "ignore_index", "target_dtype"):
            whole, part = (
                {getattr(case, name) for case in cases if case.system == system}
                for cases in (CASES, QUICK)
            )
            assert part == whole, (system, name)
        scripts = {case.script for case in QUICK if case.system == system and case.bad == "no"}
        assert scripts == set(VOCABULARY["script"])
    plain = [case for case in QUICK if case.system == "ce" and case.bad == "no"]
    for half in (("f16", "bf16"), ("f32", "f64")):
        assert {case.logits for case in plain if case.dtype in half} == {
            case.logits
            for case in CASES
            if case.system == "ce" and case.bad == "no" and case.dtype in half
        }
    shown = [
        {
            "shapes with nothing": {(c.system, c.shape) for c in cases if 0 in c.shape},
            "axes": {c.shape for c in cases if c.system == "ce" and len(c.shape) > 2},
            "features": {c.shape[-1] | 1 for c in cases if c.system == "linear"},
            "samples": {c.shape[0] | 1 for c in cases if c.system == "linear"},
            "classes": {
                c.num_classes
                for c in cases
                if c.system == "ce" and c.logits in ("last", "peak", "tail")
            },
            "options": {c.options for c in cases if c.script == "once"},
            "squares": {(c.system, c.logits_shape[-1:] == (c.num_classes,)) for c in cases},
        }
        for cases in ([c for c in given if c.bad == "no"] for given in (QUICK, CASES))
    ]
    assert shown[0] == shown[1]
    seen, possible = (set().union(*map(pairs, cases)) for cases in (QUICK, CASES))
    assert len(seen) > 0.43 * len(possible)
    large = [case for case in QUICK if np.prod(case.logits_shape) > QUICK_ELEMENTS]
    assert len(large) < len(QUICK) / 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ce/index/4x10/f32",
        "ce/index/4x10/f32/mean,",
        "ce/index/4x10/f32/mean,weight",
        "ce/index/4x10/f32/mean,weight=mixed,weight=ones",
        "ce/index/4x10/f32/mean,shape=3",
        "ce/index/4x10/f32/mean,seed=one",
        "ce/index/4y10/f32/mean",
        "ce/index/scalar/f32/mean",
        "ce/index/4x10-3/f32/mean",
        "linear/index/4x10/f32/mean",
        "linear/index/8-10x3/f32/mean",
        "mx/index/4x10/f32/mean",
        "ce/index/99999999999x9/f32/mean",
        "ce/index/4x10/f32/mean,weight=chunk7",
        "linear/index/4x3-5/f32/mean,options=chunk0",
        "ce/index/4x10/f32/mean,smoothing=1.1",
        "ce/index/4x10/f32/mean,smoothing=-0.1",
        "ce/index/4x10/f32/mean,smoothing=nan",
        "unit/index/4x10/f32/mean,mult=inf",
        "unit/index/4x10/f32/mean,mult=nan",
    ],
)
def test_a_wrong_id_is_refused_with_the_reason(text):
    with pytest.raises(ValueError, match="^case "):
        Case.parse(text)


def test_the_ends_of_what_is_documented_have_ids():
    for text in ("smoothing=0.0", "smoothing=1.0", "mult=0.0", "mult=-1e+300"):
        assert Case.parse(f"unit/index/4x10/f32/mean,{text}").id.endswith(text)


def test_a_plain_case_and_a_chunk_of_any_size_have_ids():
    assert Case().id == "ce/index/4x10/f32/default"
    assert Case.parse("linear/index/4x3-5/f32/mean,options=chunk7").options == "chunk7"


@given(st.text())
def test_no_text_breaks_the_parser(text):
    refusal = None
    try:
        case = Case.parse(text)
    except ValueError as error:
        refusal = str(error)
    assert refusal is None or refusal.startswith("case ")
    assert refusal is not None or Case.parse(case.id) == case


#: One id for each way of making numbers.
PINNED = (
    "ce/index/4x10/f32/mean,weight=mixed,ignored=some",
    "ce/prob/3x5x2/bf16/none,logits=wide,layout=transposed,grad=mixed,grad_layout=strided",
    "ce/prob/4x3/f16/sum,probs=outside,weight=tiny,target_layout=reversed",
    "ce/index/5x9/f64/mean,logits=denormal,script=stale",
    "ce/index/5x40/f16/mean,logits=edge,layout=broadcast",
    "ce/index/3x4/f32/none,weight=infinite",
    "ce/index/5x4/f32/none,logits=neginf,grad=negative",
    "linear/prob/6x5-4x2/f16/mean,bias=yes,options=chunk3",
    "oneflow/index/3x3/f32/none,logits=page,target_dtype=int32,grad=mixed",
    "unit/index/7/f64/sum,mult=0.3,seed=5",
)


def test_requests_are_the_same_bytes_on_every_machine():
    """The digest was computed once; a machine, NumPy or Python that differs fails here."""
    digest = hashlib.sha256()
    for text in PINNED:
        digest.update(json.dumps(build(Case.parse(text)).message(), sort_keys=True).encode())
    assert digest.hexdigest() == "03b437d27c831a44e05fd3e569b94ad6efa657494c54671fcc9e38ff35221f40"


def test_every_request_can_be_built_and_decoded():
    for case in CASES[::13]:
        request = build(case)
        message = json.loads(json.dumps(request.message(), allow_nan=False))
        for name, array in request.arrays.items():
            got = decode(message["arrays"][name])
            np.testing.assert_array_equal(got.data, array.view)
            assert got.data.shape == array.view.shape
            if array.view.size > 1:
                assert got.data.strides == array.view.strides
            assert got.data.flags.writeable == array.view.flags.writeable


def test_streams_do_not_move():
    np.testing.assert_array_equal(streams.uniform("a", (3,)).view(np.uint64), STREAM, strict=True)
    many = streams.normal("b", (100_000,))
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02
    drawn = streams.integers("c", (1000,), 7)
    assert set(drawn.tolist()) == set(range(7))


STREAM = np.array(
    [4604101949213922204, 4597965928426718180, 4600331959118972778],
    dtype=np.uint64,
)


@pytest.mark.parametrize("kind", VOCABULARY["layout"])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 3), ()])
def test_layouts_hold_the_values_and_guard_what_is_beside_them(kind, shape):
    values = layout.repeat_first(streams.uniform("layout", shape), kind)
    base, view = layout.place(values, kind, np.nan)
    np.testing.assert_array_equal(view, values)
    assert view.shape == shape
    assert base.ndim == 1
    assert np.may_share_memory(base, view) or view.size == 0
    assert view.flags.writeable == (kind != "readonly")
    if kind in ("strided", "offset") and view.size and view.ndim:
        assert np.isnan(base).sum() == base.size - view.size > 0


@pytest.mark.parametrize(
    ("kind", "strides"),
    [
        ("c", (96, 32, 8)),
        ("readonly", (96, 32, 8)),
        ("offset", (96, 32, 8)),
        ("transposed", (8, 16, 48)),
        ("strided", (192, 64, 16)),
        ("reversed", (96, 32, -8)),
        ("broadcast", (0, 32, 8)),
    ],
)
def test_a_layout_is_what_its_name_says(kind, strides):
    values = layout.repeat_first(streams.uniform("layout", (2, 3, 4)), kind)
    base, view = layout.place(values, kind, np.nan)
    assert view.strides == strides
    before = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    assert before == {"offset": 24, "reversed": 24}.get(kind, 0)
    assert base.size == {"strided": 48, "offset": 32, "broadcast": 12}.get(kind, 24)
