"""Golden files that are not what they must be are refused."""

import json
import os

import numpy as np
import pytest

from conformance.case import Case
from conformance.golden import parse
from conformance.golden.make import make_vector
from conformance.golden.numbers import write_integer
from conformance.golden.parse import GoldenFileError
from conformance.golden.read import LARGEST_FILE, read_folder
from conformance.golden.verify import verify
from tests.conformance import golden_files
from tests.conformance.golden_files import (
    INDICES,
    INPUT,
    LOSS,
    MEANS,
    at,
    damage_hash,
    edit,
    rewrite,
)

folder = golden_files.folder
vectors = golden_files.vectors


def truncate(folder):
    path = folder / "vectors" / INDICES
    path.write_bytes(path.read_bytes()[:-40])


def truncate_and_rehash(folder):
    rewrite(folder, lambda text: text[:-40])


def remove(folder):
    (folder / "vectors" / INDICES).unlink()


def add_stranger(folder):
    (folder / "vectors" / "more.json").write_text("{}")


def link_to_a_copy(folder):
    path = folder / "vectors" / INDICES
    path.rename(folder / "elsewhere.json")
    path.symlink_to(folder / "elsewhere.json")


def make_a_pipe(folder):
    path = folder / "vectors" / INDICES
    path.unlink()
    os.mkfifo(path)


def oversize(folder):
    with (folder / "vectors" / INDICES).open("r+b") as file:
        file.truncate(LARGEST_FILE + 1)


def rename_in_index(name):
    def change(folder):
        path = folder / "vectors" / "index.json"
        path.write_text(path.read_text().replace(INDICES, name))

    change.__name__ = name
    return change


def unknown_index_member(folder):
    path = folder / "vectors" / "index.json"
    path.write_text(path.read_text().replace('"schema"', '"run":"rm -rf /","schema"', 1))


def short_hash(folder):
    path = folder / "vectors" / "index.json"
    path.write_text(path.read_text().replace('"sha256":"', '"sha256":"0', 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_hash, "its SHA-256 is not the one in the index"),
        (truncate, "the index says"),
        (truncate_and_rehash, "Expecting|Unterminated"),
        (remove, "No such file"),
        (add_stranger, "the index does not name this file"),
        (link_to_a_copy, "is a symbolic link"),
        (make_a_pipe, "is not a regular file"),
        (oversize, "is larger than"),
        (rename_in_index(f"../{INDICES}"), "expected a plain name"),
        (rename_in_index("/etc/passwd"), "expected a plain name"),
        (rename_in_index("vectors/x.json"), "expected a plain name"),
        (rename_in_index(f"{INDICES}\\u0000"), "expected a plain name"),
        (rename_in_index("index.json"), "expected a plain name"),
        (unknown_index_member, "unknown member 'run'"),
        (short_hash, "64 hexadecimal digits"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_strange_files_are_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(GoldenFileError, match=message):
        read_folder(folder)


TEXTS = {
    "duplicate-key": (lambda t: t.replace('"calls":', '"calls":"","calls":', 1), "stands twice"),
    "bare-nan": (lambda t: t.replace('"values":[', '"values":[NaN,', 1), "NaN is not JSON"),
    "bare-infinity": (lambda t: t.replace('"values":[', '"values":[-Infinity,', 1), "not JSON"),
    "beyond-float64": (lambda t: t.replace('"values":[', '"values":[1e999,', 1), "beyond float64"),
    "long-integer": (lambda t: t.replace('"values":[', f'"values":[{"9" * 5000},', 1), "64 bits"),
    "deep": (lambda t: t.replace('"arguments":{', '"arguments":' + "[" * 100000, 1), "too deeply"),
    "not-an-object": (lambda _: "[]", "expected an object"),
    "other-schema": (lambda t: t.replace("golden:1", "golden:2", 1), "golden:2"),
    "byte-order-mark": (lambda t: "\ufeff" + t, "BOM"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_strange_json_is_refused(folder, name):
    change, message = TEXTS[name]
    rewrite(folder, change)
    with pytest.raises(GoldenFileError, match=message):
        read_folder(folder)


def test_bytes_that_are_no_text_are_refused(folder):
    path = folder / "vectors" / "index.json"
    path.write_bytes(b'{"schema":"\xff"}')
    with pytest.raises(GoldenFileError, match="not UTF-8"):
        read_folder(folder)


VECTORS = {
    "huge-shape": (at(*INPUT, "shape")([10**9, 10**9]), "an integer from 0 to 4096"),
    "huge-product": (at(*INPUT, "shape")([4096] * 8), "at most 4096 elements"),
    "huge-empty": (at(*INPUT, "shape")([4096, 0, 4096]), "at most 4096 elements"),
    "many-axes": (at(*INPUT, "shape")([1] * 9), "at most 8 sizes"),
    "negative-size": (at(*INPUT, "shape")([-1, 3]), "an integer from 0"),
    "boolean-size": (at(*INPUT, "shape")([True, 3]), "an integer from 0"),
    "count": (at(*INPUT, "values")([1.0]), "1 values, shape"),
    "text-for-values": (at(*INPUT, "values")("x" * 12), "got 'xxxxxxxxxxxx', shape .* needs"),
    "nan-spelled-otherwise": (at(*INPUT, "values", 0)("nan"), "expected a number"),
    "inf-spelled-otherwise": (at(*INPUT, "values", 0)("inf"), "expected a number"),
    "number-as-text": (at(*INPUT, "values", 0)("1.5"), "expected a number"),
    "no-number-of-the-type": (at(*INPUT, "values", 0)(0.1), "a number of bfloat16"),
    "integer-for-float": (at(*INPUT, "values", 0)(1), "expected a number"),
    "float-for-integer": (at("inputs", "target", "values", 0)(1.0), "expected an integer"),
    "integer-out-of-type": (at("inputs", "target", "dtype")("uint8"), None),
    "unknown-type": (at(*INPUT, "dtype")("object"), "one of float16"),
    "integer-loss": (at(*LOSS, "dtype")("int64"), "one of float16"),
    "unknown-member": (at("__class__")("os.system"), "unknown member '__class__'"),
    "unknown-input": (at("inputs", "extra")(None), "unknown member 'extra'"),
    "unknown-argument": (at("arguments", "eval")("1"), "unknown member 'eval'"),
    "other-kind-of-argument": (at("arguments", "reduction")({}), "a text"),
    "long-text": (at("arguments", "reduction")("x" * 10**6), "at most 1000 characters"),
    "no-case": (at("id")("../../etc/passwd"), "case"),
    "another-case": (
        at("id")("ce/index/4x3/bf16/none,smoothing=0.10"),
        "0.10', expected ce/.*=0.1$",
    ),
    "unspeakable-case": (at("id")("ce/index/4x3/bf16/none,seed=" + "9" * 5000), "at most 1000"),
    "another-mode": (at("id")("ce/prob/4x3/bf16/none"), "belongs to"),
    "another-system": (at("system")("posix.system"), "got 'posix.system', expected torch.nn"),
    "unknown-clause": (at("clauses")(["index.no-such"]), "clause"),
    "flag-without-note": (at("flags")(["Nothing"]), "has no note"),
    "negative-bound": (at(*LOSS, "tolerance")(-1.0), "none below 0"),
    "nan-bound": (at(*LOSS, "tolerance")("NaN"), "finite bounds"),
    "bounds": (at(*LOSS, "tolerance")([0.1]), "needs 4 bounds"),
    "no-bits": (at(*LOSS, "proof")({}), "lacks 'bits'"),
    "tie-outside": (at(*LOSS, "proof")({"bits": 128, "ties": [4]}), "from 0 to 3"),
    "ties-disordered": (at(*LOSS, "proof")({"bits": 128, "ties": [2, 1]}), "ascending"),
    "lonely-reading": (at(*LOSS, "reading")("mine"), "other readings"),
    "raises-and-more": (at("expected", "raises")(True), "unknown member"),
    "raises-on-valid": (at("expected")({"raises": True}), "forbids"),
    "may-raise-false": (at("expected", "may_raise")(False), "may_raise"),
    "second-backward": (at("expected", "second_backward")("same"), "unknown member"),
    "strange-gradient": (at("expected", "gradients", "weight")({}), "unknown member 'weight'"),
    "other-calls": (at("calls")("again"), "calls: got 'again', expected once"),
    "number-for-true": (at("arguments", "reduce")(1), "reduce: got 1, expected true or false"),
    "text-for-true": (at("arguments", "size_average")("no"), "got 'no', expected true or false"),
    "unknown-option": (at("arguments", "options")({"speed": 1}), "unknown member 'speed'"),
    "large-chunk": (
        at("arguments", "options")({"batch_chunk_size": 2**31 + 1}),
        "options: batch_chunk_size: got 2147483649, expected an integer from 0 to 2147483648$",
    ),
    "list-for-option": (
        at("arguments", "options")({"acc_policy": []}),
        r"got \[\], expected an int",
    ),
    "long-option": (
        at("arguments", "options")({"acc_policy": ""}),
        "options: got '', expected a t",
    ),
    "axes-of-one": (at(*INPUT, "shape")([1] * 7 + [4096]), r"got 12 values, .* needs 4096$"),
    "axes": (at(*INPUT, "shape")([1] * 9), r"shape: got \[1, 1.*, expected a list of at most 8"),
    "another-number": (at(*INPUT, "values", 0)(0.1), "at 0: got 0.1, expected a number of bfl"),
    "another-integer": (
        at("inputs", "target", "dtype")("bool"),
        "got 2, expected a number of bool",
    ),
    "no-bit": (
        at(*LOSS, "proof")({"bits": 0}),
        "bits: got 0, expected an integer from 1 to 1048576$",
    ),
    "text-for-bound": (at(*LOSS, "tolerance")("x"), "loss: tolerance: got 'x', expected a number"),
    "lonely-answer": (
        at(*LOSS, "reading")("mine"),
        r"acceptable: got \[\], expected other readings",
    ),
    "no-other-answer": (at(*LOSS, "acceptable")([]), r"got \[\], expected at least one other"),
    "ties-missing": (
        at(*LOSS, "proof")({"bits": 128, "ties": []}),
        "ties: got .*a list of positions",
    ),
    "tie-twice": (at(*LOSS, "proof")({"bits": 128, "ties": [1, 1]}), "ascending"),
    "text-for-texts": (at("clauses")("x"), "clauses: got 'x', expected a list$"),
    "clause-twice": (
        lambda v: v["clauses"].append(v["clauses"][0]),
        "got .*, expected every entry once",
    ),
    "empty-flag": (at("flags")([""]), "flags: got '', expected a text"),
    "raises-false": (
        at("expected")({"raises": False}),
        "got {'raises': False}, expected results, or",
    ),
    "no-vector": (lambda vector: vector.clear(), "lacks 'id'"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_strange_vectors_are_refused(folder, name):
    change, message = VECTORS[name]
    edit(folder, change)
    if message is None:  # the reader takes it: an index of another type is a number, too
        assert "ce/index/4x3/bf16/none,smoothing=0.1,grad=mixed" in verify(folder, jobs=1).problems
        return
    with pytest.raises(GoldenFileError, match=message) as caught:
        read_folder(folder)
    assert str(caught.value).startswith(str(folder))  # every message says which file
    assert len(str(caught.value)) < 1500


def test_vectors_twice_or_out_of_order_are_refused(folder):
    def swap(text):
        document = json.loads(text)
        document["vectors"].reverse()
        return json.dumps(document)

    rewrite(folder, swap, MEANS)
    with pytest.raises(GoldenFileError, match="twice or out of order"):
        read_folder(folder)


def test_a_missing_vector_is_refused(folder):
    def drop(text):
        document = json.loads(text)
        document["vectors"].pop()
        return json.dumps(document)

    rewrite(folder, drop, MEANS)
    with pytest.raises(GoldenFileError, match="expected 2 vectors"):
        read_folder(folder)


def test_the_limits_are_within_them():
    assert parse.read_text("x" * 1000, "here") == "x" * 1000
    with pytest.raises(GoldenFileError, match="here: got"):
        parse.read_text("x" * 1001, "here")
    assert [parse.read_count(n, "here", 9, least=1) for n in (1, 9)] == [1, 9]
    for beyond in (0, 10, True, 5.0):
        with pytest.raises(
            GoldenFileError, match=f"here: got {beyond}, expected an integer from 1"
        ):
            parse.read_count(beyond, "here", 9, least=1)
    assert parse.read_texts(["b", "a"], "here") == ("b", "a")
    with pytest.raises(GoldenFileError, match="here: got .*, expected every entry once"):
        parse.read_texts(["b", "b"], "here")


@pytest.mark.parametrize(
    "text",
    [
        "ce/index/3x4/f32/default,size_average=false,reduce=true",
        "ce/prob/3x4/f16/mean,ignore_index=2",
        "ce/index/3x4/f32/mean,bad=smoothing-nan",
        "ce/index/0x4/f32/sum",
        "ce/index/4x5/f32/none,logits=posinf,grad=ones",
        "linear/index/6x5-4/f32/sum,logits=zeros",
        "linear/index/3x4-5/f16/sum,bias=yes,options=compact,script=twice",
        "linear/index/3x4-5/bf16/sum,options=chunk64,retain=yes,script=twice",
        "unit/prob/3x4/f64/sum,mult=0.25,script=again,weight=mixed",
    ],
)
def test_a_vector_is_read_as_it_was_made(text):
    made = make_vector(Case.parse(text))
    read = parse.parse_vector(json.loads(json.dumps(made.to_json())), "here", made.flags)
    assert read.to_json() == made.to_json()
    assert (read.raises, read.second_backward) == (made.raises, made.second_backward)


def test_calls_that_no_golden_file_has_are_refused():
    vector = make_vector(Case.parse("ce/index/3x4/f32/mean")).to_json()
    vector |= {"id": "ce/index/3x4/f32/mean,script=stale", "calls": "stale"}
    with pytest.raises(GoldenFileError, match="here: calls: got 'stale'"):
        parse.parse_vector(vector, "here", vector["flags"])


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("second_backward", "other", "second_backward: got 'other', expected same or raises"),
        ("may_raise", False, "may_raise: got False, expected true, or nothing"),
    ],
)
def test_strange_words_about_raising_are_refused(member, value, words):
    vector = make_vector(Case.parse("linear/index/3x4-5/f32/sum,script=twice")).to_json()
    vector["expected"][member] = value
    with pytest.raises(GoldenFileError, match=f"^here: expected: {words}"):
        parse.parse_vector(vector, "here", vector["flags"])


def test_readings_have_names_of_their_own():
    vector = make_vector(Case.parse("ce/index/4x5/f32/none,logits=posinf,grad=ones")).to_json()
    loss = vector["expected"]["loss"]
    loss["acceptable"][0]["reading"] = loss["reading"]
    with pytest.raises(
        GoldenFileError, match=r"got \['.*'.*\], expected a name of its own for every reading"
    ):
        parse.parse_vector(vector, "here", vector["flags"])
    del loss["acceptable"][0]["reading"]
    with pytest.raises(
        GoldenFileError, match=r"got \['.*'.*\], expected a name of its own for every reading"
    ):
        parse.parse_vector(vector, "here", vector["flags"])


def test_a_gradient_has_the_shape_of_its_input():
    vector = make_vector(Case.parse("ce/index/3x4/f32/sum")).to_json()
    vector["expected"]["gradients"]["input"]["shape"] = [4, 3]
    with pytest.raises(GoldenFileError, match="gradients: input: has another shape than input"):
        parse.parse_vector(vector, "here", vector["flags"])


def test_integers_are_read_to_their_ends_and_as_integers():
    for name, limits in (("int8", (-128, 127)), ("bool", (0, 1)), ("int64", (-(2**63), 2**63 - 1))):
        data = {"dtype": name, "shape": [2], "values": [write_integer(value) for value in limits]}
        values = parse._tensor(data, "here").values
        assert values.dtype == np.int64
        assert tuple(values.tolist()) == limits
    empty = {"dtype": "int64", "shape": [0], "values": []}
    assert parse._tensor(empty, "here").values.dtype == np.int64
    assert parse._tensor({**empty, "dtype": "float16"}, "here").values.dtype == np.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("gradients", "input", "dtype")("x"), "gradients: input: dtype: got 'x'"),
        (at("gradients", "input", "shape")(3), "gradients: input: shape: got 3"),
        (at("loss", "reading")(7), "loss: reading: got 7"),
        (at("loss")([]), r"loss: got \[\], expected an object"),
    ],
)
def test_messages_say_where_and_what(change, message):
    vector = make_vector(Case.parse("ce/index/4x5/f32/none,logits=posinf,grad=ones")).to_json()
    change(vector["expected"])
    with pytest.raises(GoldenFileError, match=f"^here: expected: {message}"):
        parse.parse_vector(vector, "here", vector["flags"])


def test_a_call_that_must_raise_has_no_results():
    vector = make_vector(Case.parse("ce/index/3x4/f32/sum")).to_json()
    bad = make_vector(Case.parse("ce/index/3x4/f32/sum,bad=target-too-large")).to_json()
    bad["expected"] = vector["expected"]
    with pytest.raises(GoldenFileError, match=r"got {'loss': .*, expected {\"raises\": true}"):
        parse.parse_vector(bad, "here", bad["flags"])
