"""What a worker started and let go of is ended; each test has a process of its own for it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux gives orphans to another process"
)

#: Starts, in a session of its own, a program of the given name and a child of that; lets them go.
LET_GO = """
import subprocess, sys
quiet = f"'{sys.argv[1]}' 60 > /dev/null 2>&1"
nested = f"{quiet} & echo $!; echo $$; exec {quiet}"
subprocess.Popen(["sh", "-c", nested], start_new_session=True)
"""

#: Ends what the other let go of, and says which processes there were.
LANE = """
import os, subprocess, sys, time
from conformance import orphans
if {adopts}:
    assert orphans.adopt() is True
else:
    held = subprocess.Popen(["sleep", "60"])
worker = subprocess.Popen([sys.executable, "-c", {let_go!r}, {name!r}], stdout=subprocess.PIPE)
numbers = [int(worker.stdout.readline()) for _ in range(2)]
worker.wait()
begin = time.monotonic()
orphans.end_adopted()
print(time.monotonic() - begin, *numbers)
if not {adopts}:
    assert held.poll() is None
    held.kill()
"""


def lane(adopts, name="sleep"):
    """Run a lane; return how long the ending took, and the two processes."""
    code = LANE.format(adopts=adopts, let_go=LET_GO, name=str(name))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    seconds, *numbers = done.stdout.split()
    return float(seconds), [int(number) for number in numbers]


def runs(number):
    """Tell whether a process is still there, and not just its entry."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


# A name of another encoding that looks like what stands after it.
@pytest.mark.parametrize("name", ["sleep", "its) S 1 (\udcff"], ids=["plain", "strange"])
def test_all_that_a_worker_lets_go_of_is_ended(tmp_path, name):
    program = tmp_path / name
    program.symlink_to("/bin/sleep")
    seconds, numbers = lane(adopts=True, name=program)
    assert len(set(numbers)) == 2
    assert not any(map(runs, numbers))
    assert seconds < 2.5  # there was nothing more to wait for


def test_who_adopts_nobody_ends_nobody():
    _, numbers = lane(adopts=False)
    assert all(map(runs, numbers))
    for number in numbers:
        os.kill(number, 9)


def test_what_cannot_be_ended_holds_nobody_up():
    code = (
        "import subprocess, time\n"
        "from conformance import orphans\n"
        "assert orphans.adopt()\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "orphans._children = list\n"
        "orphans._LIMIT = 0.2\n"
        "orphans.end_adopted()\n"
        "assert child.poll() is None\n"
        "child.kill()\n"
    )
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
    assert 0.2 < time.monotonic() - begin < 10
