"""Ten million samples: sums, means and their denominators are still exact.

Samples repeat the rows of a small table, so that balls give their exact sum: each row's term
times its count.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx

import crossent_spec as cs
from crossent_spec import formulas
from crossent_spec.cpu.sums import compensated

COUNT, ROWS, CLASSES = 10_000_019, 61, 2


@pytest.fixture(autouse=True)
def _precision():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


class Table:
    """Rows of logits with their targets, how many samples are each, and the samples themselves."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.x = (3 * rng.standard_normal((ROWS, CLASSES))).astype(np.float32)
        self.y = rng.integers(0, CLASSES, ROWS).astype(np.int8)
        self.y[::7] = -100
        # No weight's multiples are exact, and a sum of them in float32 stops growing.
        self.w = np.array([0.1, 2.7], np.float32)
        self.which = rng.integers(0, ROWS, COUNT, dtype=np.uint8)
        self.counts = np.bincount(self.which, minlength=ROWS).tolist()
        self.samples = self.x[self.which], self.y[self.which]
        self.keep = self.y != -100

    def symbols(self, weighted):
        balls = np.array([arb(float(v)) for v in self.x.ravel()], dtype=object)
        w = self.w.tolist() if weighted else [1.0] * CLASSES
        return formulas.Symbols(
            x=balls.reshape(ROWS, CLASSES, 1),
            y=np.where(self.keep, self.y, 0)[:, None],
            q=None,
            w=np.array([arb(v) for v in w], dtype=object),
            keep=self.keep[:, None],
            epsilon=arb(0),
            reduction="none",
        )

    def total(self, weighted):
        losses = formulas.unreduced(self.symbols(weighted))[:, 0]
        return sum((count * loss for count, loss in zip(self.counts, losses, strict=True)), arb(0))

    def divisor(self, weighted):
        w = [Fraction(v) if weighted else Fraction(1) for v in self.w.tolist()]
        kept = zip(self.counts, self.y.tolist(), self.keep.tolist(), strict=True)
        found = sum(count * w[y] for count, y, keep in kept if keep)
        return arb(found.numerator) / found.denominator


@pytest.fixture(scope="module")
def table():
    return Table()


def ulps(got, exact):
    """Distance of a result to an exact value, in ulps of its dtype there."""
    return abs(float(arb(float(got)) - exact)) / np.spacing(np.abs(got.dtype.type(float(exact))))


@pytest.mark.parametrize("weighted", [False, True])
def test_sum_and_mean(table, weighted):
    weight = table.w if weighted else None
    total, divisor = table.total(weighted), table.divisor(weighted)
    assert ulps(cs.cross_entropy(*table.samples, weight, reduction="sum"), total) <= 1
    assert ulps(cs.cross_entropy(*table.samples, weight), total / divisor) <= 1


def test_the_mean_of_the_unit_scaled_loss(table):
    got = cs.unit_scaled_cross_entropy(*table.samples)
    assert ulps(got, table.total(False) / COUNT) <= 1


def test_the_gradients_denominator(table):
    x, y = table.samples
    loss, grads = cs.cross_entropy_value_and_grad(x, y, table.w, out=x.copy())
    divisor = table.divisor(True)
    assert ulps(loss, table.total(True) / divisor) <= 1
    scale = np.full((ROWS, 1), 1 / divisor, dtype=object)
    exact = formulas.logit_gradient(table.symbols(True), scale)[:, :, 0]
    first = np.full(ROWS, COUNT)
    np.minimum.at(first, table.which, np.arange(COUNT))
    got = grads.input[first]
    for row, c in np.ndindex(got.shape):
        assert ulps(got[row, c], exact[row, c]) <= 2
    assert (grads.input == got[table.which]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_the_weights(table, dtype):
    x, y = table.samples
    weight = table.w.astype(dtype)
    found = cs.cross_entropy_value_and_grad(x, y, weight, reduction="sum", wrt="weight")[1].weight
    losses = formulas.unreduced(table.symbols(False))[:, 0]
    for c in range(CLASSES):
        of_class = [
            count * loss
            for count, loss, label in zip(table.counts, losses, table.y, strict=True)
            if label == c
        ]
        assert ulps(found[c], sum(of_class, arb(0))) <= 1 + (dtype == "float64")


def test_a_sum_of_float64_losses(table):
    x = table.x.astype(np.float64)[table.which]
    losses = cs.cross_entropy(x, table.samples[1], reduction="none")
    total = cs.cross_entropy(x, table.samples[1], reduction="sum")
    assert total == math.fsum(losses)


@pytest.mark.parametrize("large", [0, 2**70])
def test_a_sum_beside_which_its_terms_are_small(large):
    digits = np.random.default_rng(1).integers(0, 2**53, COUNT)
    # Halves of 53 bits, each of whose sums fits.
    exact = (int((digits >> 20).sum()) << 20) + int((digits & (2**20 - 1)).sum())
    values = digits.astype(np.float64)
    values[0], values[-1] = large, -large
    exact += -int(digits[0]) - int(digits[-1])
    assert compensated(values) == float(exact)
