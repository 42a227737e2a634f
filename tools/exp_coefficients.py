"""Derive the polynomials of ``crossent_spec/cpu/exponential.py`` and print them.

exp(r) on |r| ≤ (log 2)/2·(1 + 2^-10) as 1 + r + r²·q(r), where q minimises the largest relative
error of the whole: Remez' exchange in 60 digits.  The error of the rounded coefficients is measured
in exact arithmetic on a dense grid; that of the float32 function as it runs, roundings included,
over every float32 in the range.

    python tools/exp_coefficients.py
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import exp, lu_solve, matrix, mp, mpf

mp.dps = 60
LIMIT = mp.log(2) / 2 * (1 + mpf(2) ** -10)
GRID = 4000


def remez(count: int) -> list[mpf]:
    """Return ``count`` coefficients of q with the smallest largest relative error."""
    nodes = [LIMIT * mp.cos(mp.pi * (2 * i + 1) / (2 * count + 2)) for i in range(count + 1)]
    coefficients: list[mpf] = []
    for _ in range(12):
        system, right = matrix(count + 1), matrix(count + 1, 1)
        for i, r in enumerate(nodes):
            for j in range(count):
                system[i, j] = r ** (2 + j) / exp(r)
            system[i, count] = (-1) ** i
            right[i] = 1 - (1 + r) / exp(r)
        coefficients = list(lu_solve(system, right))[:count]
        nodes = extrema(error_of(coefficients), count + 1)
    return coefficients


def error_of(coefficients: list[mpf]) -> Callable[[mpf], mpf]:
    """Return the relative error as a function of r."""

    def error(r: mpf) -> mpf:
        tail = sum((c * r ** (2 + j) for j, c in enumerate(coefficients)), mpf(0))
        return ((1 + r) + tail) / exp(r) - 1

    return error


def extrema(error: Callable[[mpf], mpf], count: int) -> list[mpf]:
    """Return the largest error of each sign run on a Chebyshev grid."""
    points = [LIMIT * mp.cos(mp.pi * i / GRID) for i in range(GRID + 1)]
    runs: list[tuple[mpf, mpf]] = []
    for point in points:
        value = error(point)
        if runs and (value > 0) == (runs[-1][1] > 0):
            if abs(value) > abs(runs[-1][1]):
                runs[-1] = (point, value)
        else:
            runs.append((point, value))
    # The exact terms make the error vanish at 0 too, with or without a change of sign.
    while len(runs) > count:
        runs.remove(min((runs[0], runs[-1]), key=lambda run: abs(run[1])))
    if len(runs) < count:
        raise ArithmeticError(f"{len(runs)} extrema, expected {count}")
    return [point for point, _ in runs]


def worst_of_every_float32() -> tuple[float, float]:
    """Return the largest error of the compiled float32 exponential in ulps, and where it is."""
    import numpy as np
    from numba import njit

    from crossent_spec.cpu.exponential import exp_single, shared

    @njit
    def worst(first: int, last: int, sign: float) -> tuple[float, float]:
        low, bias = shared(np.float32(0))
        found, where = 0.0, 0.0
        for pattern in range(first, last):
            x = np.float32(sign) * np.uint32(pattern).view(np.float32)
            exact = np.exp(np.float64(x))
            # An ulp of float32 is 2^-24 below 1 and 2^-23 from there on.
            ulp = 2.0**-24 if exact < 1 else 2.0**-23
            error = abs(np.float64(exp_single(x, low, bias)) - exact) / ulp
            if error > found:
                found, where = error, np.float64(x)
        return found, where

    # Below 2^-26 the result is 1, which is nearest.
    first = int(np.float32(2.0**-26).view(np.uint32))
    last = int(np.float32(LIMIT).view(np.uint32)) + 1
    return max(worst(first, last, 1.0), worst(first, last, -1.0))


def main() -> None:
    """Print the coefficients as Python source, with their measured error."""
    import numpy as np

    for name, kind, count in (("SINGLE", np.float32, 5), ("DOUBLE", np.float64, 12)):
        coefficients = [float(kind(float(c))) for c in remez(count)]
        error = error_of([mpf(c) for c in coefficients])
        worst = max(abs(error(LIMIT * (2 * mpf(i) / GRID - 1))) for i in range(GRID + 1))
        print(f"# relative error at most 2^{float(mp.log(worst, 2)):.2f}")
        print(f"{name} = (")
        for value in coefficients:
            print(f"    {value!r},")
        print(")")
    ulps, where = worst_of_every_float32()
    print(f"# exp_single: at most {ulps:.3f} ulps over every float32 in the range, at {where!r}")
    for bits in (32,):
        high = mpf(int(mp.log(2) * 2**bits)) / 2**bits
        print(f"LOG2_HIGH = {float(high)!r}")
        print(f"LOG2_LOW = {float(mp.log(2) - high)!r}")
    print(f"INVERSE_LOG2 = {float(1 / mp.log(2))!r}")


if __name__ == "__main__":
    main()
