"""The kernels among threads, forked children and directories that cannot be written."""

import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import crossent_spec as cs

SHAPE = (600, 1000)


def call():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(SHAPE, dtype=np.float32)
    loss, grads = cs.cross_entropy_value_and_grad(x, np.arange(SHAPE[0]))
    return loss.tobytes() + grads.input.tobytes()


def test_many_threads_at_once():
    expected, found = call(), []
    callers = [
        threading.Thread(target=lambda: found.extend(call() for _ in range(4))) for _ in range(8)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [expected] * 32


def call_along():
    rng = np.random.default_rng(0)
    features, matrix, moved = (
        rng.standard_normal(shape, dtype=np.float32) for shape in ((70, 9), (4000, 9), (4000, 9))
    )
    arguments = (features, matrix, np.arange(70), cs.Gradients(linear_weight=moved))
    derivative = cs.linear_cross_entropy_jvp(*arguments)[1]
    product = cs.linear_cross_entropy_hvp(*arguments)
    return derivative.tobytes() + product.input.tobytes() + product.linear_weight.tobytes()


def test_many_threads_along_directions():
    expected, found = call_along(), []
    callers = [
        threading.Thread(target=lambda: found.extend(call_along() for _ in range(3)))
        for _ in range(6)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [expected] * 18


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_after_use():
    code = (
        "import os, warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, crossent_spec as cs\n"
        "from crossent_spec.cpu import threads\n"
        "threads.thread_count = lambda: 3\n"
        "x, y = np.ones((900, 1000), np.float32), np.arange(900)\n"
        "arguments = np.ones((900, 3)), np.ones((1000, 3)), y, cs.Gradients(np.ones((900, 3)))\n"
        "expected = cs.cross_entropy(x, y)\n"
        "derivatives = cs.linear_cross_entropy_jvp(*arguments)\n"
        "pid = os.fork()\n"
        "same = cs.cross_entropy(x, y) == expected\n"
        "same &= cs.linear_cross_entropy_jvp(*arguments) == derivatives\n"
        "if pid == 0: os._exit(0 if same else 1)\n"
        "assert same and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_compiles():
    code = (
        "import os, signal, threading, time, warnings; warnings.simplefilter('ignore')\n"
        "from numba.core.compiler_lock import global_compiler_lock\n"
        "import crossent_spec.cpu.engine\n"
        "held = threading.Event()\n"
        "def compile():\n"
        "    with global_compiler_lock:\n"
        "        held.set()\n"
        "        time.sleep(0.5)\n"
        "threading.Thread(target=compile).start()\n"
        "held.wait()\n"
        "pid = os.fork()\n"
        "signal.alarm(20)\n"
        "with global_compiler_lock: pass\n"
        "if pid == 0: os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("home", ["writable", "missing"])
def test_a_package_directory_that_cannot_be_written(tmp_path, home):
    package = Path(cs.__file__).parent
    shutil.copytree(
        package, tmp_path / "crossent_spec", ignore=shutil.ignore_patterns("__pycache__")
    )
    # A file where Numba would make its directory: root may write anywhere else.
    for folder in ("crossent_spec", "crossent_spec/cpu"):
        (tmp_path / folder / "__pycache__").touch()
    cache = tmp_path / "home"
    cache.mkdir() if home == "writable" else cache.touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": str(cache)}
    environment["XDG_CACHE_HOME"] = str(cache / "cache")
    environment["NUMBA_NUM_THREADS"] = "1"
    environment.pop("NUMBA_CACHE_DIR", None)
    code = (
        "import numpy as np, crossent_spec as cs\n"
        f"assert cs.__file__.startswith({str(tmp_path)!r})\n"
        "assert cs.cross_entropy(np.zeros((2, 4)), np.array([0, 1])) == np.log(4)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, timeout=120, cwd=tmp_path
    )
    if home == "writable":
        assert list(cache.rglob("*.nbi"))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86's features")
def test_a_processor_without_avx512():
    features = "64bit sse sse2 sse3 ssse3 sse4.1 sse4.2 popcnt avx avx2 fma bmi bmi2 f16c lzcnt"
    environment = {**os.environ, "NUMBA_CPU_NAME": "x86-64-v3"}
    environment["NUMBA_CPU_FEATURES"] = ",".join(f"+{name}" for name in features.split())
    files = ("test_powers.py", "test_cpu_extremes.py", "test_halves.py")
    words = ["powers", "undefined", "normal", "zero", "rounding_errors", "nearly_certain"]
    words += ["lanes", "past"]
    chosen = " or ".join(words)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    tests = [str(Path(__file__).with_name(name)) for name in files]
    done = subprocess.run(
        [*command, *tests], env=environment, timeout=600, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    code = "from crossent_spec.cpu.vectors import AVX512; assert not AVX512"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
