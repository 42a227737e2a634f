"""What the library makes of arguments that others hold too, or that are not what they seem."""

import threading

import numpy as np
import pytest

import crossent_spec as cs


def test_of_two_threads_only_one_consumes_the_gradients():
    options = cs.LinearCrossEntropyOptions()
    features, matrix, target = np.ones((400, 60)), np.ones((900, 60)), np.arange(400)
    for _ in range(5):
        vjp = cs.linear_cross_entropy_vjp(features, matrix, target, options=options)[1]
        start, refused = threading.Barrier(2), []

        def call(vjp=vjp, start=start, refused=refused):
            start.wait()
            try:
                vjp(2.0)
            except RuntimeError as error:
                refused.append(str(error))

        callers = [threading.Thread(target=call) for _ in range(2)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert len(refused) == 1
        assert "consumed" in refused[0]


@pytest.mark.parametrize("linear", [False, True])
def test_indices_that_the_caller_changes_after_the_check_are_not_used(linear):
    x, target = np.zeros((4, 3)), np.zeros(4, np.int64)
    if linear:
        vjp = cs.linear_cross_entropy_vjp(np.ones((4, 2)), np.ones((3, 2)), target, wrt="input")[1]
        expected = vjp().input
        vjp = cs.linear_cross_entropy_vjp(np.ones((4, 2)), np.ones((3, 2)), target, wrt="input")[1]
    else:
        vjp = cs.cross_entropy_vjp(x, target)[1]
        expected = vjp().input
    target[:] = 10**12
    for _ in range(2):
        np.testing.assert_array_equal(vjp().input, expected)


def test_a_mask_is_not_dropped():
    x = np.ma.masked_array(np.zeros((2, 3)), np.eye(2, 3, dtype=bool))
    with pytest.raises(TypeError, match=r"input: got a masked array"):
        cs.cross_entropy(x, [0, 1])
    with pytest.raises(TypeError, match=r"target: got a masked array"):
        cs.cross_entropy(np.zeros((2, 3)), np.ma.masked_array([0, 1], [True, False]))
    nothing = np.ma.masked_array(np.zeros((2, 3)))
    assert cs.cross_entropy(nothing, [0, 1]) == cs.cross_entropy(np.zeros((2, 3)), [0, 1])


def test_an_empty_list_has_no_class_indices():
    assert cs.cross_entropy(np.zeros((0, 3)), [], reduction="sum") == 0
    with pytest.raises(ValueError, match=r"target: got shape \(0,\)"):
        cs.cross_entropy(np.zeros((0, 3)), np.zeros(0))
