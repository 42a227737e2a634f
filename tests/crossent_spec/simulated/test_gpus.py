"""Several GPUs, streams of other libraries and drivers that do not do, each told by a stand-in."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

import crossent_spec
from crossent_spec.cuda import memory
from crossent_spec.device_array import DeviceArray

X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = np.array([0, 2])
W = np.ones(3, np.float32)


@pytest.fixture
def gpus(monkeypatch):
    """GPUs by the address of memory, 0 for what is not named; and those that were worked on."""
    there, entered = {}, []

    @contextlib.contextmanager
    def on_gpu(number):
        entered.append(number)
        yield

    def gpu_of(array, _):
        return there.get(array.pointer, 0) if array.size else None

    monkeypatch.setattr(memory, "gpu_of", gpu_of)
    monkeypatch.setattr(memory, "on_gpu", on_gpu)
    monkeypatch.setattr(memory, "current_gpu", lambda: 0)

    def on(number, array):
        copied = memory.to_device(array)
        there[copied.pointer] = number
        return copied

    on.entered = entered
    return on


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0, 1, 0), "target: is on GPU 1, but input is on GPU 0; copy one to the other"),
        ((1, 1, 0), "weight: is on GPU 0, but input is on GPU 1; copy one to the other"),
    ],
)
def test_arrays_of_two_gpus_are_refused_by_name(gpus, numbers, words):
    arrays = [gpus(number, array) for number, array in zip(numbers, (X, Y, W), strict=True)]
    with pytest.raises(ValueError, match=words):
        crossent_spec.cross_entropy(*arrays)


def test_so_are_arrays_that_come_later(gpus):
    x, y = gpus(1, X), gpus(1, Y)
    with pytest.raises(ValueError, match="out: is on GPU 0, but input is on GPU 1"):
        crossent_spec.cross_entropy_value_and_grad(x, y, out=gpus(0, X))
    _, vjp = crossent_spec.cross_entropy_vjp(x, y)
    with pytest.raises(ValueError, match="grad_output: is on GPU 2, but input is on GPU 1"):
        vjp(gpus(2, np.float32(1)))
    with pytest.raises(ValueError, match="tangent: is on GPU 0, but input is on GPU 1"):
        crossent_spec.cross_entropy_jvp(x, y, gpus(0, X))
    with pytest.raises(ValueError, match="linear_weight: is on GPU 0, but input is on GPU 1"):
        crossent_spec.linear_cross_entropy(x, gpus(0, X), y)


def test_a_call_works_on_the_gpu_of_its_arrays(gpus):
    x, y, w = gpus(3, X), gpus(3, Y), gpus(3, np.eye(3, dtype=np.float32))
    for call in (
        lambda: crossent_spec.cross_entropy(x, y),
        lambda: crossent_spec.cross_entropy_vjp(x, y)[1](),
        lambda: crossent_spec.cross_entropy_hvp(x, y, x),
        lambda: crossent_spec.linear_cross_entropy_value_and_grad(x, w, y),
    ):
        gpus.entered.clear()
        call()
        assert 3 in gpus.entered
        # What is made on the way is on no GPU that the stand-in knows of.
        assert set(gpus.entered) <= {0, 3}


def test_an_array_without_elements_is_on_any_gpu(gpus):
    x = gpus(2, np.zeros((0, 3), np.float32))
    loss = crossent_spec.cross_entropy(x, gpus(1, np.zeros(0, np.int64)), gpus(1, W))
    assert np.isnan(loss.copy_to_host())
    assert 1 in gpus.entered


def test_the_driver_is_asked_where_memory_is(monkeypatch):
    class CudaAPIError(RuntimeError):
        pass

    def ask(attribute, pointer):
        if pointer != 4096:
            raise CudaAPIError("CUDA_ERROR_INVALID_VALUE")
        return 5 if attribute == "ordinal" else None

    attribute = SimpleNamespace(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL="ordinal")
    from numba.cuda.cudadrv import driver

    monkeypatch.setattr(memory, "SIMULATED", False)
    monkeypatch.setattr(driver, "CudaAPIError", CudaAPIError)
    monkeypatch.setattr(
        driver, "binding", SimpleNamespace(CUpointer_attribute=attribute, CUdeviceptr=int),
        raising=False,
    )  # fmt: skip
    monkeypatch.setattr(
        driver, "driver", SimpleNamespace(cuPointerGetAttribute=ask), raising=False
    )  # fmt: skip
    there = DeviceArray(None, 4096, (2,), np.dtype("f4"))
    assert memory.gpu_of(there, "input") == 5
    assert memory.gpu_of(there.part(0, 0), "input") is None
    with pytest.raises(ValueError, match="input: got the address 0x2000, which is no GPU's"):
        memory.gpu_of(DeviceArray(None, 8192, (2,), np.dtype("f4")), "input")


def test_another_gpu_is_entered_and_left(monkeypatch):
    seen = []

    class Gpu:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            seen.append(("in", self.number))

        def __exit__(self, *_):
            seen.append(("out", self.number))

    monkeypatch.setattr(memory, "SIMULATED", False)
    monkeypatch.setattr(memory, "current_gpu", lambda: 1)
    monkeypatch.setattr(memory.cuda, "gpus", [Gpu(number) for number in range(3)])
    for number, expected in ((None, []), (1, []), (2, [("in", 2), ("out", 2)])):
        seen.clear()
        with memory.on_gpu(number):
            assert seen == expected[:1]
        assert seen == expected


def test_a_driver_that_runs_no_kernel_is_told_once(monkeypatch):
    def fail():
        raise OSError("CUDA_ERROR_UNSUPPORTED_PTX_VERSION\nmore")

    device = SimpleNamespace(compute_capability=(9, 0))
    stand_in = SimpleNamespace(is_available=lambda: True, get_current_device=lambda: device)
    monkeypatch.setattr(memory, "SIMULATED", False)
    monkeypatch.setattr(memory, "cuda", stand_in)
    monkeypatch.setattr(memory, "_driver_version", lambda: "12.2")
    monkeypatch.setattr(memory, "_try_a_kernel", fail)
    try:
        memory.require_device.cache_clear()
        with pytest.raises(RuntimeError) as told:
            memory.require_device()
        message = str(told.value)
        assert message.startswith("cuda: looked for a driver and a toolkit that run kernels")
        assert "the driver is of CUDA 12.2" in message
        assert "OSError: CUDA_ERROR_UNSUPPORTED_PTX_VERSION.  An extra" in message
        device.compute_capability = (7, 0)
        with pytest.raises(RuntimeError, match=r"compute capability 7\.0, expected 7\.5 or newer"):
            memory.require_device()
    finally:
        memory.require_device.cache_clear()


def test_the_first_kernel_runs():
    memory._try_a_kernel()


def test_streams_of_nvidias_protocol_are_taken():
    class Stream:
        def __cuda_stream__(self):
            return (0, 7)

    found = crossent_spec.cross_entropy(X, Y, backend="cuda", stream=Stream())
    assert found == crossent_spec.cross_entropy(X, Y, backend="cuda")
