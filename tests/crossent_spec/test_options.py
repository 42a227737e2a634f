"""Chunking options: what is allowed, and how many rows a chunk has."""

import ml_dtypes
import numpy as np
import pytest

from crossent_spec import LinearCrossEntropyOptions as Options

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}


def test_defaults():
    assert vars(Options()) == {
        "allow_retain_graph": False,
        "batch_chunk_size": None,
        "chunking_method": "auto",
        "acc_policy": "auto",
        "acc_dtype": None,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"allow_retain_graph": np.True_},
        {"batch_chunk_size": 1},
        {"batch_chunk_size": np.int16(3)},
        {"chunking_method": None},
        {"chunking_method": "auto"},
        {"chunking_method": "aspect_ratio"},
        {"chunking_method": "aspect_ratio:10"},
        {"chunking_method": "aspect_ratio:007"},
        *({"acc_policy": policy} for policy in ("auto", "accurate", "balanced", "compact")),
    ],
    ids=str,
)
def test_what_is_allowed(given):
    found = Options(**given)
    assert {name: getattr(found, name) for name in given} == given


@pytest.mark.parametrize(
    ("error", "given"),
    [
        (TypeError, {"allow_retain_graph": 1}),
        (TypeError, {"allow_retain_graph": None}),
        (ValueError, {"batch_chunk_size": 0}),
        (ValueError, {"batch_chunk_size": -1}),
        (ValueError, {"batch_chunk_size": True}),
        (ValueError, {"batch_chunk_size": 2.0}),
        (ValueError, {"chunking_method": ""}),
        (ValueError, {"chunking_method": "AUTO"}),
        (ValueError, {"chunking_method": "aspect_ratio:"}),
        (ValueError, {"chunking_method": "aspect_ratio:0"}),
        (ValueError, {"chunking_method": "aspect_ratio:-1"}),
        (ValueError, {"chunking_method": "auto:2"}),
        (ValueError, {"chunking_method": 2}),
        (ValueError, {"acc_policy": "fast"}),
        (ValueError, {"acc_policy": None}),
        (ValueError, {"acc_dtype": "int32"}),
        (ValueError, {"acc_dtype": "nonsense"}),
        (ValueError, {"acc_dtype": 3}),
    ],
    ids=str,
)
def test_what_is_not_allowed_is_named(error, given):
    ((name, value),) = given.items()
    with pytest.raises(error) as caught:
        Options(**given)
    assert str(caught.value).startswith(f"{name}: got {value!r}, ")


@pytest.mark.parametrize("name", DTYPES)
def test_the_dtype_of_accumulation_is_given_in_either_way(name):
    assert Options(acc_dtype=name).acc_dtype == Options(acc_dtype=DTYPES[name]).acc_dtype
    assert Options(acc_dtype=name).acc_dtype.name == name


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("accumulated", [None, *DTYPES])
def test_which_dtypes_go_together(name, accumulated):
    options = Options(acc_dtype=accumulated)
    if accumulated in (None, name) or (name[-2:] == "16" and accumulated == "float32"):
        options.check_dtype(DTYPES[name])
        return
    with pytest.raises(ValueError, match=f"^acc_dtype: got {accumulated} for {name} input, "):
        options.check_dtype(DTYPES[name])


@pytest.mark.parametrize(
    ("given", "sizes", "rows"),
    [
        # ⌈4096/⌈32000/512⌉⌉ = 66, the next power of two is 128.
        ({"chunking_method": "aspect_ratio"}, (4096, 512, 32000), 128),
        ({"chunking_method": "aspect_ratio:2"}, (4096, 512, 32000), 64),
        ({"chunking_method": "aspect_ratio:200"}, (4096, 512, 32000), 1),
        ({"chunking_method": "aspect_ratio"}, (64, 4, 8), 32),
        ({"chunking_method": "aspect_ratio"}, (64, 4, 9), 32),
        ({"chunking_method": "aspect_ratio"}, (66, 4, 8), 64),
        ({"chunking_method": "aspect_ratio"}, (5, 8, 3), 5),
        ({"chunking_method": "aspect_ratio"}, (5, 0, 3), 2),
        ({"chunking_method": "aspect_ratio"}, (0, 8, 3), 1),
        ({"chunking_method": "aspect_ratio"}, (1, 8, 3), 1),
        ({"chunking_method": None}, (5, 8, 3), 5),
        ({"chunking_method": None}, (0, 8, 3), 1),
        ({"chunking_method": None, "batch_chunk_size": 3}, (5, 8, 3), 3),
        ({"chunking_method": None, "batch_chunk_size": 7}, (5, 8, 3), 5),
        ({"batch_chunk_size": 3}, (5, 8, 3), 3),
        ({"batch_chunk_size": 128, "chunking_method": "aspect_ratio"}, (4096, 512, 32000), 128),
    ],
)
def test_rows_of_a_chunk(given, sizes, rows):
    assert Options(**given).chunk_size(*sizes) == rows


@pytest.mark.parametrize(
    ("name", "rows"), [("float16", 128), ("bfloat16", 128), ("float32", 64), ("float64", 64)]
)
def test_what_is_chosen_for_a_dtype(name, rows):
    assert Options().chunk_size(4096, 512, 32000, DTYPES[name]) == rows
    assert Options().chunk_size(4096, 512, 32000) == 64


def test_two_sizes_that_disagree_are_refused():
    options = Options(batch_chunk_size=64, chunking_method="aspect_ratio")
    with pytest.raises(
        ValueError, match="^batch_chunk_size: got 64, but .*'aspect_ratio' gives 128"
    ):
        options.chunk_size(4096, 512, 32000)
