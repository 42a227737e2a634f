"""Every way of laying samples over threads, judged by the corpus's own verdicts."""

import pytest

from conformance import worker
from conformance.adapters.embedded_cuda import Adapter
from conformance.case import Case
from conformance.strength.measure import prepared
from conformance.verdict import judge
from crossent_spec.cuda import engine, geometry
from crossent_spec.cuda.geometry import Layout, Shape, choose
from crossent_spec.cuda.rows import Place

INDEX = "ce/index/3x37/f32/default,weight=mixed,ignored=some,smoothing=0.1,logits=target"
PROBABILITIES = "ce/prob/3x36/f32/default,weight=mixed,smoothing=0.3"
#: Threads, elements of an access to logits and to probabilities, accesses held, whether these are
#: all, and whether no access is split.
SHAPES = [
    Shape(1, 1, 1, 64, True, True),
    Shape(1, 1, 1, 8, False, True),
    Shape(2, 1, 1, 4, False, True),
    Shape(8, 1, 1, 8, True, True),
    Shape(16, 4, 1, 1, True, False),
    Shape(32, 1, 1, 2, True, True),
    Shape(32, 1, 1, 1, False, True),
    Shape(64, 1, 1, 1, True, True),
    Shape(64, 4, 1, 1, True, False),
    Shape(64, 1, 1, 1, False, True),
]
#: For samples that are a multiple of 16 bytes long.
WHOLE = [
    Shape(16, 4, 4, 1, True, True),
    Shape(4, 4, 1, 4, True, True),
    Shape(2, 4, 4, 1, False, True),
]


def verdict(case):
    request, message, expected = prepared(Case.parse(case))
    result = judge(request, expected, worker.answer(Adapter(), message))
    return result.verdict, result.message


@pytest.mark.parametrize(
    ("case", "shape"),
    [
        *((case, shape) for case in (INDEX, PROBABILITIES) for shape in SHAPES),
        *((PROBABILITIES, shape) for shape in WHOLE),
    ],
    ids=str,
)
def test_every_layout_of_threads(monkeypatch, case, shape):
    monkeypatch.setattr(engine, "choose", lambda layout: shape)  # noqa: ARG005
    assert verdict(case) == ("pass", "")


@pytest.mark.parametrize(
    "case",
    [
        "ce/index/3x37/f16/default,logits=target",
        "ce/index/3x37/bf16/none,logits=target",
        "ce/index/3x37/f64/default,weight=mixed,smoothing=0.1",
        "ce/index/2x300/f16/sum",
        "ce/index/2x5x3x2/f32/default,ignored=some,weight=mixed",
        "ce/index/2x40x3/f32/default,smoothing=0.1",
        "ce/prob/2x5x3x2/bf16/default,weight=mixed",
        "ce/prob/3x300/f32/default",
        "ce/index/10/f32/default",
        "ce/index/2x1100/f32/default,smoothing=0.1",
        "ce/index/3x37/f32/default,logits=neginf-row",
        "ce/index/3x37/f32/default,layout=transposed",
        "ce/prob/3x37/f32/default,layout=reversed,target_layout=strided",
        "unit/index/3x37/f32/default,mult=0.5",
        "linear/index/5x3-4/f32/default,bias=yes,weight=mixed,ignored=some",
        "linear/prob/2x5-10x4x3/f32/default",
        "linear/index/6x5-4/f16/none,grad=mixed,options=chunk2",
    ],
)
def test_cases_of_every_kind(case):
    assert verdict(case) == ("pass", "")


def layout(samples, classes, size=4, spatial=False, step=1, out_phase=0, q_size=0):
    item = classes if step == 1 else 1
    x = Place(0, item, step, 1 if spatial else 0, 0)
    return Layout(
        samples, classes, spatial, size, q_size, x,
        x if q_size else None, x._replace(phase=out_phase), size == 8,
    )  # fmt: skip


@pytest.mark.parametrize("block", [32, 256])
def test_samples_of_several_warps_have_a_block_each(monkeypatch, block):
    monkeypatch.setattr(geometry, "BLOCK", block)
    for shape in SHAPES + WHOLE:
        threads = shape.block(1000)
        assert threads % shape.threads == 0
        assert threads == shape.threads if shape.threads > 32 else threads <= max(32, block)
        assert shape.threads == 1 or threads % 32 == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (layout(65536, 10), Shape(16, 1, 1, 1, True, True)),
        (layout(8192, 1000), Shape(32, 4, 1, 8, True, True)),
        (layout(8192, 1000, size=2), Shape(32, 8, 1, 4, True, True)),
        (layout(2048, 32000), Shape(1024, 4, 1, 8, True, True)),
        (layout(1024, 128256), Shape(512, 4, 1, 2, False, True)),
        (layout(8 * 2**18, 21, step=2**18, spatial=True), Shape(1, 1, 1, 32, True, True)),
        (layout(8 * 2**18, 150, step=2**18, spatial=True), Shape(1, 1, 1, 8, False, True)),
        (layout(64, 50257), Shape(512, 4, 1, 2, False, False)),
        # Logits and gradient that are not equally far from a multiple of 16 bytes.
        (layout(64, 1000, out_phase=1), Shape(32, 1, 1, 32, True, True)),
        (layout(64, 1000, q_size=4), Shape(128, 4, 4, 2, True, True)),
        (layout(64, 1000, size=8), Shape(256, 2, 1, 2, True, True)),
    ],
)
def test_the_layout_of_real_sizes(given, expected):
    assert choose(given) == expected
