"""The golden files: what they hold, and a vector there and back."""

import json

import jsonschema
import pytest

from conformance.case import DTYPES, SYSTEMS, Case
from conformance.clauses import CATALOGUE, clauses_of
from conformance.corpus import corpus
from conformance.golden import find_folder
from conformance.golden.diff import compare
from conformance.golden.flags import BY_NAME
from conformance.golden.judge import make_expected
from conformance.golden.make import make_request, make_vector
from conformance.golden.read import read_folder
from conformance.golden.select import LARGEST_OF_ALL, select
from conformance.golden.verify import check
from conformance.golden.write import render_all, replace_files
from conformance.request import build
from tests.conformance import golden_files
from tests.conformance.golden_files import FEW, GOLDEN

committed = golden_files.committed
vectors = golden_files.vectors


# What the committed files hold.


def test_the_committed_files_cover_what_they_must(committed):
    assert 1400 <= len(committed) <= 2000
    size = sum(path.stat().st_size for path in GOLDEN.rglob("*"))
    assert size < 15e6
    assert max(path.stat().st_size for path in GOLDEN.rglob("*.json")) < 2**20
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


def test_what_is_read_and_written_again_are_the_same_bytes(committed):
    stored = {path.name: path.read_bytes() for path in (GOLDEN / "vectors").iterdir()}
    assert render_all(committed) == stored


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


#: Calls that the few are not: what is called again, and numbers that JSON has not.
MORE = [
    Case.parse("ce/index/6x5/f32/mean,script=again"),
    Case.parse("ce/index/4x10/f32/mean,bad=smoothing-nan"),
]


@pytest.mark.parametrize("case", [*FEW, *MORE], ids=lambda case: case.id)
def test_a_vector_read_back_is_the_request_of_its_case(tmp_path, case):
    vector = make_vector(case)
    assert vector.raises == ("no" if case.bad == "no" else "must")
    replace_files(tmp_path, render_all([vector]))
    (read,) = read_folder(tmp_path)
    assert read.to_json() == vector.to_json()
    assert make_request(read).message() == build(case).message()


def test_a_vector_of_other_arrays_than_its_cases():
    case, other = FEW[0], Case.parse(f"{FEW[0].id},seed=7")
    vector = make_vector(case, build(other))
    assert vector.id == case.id
    assert (
        vector.loss.to_json()
        == make_vector(other).loss.to_json()
        != make_vector(case).loss.to_json()
    )


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
