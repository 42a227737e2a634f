"""What the pages leave open is named where it is shown, and nothing else is."""

from conformance.case import Case
from conformance.clauses import PAGES
from conformance.expect import expect
from conformance.explain import case_lines
from conformance.openings import OPENINGS, opening_of
from conformance.request import build

#: For every opening a case that shows it.
EXAMPLES = (
    "ce/prob/4x5/f32/sum,logits=neginf,probs=sparse",
    "ce/index/1x2/f32/default,smoothing=1.0,logits=neginf-target",
    "ce/index/6x4/f32/sum,logits=nan-ignored,ignored=some",
    "ce/index/4x5/f32/none,logits=posinf,grad=ones",
    "ce/index/6x4/f32/mean,ignored=all",
    "ce/index/6x4/f32/mean,weight=zeros",
    "unit/index/6x4/f32/mean,ignored=some",
)


def names_of(text):
    case = Case.parse(text)
    steps = expect(case, build(case)).steps
    return {
        reading.name
        for step in steps
        for output in step.outputs.values()
        for reading in output.readings
    }


def test_every_reading_that_a_case_gives_answers_an_opening_and_every_answer_is_given():
    given = set().union(*map(names_of, EXAMPLES)) - {""}
    by_judge = {"refused with an error", "accepted"}  # the judge's names, for calls
    assert given | by_judge == {name for opening in OPENINGS for name in opening.readings}


def test_a_reading_answers_one_opening():
    names = [name for opening in OPENINGS for name in opening.readings]
    assert len(set(names)) == len(names)
    for opening in OPENINGS:
        assert all(opening_of(name) is opening for name in opening.readings)
        assert len(opening.readings) > 1
        assert {source.page for source in opening.sources} <= set(PAGES)
        assert all(source.words.strip() for source in opening.sources)
        assert opening.what
        assert opening.why.endswith(".")
    assert opening_of("") is None


def test_a_case_is_explained_with_what_is_open_about_it():
    for text in EXAMPLES:
        lines = list(case_lines(Case.parse(text)))
        asked = {line.removeprefix("  open: ") for line in lines if line.startswith("  open: ")}
        known = {opening_of(name).what for name in names_of(text) - {""}}
        assert asked == known
    assert "  open: a call that the pages" in "\n".join(
        case_lines(Case.parse("ce/prob/4x5/f32/mean,ignore_index=2"))
    )
    plain = case_lines(Case.parse("ce/index/4x5/f32/mean"))
    assert not [line for line in plain if line.startswith("  open: ")]
