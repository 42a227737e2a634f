"""Traffic of the GPU kernels, and the benchmark's calls, in the simulator.

It has to be asked for before Numba is imported: this file runs itself again in such a process.
"""

import math
import os
import subprocess
import sys

import pytest

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

if not SIMULATED:

    def test_in_the_simulator():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
            env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

else:
    import numpy as np

    from conformance.bench import gpu, measuring, reference, report
    from conformance.bench.contestant import GRADIENT, LOSS
    from conformance.bench.peers import OURS, OURS_OUT
    from conformance.bench.workloads import INDEX, LINEAR, PROBABILITIES, SMOOTHING, Workload
    from conformance.gpu import traffic
    from crossent_spec.cuda import simulated
    from crossent_spec.cuda.memory import memory_of, to_device

    size_of = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}

    @pytest.mark.parametrize(
        "problem", traffic.PROBLEMS, ids=lambda p: f"{p.name} {p.dtype} {p.mode}"
    )
    def test_not_a_byte_more_is_moved_than_the_layout_demands(problem):
        found = traffic.measured(problem)
        times, size = problem.reads, found.once
        assert size == math.prod(problem.shape) * size_of[problem.dtype]
        assert found.logits.loaded - found.own == times * size
        assert found.logits.stored == 0
        if found.gradient is not None:
            assert (found.gradient.loaded, found.gradient.stored) == (0, size)
        if problem.mode == "probabilities":
            assert (found.probabilities.loaded, found.probabilities.stored) == (times * size, 0)
            assert found.of_probabilities == (0, size, 0, found.of_probabilities.stored_wide)
        assert found.met
        side_by_side = len(problem.shape) == 2 or problem.last
        aligned = not problem.offset and problem.shape[1] % 8 == 0
        if side_by_side and aligned:
            assert found.wide == 1
        elif side_by_side and problem.shape[1] > 256:
            assert 0.95 < found.wide < 1
        else:
            assert found.wide == 0

    def test_the_layouts_are_those_that_are_named():
        threads = {p.name: traffic.measured(p).threads for p in traffic.PROBLEMS[:6]}
        assert threads == {
            "part of a warp": 16,
            "a warp": 32,
            "a warp, not aligned": 32,
            "a warp, from the middle of 16 bytes": 32,
            "positions side by side": 1,
            "positions side by side, read twice": 1,
        }

    def test_more_than_the_floor_is_told():
        found = traffic.measured(traffic.Problem("read once", (1, 40, 2, 2), reads=1))
        assert not found.met
        assert "NO" in "".join(str(cell) for cell in traffic.table([found]).columns[-1].cells)

    def test_a_wide_access_off_its_alignment_is_told():
        array = memory_of(to_device(np.zeros(8, np.float32)))

        class Flat:
            _item = array

        held = np.zeros(4, np.float32)
        simulated.load_wide(Flat, 4, held, 0)
        for index in (1, 6):
            with pytest.raises(AssertionError):
                simulated.load_wide(Flat, index, held, 0)
            with pytest.raises(AssertionError):
                simulated.store_wide(Flat, index, held, 0)

    def fake_clock(contestant, calls):
        contestant.call()
        seconds = {gpu.COPY: 1.0, OURS: 3.0, OURS_OUT: 2.0, gpu.PRODUCTS: 2.0}
        return seconds[contestant.name] * (1 + calls / 1e9)

    @pytest.mark.parametrize(
        "workload",
        [
            Workload(INDEX, (6, 8)),
            Workload(INDEX, (2, 3, 2, 2), "bfloat16"),
            Workload(PROBABILITIES, (4, 8)),
            Workload(SMOOTHING, (4, 8), "float16"),
        ],
        ids=lambda workload: workload.name,
    )
    def test_the_benchmark_times_right_results(workload):
        inputs = workload.inputs()
        wanted = reference.expected(workload, inputs)
        made = gpu.contestants(workload, inputs, [])
        timings = measuring.measure(workload, made, wanted, 2, clock=fake_clock)
        assert [timing.failure for timing in timings] == [""] * len(made)
        rows = report.rows(workload, timings, {}, with_goals=False)
        assert [(row.task, row.contestant, round(row.ratio, 6), row.goals) for row in rows] == [
            (LOSS, gpu.COPY, 1, ()),
            (LOSS, OURS, 3, ()),
            (GRADIENT, gpu.COPY, 1, ()),
            (GRADIENT, OURS_OUT, 2, ()),
            (GRADIENT, OURS, 3, ()),
        ]

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_the_benchmark_times_the_linear_loss(dtype, monkeypatch):
        # As where torch is not installed: its products need a GPU.
        monkeypatch.setattr(gpu, "find_spec", lambda name: None if name == "torch" else name)
        workload = Workload(LINEAR, (6, 4, 10), dtype)
        inputs = workload.inputs()
        wanted = reference.expected(workload, inputs)
        made = gpu.contestants(workload, inputs, [])
        timings = measuring.measure(workload, made, wanted, 2, clock=fake_clock)
        assert [timing.failure for timing in timings] == ["", ""]
        rows = report.rows(workload, timings, {}, with_goals=False)
        assert [(row.task, row.contestant, round(row.ratio, 6)) for row in rows] == [
            (GRADIENT, gpu.PRODUCTS, 1),
            (GRADIENT, OURS, 1.5),
        ]
        base = made[0]
        result = base.call()
        memory_of(result).copy_to_device(np.full(result.size, np.nan, np.float32))
        assert base.values(result) == "the products are wrong"

    def test_the_simulator_can_do_every_workload():
        assert gpu.workloads(small=True) == (gpu.SMALL_WORKLOADS, [])

    def test_the_base_copies_as_many_bytes_as_must_be_moved():
        for kind, of_loss, of_gradient in ((INDEX, 96, 192), (PROBABILITIES, 192, 288)):
            workload = Workload(kind, (6, 4))
            loss, gradient = gpu.bases(workload, workload.inputs())
            assert (loss.call().size, gradient.call().size) == (of_loss // 2, of_gradient // 2)
            spoiled = loss.call()
            spoiled.owner[:] = 255
            assert loss.values(spoiled) == "it did not copy everything"

    def test_the_simulator_is_not_timed():
        with pytest.raises(RuntimeError, match="the simulator's times say nothing"):
            gpu.require()
