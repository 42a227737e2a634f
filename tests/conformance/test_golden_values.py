"""The numbers of the committed files, worked out again: few vectors of every kind, in little time.

``crossent golden verify`` proves all of them.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from conformance.case import Case
from conformance.golden.make import make_vector

FOLDER = Path(__file__).parents[2] / "golden" / "vectors"
FILES = sorted(path.name for path in FOLDER.glob("*.json") if path.name != "index.json")


def shortest(name):
    """The shortest vectors of a file that show every value of every field of a case."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    vectors = sorted((line.rstrip(",") for line in lines if line.startswith('{"id":')), key=len)
    seen = set()
    for line in vectors:
        text = line.split('"', 4)[3]
        case = Case.parse(text)
        shown = set(asdict(case).items()) - {("seed", case.seed), ("shape", case.shape)}
        shown |= {
            (case.dtype, case.reduction),
            (case.dtype, case.weight),
            (case.smoothing, case.weight),
        }
        if shown - seen:
            seen |= shown
            yield case, json.loads(line)


@pytest.mark.parametrize("name", FILES)
def test_numbers_are_those_of_the_file(name):
    for case, stored in shortest(name):
        assert json.loads(json.dumps(make_vector(case).to_json())) == stored, case.id
