"""``crossent bench``: the library against what bounds it and against its peers."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from conformance.files import write_whole
from conformance.options import file_to_write
from conformance.terminal import INTERRUPTED, Refused, progress_bar, refuse_missing_folders

#: Formats of the plot, by the suffix of its file.
FORMATS = (".png", ".svg", ".pdf")
_PEERS = ("scipy", "torch", "torch.compile", "jax")
_GPU_PEERS = ("torch", "torch.compile", "liger-kernel", "cut-cross-entropy")


@click.command()
@click.option(
    "--only",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="Only workloads whose name contains PATTERN or matches it (*, ?, [...]); may be repeated.",
)
@click.option(
    "--peers",
    "names",
    metavar="NAMES",
    help=f"Which peers, with commas between: of {', '.join(_PEERS)}, or none; "
    f"with --cuda of {', '.join(_GPU_PEERS)}; by default those that are installed.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Rounds in which every contestant has its turn.",
)
@click.option("--small", is_flag=True, help="Reduced sizes, for a quick look; no targets.")
@click.option("--cuda", is_flag=True, help="On the GPU, between CUDA events; no targets.")
@file_to_write("--json", "Write the times, round by round, as JSON.")
@file_to_write("--plot", f"Draw the ratios ({', '.join(FORMATS)}); needs matplotlib.")
@click.pass_context
def bench(
    ctx: click.Context,
    patterns: tuple[str, ...],
    names: str | None,
    repeats: int,
    small: bool,
    cuda: bool,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Time the library beside a plain copy, a bare read, bare matrix products and its peers.

    All contestants of a workload take turns in one process, after their results were checked
    against the formulas; every ratio is the median of its rounds.  The exit code is 1 if a result
    is wrong or a contestant fails; targets that are missed do not change it.  Ctrl-C shows, and
    writes, the workloads that are done.
    """
    from conformance import report as terminal_report
    from conformance.bench import machine, report, workloads

    _check_files(json_file, plot_file)
    every: Sequence[workloads.Workload] = workloads.SMALL if small else workloads.FULL
    missing: list[str] = []
    if cuda:
        from conformance.bench import gpu

        try:
            gpu.require()
        except RuntimeError as error:
            raise Refused(f"--cuda: {str(error).removeprefix('cuda: ')}") from None
        every, missing = gpu.workloads(small)
    try:
        chosen = workloads.choose(every, patterns)
    except LookupError as error:
        raise click.BadParameter(str(error.args[0]), param_hint="--only") from None
    peers = _peers(names, cuda)
    facts: dict[str, Any] = {**machine.describe(), "load_at_start": machine.load(), "peers": peers}
    out = terminal_report.console()
    for line in machine.lines(facts):
        out.print(line, soft_wrap=True)
    if cuda:
        facts["gpu"] = gpu.describe()
        out.print(", ".join(f"{name} {value}" for name, value in facts["gpu"].items()))
    known = _GPU_PEERS if cuda else _PEERS
    absent = missing + [peer for peer in known if names is None and peer not in peers]
    if absent:
        out.print(f"not installed: {', '.join(absent)}")
    found: list[report.Row] = []
    done = 0
    with contextlib.suppress(KeyboardInterrupt), progress_bar("bench", len(chosen)) as bar:
        progress, task = bar
        for workload in chosen:

            def on_step(name: str, workload: workloads.Workload = workload) -> None:
                progress.update(task, description=f"{workload.name}: {name}")

            found += (_gpu_rows if cuda else _rows)(workload, peers, repeats, on_step)
            done += 1
            progress.advance(task)
    facts["load_at_end"] = machine.load()
    report.show(out, found)
    out.print(f"load average {_load(facts['load_at_start'])} to {_load(facts['load_at_end'])}")
    try:
        if json_file is not None:
            text = json.dumps(report.to_json(facts, found), indent=1, ensure_ascii=False)
            write_whole(json_file, f"{text}\n")
        if plot_file is not None:
            report.plot(facts, found, plot_file)
    except OSError as error:
        raise Refused(f"the result cannot be written: {error}") from None
    if done < len(chosen):
        out.print(f"interrupted: {done} of {len(chosen)} workloads")
    failed = any(row.failed for row in found)
    ctx.exit(1 if failed else INTERRUPTED if done < len(chosen) else 0)


def _rows(workload: Any, peers: list[str], repeats: int, on_step: Any) -> list[Any]:
    """Check and time the contestants of a workload, and measure their memory."""
    from conformance.bench import measuring, memory, reference, report
    from conformance.bench.peers import contestants
    from conformance.bench.workloads import LINEAR

    on_step("inputs")
    inputs = workload.inputs()
    wanted = reference.expected(workload, inputs)
    timings = measuring.measure(
        workload, contestants(workload, inputs, peers), wanted, repeats, on_step
    )
    del inputs, wanted
    extra: dict[str, float] = {}
    if workload.kind == LINEAR:
        for timing in timings:
            name = timing.contestant.name
            if not timing.failure:
                on_step(f"{name}, memory")
                extra[name], problem = memory.extra_bytes(workload, name)
                if problem:
                    click.echo(f"{workload.name}: {name}: no memory measured: {problem}", err=True)
    return report.rows(workload, timings, extra)


def _gpu_rows(workload: Any, peers: list[str], repeats: int, on_step: Any) -> list[Any]:
    """Check and time the contestants of a workload on the GPU."""
    from conformance.bench import gpu, measuring, reference, report

    on_step("inputs")
    inputs = workload.inputs()
    made = gpu.contestants(workload, inputs, peers)
    wanted = reference.expected(workload, inputs)
    timings = measuring.measure(workload, made, wanted, repeats, on_step, gpu.seconds)
    return report.rows(workload, timings, {}, with_goals=False)


def _peers(names: str | None, cuda: bool) -> list[str]:
    """Return the peers that take part."""
    from conformance.bench import gpu, peers

    known: dict[str, Any] = gpu.PEERS if cuda else peers.PEERS

    def installed(peer: str) -> bool:
        return find_spec(known[peer][0]) is not None

    if names is None:
        return [peer for peer in known if installed(peer)]
    asked = [] if names == "none" else list(dict.fromkeys(names.split(",")))
    for peer in asked:
        if peer not in known:
            raise click.BadParameter(
                f"got {peer!r}, allowed are {', '.join(known)}, or none", param_hint="--peers"
            )
        if not installed(peer):
            raise Refused(f"--peers: {peer} needs the package {known[peer][0]}, not installed here")
    return asked


def _check_files(json_file: Path | None, plot_file: Path | None) -> None:
    """Refuse before the work what could not be written after it."""
    refuse_missing_folders({"--json": json_file, "--plot": plot_file})
    if plot_file is None:
        return
    if plot_file.suffix not in FORMATS:
        raise click.BadParameter(
            f"got {str(plot_file)!r}, allowed are names that end in {', '.join(FORMATS)}",
            param_hint="--plot",
        )
    if find_spec("matplotlib") is None:
        raise Refused("--plot: matplotlib is not installed: pip install 'crossent-spec[bench]'")


def _load(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.1f}"
