"""Arrays as messages, and what no message may be."""

import base64
import json

import numpy as np
import pytest

from conformance.layout import place
from conformance.protocol import (
    PROTOCOL_VERSION,
    STORAGE,
    Adapter,
    Array,
    decode,
    encode,
    encode_view,
)
from conformance.values import numpy_dtype


def test_the_version_is_the_documented_one():
    assert PROTOCOL_VERSION == 1


@pytest.mark.parametrize("dtype", STORAGE)
def test_every_element_type_comes_back_as_itself(dtype):
    kind = np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype)
    assert kind.itemsize == numpy_dtype(dtype).itemsize
    values = np.array([[0, 1, 1], [1, 0, 1]], kind)
    back = decode(encode(Array(values, dtype)))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.data, values, strict=True)
    back.data[...] = 0  # the receiver's own memory


def test_values_travel_in_c_order_with_the_lowest_byte_first():
    expected = {"dtype": "int16", "shape": [2, 2], "data": "AQACAAMABAA="}
    values = np.array([[1, 2], [3, 4]], "<i2")
    for same in (values, values.astype(">i2"), np.asfortranarray(values)):
        assert encode(Array(same, "int16")) == expected
    assert encode(Array(values[0, 0], "int16")) == {"dtype": "int16", "shape": [], "data": "AQA="}


def test_a_view_travels_with_its_buffer():
    base = np.arange(8, dtype="<i2")
    view = base[6:0:-2]
    message = encode_view(Array(base, "int16"), view)
    assert base64.b64decode(message.pop("data")) == base.tobytes()
    # Text, because a program in another language tells 2 from 2.0.
    assert json.dumps(message, sort_keys=True) == (
        '{"base": 8, "dtype": "int16", "offset": 6, "readonly": false, "shape": [3], '
        '"strides": [-2]}'
    )
    empty = encode_view(Array(base, "int16"), np.zeros(0, "<i2"))  # which may lie anywhere
    assert (empty["shape"], empty["offset"]) == ([0], 0)


@pytest.mark.parametrize(
    "layout", ["c", "transposed", "strided", "offset", "broadcast", "readonly", "reversed"]
)
@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (0, 4)])
def test_a_view_is_rebuilt_as_it_lay(layout, shape):
    base, view = place(np.ones(shape, "<f4"), layout, np.nan)
    message = encode_view(Array(base, "float32"), view)
    back = decode(message)
    assert back.dtype == "float32"
    np.testing.assert_array_equal(back.data, view, strict=True)
    assert back.data.flags.writeable == (layout != "readonly")
    if view.size > 1:
        assert back.data.strides == view.strides


PLAIN = {"dtype": "int8", "shape": [2], "data": "AQI="}
VIEW = {"dtype": "int8", "base": 2, "shape": [2], "strides": [1], "offset": 0, "data": "AQI="}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ([], "array: expected an object, got list"),
        ({**PLAIN, "dtype": "int4"}, "array dtype: got 'int4', allowed are float16, bfloat16, "),
        ({**PLAIN, "shape": 2}, "array shape: got 2, expected a list of sizes"),
        ({**PLAIN, "shape": [-1]}, r"array shape: got \[-1\]"),
        ({**PLAIN, "shape": [True, 2]}, r"array shape: got \[True, 2\]"),
        ({**PLAIN, "shape": [2**63]}, "array shape: got"),
        ({**PLAIN, "shape": [3]}, r"got 2 bytes, shape \[3\] of int8 needs 3"),
        ({**PLAIN, "dtype": "int16"}, r"got 2 bytes, shape \[2\] of int16 needs 4"),
        ({"dtype": "int8", "shape": [1]}, "got 0 bytes"),
        ({**PLAIN, "data": "AQ I="}, "base64|Only|Non"),
        ({**VIEW, "base": 3}, "got 2 bytes"),
        ({**VIEW, "offset": 1}, "reaches outside its buffer of 2 elements"),
        ({**VIEW, "offset": -1}, "reaches outside"),
        ({**VIEW, "strides": [2]}, "reaches outside"),
        ({**VIEW, "strides": [-1]}, "reaches outside"),
        ({**VIEW, "strides": [1, 1]}, "reaches outside"),
    ],
)
def test_what_no_array_can_be_is_refused(message, words):
    with pytest.raises(ValueError, match=words):
        decode(message)


def test_a_view_may_end_where_its_buffer_does():
    assert decode(VIEW).data.tolist() == [1, 2]
    assert decode(VIEW).data.flags.writeable
    assert decode({**VIEW, "strides": [-1], "offset": 1}).data.tolist() == [2, 1]
    assert decode({**VIEW, "shape": [5], "strides": [0], "offset": 1}).data.tolist() == [2] * 5
    assert decode({**VIEW, "shape": [0], "offset": 9}).data.tolist() == []
    assert decode({"dtype": "int8", "shape": [0, 3]}).data.shape == (0, 3)
    twice = {**VIEW, "shape": [2, 2], "strides": [1, -1], "offset": 0}
    with pytest.raises(ValueError, match="outside"):
        decode(twice)
    with pytest.raises(ValueError, match="outside"):
        decode({**twice, "offset": 1})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("describe", ()), ("forward", (None,)), ("backward", (None, None, False))],
)
def test_an_adapter_must_say_all_of_this_itself(name, arguments):
    with pytest.raises(NotImplementedError):
        getattr(Adapter(), name)(*arguments)
    with pytest.raises(NotImplementedError, match="writes? reproduction scripts"):
        Adapter().script(None, {})
