"""Golden files: proved, written, and the commands on them."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conformance.case import Case
from conformance.golden import cli, write
from conformance.golden.diff import compare
from conformance.golden.read import read_folder
from conformance.golden.verify import verify
from conformance.golden.write import render_all, replace_files
from tests.conformance import golden_files
from tests.conformance.golden_files import (
    FEW,
    INDICES,
    INPUT,
    LOSS,
    MEANS,
    ROOT,
    at,
    damage_hash,
    edit,
    invoke,
    rewrite,
    snapshot,
)

folder = golden_files.folder
vectors = golden_files.vectors


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
    assert "linear_cross_entropy_indices_sum.json" not in snapshot(folder)
    assert read_folder(folder)


def test_where_names_cannot_be_exchanged_at_once(folder, vectors, monkeypatch):
    monkeypatch.setattr(write, "_exchange", lambda *_: False)
    replace_files(folder, render_all(vectors[:1]))
    assert len(read_folder(folder)) == 1
    assert [path.name for path in folder.iterdir()] == ["vectors"]


def test_an_error_between_two_names_gives_the_old_folder_its_own_back(folder, monkeypatch):
    before, rename = snapshot(folder), Path.rename

    def fail(path, target):
        if path.name.endswith(str(os.getpid())):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(write, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        replace_files(folder, {"index.json": b"{}"})
    assert snapshot(folder) == before
    assert [path.name for path in folder.iterdir()] == ["vectors"]


def test_a_system_that_cannot_exchange_names_at_once(folder, vectors, monkeypatch):
    def missing(_):
        raise OSError

    monkeypatch.setattr(write.ctypes, "CDLL", missing)
    replace_files(folder, render_all(vectors[:1]))
    assert len(read_folder(folder)) == 1


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a file system that can")
def test_names_are_exchanged_at_once_where_that_can_be(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        monkeypatch.chdir(place)
        for name in ("a", "b"):
            Path(name).mkdir()
            Path(name, name).touch()
        assert write._exchange(Path("a"), Path("b"))
        assert [path.name for path in (*Path("a").iterdir(), *Path("b").iterdir())] == ["b", "a"]
        assert not write._exchange(Path("a"), Path("missing"))
        monkeypatch.undo()


def test_a_file_of_nothing_is_json_with_empty_members():
    text = write.render("mode", []).decode()
    assert text.endswith('"mode":"mode",\n"notes":{},\n"vectors":[]\n}\n')
    assert json.loads(text)["vectors"] == []
    with pytest.raises(ValueError, match="JSON"):
        write._dump(float("nan"))  # which is a word in our files


# The commands.


def test_regenerate_verify_and_diff(folder, monkeypatch):
    monkeypatch.setattr(cli, "select", lambda _: sorted(FEW, key=lambda case: case.id))
    other = folder / "other"
    output = invoke("regenerate", "--into", other, "-j", "1")
    assert "7 vectors in 6 files" in output
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
    rewrite(tmp_path, lambda text: json.dumps({**json.loads(text), "vectors": [moved]}), MEANS)
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


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "select", lambda _: [])
    (tmp_path / "file").write_text("")
    error = invoke("regenerate", "--into", tmp_path / "file" / "below", "-j", "1", code=2)
    assert f"{tmp_path}/file/below cannot be written: Not a directory; nothing changed" in error


#: What a process that is started afresh does not have.
INHERITED = []


def seen(number):
    return number, os.getpid(), len(INHERITED)


@pytest.mark.parametrize(
    ("count", "jobs", "processors", "processes"),
    [
        (16, 4, 4, 1),  # not worth a second process
        (17, 1, 4, 1),
        (40, None, 1, 1),
        (40, None, None, 1),
        (17, 2, 1, 2),
        (40, None, 2, 2),
    ],
)
def test_work_is_shared_by_as_many_processes_as_are_wanted(
    monkeypatch, count, jobs, processors, processes
):
    started = []
    pool = write.ProcessPoolExecutor
    monkeypatch.setattr(
        write, "ProcessPoolExecutor", lambda *args, **kw: started.append(args) or pool(*args, **kw)
    )
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(sys.modules[__name__], "INHERITED", [1])
    found = list(write.in_processes(seen, range(count), jobs))
    assert [number for number, _, _ in found] == list(range(count))
    if processes == 1:
        assert started == []
        assert {process for _, process, _ in found} == {os.getpid()}
    else:
        assert started == [(processes,)]
        assert os.getpid() not in {process for _, process, _ in found}
        assert {inherited for _, _, inherited in found} == {0}


def test_vectors_are_made_by_as_many_processes_as_are_wanted(monkeypatch, vectors):
    cases, asked = [Case.parse(vector.id) for vector in vectors[:2]], []
    monkeypatch.setattr(
        write, "in_processes", lambda work, items, jobs: asked.append(jobs) or map(work, items)
    )
    assert [vector.id for vector in write.make_all(cases, 3)] == [case.id for case in cases]
    assert asked == [3]


def test_a_new_folder_is_made_with_those_above_it(tmp_path, vectors):
    place = tmp_path / "not" / "yet"
    replace_files(place, render_all(vectors))
    assert [found.id for found in read_folder(place)] == sorted(vector.id for vector in vectors)
