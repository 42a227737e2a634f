"""What is kept of a run while it goes on, without a process."""

import hashlib
import json

import pytest

from conformance import report, resume, runner
from conformance.case import Case
from conformance.driver import Hello, Program
from conformance.result import Result, Run

CASES = [Case(shape=(n, 3)) for n in range(1, 6)]
HELLO = Hello("it", ("torch.nn.CrossEntropyLoss",), {"it": "1.0"})
VERSIONS = runner.versions(HELLO)
PRINTS = {"basis": "crossent run", "suite": "s", "adapter": "a"}


def result(case, verdict="pass", message=""):
    return Result(case.id, ("index.sum.formula",), verdict, message)


def fresh(**changes):
    return Run("it", **{"fingerprint": dict(PRINTS), **changes})


def read(path):
    return json.loads(path.read_text())


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])
    return now


def test_results_are_kept_beside_the_file_now_and_then(tmp_path, clock):
    file, kept = tmp_path / "r.json", tmp_path / "r.json.partial"
    record = resume.Record(fresh(), CASES, file=file, earlier=None)
    record.on_start(HELLO)
    clock[0] = 104.9
    record.on_result(result(CASES[3]))
    assert not kept.exists()
    clock[0] = 105.0
    record.on_result(result(CASES[1]))
    data = read(kept)
    assert [item["case"] for item in data["results"]] == [CASES[1].id, CASES[3].id]
    assert (data["complete"], data["seconds"], data["versions"]) == (False, 5.0, VERSIONS)
    assert data["fingerprint"] == PRINTS
    clock[0] = 109.9
    record.on_result(result(CASES[0]))
    assert len(read(kept)["results"]) == 2
    clock[0] = 110.0
    record.on_result(result(CASES[2]))
    assert len(read(kept)["results"]) == 4
    assert not file.exists()
    run = fresh(results=[result(case) for case in CASES], seconds=11.0, fingerprint={})
    assert record.save(run) == ""
    assert read(file)["seconds"] == 11.0
    assert read(file)["fingerprint"] == PRINTS
    assert not kept.exists()


def test_writing_takes_no_more_than_its_share_of_the_time(tmp_path, clock, monkeypatch):
    file = tmp_path / "r.json"
    written = []

    def slowly(run, _):
        written.append(len(run.results))
        clock[0] += 2.0

    monkeypatch.setattr(report, "write_json", slowly)
    record = resume.Record(fresh(), CASES, file=file, earlier=None)
    for now, case, count in ((105, 0, 1), (146.9, 1, 1), (147, 2, 2)):
        clock[0] = now
        record.on_result(result(CASES[case]))
        assert len(written) == count
    assert written == [1, 3]


def test_what_cannot_be_kept_stops_nothing(tmp_path, clock):
    folder = tmp_path / "gone"
    record = resume.Record(fresh(), CASES, file=folder / "r.json", earlier=None)
    clock[0] = 200.0
    record.on_result(result(CASES[0]))
    assert record.results.keys() == {CASES[0].id}
    assert "r.json cannot be written: No such file" in record.save(fresh())


def test_what_cannot_be_taken_away_is_left(tmp_path):
    (tmp_path / "r.json.partial").mkdir()
    record = resume.Record(fresh(), CASES, file=tmp_path / "r.json", earlier=None)
    assert record.save(fresh()) == ""


def test_without_a_file_nothing_is_kept(tmp_path, clock, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = resume.Record(fresh(), CASES, file=None, earlier=None)
    clock[0] = 200.0
    record.on_result(result(CASES[0]))
    assert record.save(fresh(seconds=1.0)) == ""
    record = resume.Record(fresh(), CASES, file=tmp_path, earlier=None)  # it is no file
    clock[0] = 300.0
    record.on_result(result(CASES[0]))
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_from_what_was_kept(tmp_path, clock):
    kept = tmp_path / "r.json.partial"
    earlier = fresh(
        versions=VERSIONS,
        seconds=7.0,
        results=[
            result(CASES[0]),
            result(CASES[1], "crash", f"{runner.NEVER_ASKED}: gone"),
            result(CASES[2], "fail", "loss is 1"),
        ],
    )
    report.write_json(earlier, kept)
    file = resume.whole(kept)
    assert file == tmp_path / "r.json"
    record = resume.Record(fresh(), CASES, file=file, earlier=kept)
    assert record.results.keys() == {CASES[0].id, CASES[2].id}
    record.on_start(HELLO)
    clock[0] = 108.0
    record.on_result(result(CASES[1]))
    data = read(kept)
    assert data["seconds"] == 15.0
    assert [item["case"] for item in data["results"]] == [case.id for case in CASES[:3]]
    run = fresh(seconds=9.0, versions=VERSIONS)
    assert record.save(run) == ""
    assert run.seconds == 16.0
    with pytest.raises(
        resume.NotResumable, match=r"other versions: it 1\.0, now 1\.1; new \(none\), now 2$"
    ):
        resume.Record(fresh(), CASES, file=None, earlier=file).on_start(
            Hello("it", (), {"it": "1.1", "new": "2"})
        )


def test_other_peoples_results_are_told_apart(tmp_path):
    file = tmp_path / "r.json"
    run = fresh()

    def refused(words, cases=CASES, **changes):
        report.write_json(fresh(results=[result(case) for case in CASES], **changes), file)
        with pytest.raises(resume.NotResumable, match=words):
            resume.read(file, run, cases)

    refused("does not say by what", fingerprint={})
    refused("r.json was judged by crossent golden, this is crossent run",
            fingerprint={**PRINTS, "basis": "crossent golden"})  # fmt: skip
    refused("other sources of this suite; run without", fingerprint={**PRINTS, "suite": "t"})
    refused("the adapter is not the one", fingerprint={**PRINTS, "adapter": "b"})
    refused("the adapter is not the one", fingerprint={"basis": "crossent run", "suite": "s"})
    refused(f"2 cases that are not chosen now, such as {CASES[3].id};", cases=CASES[:3])
    report.write_json(fresh(), file)
    other = {**read(file), "schema": "urn:other"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(resume.NotResumable, match=r"ValueError: its schema is 'urn:other'$"):
        resume.read(tmp_path / "other.json", run, CASES)
    with pytest.raises(resume.NotResumable, match="has results of it, not of that"):
        resume.read(file, Run("that", fingerprint=PRINTS), CASES)
    (tmp_path / "x.json.partial").write_text("")
    with pytest.raises(resume.NotResumable, match="No such file .*; there is .*x.json.partial$"):
        resume.read(tmp_path / "x.json", run, CASES)
    with pytest.raises(resume.NotResumable, match="No such file or directory$"):
        resume.read(tmp_path / "y.json", run, CASES)


def test_a_fingerprint_is_of_names_and_contents(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.write_bytes(b"yz")
    plain = hashlib.sha256(b"one\x001\x00xtwo\x002\x00yz").hexdigest()
    assert resume.digest([one, two]) == plain
    strange = tmp_path / "\udcff"  # a name that is no text
    strange.write_bytes(b"")
    assert resume.digest([strange]) == hashlib.sha256(b"\xff\x000\x00").hexdigest()
    adapter = Program.of_adapter("it", str(one))
    found = resume.fingerprint(adapter, "crossent run")
    assert found.keys() == {"basis", "suite", "adapter"}
    assert found["basis"] == "crossent run"
    assert found["adapter"] == resume.digest([one])
    assert resume.fingerprint(Program.of_command("x"), "b").keys() == {"basis", "suite"}
    # Both packages, with what lies below them.
    package = resume.Path(resume.__file__).parent
    sources = [
        *sorted(package.rglob("*.py")),
        *sorted((package.parent / "crossent_spec").rglob("*.py")),
    ]
    assert len(sources) > 200
    assert found["suite"] == resume.digest(sources)
