"""The compiled GPU kernels: needs the compiler and the assembler, but no GPU."""

import dataclasses
from unittest import mock

import pytest
from click.testing import CliRunner

from conformance.gpu import check, compiling, kernels
from conformance.gpu.cli import check as command
from conformance.gpu.figures import Meant, problems, read

#: Of every layout one, and of every kind of kernel.
SOME = (
    "rows 65536x10 float32: gradient",
    "rows 8192x1000 float32: smoothing, weights",
    "rows 8192x1000 float64: gradient",
    "rows 2048x32000 float32: smoothing, weights",
    "rows 2048x32000 bfloat16: probabilities",
    "rows 8x21x512x512 float16: gradient",
    "survey of weights, 256 threads",
    "mean of losses, bfloat16",
    "copy, float16",
)
PTX = """
    ld.global.nc.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1];
    ld.global.u64 %rd2, [%rd3];
    @%p1 shfl.sync.bfly.b32 %r1|%p2, %r2, 1, 31, -1;
    st.global.v4.u32 [%rd4], {%r1, %r2, %r3, %r4};
"""
REPORT = """
ptxas info    : Function properties for kernel
    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, 256 bytes smem, 700 bytes cmem[0]
"""
CLEAN = {"stack": 0, "stores": 0, "loads": 0, "registers": 64}
MEANT = Meant(threads=1024, load_bits=128, store_bits=128)


def report(**fields):
    return REPORT.format(**{**CLEAN, **fields})


def test_kernels_of_every_layout_are_as_recorded():
    chosen = [kernel for kernel in kernels.table() if kernel.name in SOME]
    assert len(chosen) == len(SOME)
    found = check.examined(chosen)
    assert [one.kernel for one in found] == 2 * [kernel.name for kernel in chosen]
    assert list(check.departures(found, check.recorded())) == []
    for one in found:
        if one.kernel.startswith("rows 8192x1000 float32"):
            # Aligned, nothing is accessed otherwise but the class's own logit, weights, the loss
            # and the mark of a steep sample.
            assert one.figures.stores[128] == one.figures.loads[128] == 8
            assert one.figures.stores[32] == 4


def test_the_record_is_of_the_table():
    wanted = check.recorded()
    assert list(check.stale(wanted)) == []
    assert len(wanted["kernels"]) == len(compiling.TARGETS) * len(kernels.table())
    found = dict(list(wanted["kernels"].items())[1:])
    (key,) = set(wanted["kernels"]) - set(found)
    assert list(check.stale({"kernels": found})) == [f"{key}: not recorded"]
    found |= {key: {}, "sm_90 gone": {}}
    assert list(check.stale({"kernels": found})) == ["sm_90 gone: recorded, but no such kernel"]


def test_the_full_table_has_every_mode_of_every_layout_and_dtype():
    full = {kernel.name for kernel in kernels.table(full=True)}
    assert {kernel.name for kernel in kernels.table()} < full
    plans = {
        kernels.plan_of(shape, dtype, **mode)
        for shape in kernels.SIZES.values()
        for dtype in kernels.STORED
        for mode in kernels.MODES.values()
    }
    assert {(plan.threads, plan.resident) for plan in plans} >= {
        (1, True), (1, False), (16, True), (32, True), (128, True), (256, True), (512, True),
        (1024, True), (512, False),
    }  # fmt: skip
    assert {plan.whole for plan in plans if plan.vector > 1} == {False, True}


def test_a_kernel_that_holds_too_much_is_told():
    plan = kernels.plan_of((2048, 32000), "float32", gradient=True)
    much = kernels.rows_kernel("much", plan._replace(chunks=16), "float32")
    try:
        compiling.pretend((9, 0))
        found = compiling.examine(much, (9, 0))
    finally:
        mock.patch.stopall()
    said = problems(much.block, much.meant, found)
    assert found.spill_stores > 0
    assert said[0].startswith("spills ")
    assert said[1].startswith("uses local memory")


def test_figures_are_read():
    found = read(PTX, report(stack=8, stores=4, loads=12, registers=63))
    assert dataclasses.asdict(found) == {
        "registers": 63,
        "shared": 256,
        "stack": 8,
        "spill_stores": 4,
        "spill_loads": 12,
        "barriers": 1,
        "loads": {64: 1, 128: 1},
        "stores": {128: 1},
        "local": 0,
        "shuffles": 1,
        "atomics": (),
    }
    assert problems(1024, MEANT, read(PTX, report())) == []
    with pytest.raises(ValueError, match="expected the report of one kernel"):
        read(PTX, "ptxas info : 0 bytes gmem")


@pytest.mark.parametrize(
    ("ptx", "fields", "message"),
    [
        (PTX, {"stores": 4}, "spills 4 bytes, reloads 0"),
        (PTX, {"stack": 8}, "local memory: 8 bytes"),
        (PTX + "st.local.f32 [%rd5], %f5;", {}, "local memory: 0 bytes, 1 times"),
        (PTX + ".local .align 16 .b8 __local_depot0[64];", {}, "local memory: 0 bytes, 1 times"),
        (PTX, {"registers": 65}, "65 registers in a block of 1024 threads"),
        (PTX.replace("ld.global.nc.v4", "ld.global.nc"), {}, "loads of at most 64 bits, not 128"),
        (PTX.replace("st.global.v4", "st.global"), {}, "stores of at most 32 bits, not 128"),
        (PTX.replace("shfl", "nothing"), {}, "0 shuffles for 1024 threads"),
        (PTX + "atom.global.add.f32 %f1, [%rd1], %f2;", {}, "numbers: atom.global.add.f32"),
        (PTX + "red.global.add.f64 [%rd1], %fd2;", {}, "numbers: red.global.add.f64"),
        (PTX + "atom.global.add.noftz.bf16x2 %r, [%rd1], %r;", {}, "noftz.bf16x2"),
        (PTX + "atom.global.min.s64 %rd1, [%rd1], %rd2;", {}, "operations: atom.global.min.s64"),
    ],
)
def test_every_defect_is_told(ptx, fields, message):
    (said, *_) = problems(1024, MEANT, read(ptx, report(**fields)))
    assert message in said


def test_the_smallest_of_integers_may_be_atomic():
    atomic = read(PTX + "atom.global.min.s64 %rd1, [%rd1], %rd2;", report())
    assert problems(1024, dataclasses.replace(MEANT, integer_atomics=True), atomic) == []
    with_none = dataclasses.replace(MEANT, integer_atomics=True)
    assert problems(1024, with_none, read(PTX, report())) == ["atomic operations: none"]


def test_registers_are_compared_with_those_of_the_same_compiler():
    found = [check.Found("rows", "sm_90", 1024, read(PTX, report()), ())]
    wanted = check.record(found)
    assert list(check.departures(found, wanted)) == []
    more = [dataclasses.replace(found[0], figures=read(PTX, report(registers=65)))]
    assert list(check.departures(more, wanted)) == ["sm_90 rows: 65 registers, recorded 64"]
    wanted["versions"] = {}
    assert list(check.departures(more, wanted)) == []
    assert list(check.departures(found, {**wanted, "kernels": {}})) == []
    broken = [dataclasses.replace(found[0], problems=("spills 4 bytes, reloads 4",))]
    assert list(check.departures(broken, wanted)) == ["sm_90 rows: spills 4 bytes, reloads 4"]


def test_the_command_shows_a_table():
    outcome = CliRunner().invoke(command, ["--only", "copy, float32", "-j", "1"])
    assert outcome.exit_code == 0, outcome.output
    assert "2 kernels: at most " in outcome.stdout
    assert "0 bytes spilled, 0 problems" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "no kernel's name contains that"),
        (["--write", "--only", "copy"], "--write takes the recorded kernels"),
        (["--traffic"], "needs NUMBA_ENABLE_CUDASIM=1"),
        (["--traffic", "--write"], "--traffic goes with no other option"),
    ],
)
def test_bad_options_are_refused(arguments, message, monkeypatch):
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 2
    assert message in outcome.stderr


def test_without_an_assembler_it_is_refused(monkeypatch):
    monkeypatch.setattr(compiling.metadata, "files", lambda _: [])
    outcome = CliRunner().invoke(command)
    assert outcome.exit_code == 2
    assert "pip install 'cuda-toolkit[nvcc]==13.*'" in outcome.stderr
