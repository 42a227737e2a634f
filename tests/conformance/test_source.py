"""Numbers, arrays and calls as Python source text."""

import numpy as np
import pytest

from conformance import source
from conformance.layout import place


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.nan, "np.nan"),
        (np.inf, "np.inf"),
        (-np.inf, "-np.inf"),
        (np.float32(0.1), "0.1"),
        (-0.0, "-0.0"),
        (np.int8(-3), "-3"),
    ],
)
def test_a_number_is_written_as_python_reads_it(value, text):
    assert source.number(value) == text


def test_an_array_stands_on_one_line_where_it_is_short():
    short, long = np.array([1] * 17 + [10]), np.array([1] * 17 + [100])
    assert source.literal(short) == f"np.array({short.tolist()}, 'int64')"
    assert source.literal(long) == f"np.array(\n    {long.tolist()},\n    'int64',\n)"
    many = np.ones(40)
    assert source.literal(many) == (
        f"np.array(\n    [{', '.join(['1.0'] * 18)},\n"
        f"     {', '.join(['1.0'] * 18)},\n     {', '.join(['1.0'] * 4)}],\n    'float64',\n)"
    )
    assert (
        source.literal(np.ones((2, 1), np.int8))
        == "np.array(\n    [[1],\n     [1]],\n    'int8',\n)"
    )
    assert source.literal(np.array(True)) == "np.array(True, 'bool')"
    assert source.literal(np.zeros((0, 3))).startswith("np.array([], 'float64')")


def test_no_element_is_left_out_of_a_large_array():
    values = np.arange(3000.0)
    assert eval(source.literal(values), {"np": np}).tolist() == values.tolist()


def test_a_float32_whose_shortest_text_is_another_number_is_written_longer():
    values = np.array([0x15AE43FD, 0x3DCCCCCD], np.uint32).view(np.float32)
    assert np.float32(float(str(values[0]))) != values[0]
    assert np.array_equal(eval(source.literal(values), {"np": np}), values)


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("x = f(a, b)", ["x = f(a, b)"]),
        ("    x = f(a),", ["    x = f(a),"]),
        ("x = " + "a" * 100, ["x = " + "a" * 100]),
        ("f(" + "a" * 92 + ")", ["f(" + "a" * 92 + ")"]),  # 95 columns
        ("f(" + "a" * 93 + ")", ["f(", "    " + "a" * 93 + ",", ")"]),
        ("X(" + "X" * 93 + ")", ["X(", "    " + "X" * 93 + ",", ")"]),
        ("  f(" + "a" * 93 + "),", ["  f(", "      " + "a" * 93 + ",", "  ),"]),
        (
            "x = f(1, 2).g([1, 2], {3: 4}, '),(', " + "a" * 80 + ")",
            [
                "x = f(1, 2).g(",
                "    [1, 2],",
                "    {3: 4},",
                "    '),(',",
                "    " + "a" * 80 + ",",
                ")",
            ],
        ),
    ],
)
def test_a_long_call_is_broken_after_its_own_commas(line, lines):
    assert source.break_line(line) == lines


def test_allowed_errors_have_two_digits_and_are_one_number_where_they_are_alike():
    same = source.two_digits(np.array([[1.234e-7, 1.23e-7]]))
    assert (same.shape, float(same)) == ((), 1.2e-7)
    two = source.two_digits(np.array([[1.26e-7], [0.5]]))
    assert two.tolist() == [[1.3e-7], [0.5]]
    assert source.two_digits(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("layout", "axes", "offset"),
    [
        ("c", [0, 1, 2], 0),
        ("readonly", [0, 1, 2], 0),
        ("transposed", [2, 1, 0], 0),
        ("strided", None, 0),
        ("offset", None, 3),
        ("reversed", None, 3),
        ("broadcast", None, 0),
    ],
)
def test_a_view_is_known_by_its_axes_or_its_place(layout, axes, offset):
    base, view = place(np.ones((2, 3, 4), np.float32), layout, 0.0)
    assert source.axes_of(view, base) == axes
    assert source.offset(view, base) == offset


def test_a_view_without_elements_begins_at_the_beginning():
    base, view = np.zeros(0), np.zeros((0, 3))
    assert source.offset(view, base) == 0
    assert source.axes_of(view, base) == [0, 1]
    assert source.axes_of(np.broadcast_to(np.zeros(1), (1,)), np.zeros(1)) is None
    base = np.zeros(6)
    assert source.axes_of(base[:4].reshape(2, 2), base) is None
    cube = np.zeros(24)
    assert source.axes_of(cube.reshape(2, 3, 4).transpose(1, 2, 0), cube) == [2, 0, 1]
    turned = base.reshape(2, 1, 3).transpose(2, 1, 0)
    assert turned.transpose(source.axes_of(turned, base)).flags.c_contiguous


def test_imports_are_sorted_with_the_standard_library_first():
    lines = ["import torch", "import base64", "import numpy as np", "from os.path import join"]
    assert source.sorted_imports(lines) == [
        "from os.path import join",
        "import base64",
        "",
        "import numpy as np",
        "import torch",
    ]
    assert source.sorted_imports({"import torch"}) == ["import torch"]
