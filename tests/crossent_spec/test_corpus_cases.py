"""A twenty-fifth of the corpus, judged in this process and not in a worker's.

``crossent run`` judges all of it; here a coverage measurement sees the library, as mutation
testing needs, and a debugger can step into a case.
"""

import pytest

from conformance import worker
from conformance.adapters.embedded import Adapter
from conformance.corpus import corpus
from conformance.expect import expect
from conformance.request import build
from conformance.verdict import judge

#: Cases of up to so many logits: others take longer than all of these.
LARGEST = 40_000


def size(case):
    request = build(case)
    return sum(view.view.size for view in request.arrays.values())


CASES = [case for case in corpus()[::25] if size(case) < LARGEST]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case(case):
    request = build(case)
    found = judge(request, expect(case, request), worker.answer(Adapter(), request.message()))
    assert found.verdict == "pass", found.message
