"""The golden files: what they hold, who may write them, and what is refused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from conformance.case import DTYPES, SYSTEMS, Case
from conformance.clauses import CATALOGUE, clauses_of
from conformance.corpus import corpus
from conformance.golden import cli, find_folder, write
from conformance.golden.diff import compare
from conformance.golden.flags import BY_NAME
from conformance.golden.judge import make_expected
from conformance.golden.make import make_request, make_vector
from conformance.golden.parse import GoldenFileError
from conformance.golden.read import LARGEST_FILE, read_folder
from conformance.golden.select import LARGEST_OF_ALL, select
from conformance.golden.verify import check, verify
from conformance.golden.write import render_all, replace_files
from conformance.request import build

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "golden"
CONSUMER = ROOT / "tools" / "golden_consumer.mjs"
FEW = [
    Case.parse("ce/index/6x5/f32/mean,weight=mixed,ignored=some"),
    Case.parse("ce/index/4x3/bf16/none,grad=mixed,smoothing=0.1"),
    Case.parse("ce/index/5x4/f64/sum,logits=posinf,grad=ones"),
    Case.parse("ce/index/5x4/f32/mean,ignore_index=-9223372036854775808,ignored=some"),
    Case.parse("ce/index/4x10/f32/mean,bad=target-too-large"),
    Case.parse("ce/prob/4x3/f16/mean,weight=mixed"),
    Case.parse("linear/index/6x5-4/f32/sum,bias=yes,options=chunk2,script=twice"),
]
INDICES = "cross_entropy_indices.json"


@pytest.fixture(scope="module")
def vectors():
    return [make_vector(case) for case in FEW]


@pytest.fixture(scope="module")
def committed():
    return read_folder(GOLDEN)


@pytest.fixture
def folder(tmp_path, vectors):
    replace_files(tmp_path, render_all(vectors))
    return tmp_path


def rewrite(folder, change, name=INDICES):
    """Change a file as text, and let the index know its new hash."""
    path = folder / "vectors" / name
    before = path.read_text(encoding="utf-8")
    content = change(before).encode("utf-8")
    assert content != before.encode("utf-8")
    path.write_bytes(content)
    index_path = folder / "vectors" / "index.json"
    index = json.loads(index_path.read_text())
    index["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
    index["files"][name]["bytes"] = len(content)
    index_path.write_text(json.dumps(index))


def edit(folder, change, name=INDICES):
    """Change the first vector of a file as data."""

    def as_text(text):
        document = json.loads(text)
        change(document["vectors"][0])
        return json.dumps(document)

    rewrite(folder, as_text, name)


def snapshot(folder):
    return {path.name: path.read_bytes() for path in (folder / "vectors").iterdir()}


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.golden, [str(argument) for argument in arguments])
    assert outcome.exit_code == code, outcome.output
    return outcome.output


# What the committed files hold.


def test_the_committed_files_cover_what_they_must(committed):
    assert 1400 <= len(committed) <= 2000
    size = sum(path.stat().st_size for path in GOLDEN.rglob("*"))
    assert size < 15e6
    assert {vector.case.system for vector in committed} == set(SYSTEMS)
    used = {tensor.dtype for vector in committed for tensor in vector.inputs.values()}
    assert used >= set(DTYPES.values())
    assert {flag for vector in committed for flag in vector.flags} == set(BY_NAME)
    assert any(vector.case.bad != "no" for vector in committed)
    largest = max(t.values.size for vector in committed for t in vector.inputs.values())
    assert largest <= LARGEST_OF_ALL + 10  # an invalid call adds an element


def test_every_observable_clause_has_a_vector(committed):
    covered = {clause for vector in committed for clause in vector.clauses}
    cases = corpus()
    shown = {clause for case in cases for clause in clauses_of(case)}
    assert covered == {clause.id for clause in CATALOGUE if clause.observable} & shown


def test_the_selection_is_the_committed_one(committed):
    assert [vector.id for vector in committed] == [case.id for case in select(corpus())]


def test_regenerated_vectors_are_byte_for_byte_the_committed_ones(committed):
    chosen = committed[::25]
    again = [make_vector(vector.case) for vector in chosen]
    assert render_all(again) == render_all(chosen)
    assert compare(chosen, again) == []


def test_the_committed_vectors_are_proved(committed):
    for vector in committed[7::40]:
        assert check(vector) == (), vector.id


@pytest.mark.parametrize("name", ["index", "vectors"])
def test_the_files_follow_their_schemas(name):
    schema = json.loads((GOLDEN / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in (GOLDEN / "vectors").glob("*.json"):
        if (path.name == "index.json") == (name == "index"):
            document = json.loads(path.read_text(encoding="utf-8"))
            if name == "vectors":  # the validator takes its time
                document["vectors"] = document["vectors"][::20]
            validator.validate(document)


def test_the_readme_names_every_file_of_the_folder():
    text = (GOLDEN / "README.md").read_text(encoding="utf-8")
    for path in GOLDEN.iterdir():
        if not path.name.startswith((".", "README")):
            assert path.name in text


def test_the_installation_finds_the_files():
    assert find_folder() == GOLDEN


# One vector, there and back.


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.id)
def test_a_vector_read_back_is_the_request_of_its_case(tmp_path, case):
    vector = make_vector(case)
    replace_files(tmp_path, render_all([vector]))
    (read,) = read_folder(tmp_path)
    assert read.to_json() == vector.to_json()
    assert make_request(read).message() == build(case).message()


def test_flags_have_notes_with_real_addresses():
    for flag in BY_NAME.values():
        assert flag.catches.endswith(".")
        assert all(thread.startswith("https://github.com/") for thread in flag.threads)


def test_a_vector_judges_by_its_own_numbers(vectors):
    vector = next(v for v in vectors if v.calls == "twice")
    steps = make_expected(vector).steps
    assert [step.raises for step in steps] == ["no", "no", "must"]
    assert steps[1].outputs["linear_bias"].shape == (4,)
    twin = Case.parse("linear/index/6x5-4/f32/sum,script=twice")
    steps = make_expected(make_vector(twin)).steps
    assert steps[2] == steps[1]


# Files that are not what they must be.


def damage_hash(folder):
    path = folder / "vectors" / INDICES
    path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))


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
        (rename_in_index("../cross_entropy_indices.json"), "expected a plain name"),
        (rename_in_index("/etc/passwd"), "expected a plain name"),
        (rename_in_index("vectors/x.json"), "expected a plain name"),
        (rename_in_index("cross_entropy_indices.json\\u0000"), "expected a plain name"),
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


def at(*path):
    """Return a function that sets the member at a path of a vector."""

    def change(value):
        def apply(vector):
            place = vector
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value

        return apply

    return change


INPUT, LOSS = ("inputs", "input"), ("expected", "loss")
VECTORS = {
    "huge-shape": (at(*INPUT, "shape")([10**9, 10**9]), "an integer from 0 to 4096"),
    "huge-product": (at(*INPUT, "shape")([4096] * 8), "at most 4096 elements"),
    "huge-empty": (at(*INPUT, "shape")([4096, 0, 4096]), "at most 4096 elements"),
    "many-axes": (at(*INPUT, "shape")([1] * 9), "at most 8 sizes"),
    "negative-size": (at(*INPUT, "shape")([-1, 3]), "an integer from 0"),
    "boolean-size": (at(*INPUT, "shape")([True, 3]), "an integer from 0"),
    "count": (at(*INPUT, "values")([1.0]), "1 values, shape"),
    "text-for-values": (at(*INPUT, "values")("x" * 12), "shape .* needs"),
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
    "another-case": (at("id")("ce/index/4x3/bf16/none,smoothing=0.10"), "stands|got"),
    "unspeakable-case": (at("id")("ce/index/4x3/bf16/none,seed=" + "9" * 5000), "at most 1000"),
    "another-mode": (at("id")("ce/prob/4x3/bf16/none"), "belongs to"),
    "another-system": (at("system")("posix.system"), "expected torch.nn"),
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
    "no-vector": (lambda vector: vector.clear(), "lacks 'id'"),
}  # fmt: skip


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

    rewrite(folder, swap)
    with pytest.raises(GoldenFileError, match="twice or out of order"):
        read_folder(folder)


def test_a_missing_vector_is_refused(folder):
    def drop(text):
        document = json.loads(text)
        document["vectors"].pop()
        return json.dumps(document)

    rewrite(folder, drop)
    with pytest.raises(GoldenFileError, match="expected 4 vectors"):
        read_folder(folder)


# Well-formed files that are wrong.


def problem_of(folder, change):
    edit(folder, change)
    problems = verify(folder, jobs=1).problems
    return " ".join(problems["ce/index/4x3/bf16/none,smoothing=0.1,grad=mixed"])


def test_verify_proves_the_untouched_files(folder):
    assert verify(folder, jobs=1).problems == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (at(*LOSS, "values", 0)(2.0**100), "loss.values"),
        (at(*LOSS, "tolerance")(1.0), "loss.tolerance"),
        (at(*LOSS, "proof")({"bits": 64}), "proof.bits: 64 → 128"),
        (at(*LOSS, "proof")({"bits": 128, "ties": [0]}), "ties: gone"),
        (at(*INPUT, "values", 0)(1.5), "input: not what the case holds"),
        (at("arguments")({"reduction": "none"}), "arguments: not what the case holds"),
        (at("clauses")([]), "clauses"),
        (at("flags")([]), "flags"),
        (lambda v: v["expected"]["gradients"].clear(), "gradients: not what the case holds"),
        (at("expected", "may_raise")(True), "may_raise: gone"),
    ],
    ids=["value", "tolerance", "bits", "ties", "input", "argument", "clauses", "flags",
         "gradients", "may-raise"],
)  # fmt: skip
def test_verify_finds_every_wrong_number(folder, change, found):
    assert found in problem_of(folder, change)


def test_verify_finds_numbers_spelled_otherwise(folder):
    rewrite(folder, lambda text: text.replace('{"bits":128}', '{"bits": 128}', 1))
    assert INDICES in verify(folder, jobs=1).problems


# Writing.


def test_killed_in_the_middle_the_old_files_are_whole(folder, vectors):
    before = snapshot(folder)
    code = (
        "import os, pathlib, sys\n"
        "from conformance.golden import write\n"
        "write._swap = lambda new, old: os._exit(9)\n"
        "write.replace_files(pathlib.Path(sys.argv[1]), {'index.json': b'{}'})\n"
    )
    outcome = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=False)
    assert outcome.returncode == 9
    left = [path for path in folder.iterdir() if path.name != "vectors"]
    assert len(left) == 1
    assert snapshot(folder) == before
    assert read_folder(folder)
    replace_files(folder, render_all(vectors[:2]))  # the next run clears up
    assert [path.name for path in folder.iterdir()] == ["vectors"]
    assert len(read_folder(folder)) == 2


@pytest.mark.parametrize("where", ["write", "swap"])
def test_an_error_in_the_middle_leaves_the_old_files_whole(folder, monkeypatch, where):
    before = snapshot(folder)

    def fail(*_):
        raise KeyboardInterrupt

    if where == "swap":
        monkeypatch.setattr(write, "_swap", fail)
    else:
        monkeypatch.setattr(write, "write_synced", fail)
    with pytest.raises(KeyboardInterrupt):
        replace_files(folder, {"index.json": b"{}"})
    monkeypatch.undo()
    assert snapshot(folder) == before
    assert [path.name for path in folder.iterdir()] == ["vectors"]


def test_files_that_are_no_longer_written_disappear(folder, vectors):
    replace_files(folder, render_all(v for v in vectors if v.case.system == "ce"))
    assert "linear_cross_entropy_indices.json" not in snapshot(folder)
    assert read_folder(folder)


def test_where_names_cannot_be_exchanged_at_once(folder, vectors, monkeypatch):
    monkeypatch.setattr(write, "_exchange", lambda *_: False)
    replace_files(folder, render_all(vectors[:1]))
    assert len(read_folder(folder)) == 1
    assert [path.name for path in folder.iterdir()] == ["vectors"]


# The commands.


def test_regenerate_verify_and_diff(folder, monkeypatch):
    monkeypatch.setattr(cli, "select", lambda _: sorted(FEW, key=lambda case: case.id))
    other = folder / "other"
    output = invoke("regenerate", "--into", other, "-j", "1")
    assert "7 vectors in 4 files" in output
    assert snapshot(other) == snapshot(folder)
    assert "7 vectors of" in invoke("verify", other, "-j", "1")
    assert "0 added, 0 removed, 0 changed" in invoke("diff", folder, other)
    edit(other, at(*LOSS, "tolerance")(0.5))
    output = invoke("diff", folder, other, code=1)
    assert "~ ce/index/4x3/bf16/none,smoothing=0.1,grad=mixed" in output
    assert "expected.loss.tolerance" in output
    output = invoke("verify", other, "-j", "1", "--max-problems-shown", "1", code=1)
    assert "more (--max-problems-shown)" in output
    damage_hash(other)
    for command in (("verify", other), ("diff", folder, other), ("run", "--golden", other)):
        assert "SHA-256" in invoke(*command, code=2)


def test_diff_names_new_and_gone_vectors_and_changed_numbers(tmp_path, vectors):
    old, new = list(vectors[1:]), list(vectors[:-1])
    kinds = [change.kind for change in compare(old, new)]
    assert sorted(kinds) == ["added", "removed"]
    moved = vectors[0].to_json()
    replace_files(tmp_path, render_all(vectors[:1]))
    moved["expected"]["gradients"]["input"]["values"][3] = 0.25
    rewrite(tmp_path, lambda text: json.dumps({**json.loads(text), "vectors": [moved]}))
    (change,) = compare(vectors[:1], read_folder(tmp_path))
    assert "1 of 30 numbers, by at most" in change.details[0]


def test_run_judges_an_adapter_by_the_files_alone(folder, tmp_path):
    result = tmp_path / "result.json"
    output = invoke("run", "--golden", folder, "-j", "1", "--json", result)
    assert "conforms in all 7 cases" in output
    assert len(json.loads(result.read_text())["results"]) == 7
    # Other numbers in the files, and the same implementation is wrong.
    edit(folder, lambda v: at(*LOSS, "values")([2.0] * 4)(v))
    output = invoke("run", "--golden", folder, "-j", "1", "-k", "Smoothing", code=1)
    assert "loss is" in output
    assert "1 cases do not conform" in output
    assert "no vector has such" in invoke("run", "--golden", folder, "-k", "no-such-thing", code=2)


def test_patterns_choose_by_id_clause_and_flag(vectors):
    assert len(cli.choose(vectors, ())) == len(vectors)
    assert [v.id for v in cli.choose(vectors, ("WeightedMean",))] == [FEW[0].id]
    assert [v.id for v in cli.choose(vectors, ("ce/prob/*",))] == [FEW[5].id]
    clause = vectors[0].clauses[0]
    assert vectors[0] in cli.choose(vectors, (clause,))


# A consumer that shares no code with this project.


def node():
    found = shutil.which("node")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have node: the consumer is the proof that any language can read")
        pytest.skip("no node on this machine")
    return found


def consume(folder):
    return subprocess.run(
        [node(), str(CONSUMER), str(folder)], capture_output=True, text=True, check=False
    )


def test_the_consumer_agrees_with_every_committed_vector(committed):
    outcome = consume(GOLDEN)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"{len(committed)} of {len(committed)} vectors agree" in outcome.stdout


def spoil_loss(vector):
    output = vector["expected"]["loss"]
    bound = output["tolerance"]
    bounds = bound if isinstance(bound, list) else [bound] * len(output["values"])
    output["values"][0] += 3 * bounds[0]


def spoil_gradient(vector):
    vector["expected"]["gradients"]["input"]["values"][-1] = "NaN"


def let_it_raise(vector):
    vector["expected"] = {"raises": True}


@pytest.mark.parametrize("change", [spoil_loss, spoil_gradient, let_it_raise])
def test_the_consumer_finds_what_is_wrong(folder, change):
    assert consume(folder).returncode == 0
    edit(folder, change)
    outcome = consume(folder)
    assert outcome.returncode == 1
    assert "6 of 7 vectors agree" in outcome.stdout
    damage_hash(folder)
    assert consume(folder).returncode == 1


def test_the_consumer_refuses_calls_itself(folder):
    edit(folder, lambda v: v.update(expected={"loss": None, "gradients": {}}),
         "cross_entropy_invalid.json")  # fmt: skip
    outcome = consume(folder)
    assert outcome.returncode == 1
    assert "refused: class 10" in outcome.stdout


def test_numbers_of_a_file_are_exact_in_any_json_parser(committed):
    """What Python reads is what FLINT rounded: no parser has to round to a shorter type."""
    for vector in committed[::100]:
        for tensor in vector.inputs.values():
            if tensor.dtype == "float32":
                assert np.array_equal(
                    tensor.values.astype(np.float32).astype(np.float64),
                    tensor.values,
                    equal_nan=True,
                )


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "select", lambda _: [])
    (tmp_path / "file").write_text("")
    error = invoke("regenerate", "--into", tmp_path / "file" / "below", "-j", "1", code=2)
    assert f"{tmp_path}/file/below cannot be written: Not a directory; nothing changed" in error
