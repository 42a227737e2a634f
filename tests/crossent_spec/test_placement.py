"""Where a call runs, with stand-ins for the GPU's memory and for the libraries that have some."""

import contextlib
import sys
from types import ModuleType, SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from crossent_spec import placement
from crossent_spec.device_array import DeviceArray
from crossent_spec.placement import Placement, on_the_gpu, placed, taken

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def on_gpu(pointer=4096, shape=(2, 3), dtype="f4", stream=None):
    return DeviceArray(None, pointer, shape, np.dtype(dtype), stream=stream)


class Memory:
    """Says what was asked of it in place of doing it."""

    def __init__(self):
        self.asked = []
        self.gpus = {}

    def require_device(self):
        self.asked.append("a GPU")

    def current_gpu(self):
        return 4

    def gpu_of(self, array, name):
        self.asked.append(name)
        return self.gpus.get(array.pointer, 0) if array.size else None

    @contextlib.contextmanager
    def on_gpu(self, number):
        self.asked.append(f"enter {number}")
        yield
        self.asked.append(f"leave {number}")

    def stream_from(self, stream):
        return ("from", stream)

    def stream_of(self, array):
        return ("of", array)

    def on_stream(self, array, stream):
        self.asked.append("on stream")
        return ("on", array, stream)

    def to_device(self, array, stream):
        return ("copied", array, stream)

    def to_host(self, array):
        return ("host", array)


@pytest.fixture
def memory(monkeypatch):
    made = Memory()
    package = ModuleType("crossent_spec.cuda")
    package.memory = made
    monkeypatch.setitem(sys.modules, "crossent_spec.cuda", package)
    return made


@pytest.fixture
def none_of_the_gpu(monkeypatch):
    """Make an import of the GPU's part an error."""
    monkeypatch.setitem(sys.modules, "crossent_spec.cuda", None)


X, Y = np.zeros((2, 3)), np.array([0, 1])


@pytest.mark.usefixtures("none_of_the_gpu")
def test_arrays_of_the_host_stay_there():
    for backend in (None, "cpu"):
        where, arrays = placed(backend, None, input=X, target=Y, weight=None)
        assert where is None
        assert arrays[0] is X
        assert arrays[1] is Y
        assert arrays[2] is None
        with pytest.raises(ValueError, match="^stream: only arrays on a GPU, or backend='cuda',"):
            placed(backend, 0, input=X, target=Y)
    assert taken(None, X, "tangent") is X
    with pytest.raises(TypeError, match="^tangent: is on a GPU, but input is on the host; copy"):
        taken(None, on_gpu(), "tangent")


@pytest.mark.usefixtures("none_of_the_gpu")
def test_what_cannot_be_placed_is_refused_by_name():
    with pytest.raises(ValueError, match="^backend: got 'gpu', allowed are cpu, cuda and None$"):
        placed("gpu", None, input=X)
    words = "^target: is on a GPU; copy it to the host for backend='cpu'$"
    with pytest.raises(TypeError, match=words):
        placed("cpu", None, input=X, target=on_gpu(), weight=on_gpu())
    words = "^weight: is on the host, but target is on a GPU; copy one to the other$"
    for backend in (None, "cuda"):
        with pytest.raises(TypeError, match=words):
            placed(backend, None, input=None, target=on_gpu(), weight=X, linear_weight=on_gpu())


def test_arrays_of_the_host_are_copied_where_the_gpu_is_asked_for(memory):
    where, arrays = placed("cuda", 7, input=[1.0, 2.0], target=Y, weight=None)
    stream = ("from", 7)
    assert memory.asked == ["a GPU"]
    assert where.stream == stream
    assert where.give("x") == ("host", "x")
    assert (where.gpu, where.on_host) == (4, True)
    values, target, weight, held = where.held
    assert (values.tolist(), held) == ([1.0, 2.0], 7)
    assert target is Y
    assert weight is None
    assert arrays[:2] == [("copied", values, stream), ("copied", Y, stream)]
    assert arrays[0][1] is values
    assert arrays[2] is None
    found = taken(where, [3.0], "tangent")
    assert (found[0], found[1].tolist(), found[2]) == ("copied", [3.0], stream)
    with pytest.raises(TypeError, match="^tangent: is on a GPU, but input is on the host; copy"):
        taken(where, on_gpu(), "tangent")


@pytest.mark.parametrize("dtype", ["?", "c8", "O", "U1"])
def test_what_will_be_refused_by_its_dtype_is_not_copied(memory, dtype):
    wrong = np.zeros(2, dtype)
    _, (first, second) = placed("cuda", None, input=wrong, target=np.zeros(2, "u1"))
    assert first is wrong
    assert second[0] == "copied"
    assert memory.asked == ["a GPU"]


def test_arrays_of_a_gpu_say_where_the_call_runs(memory):
    x, y = on_gpu(4096), on_gpu(8192, (2,), "i8")
    memory.gpus = {4096: 2, 8192: 2}
    for backend in (None, "cuda"):
        memory.asked.clear()
        where, arrays = placed(backend, None, input=x, target=y, weight=None)
        entered = ["enter 2", "on stream", "on stream", "leave 2"]
        assert memory.asked == ["a GPU", "input", "target", *entered]
        assert where.stream == ("of", x)
        assert (where.held, where.gpu, where.on_host) == ((None,), 2, False)
        assert where.give("x") == "x"
        assert arrays == [("on", x, ("of", x)), ("on", y, ("of", x)), None]
    where, arrays = placed(None, 7, input=x, target=y)
    assert where.stream == ("from", 7)
    assert where.held == (7,)
    assert arrays[1] == ("on", y, ("from", 7))
    with pytest.raises(ValueError, match="^target: got an array that is not aligned"):
        placed(None, None, input=x, target=like("mine", data=4097))
    where, arrays = placed(None, None, input=None, target=y)
    assert where.stream == ("of", y)
    assert arrays[0] is None


def test_the_gpu_is_that_of_arrays_with_elements(memory):
    empty = on_gpu(0, (0, 3))
    where, _ = placed(None, None, input=empty)
    assert where.gpu == 4
    memory.gpus = {8192: 1, 4096: 2}
    where, _ = placed(None, None, input=empty, target=on_gpu(8192, (2,), "i8"))
    assert where.gpu == 1
    words = "^weight: is on GPU 2, but target is on GPU 1; copy one to the other$"
    with pytest.raises(ValueError, match=words):
        placed(None, None, input=empty, target=on_gpu(8192, (2,), "i8"), weight=on_gpu())


def test_what_comes_later_must_be_on_the_same_gpu(memory):
    where = Placement("stream", None, (), 2, on_host=False)
    memory.gpus = {4096: 2, 8192: 1}
    there = on_gpu()
    assert taken(where, there, "tangent") == ("on", there, "stream")
    assert memory.asked == ["tangent", "enter 2", "on stream", "leave 2"]
    words = "^out: is on GPU 1, but input is on GPU 2; copy one to the other$"
    with pytest.raises(ValueError, match=words):
        on_the_gpu(where, on_gpu(8192), "out")
    with pytest.raises(TypeError, match="^tangent: is on the host, but input is on a GPU; copy"):
        taken(where, X, "tangent")
    with pytest.raises(ValueError, match="^tangent: got an array that is not aligned"):
        taken(where, like("mine", data=4097), "tangent")
    # Without elements it is on any; and the simulator's GPU has no number.
    assert on_the_gpu(where, on_gpu(8192, (0, 3)), "out")[0] == "on"
    simulated = Placement("stream", None, (), None, on_host=False)
    assert on_the_gpu(simulated, on_gpu(8192), "out")[0] == "on"


# Libraries.


def like(library, data=4096, **members):
    """Return an array on the GPU whose type is of a library."""
    interface = {"shape": (2, 3), "typestr": "<f4", "data": (data, False), "version": 3}
    kind = type("Tensor", (), {"__module__": f"{library}.inside.more", **members})
    made = kind()
    made.__cuda_array_interface__ = interface
    return made


class Stream:
    synchronized = 0

    def synchronize(self):
        self.synchronized += 1


class Torch:
    """As much of torch as is asked for."""

    bfloat16 = "torch.bfloat16"

    def __init__(self, stream=5):
        self.cuda = self
        self.stream = stream

    def current_stream(self, device):
        assert device == "cuda:2"
        return SimpleNamespace(cuda_stream=self.stream)

    def as_tensor(self, array, device):
        assert device == "cuda:2"
        return SimpleNamespace(array=array, view=lambda dtype: (array, dtype))


def test_torchs_current_stream_is_the_calls_unless_one_is_given(memory, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", Torch())
    x = like("torch", device="cuda:2")
    where = placed(None, None, input=x)[0]
    assert where.stream == ("from", 5)
    there = on_gpu()
    assert where.give(there).array is there
    with pytest.raises(AttributeError, match="'tuple' object has no attribute 'synchronize'"):
        where.give(on_gpu(stream=6))  # it waits for the call's stream, which is a stand-in
    assert placed(None, 7, input=x)[0].stream == ("from", 7)
    other = placed(None, None, input=like("torchlike"))[0].stream
    assert other[0] == "of"
    assert memory.asked.count("a GPU") == 3


@pytest.mark.parametrize(
    ("current", "of_array", "waits"),
    [(5, None, 0), (5, 5, 0), (5, 6, 1), (0, 1, 0), (0, 2, 1)],
)
def test_a_result_for_torch_is_a_tensor_that_is_ready(monkeypatch, current, of_array, waits):
    torch, stream = Torch(current), Stream()
    monkeypatch.setitem(sys.modules, "torch", torch)
    give = placement._giver(like("torch", device="cuda:2"), stream)
    array = on_gpu(stream=of_array)
    assert give(array).array is array
    assert stream.synchronized == waits


def test_torch_has_bfloat16_and_takes_it_as_bits(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", Torch())
    give = placement._giver(like("torch", device="cuda:2"), Stream())
    array = DeviceArray(None, 4096, (2, 3), BFLOAT16, (12, 4))
    bits, dtype = give(array)
    assert dtype == "torch.bfloat16"
    assert bits.owner is array
    assert (bits.pointer, bits.shape, bits.strides) == (4096, (2, 3), (12, 4))
    assert bits.dtype == np.int16


@pytest.mark.parametrize("library", ["cupy", "numba", "numba_cuda"])
def test_other_libraries_get_their_own_arrays_but_of_bfloat16(monkeypatch, library):
    def made(array):
        return ("of the library", array)

    cuda = ModuleType("numba.cuda")
    cuda.as_cuda_array = made
    numba = ModuleType("numba")
    numba.cuda = cuda
    for name, module in (
        ("cupy", SimpleNamespace(asarray=made)),
        ("numba", numba),
        ("numba.cuda", cuda),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    give = placement._giver(like(library), Stream())
    array, half = on_gpu(), on_gpu(dtype=BFLOAT16)
    assert give(array) == ("of the library", array)
    assert give(half) is half


def test_an_array_of_no_known_library_gets_what_there_is():
    array = on_gpu()
    assert placement._giver(like("mine"), Stream())(array) is array
