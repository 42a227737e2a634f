import os
import subprocess
import sys
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossent_spec
from crossent_spec.device_array import (
    DeviceArray,
    as_given,
    from_interface,
    is_on_device,
    merged_strides,
)


def fake(**about):
    """An object with the CUDA array interface; nothing here looks at its memory."""
    interface = {"shape": (2, 3), "typestr": "<f4", "data": (4096, False), "version": 3}
    return SimpleNamespace(__cuda_array_interface__={**interface, **about})


@st.composite
def views(draw):
    """An array whose axes were cut, stepped through, reversed and moved."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    array = np.zeros([2 * extent for extent in shape], np.int8)
    for axis, extent in enumerate(shape):
        cut = draw(st.sampled_from([slice(extent), slice(None, None, 2), slice(None)]))
        array = array[(slice(None),) * axis + (cut,)]
    if draw(st.booleans()):
        array = np.ascontiguousarray(array)
    order = draw(st.permutations(range(len(shape)))) if draw(st.booleans()) else None
    array = array.transpose(order)
    return array[::-1] if draw(st.booleans()) else array


@given(views(), st.data())
def test_another_shape_needs_a_copy_just_where_numpy_says_so(array, data):
    head = data.draw(st.integers(0, array.ndim))
    wanted = data.draw(
        st.sampled_from(
            [
                (*array.shape[:head], int(np.prod(array.shape[head:], dtype=int))),
                (1, *array.shape),
                (array.size,),
            ]
        )
    )
    found = merged_strides(array.shape, array.strides, wanted, array.itemsize)
    copied = array.reshape(wanted)
    if not np.may_share_memory(copied, array):
        assert found is None
        return
    assert found is not None
    assert {type(stride) for stride in found} == {int}
    # Strides of axes of one element may be anything.
    assert all(
        one == other
        for one, other, extent in zip(found, copied.strides, wanted, strict=True)
        if extent > 1
    )


def test_an_array_on_a_gpu_is_known_by_its_interface():
    array = from_interface(fake(strides=(24, 8), data=(4096, True), stream=7), "input")
    assert (array.shape, array.dtype, array.strides) == ((2, 3), np.float32, (24, 8))
    assert (array.pointer, array.read_only, array.stream) == (4096, True, 7)
    assert from_interface(fake(), "input").strides == (12, 4)
    assert from_interface(array, "input") is array
    assert is_on_device(fake())
    assert not is_on_device(np.zeros(3))
    assert not is_on_device([1.0])


def test_what_an_array_tells_others_is_what_it_was_told():
    about = fake(typestr="<V2", strides=(6, 2)).__cuda_array_interface__
    array = from_interface(fake(typestr="<V2", strides=(6, 2)), "input")
    assert array.dtype == ml_dtypes.bfloat16
    told = array.__cuda_array_interface__
    assert {name: told[name] for name in about} == about


def test_an_array_made_here_tells_all_of_itself():
    array = DeviceArray(None, 4096, (2, 3), np.dtype(np.float32), stream=5)
    assert array.__cuda_array_interface__ == {
        "shape": (2, 3), "typestr": "<f4", "data": (4096, False), "strides": (12, 4),
        "version": 3, "stream": 5,
    }  # fmt: skip
    assert (array.ndim, array.size, array.read_only, array.source) == (2, 6, False, None)
    assert repr(array) == "DeviceArray(shape=(2, 3), dtype=float32)"
    locked = DeviceArray(None, 4096, (2, 3), np.dtype(np.float32), read_only=True, stream=5)
    for view in (locked.part(0, 1), locked.reshape(6)):
        assert (view.read_only, view.stream, view.owner) == (True, 5, locked)


def test_both_names_of_two_bytes_are_bfloat16():
    for typestr in ("<V2", "|V2"):
        assert from_interface(fake(typestr=typestr), "input").dtype == ml_dtypes.bfloat16


def test_an_argument_is_taken_as_the_array_that_it_is():
    assert as_given(fake(), "tangent").pointer == 4096
    np.testing.assert_array_equal(as_given([1.0, 2.0], "tangent"), np.array([1.0, 2.0]))
    with pytest.raises(TypeError, match="^tangent: got a masked array"):
        as_given(fake(mask=fake()), "tangent")


@pytest.mark.parametrize("wanted", [(0, 3), (3, 0), (0,), (2, 0, 5)])
def test_nothing_has_any_shape_that_holds_nothing(wanted):
    array = np.zeros((0, 3), np.float32)
    found = merged_strides(array.shape, (-24, 8), wanted, 4)
    assert found is not None
    assert len(found) == len(wanted)


@pytest.mark.parametrize(
    ("about", "error", "words"),
    [
        ({"mask": fake()}, TypeError, "input: got a masked array"),
        ({"data": (4098, False)}, ValueError, "input: got an array that is not aligned"),
        ({"typestr": ">f4"}, TypeError, "input: got dtype >f4, expected native byte order"),
        ({"strides": (12, 2)}, ValueError, "input: got an array that is not aligned"),
    ],
)
def test_arrays_that_kernels_cannot_take_are_refused_by_name(about, error, words):
    with pytest.raises(error, match=words):
        from_interface(fake(**about), "input")


class Reluctant:
    @property
    def __cuda_array_interface__(self):
        raise RuntimeError("it requires grad")


def test_a_reason_against_it_is_said_with_the_name():
    y = from_interface(fake(typestr="<i8", shape=(2,)), "target")
    with pytest.raises(TypeError, match="input: it requires grad"):
        from_interface(Reluctant(), "input")
    assert is_on_device(Reluctant())
    assert y.dtype == np.int64
    assert from_interface(fake(data=(None, False), shape=(0, 3)), "input").pointer == 0


def test_parts_and_shapes_are_views():
    array = DeviceArray(None, 4096, (4, 3, 2), np.dtype(np.float64))
    part = array.part(1, 3)
    assert (part.pointer, part.shape, part.strides) == (4096 + 48, (2, 3, 2), (48, 16, 8))
    wide = array.reshape(4, -1).shape
    assert wide == (4, 6)
    assert {type(extent) for extent in wide} == {int}
    assert array.reshape(6, 4).shape == (6, 4)
    assert array.reshape(1, 24).strides == (8, 8)
    assert array.reshape(-1).strides == (8,)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"backend": "gpu"}, ValueError, "backend: got 'gpu', allowed are cpu, cuda and None"),
        ({"stream": 3}, ValueError, "stream: only arrays on a GPU"),
        ({"input": fake()}, TypeError, "target: is on the host, but input is on a GPU"),
        ({"target": fake()}, TypeError, "input: is on the host, but target is on a GPU"),
        ({"input": fake(), "backend": "cpu"}, TypeError, "input: is on a GPU; copy it"),
    ],
)
def test_a_call_runs_where_all_its_arrays_are(arguments, error, words):
    call = {"input": np.zeros((2, 3)), "target": np.array([0, 1]), **arguments}
    with pytest.raises(error, match=words):
        crossent_spec.cross_entropy(**call)


def test_a_direction_is_where_the_input_is():
    x, y = np.zeros((2, 3)), np.array([0, 1])
    with pytest.raises(TypeError, match="tangent: is on a GPU, but input is on the host"):
        crossent_spec.cross_entropy_jvp(x, y, fake())
    with pytest.raises(TypeError, match="input: is on a GPU; copy it to the host"):
        crossent_spec.cross_entropy_hvp(fake(), fake(typestr="<i8", shape=(2,)), x, backend="cpu")
    along = crossent_spec.Gradients(linear_weight=fake())
    with pytest.raises(TypeError, match=r"tangents\.linear_weight: is on a GPU, but input is"):
        crossent_spec.linear_cross_entropy_jvp(x, np.zeros((2, 3)), y, along)


NO_GPU = """
import numpy as np, crossent_spec, sys
try:
    crossent_spec.cross_entropy(np.zeros((2, 3)), np.array([0, 1]), backend="cuda")
except RuntimeError as error:
    assert "looked for an NVIDIA GPU with its driver" in str(error), error
    print("refused")
assert crossent_spec.cross_entropy(np.zeros((2, 3)), np.array([0, 1])) > 1
"""


def test_without_a_gpu_one_error_says_what_was_looked_for():
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    variables.pop("NUMBA_ENABLE_CUDASIM", None)
    done = subprocess.run(
        [sys.executable, "-c", NO_GPU], capture_output=True, text=True, env=variables, check=False
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_nothing_of_the_gpu_is_imported_without_need():
    program = (
        "import numpy as np, crossent_spec, sys\n"
        "crossent_spec.cross_entropy(np.zeros((2, 3)), np.array([0, 1]))\n"
        "print([name for name in sys.modules if 'cuda' in name.split('.')[-1]])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    found = [name for name in eval(done.stdout) if "crossent" in name]
    assert found == [], done.stderr
