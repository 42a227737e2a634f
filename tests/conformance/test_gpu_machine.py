"""The machine that carries out PTX: what instructions give, and the faults that it tells."""

import numpy as np
import pytest

from conformance.gpu import arithmetic
from conformance.gpu.arena import ALIGNED, FaultError, Memory
from conformance.gpu.machine import launch
from conformance.gpu.ptx import parse

HEAD = """
.visible .shared .align 8 .b8 held[256];
.visible .entry kernel(
    .param .u64 kernel_param_0,
    .param .f32 kernel_param_1
)
{
    .reg .pred %p<9>;
    .reg .b32 %r<9>; // a comment; with a semicolon
    .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [kernel_param_0];
    ld.param.f32 %f1, [kernel_param_1];
    cvta.to.global.u64 %rd1, %rd1;
    mov.u32 %r1, %tid.x;
    mul.wide.s32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
"""
EXCHANGE = "shfl.sync.bfly.b32 %r3|%p3, %r1, 1, 31, -1;"


@pytest.fixture
def memory():
    return Memory(1 << 14)


def run(memory, body, threads=32, blocks=1, count=64, filled=True, value=0.0):
    """Run a kernel on ``count`` floats; return them."""
    address = memory.allocate(4 * count)
    floats = memory.view(address, 4 * count, filled).view(np.float32)
    floats[:] = np.arange(count)
    launch(f"{HEAD}{body}\nret;\n}}", (blocks, 1), threads, [address, value], memory)
    return floats


def test_each_thread_does_its_part_and_branches_meet_again(memory):
    found = run(memory, """
        setp.lt.s32 %p1, %r1, 5;
        @%p1 bra $few;
        mov.f32 %f2, 0f40000000;
        bra.uni $both;
    $few:
        mov.f32 %f2, 0f3F800000;
    $both:
        add.f32 %f3, %f1, %f2;
        st.global.f32 [%rd3+4], %f3;
    """, value=0.5)  # fmt: skip
    np.testing.assert_array_equal(found[:33], [0] + 5 * [1.5] + 27 * [2.5])
    assert (found[33:] == np.arange(33, 64)).all()


def test_loops_of_different_lengths(memory):
    found = run(memory, """
        mov.u32 %r2, %r1;
        mov.f32 %f2, 0f00000000;
    $again:
        add.f32 %f2, %f2, %f1;
        add.s32 %r2, %r2, -1;
        setp.ge.s32 %p1, %r2, 0;
        @%p1 bra $again;
        st.global.f32 [%rd3], %f2;
    """, value=0.25)  # fmt: skip
    np.testing.assert_array_equal(found[:32], 0.25 * (1 + np.arange(32)))


def test_lanes_exchange_and_vote(memory):
    found = run(memory, f"""
        {EXCHANGE}
        setp.eq.s32 %p1, %r1, 40;
        vote.sync.any.pred %p2, %p1, -1;
        selp.b32 %r3, 100, %r3, %p2;
        cvt.rn.f32.s32 %f2, %r3;
        st.global.f32 [%rd3], %f2;
    """, threads=64)  # fmt: skip
    # Only of the second warp does any thread have the number 40.
    np.testing.assert_array_equal(found, [*(np.arange(32) ^ 1), *(32 * [100])])


def test_blocks_have_memory_of_their_own(memory):
    found = run(memory, """
        mov.u32 %r2, %ctaid.x;
        mov.u64 %rd4, held;
        setp.eq.s32 %p1, %r1, 3;
        @%p1 st.shared.u32 [%rd4+8], %r2;
        bar.sync 0;
        ld.shared.u32 %r4, [%rd4+8];
        cvt.rn.f32.s32 %f2, %r4;
        mul.wide.s32 %rd5, %r2, 128;
        add.s64 %rd3, %rd3, %rd5;
        st.global.f32 [%rd3], %f2;
    """, blocks=2)  # fmt: skip
    np.testing.assert_array_equal(found, 32 * [0] + 32 * [1])


def test_several_elements_at_once_and_halves(memory):
    found = run(memory, """
        shl.b32 %r2, %r1, 4;
        cvt.s64.s32 %rd4, %r2;
        add.s64 %rd4, %rd1, %rd4;
        ld.global.v4.f32 {%f2, %f3, %f4, %f5}, [%rd4];
        cvt.rn.f16.f32 %h1, %f3;
        mov.b32 %r5, {%h1, %h1};
        { .reg .b16 %tmp; mov.b32 {%tmp, %h2}, %r5; }
        cvt.f32.f16 %f6, %h2;
        st.global.v4.f32 [%rd4], {%f5, %f4, %f6, %f2};
    """, threads=16)  # fmt: skip
    given = np.arange(64.0).reshape(16, 4)
    np.testing.assert_array_equal(found.reshape(16, 4), given[:, [3, 2, 1, 0]])


FAULTS = {
    "loads 8 bytes at .*, which is not aligned": "ld.global.v2.f32 {%f2, %f3}, [%rd3];",
    "stores 4 bytes at .*, outside of all arrays": "st.global.f32 [%rd3+256], %f1;",
    "loads 4 bytes at .*, outside of all arrays": "ld.global.f32 %f1, [%rd3+-4];",
    "stores from several threads to one place": "st.global.f32 [%rd1], %f1;",
    "loads what another thread wrote, without a barrier": """
        st.global.f32 [%rd3], %f1;
        ld.global.f32 %f2, [%rd3+4];
    """,
    "stores where another thread reads, without a barrier": """
        ld.global.f32 %f2, [%rd1];
        st.global.f32 [%rd3], %f1;
    """,
    "stores over what another thread wrote, without a barrier": """
        st.global.f32 [%rd3], %f1;
        st.global.f32 [%rd3+4], %f1;
    """,
    "loads what nobody has written": "mov.u64 %rd4, held; ld.shared.f32 %f2, [%rd4];",
    "not all lanes are members": "shfl.sync.bfly.b32 %r3, %r1, 1, 31, 255;",
    "16 threads wait for others that never come": f"""
        setp.lt.s32 %p1, %r1, 16;
        @%p1 bra $end;
        {EXCHANGE}
    $end:
    """,
    "20 threads wait for others that never come": """
        setp.lt.s32 %p1, %r1, 12;
        @%p1 ret;
        bar.sync 0;
    """,
}


@pytest.mark.parametrize("said", FAULTS)
def test_faults_are_told(memory, said):
    with pytest.raises(FaultError, match=said):
        run(memory, FAULTS[said])


def test_lanes_of_a_warp_that_is_not_whole_do_not_exchange(memory):
    with pytest.raises(FaultError, match="a warp of less than 32 threads"):
        run(memory, EXCHANGE, threads=16)


def test_what_the_host_has_not_written_is_not_read(memory):
    with pytest.raises(FaultError, match="loads what nobody has written"):
        run(memory, "ld.global.f32 %f2, [%rd3];", filled=False)


#: All threads read the first float, and each then writes its own.
MEET = "ld.global.f32 %f2, [%rd1]; {} st.global.f32 [%rd3], %f2;"


@pytest.mark.parametrize(
    ("between", "threads", "ordered"),
    [
        ("bar.sync 0;", 64, True),
        ("bar.warp.sync -1;", 32, True),
        ("bar.warp.sync -1;", 64, False),
        # An exchange has lanes wait, but says nothing about memory.
        (EXCHANGE, 32, False),
    ],
)
def test_what_orders_accesses(memory, between, threads, ordered):
    if ordered:
        found = run(memory, MEET.format(between), threads=threads)
        assert not found[:threads].any()
    else:
        with pytest.raises(FaultError, match="stores where another thread reads"):
            run(memory, MEET.format(between), threads=threads)


def test_no_barrier_orders_blocks(memory):
    with pytest.raises(FaultError, match="stores where another thread reads"):
        run(memory, """
            ld.global.f32 %f2, [%rd1];
            bar.sync 0;
            mov.u32 %r2, %ctaid.x;
            mul.wide.s32 %rd4, %r2, 128;
            add.s64 %rd3, %rd3, %rd4;
            st.global.f32 [%rd3], %f2;
        """, blocks=2)  # fmt: skip


def test_atomic_operations_need_no_order(memory):
    address = memory.allocate(8)
    numbers = memory.view(address, 8, True).view(np.int64)
    numbers[:] = 100
    body = "cvt.s64.s32 %rd4, %r1; atom.global.{}.s64 %rd5, [%rd1], %rd4;"
    for kind, expected in (("add", 100 + 31 * 16), ("min", 0)):
        launch(f"{HEAD}{body.format(kind)} ret;\n}}", (1, 1), 32, [address, 0.0], memory)
        assert numbers[0] == expected


def test_memory_is_given_taken_back_and_kept_apart(memory):
    first, second, third = (memory.allocate(size) for size in (10, ALIGNED, 3))
    assert all(address % ALIGNED == 0 for address in (first, second, third))
    assert third - second > ALIGNED
    memory.free(second)
    with pytest.raises(FaultError, match="the host accesses 1 bytes"):
        memory.view(second, 1, False)
    assert memory.allocate(20) == second
    with pytest.raises(MemoryError):
        memory.allocate(1 << 14)


def calculated(name, *values):
    kinds, work = arithmetic.operation(tuple(name.split(".")))
    with np.errstate(all="ignore"):
        return work(
            *(np.array([v]).astype(arithmetic.TYPES[k])
              for v, k in zip(values, kinds[1:], strict=True))
        )[0]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("add.s32", (2**31 - 1, 1), -(2**31)),
        ("mul.wide.s32", (-(2**31), 2), -(2**32)),
        ("mad.lo.s32", (3, 4, 5), 17),
        ("div.s64", (-7, 2), -3),
        ("rem.s64", (-7, 2), -1),
        ("rem.u32", (7, 0), 0),
        ("shl.b32", (1, 32), 0),
        ("shr.u32", (2**31, 31), 1),
        ("shr.s32", (-8, 40), -1),
        ("not.pred", (True,), False),
        ("bfi.b64", (0b1011, 0xFF00, 4, 3), 0xFF30),
        ("copysign.f64", (-0.0, 3.0), -3.0),
        ("min.f32", (np.nan, 3.0), 3.0),
        ("max.f32", (-1.0, np.nan), -1.0),
        ("selp.f32", (1.0, 2.0, False), 2.0),
        ("setp.lt.f32", (np.nan, 1.0), False),
        ("setp.ltu.f32", (np.nan, 1.0), True),
        ("setp.ne.f32", (np.nan, 1.0), False),
        ("setp.neu.f32", (np.nan, 1.0), True),
        ("setp.nan.f32", (np.nan, 1.0), True),
        ("setp.num.f32", (np.nan, 1.0), False),
        ("cvt.rn.f16.f32", (1 + 2.0**-11,), 1.0),
        ("cvt.rzi.s32.f32", (-2.75,), -2),
        ("cvt.rni.s32.f32", (1e20,), 2**31 - 1),
        ("cvt.s64.s32", (-5,), -5),
        ("cvt.u64.u32", (2**32 - 5,), 2**32 - 5),
        ("cvt.sat.f32.f32", (np.nan,), 0.0),
        ("cvt.sat.f32.f32", (1.5,), 1.0),
        # Down, and toward zero.
        ("fma.rm.f32", (1.0, 2.0**-30, 1.0), 1.0),
        ("fma.rm.f32", (-1.0, 2.0**-30, 1.0), 1 - 2.0**-24),
        ("add.rz.f32", (1.0, -(2.0**-30)), 1 - 2.0**-24),
        ("fma.rn.f64", (1 + 2.0**-30, 1 + 2.0**-30, -1.0), 2.0**-29 + 2.0**-60),
        ("fma.rn.f64", (np.inf, 1.0, 1.0), np.inf),
        ("ex2.approx.ftz.f32", (-140.0,), 0.0),
        ("ex2.approx.ftz.f32", (3.0,), 8.0),
    ],
)
def test_what_instructions_give(name, values, expected):
    found = calculated(name, *values)
    assert found == expected
    assert np.signbit(found) == np.signbit(np.asarray(expected))


def test_a_rough_reciprocal_is_rough():
    found = calculated("rcp.approx.ftz.f64", 3.0)
    assert 0 < abs(found - 1 / 3) < 2.0**-20


def test_what_is_unknown_is_told(memory):
    with pytest.raises(NotImplementedError, match="sin.approx.f32"):
        run(memory, "sin.approx.f32 %f2, %f1;")
    with pytest.raises(ValueError, match="no instruction of PTX"):
        parse(f"{HEAD}\n!?;\n}}")
    with pytest.raises(FaultError, match="1 arguments for 2 parameters"):
        launch(f"{HEAD}\nret;\n}}", (1, 1), 1, [0], memory)
