"""Derive the polynomials of ``crossent_spec/cpu/exponential.py`` and print them.

exp(r) on |r| ≤ (log 2)/2·(1 + 2^-10) as 1 + r + r²·q(r) (float64) or 1 + r·q(r) (float32), where q
minimises the largest relative error of the whole: Remez' exchange in 60 digits.  The error of the
rounded coefficients is measured in exact arithmetic on a dense grid.

    python tools/exp_coefficients.py
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import exp, lu_solve, matrix, mp, mpf

mp.dps = 60
LIMIT = mp.log(2) / 2 * (1 + mpf(2) ** -10)
GRID = 4000


def head(r: mpf, terms: int) -> mpf:
    """Return the terms that are kept exact: 1, or 1 + r."""
    return mpf(1) if terms == 1 else 1 + r


def remez(terms: int, count: int) -> list[mpf]:
    """Return ``count`` coefficients of q with the smallest largest relative error."""
    nodes = [LIMIT * mp.cos(mp.pi * (2 * i + 1) / (2 * count + 2)) for i in range(count + 1)]
    coefficients: list[mpf] = []
    for _ in range(12):
        system, right = matrix(count + 1), matrix(count + 1, 1)
        for i, r in enumerate(nodes):
            for j in range(count):
                system[i, j] = r ** (terms + j) / exp(r)
            system[i, count] = (-1) ** i
            right[i] = 1 - head(r, terms) / exp(r)
        coefficients = list(lu_solve(system, right))[:count]
        nodes = extrema(error_of(coefficients, terms), count + 1)
    return coefficients


def error_of(coefficients: list[mpf], terms: int) -> Callable[[mpf], mpf]:
    """Return the relative error as a function of r."""

    def error(r: mpf) -> mpf:
        tail = sum((c * r ** (terms + j) for j, c in enumerate(coefficients)), mpf(0))
        return (head(r, terms) + tail) / exp(r) - 1

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


def main() -> None:
    """Print the coefficients as Python source, with their measured error."""
    for name, terms, count in (("SINGLE", 1, 7), ("DOUBLE", 2, 12)):
        coefficients = [float(c) for c in remez(terms, count)]
        error = error_of([mpf(c) for c in coefficients], terms)
        worst = max(abs(error(LIMIT * (2 * mpf(i) / GRID - 1))) for i in range(GRID + 1))
        print(f"# relative error at most 2^{float(mp.log(worst, 2)):.2f}")
        print(f"{name} = (")
        for value in coefficients:
            print(f"    {value!r},")
        print(")")
    for bits in (32,):
        high = mpf(int(mp.log(2) * 2**bits)) / 2**bits
        print(f"LOG2_HIGH = {float(high)!r}")
        print(f"LOG2_LOW = {float(mp.log(2) - high)!r}")
    print(f"LOG2 = {float(mp.log(2))!r}")
    print(f"INVERSE_LOG2 = {float(1 / mp.log(2))!r}")


if __name__ == "__main__":
    main()
