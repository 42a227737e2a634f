"""A vector asks for what its case asks for, and a framework is judged by it alone."""

import numpy as np
import pytest

from conformance.case import Case
from conformance.expect import expect
from conformance.golden.judge import Examiner, make_expected
from conformance.golden.make import make_vector
from conformance.golden.read import read_folder
from conformance.golden.write import render_all, replace_files
from conformance.request import build
from tests.conformance.test_verdict import reply_with

TEXTS = (
    "ce/index/4x3/bf16/none,smoothing=0.1,grad=mixed",
    "ce/index/3x4/f32/mean,grad=skip",
    "ce/index/3x4/f32/mean,script=again",
    "ce/index/4x10/f32/mean,bad=target-too-large",
    "ce/prob/4x5/f32/mean,weight=mixed,ignore_index=2",
    "linear/index/6x5-4/f32/sum,bias=yes,options=chunk2,script=twice",
    "linear/index/6x5-4/f32/sum,script=twice",
    "unit/index/6x4/f32/mean,ignored=some",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_vector_asks_for_what_its_case_asks_for(text):
    case = Case.parse(text)
    stored, own = make_expected(make_vector(case)), expect(case, build(case))
    assert [step.raises for step in stored.steps] == [step.raises for step in own.steps]
    for one, other in zip(stored.steps, own.steps, strict=True):
        assert one.outputs.keys() == other.outputs.keys()
        for name, output in one.outputs.items():
            exact = other.outputs[name]
            assert (output.dtype, output.shape) == (exact.dtype, exact.shape)
            assert [x.name for x in output.readings] == [x.name for x in exact.readings]
            for reading, true in zip(output.readings, exact.readings, strict=True):
                assert reading.low.shape == reading.high.shape
                assert not reading.low.any()
                error = np.abs(reading.high - true.high)
                assert (error <= exact.allowed)[np.isfinite(true.high)].all()
            assert (output.allowed >= exact.allowed).all()
            assert (output.allowed <= 1.2 * exact.allowed + 2.0**-120).all()


def test_a_framework_is_asked_what_the_files_hold_and_judged_by_them(tmp_path):
    texts = sorted(TEXTS[:2])
    replace_files(tmp_path, render_all([make_vector(Case.parse(text)) for text in texts]))
    assert [vector.id for vector in read_folder(tmp_path)] == texts
    examine = Examiner(tmp_path)
    for text in texts:
        case = Case.parse(text)
        request = build(case)
        asked = []

        def ask(message, change=1.0, request=request, case=case, asked=asked):
            asked.append(message)
            reply = reply_with(request, expect(case, request), lambda *a: a[2] * change)
            return lambda: reply

        assert examine(case, ask).verdict == "pass"
        assert examine(case, lambda message, ask=ask: ask(message, 1.1)).verdict == "fail"
        sent, own = asked[0], request.message()
        assert {name: sent[name] for name in ("case", "system", "form", "steps", "wrt")} == {
            name: own[name] for name in ("case", "system", "form", "steps", "wrt")
        }
