"""What `crossent golden diff` says about two vectors of one id."""

from types import SimpleNamespace

import pytest

from conformance.golden.diff import differences


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 1, "b": {"c": "x"}}, {"a": 1, "b": {"c": "x"}}, []),
        ({"a": 1}, {"a": 2}, ["a: 1 → 2"]),
        ({"a": {"b": 1}}, {"a": {"b": None}}, ["a.b: 1 → None"]),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3}}, ["a: gone", "b.c: gone"]),
        ({"a": {}}, {"a": {"b": "z" * 99}}, [f"a.b: new, '{'z' * 59}"]),
        ({"a": 1}, {"b": 2, "a": 3}, ["a: 1 → 3", "b: new, 2"]),
        (
            {"a": [1, 2.0, "NaN", 5.0, 7]},
            {"a": [1, "Infinity", 3.0, 4.5, 7.25]},
            ["a: 4 of 5 numbers, by at most 0.5, first 2.0 → 'Infinity'"],
        ),
        ({"a": ["NaN"]}, {"a": ["Infinity"]}, ["a: 1 of 1 numbers, first 'NaN' → 'Infinity'"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a: [1, 2] → [1]"]),
        ({"a": []}, {"a": [1]}, ["a: [] → [1]"]),
        ({"a": [1]}, {"a": 1}, ["a: [1] → 1"]),
        ({"a": ["x", "y"]}, {"a": ["x", "z"]}, ["a: ['x', 'y'] → ['x', 'z']"]),
        ({"a": {"b": 1}}, {"a": [1]}, ["a: {'b': 1} → [1]"]),
        ({"a": "y" * 99}, {"a": "z" * 99}, [f"a: '{'y' * 59} → '{'z' * 59}"]),
    ],
)
def test_a_difference_says_where_it_is_and_what_was_there(old, new, lines):
    before, after = (SimpleNamespace(to_json=lambda data=data: data) for data in (old, new))
    assert list(differences(before, after)) == lines
