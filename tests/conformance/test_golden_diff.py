"""What `crossent golden diff` says about two vectors of one id."""

from types import SimpleNamespace

import pytest

from conformance.golden.diff import Change, compare, differences


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


def test_what_is_gone_new_or_changed_is_told_by_id():
    def vectors(**numbers):
        return [
            SimpleNamespace(id=name, to_json=lambda number=number: {"loss": number})
            for name, number in numbers.items()
        ]

    assert compare(vectors(d=1, b=2, c=3), vectors(a=0, c=3, b=5)) == [
        Change("a", "added", ()),
        Change("b", "changed", ("loss: 2 → 5",)),
        Change("d", "removed", ()),
    ]
    assert Change("a", "added").details == ()
