"""The benchmark's machinery on tiny workloads; nothing here asserts a time."""

import json
import math
import statistics
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from conformance import cli
from conformance.bench import bases, measuring, memory, peers, reference, report, targets, workloads
from conformance.bench import cli as bench_cli
from conformance.bench.contestant import GRADIENT, LOSS, Contestant, Values
from conformance.bench.measuring import Timing
from conformance.bench.workloads import INDEX, LINEAR, PROBABILITIES, SMOOTHING, Workload

NUMPY_PEERS = ["scipy"]
FRAMEWORKS = [peer for peer in ("torch", "jax") if find_spec(peer)]
TINY = [
    Workload(INDEX, (6, 5)),
    Workload(INDEX, (2, 3, 4, 4)),
    Workload(PROBABILITIES, (6, 8)),
    Workload(PROBABILITIES, (2, 3, 4)),
    Workload(SMOOTHING, (6, 8)),
    Workload(SMOOTHING, (2, 3, 4)),
    Workload(INDEX, (6, 8), "float16"),
    Workload(INDEX, (6, 8), "bfloat16"),
    Workload(PROBABILITIES, (6, 8), "bfloat16"),
    Workload(LINEAR, (6, 4, 10)),
]


def invoke(*arguments, code=0):
    outcome = CliRunner().invoke(cli.main, ["bench", *map(str, arguments)])
    assert outcome.exit_code == code, outcome.output
    return outcome


@pytest.mark.parametrize("workload", TINY, ids=lambda workload: workload.name)
def test_every_contestant_returns_what_the_formulas_say(workload):
    inputs = workload.inputs()
    wanted = reference.expected(workload, inputs)
    made = peers.contestants(workload, inputs, NUMPY_PEERS + FRAMEWORKS)
    assert len({contestant.key for contestant in made}) == len(made)
    assert {contestant.name for contestant in made} >= {peers.OURS}
    for contestant in made:
        assert measuring.check(workload, contestant, wanted) == "", contestant.key


def test_the_reference_is_the_same_in_blocks(monkeypatch):
    for workload in (TINY[0], TINY[3], TINY[5], TINY[-1]):
        inputs = workload.inputs()
        whole = reference.expected(workload, inputs)
        monkeypatch.setattr(reference, "BLOCK", 1)
        parts = reference.expected(workload, inputs)
        monkeypatch.undo()
        assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
        for name, gradient in whole.gradients.items():
            np.testing.assert_allclose(parts.gradients[name], gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("spoil", ["loss", "nan loss", "element", "nan", "shape", "zero"])
def test_a_wrong_result_is_told(spoil):
    workload = TINY[0]
    wanted = reference.expected(workload, workload.inputs())
    loss, gradient = wanted.loss, wanted.gradients["input"].copy()
    if spoil == "loss":
        loss *= 1.001
    elif spoil == "nan loss":
        loss = math.nan
    elif spoil == "element":
        gradient[3, 2] += 1e-3
    elif spoil == "nan":
        gradient[3, 2] = math.nan
    elif spoil == "shape":
        gradient = gradient.T
    else:
        gradient[:] = 0
    found = Values(loss, {"input": gradient})
    departure = reference.departure(workload, found, wanted)
    assert "loss is" in departure or "gradient of input" in departure
    assert reference.departure(workload, wanted, wanted) == ""
    wrong = Contestant("peer", GRADIENT, lambda: None, lambda _: found)
    (timing,) = measuring.measure(workload, [wrong], wanted, 2)
    assert timing.failure.startswith("wrong result: ")
    assert timing.seconds == []


def test_who_fails_is_told_and_the_others_are_timed():
    def fail():
        raise RuntimeError("no C++ compiler\nand more")

    workload = TINY[0]
    inputs = workload.inputs()
    wanted = reference.expected(workload, inputs)
    broken = Contestant("broken", LOSS, fail, lambda _: wanted)
    made = [*peers.contestants(workload, inputs, []), broken]
    turns = []
    timings = measuring.measure(workload, made, wanted, 3, turns.append)
    assert timings[-1].failure == "RuntimeError: no C++ compiler"
    assert [len(timing.seconds) for timing in timings] == [3] * (len(made) - 1) + [0]
    assert all(second > 0 for timing in timings for second in timing.seconds)
    # Checked in order, then turn by turn, each round beginning with another.
    assert turns[len(made) :][:: len(made) - 1] == [c.name for c in made[:3]]
    found = report.rows(workload, timings, {})
    assert [row.contestant for row in found if row.failed] == ["broken"]
    ours = next(row for row in found if row.contestant == peers.OURS_OUT)
    base = next(row for row in found if row.contestant == bases.COPY)
    assert base.ratio == base.least == 1
    per_round = [a / b for a, b in zip(ours.rounds, base.rounds, strict=True)]
    assert ours.ratio == pytest.approx(statistics.median(per_round))
    assert ours.least == pytest.approx(min(per_round))


@pytest.mark.parametrize("size", [0, 7, 8, 1001, 3 * bases.SLICE + 24])
def test_the_bases_touch_every_byte(size):
    array = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    words = np.frombuffer(array.tobytes()[: size // 8 * 8], np.int64)
    assert bases.read(array) == int(words.sum())
    to = np.zeros_like(array)
    assert bases.copy(array, to) is to
    np.testing.assert_array_equal(to, array)


def test_a_base_that_does_less_is_refused():
    workload = TINY[0]
    inputs = workload.inputs()
    for base in bases.contestants(workload, inputs) + bases.contestants(
        TINY[-1], TINY[-1].inputs()
    ):
        result = base.call()
        assert base.values(result) == ""
        broken = result + 1 if isinstance(result, int) else tuple(part + 1 for part in result)
        assert base.values(np.array(broken) if base.name == bases.COPY else broken)


def timing(name, task, *seconds):
    return Timing(Contestant(name, task, lambda: None, lambda _: ""), list(seconds))


def goals_of(workload, *timings, memory=()):
    found = report.rows(workload, timings, dict(memory))
    return {(row.task, row.contestant): [goal.met for goal in row.goals] for row in found}


@pytest.mark.parametrize(("ours", "met"), [(1.25, True), (1.26, False)])
def test_the_targets_of_the_loss(ours, met):
    timings = [
        timing(bases.READ, LOSS, 1, 2, 4),
        timing(peers.OURS, LOSS, 1.3, 2.6, 5.2),
        timing(bases.COPY, GRADIENT, 1, 2, 4),
        timing(peers.OURS_OUT, GRADIENT, ours, 2 * ours, 100),
        timing("torch", GRADIENT, 18.8, 2 * 18.8, 1500),
        timing("torch.compile", GRADIENT, 6, 12, 24),
    ]
    assert goals_of(Workload(INDEX, (8, 1000)), *timings) == {
        (LOSS, bases.READ): [],
        (LOSS, peers.OURS): [True],
        (GRADIENT, bases.COPY): [],
        (GRADIENT, peers.OURS_OUT): [met],
        (GRADIENT, "torch"): [met],
        (GRADIENT, "torch.compile"): [False],
    }
    few = goals_of(Workload(INDEX, (8, 10)), *timings)
    assert few[GRADIENT, peers.OURS_OUT] == [True]
    assert few[GRADIENT, "torch"] == few[LOSS, peers.OURS] == []
    for other in (Workload(INDEX, (8, 1000), "float16"), Workload(INDEX, (8, 1000), small=True)):
        assert not any(goals_of(other, *timings).values())


def test_the_targets_of_the_linear_loss():
    timings = [
        timing(bases.PRODUCTS, GRADIENT, 10, 10),
        timing(peers.OURS, GRADIENT, 11.5, 11.5),
        timing(peers.OURS_CHUNKS, GRADIENT, 11, 11),
        timing("torch options=None", GRADIENT, 15, 15),
        timing("torch options: auto", GRADIENT, 12, 12),
    ]
    memory = {
        peers.OURS: 63e6,
        peers.OURS_CHUNKS: 90e6,
        "torch options=None": 2e9,
        "torch options: auto": 90e6,
    }
    large, small = Workload(LINEAR, targets.LARGE), Workload(LINEAR, (2048, 512, 8000))
    found = goals_of(large, *timings, memory=memory)
    assert found[GRADIENT, peers.OURS] == [True]
    assert found[GRADIENT, peers.OURS_CHUNKS] == [True, True]
    assert found[GRADIENT, "torch options: auto"] == [True]
    assert found[GRADIENT, "torch options=None"] == []
    found = goals_of(small, *timings, memory=memory)
    assert found[GRADIENT, peers.OURS] == [False, True]
    assert found[GRADIENT, peers.OURS_CHUNKS] == []
    for much in (91e6, math.nan):
        more = {**memory, peers.OURS: much, peers.OURS_CHUNKS: much}
        found = goals_of(large, *timings, memory=more)
        assert found[GRADIENT, peers.OURS] == [False]
        assert found[GRADIENT, peers.OURS_CHUNKS] == [True, False]
        assert goals_of(small, *timings, memory=more)[GRADIENT, peers.OURS] == [False, False]
    slow = timing(peers.OURS, GRADIENT, 13.1, 13.1)
    found = goals_of(large, timings[0], slow, *timings[2:], memory=memory)
    assert found[GRADIENT, peers.OURS] == found[GRADIENT, "torch options: auto"] == [False]


HELD = 48 << 20
MEASURED = f"""
import numpy as np
from conformance.bench import memory, peers
from conformance.bench.contestant import GRADIENT, Contestant, Values
from conformance.bench.workloads import LINEAR, Workload

def call():
    scratch = np.ones({HELD}, np.uint8)
    return np.full(16 << 20, scratch[-1])

contestant = Contestant("peer", GRADIENT, call, lambda made: Values(0.0, {{"input": made}}))
peers.maker = lambda _: lambda *_: [contestant]
print(memory.measured(Workload(LINEAR, (12, 7, 30)), "peer"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_is_what_the_call_takes_beyond_its_gradients():
    # A process of its own, as where it is used: of a large one's memory the system takes some back.
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) == pytest.approx(HELD, rel=0.1)


def test_memory_is_measured_in_a_process_of_its_own():
    workload = workloads.choose(workloads.SMALL, ["linear"])[0]
    extra, problem = memory.extra_bytes(workload, peers.OURS)
    assert (problem, extra >= 0) == ("", True)
    extra, problem = memory.extra_bytes(workload, "nobody")
    assert math.isnan(extra)
    assert problem


def test_the_names_of_contestants_lead_to_their_makers():
    for workload in (TINY[0], TINY[-1]):
        inputs = workload.inputs()
        for make in [bases.contestants, peers.crossent, *(peers.PEERS[p][1] for p in FRAMEWORKS)]:
            for contestant in make(workload, inputs):
                assert peers.maker(contestant.name) is make
    assert peers.maker("torch.compile") is peers.PEERS["torch.compile"][1]


def test_a_run_prints_a_table_of_each_task_and_writes_json(tmp_path):
    file = tmp_path / "bench.json"
    outcome = invoke(
        *("--small", "--only", "index-64x1000-float16", "--only", "linear-*"),
        *("--peers", "none", "--repeats", 2, "--json", file),
    )
    assert "index-64x1000-float16: loss and gradient" in outcome.stdout
    assert "extra" in outcome.stdout
    assert "load average" in outcome.stdout
    data = json.loads(file.read_text())
    assert data["machine"]["cpu"]
    assert data["machine"]["versions"]["numpy"] == np.__version__
    keys = [(row["task"], row["contestant"]) for row in data["rows"]]
    assert keys == [
        (LOSS, bases.READ),
        (LOSS, peers.OURS),
        (GRADIENT, bases.COPY),
        (GRADIENT, peers.OURS_OUT),
        (GRADIENT, peers.OURS),
        (GRADIENT, bases.PRODUCTS),
        (GRADIENT, peers.OURS),
        (GRADIENT, peers.OURS_CHUNKS),
    ]
    assert all(len(row["rounds_milliseconds"]) == 2 and not row["failed"] for row in data["rows"])
    assert all(
        (row["extra_bytes"] is None) == ("float16" in row["workload"]) for row in data["rows"]
    )


def test_an_interrupted_run_keeps_what_is_done(monkeypatch, tmp_path):
    file, measured = tmp_path / "bench.json", bench_cli._rows

    def rows(workload, *rest):
        if workload.name.startswith("linear-"):
            raise KeyboardInterrupt
        return measured(workload, *rest)

    monkeypatch.setattr(bench_cli, "_rows", rows)
    outcome = invoke(
        *("--small", "--only", "index-64x1000-float16", "--only", "linear-*"),
        *("--peers", "none", "--repeats", 1, "--json", file),
        code=130,
    )
    assert "interrupted: 1 of 2 workloads" in outcome.stdout
    names = {row["workload"] for row in json.loads(file.read_text())["rows"]}
    assert names == {"index-64x1000-float16"}


def test_a_wrong_library_fails_the_run(monkeypatch):
    monkeypatch.setattr("crossent_spec.cross_entropy", lambda *_, **__: 1.0)
    outcome = invoke("--small", "--only", "index-4096", "--peers", "none", "--repeats", 1, code=1)
    assert "wrong result: the loss is 1, not" in " ".join(outcome.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "'nothing', which is in no workload's name; there are index-"),
        (["--peers", "oneflow"], "'oneflow', allowed are scipy, torch"),
        (["--repeats", "0"], "0 is not in the range"),
        (["--plot", "x.txt"], "names that end in .png"),
        (["--json", "/nowhere/x.json"], "no folder /nowhere"),
    ],
)
def test_bad_options_are_refused(arguments, message):
    outcome = invoke("--small", *arguments, code=2)
    assert message in " ".join(outcome.stderr.split())


def test_a_plot_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "bench.svg"
    invoke(
        *("--small", "--only", "index-4096", "--peers", "none", "--repeats", 1, "--plot", file),
    )
    assert "<svg" in file.read_text()


def test_a_plot_without_matplotlib_is_refused_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr("conformance.bench.cli.find_spec", lambda _: None)
    outcome = invoke("--plot", tmp_path / "x.svg", code=2)
    assert "pip install 'crossent-spec[bench]'" in outcome.stderr
