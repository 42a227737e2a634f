"""Files that are replaced whole; faults in writing are under :mod:`conformance.load`."""

import os
import subprocess
import sys

import pytest

from conformance.files import leftovers, write_whole
from conformance.golden.write import replace_files


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_file_is_replaced_with_its_mode_and_through_a_link(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_whole(link, "new")
    assert (file.read_text(), link.is_symlink()) == ("new\n", True)
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [file, link]


@pytest.mark.parametrize("content", ["\n a\tX", "\n a\tX\n", "\n a\tX\n\n\n"])
def test_a_file_ends_in_one_newline_and_keeps_all_else(tmp_path, content):
    write_whole(tmp_path / "file", content)
    assert (tmp_path / "file").read_text() == "\n a\tX\n"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "new")
        assert os.read(reader, 100) == b"new\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_half_a_surrogate_pair_is_written_as_json_spells_it(tmp_path):
    write_whole(tmp_path / "file", '"\ud800é"')
    assert (tmp_path / "file").read_bytes() == b'"\\ud800\xc3\xa9"\n'


def test_only_what_dead_processes_left_is_left_over(tmp_path):
    dead = dead_process()
    names = [f".x.{dead}", f".x.{os.getppid()}", f".x.{dead}.bak", f".y.{dead}", "x", f"x.{dead}"]
    for name in names:
        (tmp_path / name).write_text("")
    assert leftovers(tmp_path, ".x.") == [tmp_path / names[0]]
    write_whole(tmp_path / "x", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_golden_files_that_a_killed_run_put_aside_are_found_again(tmp_path):
    aside = tmp_path / f".vectors-{dead_process()}-old"
    aside.mkdir()
    (aside / "index.json").write_text("old")
    staging = tmp_path / "no-folder"
    try:
        replace_files(tmp_path, {f"{staging.name}/x": b"cannot be written"})
    except FileNotFoundError:
        pass
    else:
        raise AssertionError("it could be written")
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]
    assert (tmp_path / "vectors" / "index.json").read_text() == "old"
