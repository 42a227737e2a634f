"""Every registered adapter and manifest, by its text: most frameworks are not installed here."""

import ast
import math
import re
import sys
import tomllib
from pathlib import Path

import pytest

import conformance
from conformance import adapters
from conformance.adapters._documented import Scope, to_arguments
from conformance.case import Case
from conformance.protocol import Call, Unsupported
from conformance.request import build

FOLDER = Path(conformance.__file__).parent / "adapters"
PYTHON_FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
REGISTERED = [path for path in PYTHON_FILES if not path.name.startswith("_")]
MANIFESTS = sorted(FOLDER.glob("*.toml"))
KEYS = {
    "version": str,
    "python": str,
    "packages": list,
    "without-dependencies": list,
    "npm": list,
    "command": list,
    "variables": dict,
    "versions": dict,
}
#: Generics that Python 3.8 cannot subscript when it evaluates an annotation.
BUILTINS = {"dict", "list", "tuple", "set", "frozenset", "type"}


def stem(path: Path) -> str:
    return path.stem


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


def annotations(module: ast.Module) -> list[ast.expr]:
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            found.append(node.returns)
    return found


def imported(module: ast.Module) -> set[str]:
    """Return the full names of the modules that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a worker loads adapters by path: no relative imports"
            found.add(node.module)
            if node.module in ("conformance", "conformance.adapters"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
                found.discard(node.module)
    return found


@pytest.mark.parametrize("path", PYTHON_FILES, ids=stem)
def test_an_adapter_is_python_3_8(path):
    module = tree(path)
    for annotation in annotations(module):
        for node in ast.walk(annotation):
            generic = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
            assert not (generic and node.value.id in BUILTINS), ast.unparse(annotation)
            assert not isinstance(node, ast.BinOp), ast.unparse(annotation)


@pytest.mark.parametrize("path", PYTHON_FILES, ids=stem)
def test_an_adapter_imports_of_the_suite_only_what_a_worker_has(path):
    allowed = {f"conformance.adapters.{shared.stem}" for shared in FOLDER.glob("_*.py")}
    if path.stem == "embedded_cuda":  # it runs where the suite does
        allowed.add("conformance.adapters.embedded")
    ours = {name for name in imported(tree(path)) if name.partition(".")[0] == "conformance"}
    assert ours <= {"conformance.protocol", *allowed}
    if not path.name.startswith("_"):
        assert ours, "it has no protocol"


@pytest.mark.parametrize("path", REGISTERED, ids=stem)
def test_an_adapter_says_what_it_drives_and_drives_it(path):
    module = tree(path)
    assert re.fullmatch(r"\S.*[.]", adapters.summary(str(path)))
    (defined,) = (
        node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Adapter"
    )
    assert defined.bases, "Adapter is derived from the protocol's"
    standard = {name.partition(".")[0] for name in imported(module)} - set(sys.stdlib_module_names)
    assert standard - {"numpy", "conformance"}, "it imports no framework"


def test_every_adapter_is_registered_under_its_name():
    known = adapters.registered()
    for path in REGISTERED:
        assert known[path.stem.replace("_", "-")] == str(path)


def test_every_framework_has_a_manifest():
    without = {path.stem for path in REGISTERED} - {path.stem for path in MANIFESTS}
    assert without == {"embedded", "embedded_cuda"}


@pytest.mark.parametrize("path", MANIFESTS, ids=stem)
def test_a_manifest_tells_what_to_install(path):
    with path.open("rb") as file:
        manifest = tomllib.load(file)
    if not path.with_suffix(".py").is_file():
        program = manifest["command"]
        suffix = {Path(part).suffix for part in program if part.startswith("{adapter}")}
        assert suffix, "nothing of the command is the adapter"
        assert [beside for beside in FOLDER.glob(f"{path.stem}.*") if beside != path]
    if "shares" in manifest:
        assert set(manifest) == {"shares"}
        with (FOLDER / f"{manifest['shares'].replace('-', '_')}.toml").open("rb") as file:
            assert "shares" not in tomllib.load(file)
        return
    variants = manifest.get("versions", {}).items()
    assert manifest["version"] not in dict(variants)
    for version, keys in [(manifest["version"], manifest), *variants]:
        assert set(keys) <= set(KEYS) - (set() if keys is manifest else {"version", "versions"})
        assert all(isinstance(value, KEYS[key]) for key, value in keys.items())
        merged = {**manifest, **keys}
        install = [*merged.get("packages", []), *merged.get("without-dependencies", [])]
        install += merged.get("npm", [])
        assert [item for item in install if f"{version}" in item.format(version=version)]
        assert [item for item in install if "{version}" in item], "the version is not used"
        if "packages" in merged:
            assert re.fullmatch(r"3\.\d+", merged["python"])
        assert all(isinstance(value, str) for value in merged.get("variables", {}).values())


def scope() -> Scope:
    return Scope("Some", ("reduction",), dtypes=("float32",), indices=("int32",))


def request(text: str) -> Call:
    built = build(Case.parse(text))
    return built.call(built.steps[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ce/index/3x4/f64/mean", "no input of float64"),
        ("ce/index/3x4/f32/mean,smoothing=0.5", "no label_smoothing"),
        ("ce/index/3x4/f32/mean,reduce=true", "no reduce"),
        ("ce/index/4/f32/mean", "without a batch"),
        ("ce/index/3x4/f32/mean,target_dtype=int32,bad=target-dtype", "indices of int32"),
        ("unit/index/3x4/f32/mean", "does not drive unit_scaling"),
    ],
)
def test_what_a_documentation_does_not_cover_is_unsupported(text, words):
    with pytest.raises(Unsupported, match=words):
        scope().check(request(text))


@pytest.mark.parametrize(
    "text",
    [
        "ce/index/3x4/f32/mean",
        "ce/prob/3x4x2/f32/default,weight=mixed",
        # The framework has to refuse them.
        "ce/index/3x4/f32/mean,bad=reduction-name",
        "ce/index/3x4/f32/mean,target_dtype=uint8,bad=target-dtype",
    ],
)
def test_what_a_documentation_covers_is_passed_on(text):
    scope().check(request(text))


def test_a_smoothing_of_nan_reaches_a_framework_as_a_number():
    assert math.isnan(to_arguments({"label_smoothing": "nan"})["label_smoothing"])
