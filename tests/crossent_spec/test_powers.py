"""Exponentials of vectors, with the table of powers where the processor has room for it."""

import math

import numba
import numpy as np
import pytest

from crossent_spec.cpu import powers as module
from crossent_spec.cpu.powers import FARTHEST, POWERS, powers, shared_bias, shared_powers
from crossent_spec.cpu.vectors import AVX512, LANES, first_lane, load, repeated, store

FULL = np.uint64(LANES)


@numba.njit
def evaluate(m, x, e):
    a, b = shared_powers(m)
    for i in range(np.uint64(0), np.uint64(x.size), FULL):
        store(e, i, powers(load(x, i), a, b))
    return first_lane(powers(repeated(m), a, b))


def exponentials(m, x):
    """Evaluate e^x times the power of two that a row with the largest logit m has."""
    e = np.empty_like(x)
    return e, evaluate(np.float32(m), x, e)


def exactly(m, x):
    k = np.rint(np.float32(m) * np.float32(1.4426950408889634))
    # In 64 bits, of which a difference from K·log 2 leaves enough.
    log2 = np.longdouble(math.log(2)) + np.longdouble(2.3190468138462996e-17)
    return np.exp(x.astype(np.longdouble) - np.longdouble(k) * log2)


@pytest.mark.parametrize("m", [0.0, 1.0, -3.3, 88.0, -1e3, 65504.0, -131072.0, float(FARTHEST)])
def test_error_is_that_of_one_rounding_and_little_more(m):
    generator = np.random.default_rng(abs(int(m)))
    m = np.float32(m)
    near = m - generator.random(1 << 18, np.float32) * np.float32(0.7)
    far = m - generator.random(1 << 16, np.float32) * np.float32(86)
    # As many of each sign of what is left beside a power.
    x = np.concatenate([near, far, np.full(LANES, m)])
    e, own = exponentials(m, x)
    exact = exactly(m, x)
    error = np.abs(e - exact) / np.spacing(exact.astype(np.float32))
    # tools/exp_coefficients.py measures it over every float32 of an octave; without the table what
    # is left beside n·log 2 is not rounded there.  Far from zero the reduction, in two parts, adds
    # n times what the second lost.
    assert error.max() <= (0.56 if AVX512 else 0.88) + abs(float(m)) * 2.0**-22
    assert own == e[-1]
    assert e.min() > 0


def test_what_float32_has_no_place_for_is_zero():
    x = np.full(LANES, -200, np.float32)
    x[:4] = -np.inf, -1e38, -90, 0
    for m in (0.0, 3.0, -1.5):
        e, _ = exponentials(m, x)
        assert np.all(e[:3] == 0)
        assert e[3] > 0
        assert np.all(e[4:] == 0)


def test_least_numbers_are_normal():
    """Or next to it without the table, whose factors beside the power begin with √½."""
    least = np.finfo(np.float32).tiny * (1 if AVX512 else 0.7)
    for m in np.linspace(-3, 3, 50):
        x = np.resize(np.float32(m) - np.linspace(86, 89, 1024, dtype=np.float32), 1024)
        e, _ = exponentials(m, x)
        assert np.all((e == 0) | (e >= least))
        assert np.all(np.diff(e) <= 0)


def test_undefined_numbers_stay_so():
    x = np.zeros(LANES, np.float32)
    x[3], x[5] = np.nan, np.inf
    x[7] = np.array(0x7FC00123, np.uint32).view(np.float32)  # with a payload
    x[9] = np.array(0xFF800001, np.uint32).view(np.float32)
    e, _ = exponentials(1.0, x)
    assert np.flatnonzero(np.isnan(e)).tolist() == [3, 5, 7, 9]
    for m in (np.nan, np.inf, -np.inf):
        e, own = exponentials(m, np.full(LANES, m, np.float32))
        assert np.isnan(e).all()
        assert np.isnan(own)


def test_table_is_of_powers_and_what_their_rounding_lost():
    for j, (power, lost) in enumerate(zip(POWERS, module.LOST, strict=True)):
        exact = np.longdouble(2) ** (np.longdouble(j) / 16)
        assert power == float(np.float32(exact))
        assert lost == pytest.approx(float(exact / np.longdouble(power) - 1), rel=1e-7)


@numba.njit
def evaluate_each(m, x, e):
    a, b = np.empty(LANES, np.float32), np.empty(LANES, np.uint32)
    for lane in range(LANES):
        a[lane], b[lane] = shared_bias(m[lane])
    for i in range(np.uint64(0), np.uint64(x.size), FULL):
        store(e, i, powers(load(x, i), load(a, np.uint64(0)), load(b, np.uint64(0))))


def test_lanes_of_several_rows_are_as_those_of_each():
    generator = np.random.default_rng(3)
    tops = [0.0, 1.0, -3.3, 88.0, -1e3, 65504.0, -131072.0, np.inf, -np.inf, np.nan, 0.3, -7.0]
    m = np.resize(np.array(tops, np.float32), LANES)
    x = m - np.abs(generator.standard_normal((500, LANES), np.float32)) * np.float32(30)
    x[0], x[1], x[2, ::3] = m, -np.inf, np.nan
    found = np.empty_like(x)
    evaluate_each(m, x.reshape(-1), found.reshape(-1))
    for lane, top in enumerate(m):
        alone = np.repeat(x[:, lane, None], LANES, 1).reshape(-1)
        np.testing.assert_array_equal(found[:, lane], exponentials(top, alone)[0][::LANES])
