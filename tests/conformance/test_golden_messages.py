"""What is said of a golden file, or its index, that is not what it must be: where, and what."""

import json
import re

import pytest

from conformance.golden.parse import GoldenFileError
from conformance.golden.read import read_folder
from tests.conformance import golden_files
from tests.conformance.golden_files import INDICES, at, rewrite

folder = golden_files.folder
vectors = golden_files.vectors

INDEX = [
    (lambda d: d.clear(), "index.json: lacks 'schema'"),
    (at("schema")("x"), "index.json: schema: got 'x', expected urn:crossent-spec:golden-index:1"),
    (at("files")([]), "index.json: files: got [], expected an object"),
    (at("files", INDICES)(1), f"index.json: files: '{INDICES}': got 1, expected an object"),
    (at("files", INDICES, "sha256")(7), f"'{INDICES}': sha256: got 7, expected 64 hexadecimal"),
    (at("files", INDICES, "bytes")(-1), f"'{INDICES}': bytes: got -1, expected an integer from 0"),
    (at("files", INDICES, "vectors")(True), f"'{INDICES}': vectors: got True, expected an integer"),
]
FILE = [
    (lambda d: d.pop("mode"), f"{INDICES}: lacks 'mode'"),
    (at("schema")("x"), f"{INDICES}: schema: got 'x', expected urn:crossent-spec:golden:1"),
    (at("mode")("x"), f"{INDICES}: mode: got 'x', expected cross_entropy_indices_none"),
    (at("notes")([]), f"{INDICES}: notes: got [], expected an object"),
    (at("notes", "A")({}), f"{INDICES}: notes: 'A': lacks 'catches'"),
    (at("notes", "A")({"catches": 1}), f"{INDICES}: notes: 'A': got 1, expected a text"),
    (at("notes", "A")({"catches": "x", "threads": "y"}), "notes: 'A': got 'y', expected a list"),
    (at("notes", "A")({"catches": "x", "threads": ["http://y"]}),
     "notes: 'A': got 'http://y', expected an https address"),
    (at("vectors")({}), f"{INDICES}: expected 1 vectors, as the index says"),
    (at("vectors", 0)([]), f"{INDICES}: vector 0 (None): got [], expected an object"),
    (at("vectors", 0)({"id": "x"}), f"{INDICES}: vector 0 ('x'): lacks 'clauses'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), INDEX)
def test_an_index_is_refused_with_place_and_reason(folder, change, message):
    path = folder / "vectors" / "index.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(GoldenFileError, match=f"^{folder}/vectors/.*{re.escape(message)}"):
        read_folder(folder)


@pytest.mark.parametrize(("change", "message"), FILE)
def test_a_file_is_refused_with_place_and_reason(folder, change, message):
    def as_text(text):
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    rewrite(folder, as_text)
    with pytest.raises(GoldenFileError, match=f"^{folder}/vectors/.*{re.escape(message)}"):
        read_folder(folder)


def test_threads_may_be_left_out(folder):
    def as_text(text):
        document = json.loads(text)
        document["notes"]["A"] = {"catches": "x"}
        return json.dumps(document)

    rewrite(folder, as_text)
    assert len(read_folder(folder)) == len(golden_files.FEW)
