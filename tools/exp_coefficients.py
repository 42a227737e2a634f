"""Derive the numbers of ``crossent_spec/cpu/exponential.py`` and ``powers.py`` and print them.

exp(r) on |r| ≤ (log 2)/2·(1 + 2^-10), and for the table of sixteen powers on a sixteenth of it, as
1 + r + r²·q(r), where q minimises the largest relative error of the whole: Remez' exchange in 60
digits.  The error of the rounded coefficients is measured in exact arithmetic on a dense grid; that
of the float32 functions as they run, roundings included, over every float32 in the range.

    python tools/exp_coefficients.py
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import exp, lu_solve, matrix, mp, mpf

mp.dps = 60
LIMIT = mp.log(2) / 2 * (1 + mpf(2) ** -10)
GRID = 4000


def remez(count: int, limit: mpf) -> list[mpf]:
    """Return ``count`` coefficients of q with the smallest largest relative error up to a limit."""
    nodes = [limit * mp.cos(mp.pi * (2 * i + 1) / (2 * count + 2)) for i in range(count + 1)]
    coefficients: list[mpf] = []
    for _ in range(12):
        system, right = matrix(count + 1), matrix(count + 1, 1)
        for i, r in enumerate(nodes):
            for j in range(count):
                system[i, j] = r ** (2 + j) / exp(r)
            system[i, count] = (-1) ** i
            right[i] = 1 - (1 + r) / exp(r)
        coefficients = list(lu_solve(system, right))[:count]
        nodes = extrema(error_of(coefficients), count + 1, limit)
    return coefficients


def error_of(coefficients: list[mpf]) -> Callable[[mpf], mpf]:
    """Return the relative error as a function of r."""

    def error(r: mpf) -> mpf:
        tail = sum((c * r ** (2 + j) for j, c in enumerate(coefficients)), mpf(0))
        return ((1 + r) + tail) / exp(r) - 1

    return error


def extrema(error: Callable[[mpf], mpf], count: int, limit: mpf) -> list[mpf]:
    """Return the largest error of each sign run on a Chebyshev grid."""
    points = [limit * mp.cos(mp.pi * i / GRID) for i in range(GRID + 1)]
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


def worst_of_every_float32() -> dict[str, tuple[float, float]]:
    """Return the largest errors of the compiled exponentials in ulps, and where they are."""
    import numpy as np
    from numba import njit

    from crossent_spec.cpu.exponential import exp_single, shared
    from crossent_spec.cpu.powers import powers, shared_powers
    from crossent_spec.cpu.vectors import LANES, load, store

    full = np.uint64(LANES)

    def compiled(begin: Callable[..., object], function: Callable[..., object]) -> object:
        @njit
        def evaluate(x: np.ndarray, e: np.ndarray) -> None:
            a, b = begin(np.float32(0))
            for i in range(np.uint64(0), np.uint64(x.size), full):
                store(e, i, function(load(x, i), a, b))

        return evaluate

    functions = {
        "exp_single": compiled(shared, exp_single),
        "powers": compiled(shared_powers, powers),
    }
    # Below 2^-26 the result is 1, which is nearest.
    first = int(np.float32(2.0**-26).view(np.uint32)) // LANES * LANES
    last = int(np.float32(LIMIT).view(np.uint32)) + 1
    found = dict.fromkeys(functions, (0.0, 0.0))
    for at in range(first, last, 1 << 20):
        count = min(1 << 20, -(-(last - at) // LANES) * LANES)
        for sign in (1, -1):
            x = sign * np.arange(at, at + count, dtype=np.uint32).view(np.float32)
            exact = np.exp(x.astype(np.float64))
            # An ulp of float32 is 2^-24 below 1 and 2^-23 from there on.
            ulp = np.where(exact < 1, 2.0**-24, 2.0**-23)
            for name, function in functions.items():
                e = np.empty_like(x)
                function(x, e)
                error = np.abs(e - exact) / ulp
                worst = int(np.argmax(error))
                found[name] = max(found[name], (float(error[worst]), float(x[worst])))
    return found


def printed(name: str, values: list[float]) -> None:
    """Print a tuple as Python source."""
    print(f"{name} = (")
    for value in values:
        print(f"    {value!r},")
    print(")")


def main() -> None:
    """Print the numbers as Python source, with their measured error."""
    import numpy as np

    for name, kind, count, limit in (
        ("SINGLE", np.float32, 5, LIMIT),
        ("DOUBLE", np.float64, 12, LIMIT),
        ("SECOND, THIRD", np.float32, 2, LIMIT / 16),
    ):
        coefficients = [float(kind(float(c))) for c in remez(count, limit)]
        error = error_of([mpf(c) for c in coefficients])
        worst = max(abs(error(limit * (2 * mpf(i) / GRID - 1))) for i in range(GRID + 1))
        print(f"# relative error at most 2^{float(mp.log(worst, 2)):.2f}")
        printed(name, coefficients)
    powers = [mpf(2) ** (mpf(j) / 16) for j in range(16)]
    rounded = [float(np.float32(float(power))) for power in powers]
    lost = [power / mpf(near) - 1 for power, near in zip(powers, rounded, strict=True)]
    printed("POWERS", rounded)
    printed("LOST", [float(np.float32(float(value))) for value in lost])
    for name, (ulps, where) in worst_of_every_float32().items():
        print(f"# {name}: at most {ulps:.3f} ulps over every float32 in the range, at {where!r}")
    for bits in (32,):
        high = mpf(int(mp.log(2) * 2**bits)) / 2**bits
        print(f"LOG2_HIGH = {float(high)!r}")
        print(f"LOG2_LOW = {float(mp.log(2) - high)!r}")
    print(f"INVERSE_LOG2 = {float(1 / mp.log(2))!r}")


if __name__ == "__main__":
    main()
