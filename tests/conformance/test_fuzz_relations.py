"""The relations between calls: they hold, and they catch what breaks them, formulas included."""

import numpy as np
import pytest

from conformance import worker
from conformance.adapters import embedded
from conformance.case import Case
from conformance.driver import WorkerFailure
from conformance.fuzz import metamorphic
from conformance.fuzz.relation import SpecificationError
from conformance.protocol import Array, decode, encode
from conformance.strength import catalogue
from conformance.strength.adapter import Adapter
from crossent_spec import formulas

#: Cases from which each relation starts: every system, reduction and kind of target it has.
STARTS = {
    "shift": (
        "ce/index/3x5/f32/mean,weight=mixed,smoothing=0.1",
        "oneflow/prob/2x4/f16/sum",
        "unit/index/3x5x2/f64/none,grad=mixed,mult=0.5",
        "linear/prob/3x4-5/f32/mean,bias=yes",
    ),
    "permute": (
        "ce/index/4x5/bf16/mean,weight=mixed,ignore_index=1,ignored=some",
        "ce/prob/2x4x3/f32/none,weight=mixed,grad=mixed",
        "linear/index/3x4-5x2/f64/sum,bias=yes,weight=mixed",
        "unit/prob/5/f32/mean",
    ),
    "absent": (
        "ce/index/4x5/f32/mean,weight=mixed,smoothing=0.3,ignored=some",
        "oneflow/index/2x4x3/f64/none,grad=mixed",
        "linear/index/3x4-5/f32/sum,bias=yes",
        "unit/index/4x5/f32/sum",
    ),
    "scale-weight": (
        "ce/index/4x5/f32/mean,weight=mixed",
        "ce/prob/4x5/f64/mean,weight=mixed,smoothing=0.1",
        "linear/index/3x4-5/f32/none,weight=mixed,grad=mixed",
    ),
    "one-hot": (
        "ce/index/4x5/f32/mean,weight=mixed",
        "ce/index/4x5x2/f64/none,smoothing=0.1,weight=mixed,grad=mixed",
        "linear/index/3x4-5/f32/mean,weight=mixed,bias=yes",
        "unit/index/4x5/bf16/mean",
    ),
    "smooth": (
        "ce/index/4x5/f32/mean,weight=mixed",
        "ce/prob/4x5/f64/sum,weight=mixed",
        "linear/prob/3x4-5/f32/mean",
    ),
    "flatten": (
        "ce/index/2x5x3/f32/mean,weight=mixed,ignored=some",
        "oneflow/prob/2x4x3x2/f64/mean",
        "unit/index/2x5x3/f16/none,grad=mixed",
    ),
    "split": (
        "ce/index/5x4/f32/mean,weight=mixed",
        "linear/prob/5x3-4/f32/mean,weight=mixed,bias=yes",
        "unit/prob/5x4/f64/mean",
        "oneflow/index/5x4x2/f32/none,grad=mixed",
    ),
    "project": ("linear/index/4x6-5x2/f32/mean,weight=mixed,bias=yes,options=chunk2",),
    "identity": ("linear/prob/4x6-5/f32/none,bias=yes,grad=mixed", "linear/index/6-5/f64/sum"),
}
CASES = [(name, text) for name, texts in STARTS.items() for text in texts]


def examine(name, text, adapter):
    return metamorphic.examine(
        name, Case.parse(text), lambda message: lambda: worker.answer(adapter, message)
    )


def test_every_relation_has_cases():
    assert set(STARTS) == set(metamorphic.RELATIONS)
    for name, texts in STARTS.items():
        covered = {Case.parse(text).system for text in texts}
        assert covered <= set(metamorphic.RELATIONS[name].starts)


@pytest.mark.parametrize(("name", "text"), CASES)
def test_relations_hold_on_the_formulas_and_on_the_embedded_implementation(name, text):
    result = examine(name, text, embedded.Adapter())
    assert result is not None, "the relation says nothing here"
    assert result.verdict == "pass", result.message
    names = {output.name for output in result.outputs}
    assert {"loss", "input"} <= names
    assert all(names), "an equation without a name"
    assert result.case == f"{name}:{Case.parse(text).id}"


def no_total(s, scale):
    """Forget Σ_i a_i beside the softmax."""
    inner = np.exp(formulas.log_softmax(s.x)) - formulas.coefficients(s)
    return np.where(s.keep[:, None, :], scale[:, None, :] * inner, 0 * s.epsilon)


def unmasked(s, scale):
    """Forget that an ignored sample has no gradient."""
    terms = formulas.coefficients(s)
    inner = np.exp(formulas.log_softmax(s.x)) * terms.sum(axis=1, keepdims=True) - terms
    return scale[:, None, :] * inner


def plus_one(x):
    """Count a class too many."""
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True) + 1)


def one_class_less(s):
    """Share ε out among the other classes, but leave the target's own share."""
    hot = s.q if s.q is not None else np.arange(s.x.shape[1])[:, None] == s.y[:, None, :]
    return (1 - s.epsilon) * hot + s.epsilon / (s.x.shape[1] - 1)


def batch_only(s):
    """Divide by N without the positions."""
    return 0 * s.epsilon + s.keep.shape[0]


def by_number(s):
    """Divide by the number of targets, not by their weights."""
    return 0 * s.epsilon + int(s.keep.sum())


def by_place(s):
    """Count later classes for more."""
    place = 0 * s.epsilon + np.arange(s.x.shape[1])[:, None]
    return -(formulas.coefficients(s) * (1 + place) * formulas.log_softmax(s.x)).sum(axis=1)


def no_epsilon(s, scale):
    """Forget 1 − ε in the gradient of probabilities."""
    return -scale[:, None, :] * s.w[:, None] * formulas.log_softmax(s.x)


def bias_of_first(gradient, features, weight):
    """Take the bias's gradient from the first sample."""
    classes, positions, width = weight.shape
    flat = gradient.reshape(len(features), classes * positions)
    rest = flat @ weight.reshape(classes * positions, width), (flat.T @ features)
    return rest[0], rest[1].reshape(weight.shape), gradient[0]


def no_bias(features, weight, bias):  # noqa: ARG001
    """Forget the bias."""
    classes, positions, width = weight.shape
    product = features @ weight.reshape(classes * positions, width).T
    return product.reshape(len(features), classes, positions)


@pytest.mark.parametrize(
    ("where", "fault", "name", "number"),
    [
        ("logit_gradient", no_total, "scale-weight", 1),
        ("logit_gradient", unmasked, "absent", 1),
        ("log_softmax", plus_one, "shift", 0),
        ("mixed_targets", one_class_less, "smooth", 0),
        ("denominator", batch_only, "flatten", 1),
        ("denominator", by_number, "scale-weight", 0),
        ("denominator", by_number, "one-hot", 0),
        ("unreduced", by_place, "permute", 1),
        ("target_gradient", no_epsilon, "smooth", 1),
        ("linear_gradients", bias_of_first, "project", 0),
        ("linear_gradients", bias_of_first, "split", 1),
        ("linear_logits", no_bias, "identity", 0),
    ],
)
def test_a_mistake_in_the_formulas_breaks_a_relation(monkeypatch, where, fault, name, number):
    case = Case.parse(STARTS[name][number])
    assert metamorphic.prepared(name, case) is not None
    monkeypatch.setattr(formulas, where, fault)
    with pytest.raises(SpecificationError, match=f"^{name}:{case.id}: .* differs by"):
        metamorphic.prepared(name, case)


@pytest.mark.parametrize(
    ("fault", "name", "number"),
    [
        ("mean-by-kept-count", "scale-weight", 0),
        ("chunk-overwrites", "project", 0),
        ("reference", "project", 0),
    ],
)
def test_relations_tell_a_faulty_framework_from_a_correct_one(fault, name, number):
    result = examine(name, STARTS[name][number], Adapter(catalogue.find(fault)))
    assert result.verdict == ("pass" if fault == "reference" else "fail"), result.message


def test_a_relation_is_silent_where_it_has_nothing_to_say():
    adapter = Adapter(catalogue.find("reference"))
    assert examine("flatten", "ce/index/3x5/f32/mean", adapter) is None
    assert examine("one-hot", "ce/prob/3x5/f32/mean", adapter) is None
    assert examine("permute", "ce/index/3x5/f32/mean,logits=nan", adapter) is None
    assert examine("permute", "ce/index/3x5/f32/mean,ignored=all", adapter) is None
    assert examine("shift", "linear/index/3x4-5/f32/mean", adapter) is None
    assert examine("smooth", "ce/index/3x5/f32/mean,smoothing=0.1", adapter) is None
    assert examine("smooth", "ce/index/4x5/f32/mean,ignored=some", adapter) is None
    assert examine("split", "ce/index/1x5/f32/mean", adapter) is None
    assert examine("split", "ce/index/5/f32/mean", adapter) is None


def test_a_crash_in_a_relation_is_told():
    case = Case.parse("ce/index/3x5/f32/mean")
    result = metamorphic.examine(
        "permute", case, lambda _: lambda: WorkerFailure("crash", "signal 6")
    )
    assert (result.verdict, result.message) == ("crash", "signal 6")


def test_the_worst_element_of_a_broken_relation_is_told_with_its_place():
    reference = Adapter(catalogue.find("reference"))
    answers = []

    def ask(message):
        answer = worker.answer(reference, message)
        if answers:
            loss = decode(answer["steps"][0]["arrays"]["loss"])
            data = np.array(loss.data)
            data[1, 2] += 0.5
            data[0, 1] += 0.25
            answer["steps"][0]["arrays"]["loss"] = encode(Array(data, loss.dtype))
        answers.append(answer)
        return lambda: answer

    case = Case.parse("unit/index/2x5x3/f64/none,grad=mixed,mult=0.5")
    result = metamorphic.examine("shift", case, ask)
    assert len(answers) == 2
    assert (result.case, result.clauses, result.verdict) == (f"shift:{case.id}", (), "fail")
    assert result.message == (
        "shift: loss is 1.51289991 at [1, 2], and by the relation 2.01289991 ± 1.03e-14"
    )
    loss, gradient = result.outputs
    assert (loss.name, loss.ok, f"shift: loss {loss.detail}") == ("loss", False, result.message)
    assert loss.bound_fraction > 1e13
    assert (gradient.ok, gradient.detail, gradient.bound_fraction) == (True, "", 0.0)


def test_what_a_framework_does_not_do_is_unsupported_in_a_relation():
    steps = [{"outcome": "unsupported", "reason": "not here"}]
    case = Case.parse("ce/index/3x5/f32/mean")
    result = metamorphic.examine("shift", case, lambda _: lambda: {"steps": steps})
    assert (result.verdict, result.message, result.clauses) == ("unsupported", "not here", ())


@pytest.mark.parametrize(
    ("name", "given", "start"),
    [
        ("shift", "linear/index/3x4-5/f32/mean", "linear/index/3x4-5/f32/mean,bias=yes"),
        ("shift", "ce/index/3x5/f32/mean,grad=skip,script=twice", "ce/index/3x5/f32/mean"),
        ("shift", "ce/index/3x5/f32/none,grad=skip", "ce/index/3x5/f32/none,grad=mixed"),
        ("shift", "oneflow/prob/3x3/f32/sum,probs=page", "oneflow/prob/3x3/f32/sum"),
        ("shift", "oneflow/prob/3x3/f32/sum,probs=sparse", "oneflow/prob/3x3/f32/sum,probs=sparse"),
        ("permute", "ce/index/3x5/f32/mean,logits=neginf", "ce/index/3x5/f32/mean"),
        ("permute", "ce/index/3x5/f32/mean,layout=offset,grad=skip",
         "ce/index/3x5/f32/mean,layout=offset"),
        ("absent", "ce/prob/1x5/f32/mean,probs=sparse", "ce/index/2x5/f32/mean"),
        ("absent", "linear/index/4-5/f32/mean", "linear/index/2x4-5/f32/mean"),
        ("absent", "ce/index/5/f32/mean", "ce/index/2x5/f32/mean"),
        ("scale-weight", "ce/index/4x5/f32/mean", "ce/index/4x5/f32/mean,weight=mixed"),
        ("scale-weight", "ce/index/4x5/f32/sum,weight=tiny", "ce/index/4x5/f32/sum,weight=tiny"),
        ("one-hot", "ce/prob/4x5/f32/mean,ignore_index=3,probs=onehot", "ce/index/4x5/f32/mean"),
        ("one-hot", "ce/index/4x5/f32/mean,ignore_index=3,ignored=some", "ce/index/4x5/f32/mean"),
        ("smooth", "ce/index/4x5/f32/mean,smoothing=0.5,ignored=some", "ce/index/4x5/f32/mean"),
        ("flatten", "ce/index/4x5/f32/mean", "ce/index/2x3x2/f32/mean"),
        ("flatten", "ce/index/4x5x2/f32/mean", "ce/index/4x5x2/f32/mean"),
        ("split", "ce/index/1x5/f32/none", "ce/index/2x5/f32/none,grad=mixed"),
        ("split", "ce/index/7/f32/mean", "ce/index/2x7/f32/mean"),
    ],
)  # fmt: skip
def test_a_relation_starts_from_the_nearest_case_that_it_can(name, given, start):
    found = metamorphic.start(name, Case.parse(given))
    assert found.id == start
    assert metamorphic.start(name, found) == found


@pytest.mark.parametrize(
    "text",
    [
        "ce/index/3x5/f32/mean,script=twice",
        "ce/index/0x5/f32/sum",
        "ce/index/3x5/f32/mean,grad=skip",
        "ce/index/3x5/f32/mean,layout=broadcast",
        "unit/index/3x5/f32/mean,ignored=some",
    ],
)
def test_from_other_cases_no_relation_starts(text):
    assert metamorphic.prepared("permute", Case.parse(text)) is None


def test_of_the_unit_scaled_losses_only_the_mean_of_ignored_samples_is_left_out():
    for text in ("unit/index/3x5/f32/sum,ignored=some", "unit/index/3x5/f32/mean"):
        assert metamorphic.prepared("permute", Case.parse(text)) is not None


@pytest.mark.parametrize(
    ("systems", "missing"),
    [
        (["ce"], {"project", "identity"}),
        (["linear"], {"flatten", "project"}),
        (["ce", "linear"], set()),
        (["oneflow"], {"project", "identity"}),
        (["unit"], {"scale-weight", "smooth", "project", "identity"}),
    ],
)
def test_relations_are_those_of_the_systems_that_there_are(systems, missing):
    assert set(metamorphic.RELATIONS) - set(metamorphic.applicable(systems)) == missing
