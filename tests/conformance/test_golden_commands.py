"""The ``crossent golden`` commands in words, on two vectors that are proved at once."""

from dataclasses import replace

import pytest

from conformance import runner, selection, terminal
from conformance.case import Case
from conformance.clauses import clauses_of
from conformance.driver import Hello
from conformance.golden import cli, make
from conformance.golden.flags import BY_NAME
from conformance.golden.judge import Examiner
from conformance.golden.parse import GoldenFileError
from conformance.golden.verify import Findings
from conformance.golden.write import render_all, replace_files
from conformance.result import Result, Run
from tests.conformance import screen as screens
from tests.conformance.golden_files import GOLDEN, invoke, snapshot

CASES = [Case.parse(f"ce/index/1x2/f32/{way}") for way in ("none,grad=ones", "sum")]
IDS = [case.id for case in CASES]
screen = screens.screen


@pytest.fixture(scope="module")
def vectors():
    return [make.make_vector(case) for case in CASES]


@pytest.fixture
def folder(tmp_path, vectors):
    replace_files(tmp_path, render_all(vectors))
    return tmp_path


# regenerate


def test_regenerate_makes_the_chosen_vectors_and_counts_them(tmp_path, monkeypatch, folder, screen):
    asked = []
    monkeypatch.setattr("conformance.corpus.corpus", lambda: "the corpus")
    monkeypatch.setattr(cli, "select", lambda cases: asked.append(cases) or CASES)

    def make_all(cases, jobs, advance):
        asked.append(jobs)
        found = []
        for case in cases:
            found.append(make.make_vector(case))
            advance()
        return found

    monkeypatch.setattr(cli, "make_all", make_all)
    place = tmp_path / "new"
    told = invoke("regenerate", "--into", place, "-j", 3)
    assert asked == ["the corpus", 3]
    size = sum(map(len, snapshot(place).values()))
    assert told == (
        f"     2 vectors of ce\n     2 vectors in 2 files, {size:,} bytes, in {place}\n"
    )
    assert snapshot(place) == snapshot(folder)
    assert screen.last_line() == "proving | 2/2"


def test_regenerate_writes_into_the_source_tree_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr("conformance.corpus.corpus", list)
    tree = tmp_path / "golden"
    monkeypatch.setattr(cli, "PLACES", (tmp_path / "installed", tree))
    told = invoke("regenerate", code=2)
    assert f"there is no source tree here ({tree}); say --into FOLDER" in told
    tree.mkdir()
    assert f"in {tree}\n" in invoke("regenerate")
    assert (tree / "vectors" / "index.json").is_file()


# verify


def test_verify_counts_what_it_proves_and_shows_how_it_goes(folder, screen):
    assert invoke("verify", folder, "-j", 1) == f"2 vectors of {folder} proved\n"
    assert screen.last_line() == "proving | 2/2"


def test_verify_shows_as_many_problems_as_asked_for(folder, monkeypatch):
    problems = {f"vector {number}": ("one", "two") for number in range(21)}
    asked = []
    monkeypatch.setattr(
        cli, "verify_files",
        lambda place, jobs, *_: asked.append((place, jobs)) or Findings(30, problems),
    )  # fmt: skip
    shown = [f"vector {number}\n    one\n    two\n" for number in range(21)]
    told = f"{folder}: problems with 21, 30 vectors in all\n"
    more = "... and {} more (--max-problems-shown)\n"
    assert invoke("verify", folder, code=1) == "".join(shown[:20]) + more.format(1) + told
    limit = "--max-problems-shown"
    assert invoke("verify", folder, limit, 21, code=1) == "".join(shown) + told
    assert invoke("verify", folder, limit, 1, "-j", 5, code=1) == shown[0] + more.format(20) + told
    assert asked[1:] == [(folder, None), (folder, 5)]


def test_problems_are_red(folder, monkeypatch, capsys):
    monkeypatch.setattr(cli, "verify_files", lambda *_: Findings(1, {"it": ("one",)}))
    cli.verify.main([str(folder)], standalone_mode=False, color=True)
    assert capsys.readouterr().out.startswith("\x1b[31m\x1b[1mit\x1b[0m\n    one\n")


def test_the_files_of_the_installation_are_verified_where_none_are_named(monkeypatch, folder):
    asked = []
    monkeypatch.setattr(
        cli, "verify_files", lambda place, *_: asked.append(place) or Findings(0, {})
    )
    invoke("verify")
    assert asked == [GOLDEN]

    def find():
        raise LookupError("there are no golden files")

    monkeypatch.setattr(cli, "find_folder", find)
    for command in (("verify",), ("run",), ("diff", folder)):
        assert "Error: there are no golden files\n" in invoke(*command, code=2)


def test_files_that_cannot_be_read_are_told(folder, monkeypatch):
    def refuse(*_):
        raise GoldenFileError("x.json: lacks 'mode'")

    monkeypatch.setattr(cli, "read_folder", refuse)
    monkeypatch.setattr(cli, "verify_files", refuse)
    for command in (("verify", folder), ("run", "--golden", folder), ("diff", folder, folder)):
        assert "Error: x.json: lacks 'mode'\n" in invoke(*command, code=2)


@pytest.mark.parametrize(
    ("name", "words"), [("no", "Directory '{}' does not exist."), ("file", "'{}' is a file.")]
)
def test_what_is_no_folder_is_refused(tmp_path, name, words):
    (tmp_path / "file").write_text("")
    place = tmp_path / name
    for command in (("verify", place), ("run", "--golden", place), ("diff", place)):
        assert words.format(place) in invoke(*command, code=2)


# run


@pytest.fixture
def asked(monkeypatch):
    """Replace the run by one that passes every case."""
    asked = {}

    def run(program, cases, **options):
        asked.update(program=program, cases=cases, **options)
        options["on_start"](Hello("it", (), {}), len(cases))
        return Run(
            program.name, {}, [Result(case.id, clauses_of(case), "fail", "no") for case in cases]
        )

    monkeypatch.setattr(runner, "run", run)
    return asked


def test_run_judges_by_the_files(folder, asked, monkeypatch):
    monkeypatch.chdir(folder)
    prints = []
    monkeypatch.setattr(
        terminal.resume, "fingerprint", lambda *given: prints.append(given) or {"basis": "x"}
    )
    text = invoke("run", "--golden", ".", "-j", 3, code=1)
    assert [case.id for case in asked["cases"]] == IDS
    assert asked["jobs"] == 3
    assert asked["examine"] == Examiner(folder)
    files = sorted((folder / "vectors").glob("*.json"))
    basis = f"crossent golden run {terminal.resume.digest(files)}"
    assert prints == [(asked["program"], basis)]
    assert "2 cases do not conform" in text
    invoke("run", "torch", "--golden", ".", "-k", IDS[1], code=1)
    assert asked["program"].name == "torch"
    assert [case.id for case in asked["cases"]] == [IDS[1]]
    text = invoke("run", "--golden", folder, "--command", "it --x", code=1)
    assert f"crossent golden run --command 'it --x' -k {IDS[0]}" in text.replace("'ce", "ce")


def test_what_selects_no_vector_is_refused(vectors):
    words = "-k x-y: no vector has such an id, clause or flag"
    with pytest.raises(cli.BadFiles) as caught:
        cli.choose(vectors, ["x-y"])
    assert caught.value.message == words
    assert cli.choose(vectors, [IDS[1]]) == vectors[1:]
    assert selection.choose(vectors, lambda _: (), (), "", "") == vectors


# diff


def test_diff_says_what_changed(tmp_path, vectors):
    old, new = tmp_path / "old", tmp_path / "new"
    replace_files(old, render_all(vectors[:1]))
    replace_files(new, render_all([vectors[1], replace(vectors[0], flags=tuple(BY_NAME)[:1])]))
    told = invoke("diff", old, new, code=1)
    first, rest = told.split("\n", 1)
    assert first == f"~ {IDS[0]}"
    assert rest.startswith("    flags")
    assert told.endswith(f"\n+ {IDS[1]}\n1 added, 0 removed, 1 changed\n")
    assert f"- {IDS[1]}\n" in invoke("diff", new, old, code=1)
    assert invoke("diff", old, old) == "0 added, 0 removed, 0 changed\n"


def test_diff_compares_with_the_installation_where_only_one_is_named(folder, monkeypatch):
    monkeypatch.setattr(cli, "find_folder", lambda: folder)
    assert invoke("diff", folder) == "0 added, 0 removed, 0 changed\n"
