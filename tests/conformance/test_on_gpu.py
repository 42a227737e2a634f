"""Which program judges the GPU's kernels, and which cases a simulator is spared."""

from pathlib import Path

from conformance import on_gpu
from conformance.case import Case


def test_the_program_is_the_registered_adapter_and_runs_simulated_where_asked():
    real, simulated = on_gpu.program(simulator=False), on_gpu.program(simulator=True)
    assert real.name == simulated.name == "embedded-cuda"
    assert Path(real.adapter).name == "embedded_cuda.py"
    assert Path(real.adapter).is_file()
    assert "NUMBA_ENABLE_CUDASIM" not in real.variables
    assert simulated.variables == {**real.variables, "NUMBA_ENABLE_CUDASIM": "1"}


def test_a_simulator_does_what_it_can_within_seconds():
    kept = [
        "ce/index/4x1024/f32/mean",
        "ce/index/1024/f32/mean",
        "ce/index/2x2x1024/f32/mean",
        "ce/index/0x4/f32/mean",
        "ce/index/scalar/f32/mean,bad=input-scalar",
        "linear/index/4x5000-1024/f32/mean",
    ]
    left = [
        "ce/index/1x1025/f32/mean",
        "ce/index/1025/f32/mean",
        "ce/index/17x241/f32/mean",
        "ce/index/2x3x1024/f32/mean",
        "linear/index/5x2-1024/f32/mean",
    ]
    cases = [Case.parse(name) for name in [*left, *kept]]
    assert [case.id for case in on_gpu.small(cases)] == kept
