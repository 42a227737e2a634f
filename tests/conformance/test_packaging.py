import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_of_the_tree_is_packaged():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for top in ("crossent_spec", "conformance")
        for init in (ROOT / top).rglob("__init__.py")
    }
    assert listed == folders | {"conformance.golden_data"}


def test_the_version_is_told_once():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {PROJECT['project']['version']}" in changelog


def test_the_readme_has_exactly_two_commands():
    blocks = (ROOT / "README.md").read_text().split("```sh\n")[1:]
    commands = [block.split("```")[0].strip() for block in blocks]
    assert len(commands) == 2
    assert all("\n" not in command for command in commands)
    assert commands[0].endswith("crossent run")
    assert commands[1].endswith("pytest")
