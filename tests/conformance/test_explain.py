"""Explanations, line for line."""

import numpy as np
import pytest

from conformance.case import Case
from conformance.clauses import by_id
from conformance.corpus import corpus
from conformance.expect import ExactOutput, Expected, ExpectedStep, Reading
from conformance.explain import case_lines, clause_lines


def without_clauses(text):
    """The explanation of a case, without the long lines about its clauses."""
    lines = list(case_lines(Case.parse(text)))
    start, end = lines.index("  observes:"), lines.index("  expected:")
    assert start + 1 < end
    for line in lines[start + 1 : end]:
        clause, check = line.strip().split(": ", 1)
        assert check == by_id(clause).check
    return lines[1:start] + lines[end:]


def test_a_call_with_readings_strides_and_a_scalar():
    found = without_clauses("unit/index/5x2/f16/mean,ignored=most,layout=strided,logits=zeros")
    assert found[:8] == [
        "  calls unit_scaling.functional.cross_entropy as a function",
        "  reduction = 'mean'",
        "  input: 5 x 2 float16, strides [4, 2]; from 0.0 to 0.0",
        "  target: 5 int64; from -100 to 1",
        "  steps:",
        "    a = forward(input, target)",
        "    backward of a to input",
        "  expected:",
    ]
    assert found[8:10] == [
        "    step 0: loss (mean over all elements of the output), float16 (): 0.13862943611198905",
        "    step 0: loss (mean over non-ignored targets), float16 (): 0.6931471805599453",
    ]
    assert found[10].startswith("    step 0: loss, largest allowed error 0.00")
    assert found[11].startswith("    step 1: gradient of input, float16 (5, 2): [[ ")


def test_a_call_that_must_raise():
    assert without_clauses("ce/index/3x4/f32/mean,bad=target-length,logits=equal") == [
        "  calls torch.nn.CrossEntropyLoss as a function",
        "  breaks a requirement: target-length",
        "  reduction = 'mean'",
        "  input: 3 x 4 float32; from -3.25 to -3.25",
        "  target: 4 int64; from 0 to 3",
        "  steps:",
        "    a = forward(input, target)",
        "  expected:",
        "    step 0: must raise an error",
    ]


def test_a_call_that_may_raise():
    found = without_clauses("ce/index/0x5/f32/mean,layout=readonly")
    assert found[13] == "  open: a call that the pages describe without saying that it works"
    assert found[:13] == [
        "  calls torch.nn.CrossEntropyLoss as a function",
        "  reduction = 'mean'",
        "  input: 0 x 5 float32, read-only; empty",
        "  target: 0 int64; empty",
        "  steps:",
        "    a = forward(input, target)",
        "    backward of a to input",
        "  expected:",
        "    step 0: may raise an error",
        "    step 0: loss, float32 (): nan",
        "    step 0: loss, largest allowed error 2.35e-38",
        "    step 1: gradient of input, float32 (0, 5): []",
        "    step 1: gradient of input, largest allowed error 0",
    ]


def test_steps_that_are_repeated():
    text = "linear/index/1x2-1/f32/none,script=twice,options=auto,logits=zeros,grad=ones"
    found = without_clauses(text)
    assert found[3] == "  input: 1 x 2 float32; from 0.0 to 0.0"
    assert found[5:12] == [
        "  target: 1 int64; 0",
        "  grad_output: 1 float32; 1.0",
        "  steps:",
        "    a = forward(input, linear_weight, target)",
        "    backward of a to input, linear_weight, with grad_output, to be repeated",
        "    backward of a to input, linear_weight, with grad_output",
        "  expected:",
    ]
    assert found[-1] == "    step 2: must raise an error"


def test_a_long_output_is_shown_by_its_ends():
    def output(size):
        values = np.arange(float(size)) / 3
        return ExactOutput("float64", (size,), (Reading("", values, values),), values)

    steps = (ExpectedStep(outputs={"loss": output(8)}), ExpectedStep(outputs={"x": output(9)}))
    whole, first, ends, second = Expected(steps).summary()
    assert "..." not in whole
    assert first == "step 0: loss, largest allowed error 2.33"
    assert ends == (
        "step 1: gradient of x, float64 (9,): [0.                , 0.3333333333333333, "
        "0.6666666666666666, ...,\n 2.                , 2.3333333333333335, 2.6666666666666665]"
    )
    assert second == "step 1: gradient of x, largest allowed error 2.67"


@pytest.mark.parametrize("clause_id", ["state.reference-repeats", "index.mean.formula"])
def test_a_clause_lists_ten_of_its_cases(clause_id):
    clause, cases = by_id(clause_id), corpus()
    ids = [case.id for case in cases if clause.covers(case)]
    lines = list(clause_lines(clause, cases))
    assert lines[0] == clause_id
    head = "  9 cases:" if len(ids) == 9 else f"  {len(ids)} cases, the first of them:"
    at = lines.index(head)
    assert lines[at + 1 :] == [f"    {text}" for text in ids[:10]]
    formula = [line for line in lines if line.startswith("  formula")]
    assert formula == ([f"  formula    {clause.formula}"] if clause.formula else [])


def test_a_clause_without_cases_says_why():
    clause = by_id("legacy.deprecated")
    lines = list(clause_lines(clause, corpus()))
    assert lines[-1] == f"  no cases   {clause.why}"
    assert [line.split()[0] for line in lines[1:-1] if line.startswith("  page")]
    assert lines[1].startswith("  holds for  torch.nn.CrossEntropyLoss")
    assert f"  check      {clause.check}" in lines


def test_single_numbers_are_told_without_brackets():
    found = without_clauses("ce/index/1x1/f32/sum,logits=zeros")
    assert "  input: 1 x 1 float32; 0.0" in found
    found = without_clauses("ce/index/3x4/f32/sum,bad=input-scalar,logits=zeros")
    assert "  input: scalar float32; 0.0" in found
