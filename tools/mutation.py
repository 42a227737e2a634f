"""Change one thing at a time in a module of the suite, and see whether its tests notice.

    pip install -e '.[test,mutation]' torch==2.13.0 unit-scaling==0.3.5
    python tools/mutation.py conformance/verdict.py        # or several, or none for all

``tools/mutation.toml`` names the tests of each module, and the survivors that were read and found
harmless, each with the reason.  A survivor that is not named there, and a named one that no longer
survives, make the exit code 1.

One mutant takes about half a second: a process that has imported everything forks, imports what
the change reaches again, and runs the tests that reach the changed lines, quick ones first, until
one fails.  All modules take hours, so continuous integration does not run this.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import coverage
import pytest
from mutants import Mutant, mutants

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
PACKAGES = ("conformance", "crossent_spec", "tests")
#: Seconds of tests for one mutant; a longer one counts as noticed if it had not ended by then.
LIMIT = 60.0
#: Where the mutants stand: a copy, made by the command.
ROOT_OF_COPY = ROOT


# --- running tests -------------------------------------------------------------------------------


class Selection:
    """A pytest plugin: only the named tests, in their order; keeps what they took and reached."""

    def __init__(self, wanted: list[str] | None = None, reach: coverage.Coverage | None = None):
        self.order = None if wanted is None else {name: at for at, name in enumerate(wanted)}
        self.reach = reach
        self.seconds: dict[str, float] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose the tests."""
        if self.order is not None:
            items[:] = [item for item in items if item.nodeid in self.order]
            items.sort(key=lambda item: self.order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the time, and end with the first failure."""
        self.seconds[report.nodeid] += report.duration
        if self.order is not None and report.failed:
            noticed_by(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """End where the tests cannot even be imported."""
        if self.order is not None and report.failed:
            noticed_by("")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Tell the measurement of lines which test runs."""
        if self.reach:
            self.reach.switch_context(item.nodeid)
        return (yield)


def noticed_by(test: str) -> None:
    """End the process of a mutant: nothing after the first failure matters."""
    (ROOT_OF_COPY / ".noticed").write_text(test)
    os._exit(1)


def run_pytest(arguments: list[str], *plugins: Any) -> int:
    """Run pytest in this process, without what costs time."""
    plain = ["-q", "-x", "--assert=plain", f"--basetemp={ROOT_OF_COPY}/.tmp"]
    without = ["cacheprovider", "unraisableexception", "faulthandler"]
    off = [word for name in without for word in ("-p", f"no:{name}")]
    return int(pytest.main([*plain, *off, *arguments], plugins=plugins))


def forked(work: Any, limit: float) -> int | None:
    """Do something in a forked process; return its exit code, ``None`` if it had to be killed."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setsid()
            code = work()
        finally:
            os._exit(code)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def quiet() -> None:
    """Say nothing more."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def baseline(module: str, tests: list[str], folder: Path) -> dict[str, Any]:
    """Run the tests unchanged: how long each takes, and who reaches which line."""
    reached = dependents(module)

    def work() -> int:
        reach = coverage.Coverage(data_file=None, include=[str(ROOT_OF_COPY / module)])
        plugin = Selection(reach=reach)
        reach.start()
        forget(reached)
        code = run_pytest([*tests], plugin)
        reach.stop()
        data = reach.get_data()
        lines = {}
        for file in data.measured_files():
            lines = data.contexts_by_lineno(file)
        (folder / "reach.json").write_text(json.dumps([plugin.seconds, lines]))
        return code

    # The first time compiles kernels and fills caches.
    forked(lambda: run_pytest(tests), 1200)
    if forked(work, 1200):
        sys.exit(f"{module}: the tests fail without any change")
    seconds, lines = json.loads((folder / "reach.json").read_text())
    lines = {int(line): names for line, names in lines.items()}
    return {"seconds": Counter(seconds), "lines": lines, "noticed": Counter()}


def chosen(mutant: Mutant, base: dict[str, Any]) -> list[str]:
    """Return the tests that reach a mutant, those that often notice one first, then quick ones.

    A test that reaches nothing of the module may do so in another process; what is reached when
    the module is imported, any test may show.
    """
    lines, seconds, noticed = base["lines"], base["seconds"], base["noticed"]
    reached = {name for line in mutant.lines for name in lines.get(line, ())}
    if "" in reached:
        reached = set()
    if reached:
        reached |= seconds.keys() - {name for names in lines.values() for name in names}
    return sorted(
        reached or seconds,
        key=lambda name: (
            (seconds[name] + 0.01) / noticed[name] if noticed[name] else 1e6 + seconds[name]
        ),
    )


def attempt(module: str, mutant: Mutant, base: dict[str, Any]) -> str:
    """Return what became of a mutant: killed, timeout or survived."""
    file = ROOT_OF_COPY / module
    wanted = chosen(mutant, base)
    budget, names = 0.0, []
    for name in wanted:
        budget += base["seconds"].get(name, 0.0)
        if budget < LIMIT or not names:
            names.append(name)
    file.write_text(mutant.code)
    cached = Path(importlib.util.cache_from_source(str(file)))
    cached.unlink(missing_ok=True)

    reached = dependents(module)

    def work() -> int:
        quiet()
        gc.disable()
        sys.dont_write_bytecode = True
        forget(reached)
        return run_pytest(sorted({name.partition("::")[0] for name in names}), Selection(names))

    noticed = ROOT_OF_COPY / ".noticed"
    noticed.unlink(missing_ok=True)
    code = forked(work, 10 + 4 * min(budget, LIMIT))
    if noticed.exists():
        base["noticed"][noticed.read_text()] += 1
    return "timeout" if code is None else "killed" if code else "survived"


# --- what a change reaches -----------------------------------------------------------------------


def project_modules() -> dict[str, Path]:
    """Return the files of the project by their modules' names."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT_OF_COPY / package).rglob("*.py")):
            parts = path.relative_to(ROOT_OF_COPY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(name: str, path: Path) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{above}.{base}".rstrip(".")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


_DEPENDENTS: dict[str, set[str]] = {}


def dependents(module: str) -> set[str]:
    """Return the names of a module, of all that imports it, and of the packages of these."""
    if module not in _DEPENDENTS:
        files = project_modules()
        imports = {name: _imports(name, path) for name, path in files.items()}
        found = {name for name, path in files.items() if path == ROOT_OF_COPY / module}
        while True:
            more = {name for name in files if imports[name] & found} - found
            more |= {name for name in files if name.startswith("tests.")} - found
            if not more:
                break
            found |= more
        _DEPENDENTS[module] = found
    return _DEPENDENTS[module]


def forget(names: set[str]) -> None:
    """Have modules imported again; a package keeps its submodules as attributes, too."""
    for name in names:
        above, _, last = name.rpartition(".")
        if sys.modules.pop(name, None) and above in sys.modules:
            vars(sys.modules[above]).pop(last, None)


# --- the command ---------------------------------------------------------------------------------


def copied(place: str | None) -> Path:
    """Copy what git tracks, or would, with its times: Numba's cache goes by place and time."""
    folder = Path(place or tempfile.mkdtemp(prefix="mutation-")).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")  # fmt: skip
    for name in filter(None, names):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def key_of(module: str, mutant: Mutant) -> tuple[str, str, str, str]:
    """Return what names a mutant while its line stays as it is."""
    return module, mutant.function, mutant.was, mutant.now


def earlier(output: str) -> set[tuple[str, str, str, str]]:
    """Return the survivors that an earlier run printed."""
    lines = Path(output).read_text().splitlines()
    items = [json.loads(line) for line in lines if line.startswith("{")]
    return {(item["module"], item["function"], item["was"], item["now"]) for item in items}


def try_module(module: str, entry: dict[str, Any], options: argparse.Namespace) -> bool:
    """Try the mutants of one module, print the survivors; tell whether all is as listed."""
    file = ROOT_OF_COPY / module
    source = file.read_text()
    tests = [*entry["tests"], module]
    run_pytest(["--collect-only", "-qq", *tests])
    base = baseline(module, tests, ROOT_OF_COPY)
    known = {
        (module, item["function"], item["was"], now)
        for item in entry.get("survivors", ())
        for now in item["now"]
    }
    survived: set[tuple[str, str, str, str]] = set()
    counts: Counter[str] = Counter()
    start = time.monotonic()
    found = [mutant for mutant in mutants(source) if options.only in mutant.function]
    if options.again:
        found = [mutant for mutant in found if key_of(module, mutant) in earlier(options.again)]
    for at, mutant in enumerate(found[:: options.every], 1):
        outcome = attempt(module, mutant, base)
        key = key_of(module, mutant)
        if outcome == "survived":
            survived.add(key)
            outcome = "explained" if key in known else outcome
            if outcome == "survived":
                item = {name: text for name, text in asdict(mutant).items() if name != "code"}
                print(json.dumps({"module": module, **item}, ensure_ascii=False), flush=True)
        counts[outcome] += 1
        if at % 50 == 0:
            print(f"# {at} of {len(found)}: {dict(counts)}", flush=True)
    file.write_text(source)
    seconds = time.monotonic() - start
    print(
        f"# {module}: {sum(counts.values())} mutants, {dict(counts)}, {seconds:.0f} s", flush=True
    )
    whole = options.every == 1 and not options.only and not options.again
    gone = known - survived if whole else set()
    for _, function, was, now in sorted(gone):
        print(f"# no longer survives: {module} {function}: {was} -> {now}")
    return not gone and not counts["survived"]


def main() -> None:
    """Try the modules of the command line."""
    global ROOT_OF_COPY
    parser = argparse.ArgumentParser(description="Mutation testing, module by module.")
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--only", default="", help="part of a function's name")
    parser.add_argument("--every", type=int, default=1, help="try every n-th mutant only")
    parser.add_argument("--again", help="only what survived in the output of an earlier run")
    parser.add_argument("--copy", help="where to work; kernels are compiled once for each place")
    options = parser.parse_args()
    entries = tomllib.loads(LIST.read_text())
    ROOT_OF_COPY = copied(options.copy)
    os.chdir(ROOT_OF_COPY)
    sys.path[:0] = [str(ROOT_OF_COPY)]
    os.environ.update(PYTHONPATH=str(ROOT_OF_COPY), OMP_NUM_THREADS="1")
    gc.freeze()
    try:
        good = [try_module(name, entries[name], options) for name in options.modules or entries]
    finally:
        shutil.rmtree(ROOT_OF_COPY, ignore_errors=True)
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
