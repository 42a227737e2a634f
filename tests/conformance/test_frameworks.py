"""Real frameworks, through their workers: every departure from a page is one that is known.

Each entry names the page's words, and a condition that tells which cases break them.  A case
that fails without being listed is a defect of the suite or a new finding; an entry that no case
meets any more is out of date.  Both fail here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from conformance import adapters, runner
from conformance.case import Case
from conformance.corpus import corpus
from conformance.corpus.found import SEARCHED
from conformance.driver import Program
from conformance.result import HARMLESS, Result


@dataclass(frozen=True)
class Departure:
    """Words of a page that a framework does not keep."""

    page: str
    words: str
    verdict: str
    holds: Callable[[Case, Result], bool]


SMOOTHING_RANGE = Departure(
    "002",
    "label_smoothing: a float in [0.0, 1.0]",
    "accepts-invalid",
    lambda case, _: case.bad in ("smoothing-negative", "smoothing-nan"),
)
TARGET_LONG = Departure(
    "004",
    "the target data type is required to be long when using class indices",
    "accepts-invalid",
    lambda case, _: case.bad == "target-dtype" and case.target_dtype == "uint8",
)
HALF_OVERFLOW = Departure(
    "002",
    "the formulas of 'mean', 'sum' and label smoothing, whose results fit float16 although the sum "
    "of losses or weights that the framework stores in float16 does not",
    "fail",
    lambda case, result: (
        case.dtype == "f16"
        and any(f"is {value}" in result.message for value in ("inf", "-inf", "nan"))
    ),
)
LONE_TARGET = Departure(
    "004",
    "target: shape () where the input has the shape (C)",
    "accepts-invalid",
    lambda case, _: case.bad == "target-extra-axis" and not case.sample_shape,
)
WEIGHT_MATRIX = Departure(
    "002",
    "weight: should be a 1D Tensor assigning weight to each of the classes",
    "accepts-invalid",
    lambda case, _: case.bad == "weight-2d" and len(case.sample_shape) > 1,
)

KNOWN = {
    "torch": [
        SMOOTHING_RANGE,
        TARGET_LONG,
        Departure(
            "004",
            "weight: a floating tensor of size C",
            "accepts-invalid",
            lambda case, _: case.bad == "weight-dtype" and case.target == "prob",
        ),
        HALF_OVERFLOW,
        LONE_TARGET,
        WEIGHT_MATRIX,
    ],
    "torch-linear": [
        SMOOTHING_RANGE,
        TARGET_LONG,
        Departure(
            "000",
            "target: shape (), (N) or (N, *out_features)",
            "accepts-invalid",
            lambda case, _: case.bad == "target-length" and case.has_options,
        ),
        Departure(
            "000",
            "weight: has to be a Tensor of size C",
            "accepts-invalid",
            lambda case, _: case.bad == "weight-long" and case.has_options,
        ),
        Departure(
            "000",
            "any second backward() call raises (even with retain_graph=True)",
            "accepts-invalid",
            lambda case, _: (
                case.script == "twice"
                and (case.reduction == "none" or case.target == "prob" or bool(case.smoothing))
            ),
        ),
        Departure(
            "000",
            "the cross entropy loss between input, linearly transformed to logits, and target: its "
            "gradients are summed over the chunks in float16",
            "fail",
            lambda case, result: (
                case.dtype == "f16"
                and case.shape[0] == 4097
                and case.options == "chunk2"
                and "grad.linear_" in result.message
            ),
        ),
        WEIGHT_MATRIX,
    ],
    "unit-scaling": [
        Departure(
            "001",
            "'none': no reduction will be applied",
            "error",
            lambda case, result: case.reduction == "none" and "AssertionError" in result.message,
        ),
        Departure(
            "001",
            "input: shape (C), (N, C) or (N, C, d1, ..., dK)",
            "error",
            lambda case, result: len(case.shape) > 2 and "AssertionError" in result.message,
        ),
        Departure(
            "001",
            "mult: a multiplier to be applied, where the loss fits float16 although the logits "
            "times mult, which the framework stores in float16, do not",
            "fail",
            lambda case, result: (
                case.dtype == "f16" and case.mult is not None and "loss is nan" in result.message
            ),
        ),
    ],
}


def judged(name: str, cases: list[Case]) -> runner.Run:
    program = Program.of_adapter(name, adapters.find(name))
    return runner.run(program, cases, jobs=2, timeout=60)


def representative(name: str) -> list[Case]:
    """The quick corpus, and of the full one what shows the departures."""
    system = {"torch": "ce", "torch-linear": "linear", "unit-scaling": "unit"}[name]
    mine = [case for case in corpus() if case.system == system]
    quick = set(corpus(quick=True))
    telling = [case for case in mine if case.bad != "no" or case.script == "twice"]
    halves = [case for case in mine if case.dtype == "f16" and case.shape[0] in (200, 4096, 4097)]
    searched = [case for case in mine if case.id in SEARCHED]
    some = [case for case in mine if case in quick]
    return list(dict.fromkeys([*some, *telling, *halves, *searched]))


@pytest.mark.parametrize("name", KNOWN)
def test_a_framework_departs_from_its_page_only_as_known(name):
    run = judged(name, representative(name))
    assert run.complete
    wrong = [result for result in run.results if result.verdict not in HARMLESS]
    unexplained, met = [], set()
    for result in wrong:
        case = Case.parse(result.case)
        reasons = [
            departure
            for departure in KNOWN[name]
            if departure.verdict == result.verdict and departure.holds(case, result)
        ]
        met.update(departure.words for departure in reasons)
        if not reasons:
            unexplained.append(f"{result.verdict} {result.case}: {result.message}")
    assert not unexplained, "\n".join(unexplained)
    assert met == {departure.words for departure in KNOWN[name]}


def test_the_embedded_implementation_conforms():
    run = judged("embedded", corpus(quick=True))
    wrong = [(r.case, r.message) for r in run.results if r.verdict not in HARMLESS]
    assert not wrong
    assert run.exit_code == 0
    passed = sum(result.verdict == "pass" for result in run.results)
    assert passed > 0.98 * len(run.results)
    # Its arithmetic in float32 keeps every loss of given logits within a unit of the correctly
    # rounded one, unless probabilities below zero make terms cancel.
    for result in run.results:
        losses = [output.ulps for output in result.outputs if output.name == "loss"]
        case = Case.parse(result.case)
        if case.dtype != "f64" and case.system != "linear" and case.probs != "outside":
            assert all(ulps <= 1.5 for ulps in losses), result.case
