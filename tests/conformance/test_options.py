"""The options that several commands share: what help says of them, what they take and refuse."""

from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from conformance import cli
from conformance.options import parse_size
from conformance.terminal import Assignment, unwritable
from conformance.versions import Pin, plain_name, same_version


def help_of(*command):
    outcome = CliRunner().invoke(cli.main, [*command, "--help"], terminal_width=200)
    assert outcome.exit_code == 0, outcome.output
    return " ".join(outcome.output.split())


@pytest.mark.parametrize("command", [("run",), ("golden", "run")])
def test_help_says_what_an_option_takes_and_its_default(command):
    text = help_of(*command)
    usage, _, options = text.partition("Options: ")
    assert usage.startswith(f"Usage: main {' '.join(command)} [OPTIONS] [ADAPTER]")
    for words in (
        "--command CMD ",
        "--python PATH ",
        "-j, --jobs INTEGER RANGE ",
        "--json FILE ",
        "--resume FILE ",
        "--timeout SECONDS What a framework may take for one case. [default: 20.0; x>0]",
        "--memory SIZE ",
        "--max-failures-shown N ",
        "[default: 10; x>=0]",
        "--expect FILE ",
        "--write-expect FILE ",
        "--junit FILE ",
        "-k PATTERN ",
    ):
        assert words in options, words
    assert "-k PATTERN Only " in options
    order = [options.index(f"--{name} ") for name in ("command", "json", "timeout", "junit")]
    assert order == sorted(order)


def test_help_of_the_run_tells_where_it_runs():
    text = help_of("run")
    assert "--backend [cpu|cuda] " in text
    assert "--simulator With --backend cuda" in text
    assert "--quick About a tenth" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--jobs", "0"), "x>=1"),
        (("--timeout", "0"), "x>0"),
        (("--max-failures-shown", "-1"), "x>=0"),
        (("--backend", "tpu"), "'cpu', 'cuda'"),
        (("--simulator",), "--simulator goes with --backend cuda"),
        (("--backend", "cpu", "torch"), "without ADAPTER"),
        (("--memory", "8X"), "got '8X', allowed are sizes such as 500M or 8G"),
        (("--json", "."), "is a directory"),
        (("--junit", "."), "is a directory"),
        (("--expect", "no-such-file"), "does not exist"),
        (("--expect", "."), "is a directory"),
        (("--resume", "."), "is a directory"),
    ],
)
def test_what_an_option_does_not_take_is_refused(arguments, words):
    outcome = CliRunner().invoke(cli.main, ["run", *arguments], terminal_width=200)
    assert outcome.exit_code == 2, outcome.output
    assert words in " ".join(outcome.output.split())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500M", 500 * 2**20),
        ("3k", 3 * 2**10),
        ("8G", 2**33),
        ("1T", 2**40),
        (str(2**63 - 1), 2**63 - 1),
        ("8388607T", 8388607 * 2**40),
    ],
)
def test_a_size_is_a_number_of_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "0G", "K", "-1", "1.5G", "8P", "8GB", "٣", "²", str(2**63), "8388608T"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(click.BadParameter, match="allowed are sizes such as 500M or 8G"):
        parse_size(text)


@pytest.mark.parametrize(
    ("asked", "reported", "same"),
    [
        ("2.13", "2.13.0", True),
        ("2.13.0.0", "2.13", True),
        ("2.13.0", "2.13.0+cpu", True),
        ("2.13.0+cpu", "2.13.0+cpu", True),
        ("2.13.0+cpu", "2.13.0+cu130", False),
        ("2.13.0+cpu", "2.13.0", False),
        ("2.13", "2.130", False),
        ("2.10", "2.1", False),
        ("1.0RC1", " 1.0rc1 ", True),
    ],
)
def test_versions_are_the_same_up_to_zeros_and_a_builds_suffix(asked, reported, same):
    assert same_version(asked, reported) is same


def test_a_mismatch_tells_what_is_there_and_what_was_asked_for():
    pin = Pin("2.1", ("tensorflow-cpu", "tensorflow"))
    assert pin.mismatch({"TensorFlow_CPU": "2.1.0"}) == ""
    # The likeliest name decides.
    both = {"tensorflow": "2.1", "tensorflow.cpu": "2.2"}
    assert pin.mismatch(both) == "it has tensorflow.cpu 2.2, asked for is 2.1"
    assert pin.mismatch({"numpy": "1", "jax": "2"}) == (
        "asked for is version 2.1 of tensorflow-cpu or tensorflow, "
        "but it reports the versions of numpy, jax"
    )
    assert pin.mismatch({}).endswith("but it reports the versions of nothing")
    assert plain_name("A_.b--C") == "a-b-c"


@pytest.mark.parametrize(
    ("error", "words"),
    [(OSError(28, "No space left"), "No space left"), (OSError("no reason"), "no reason")],
)
def test_why_a_file_cannot_be_written_is_told(error, words):
    told = unwritable("--junit", Path("a.xml"), error)
    assert told == f"--junit: a.xml cannot be written: {words}"


def test_failures_are_expected_or_written_but_not_both(tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text("")
    given = Assignment(None, None, None, None, None, 1.0, 1, file, None, None, None, None)
    assert given.program().name == "embedded"
    assert given.expectations() == []
    new = replace(given, expect_file=None, write_expect_file=tmp_path / "new.toml")
    assert new.program().name == "embedded"
    assert new.expectations() is None
    both = replace(given, write_expect_file=tmp_path / "new.toml")
    with pytest.raises(click.UsageError, match="--expect and --write-expect exclude each other"):
        both.program()
