"""Scripts that call a framework through its adapter."""

from dataclasses import replace

import pytest

from conformance import repro
from conformance.case import Case
from conformance.driver import Program
from conformance.expect import expect
from conformance.request import build
from conformance.through import Through
from tests.conformance.test_repro import ADAPTERS, reported, run, script

#: An adapter whose scripts are taken away.
SILENT = """\
import importlib.util

spec = importlib.util.spec_from_file_location("its_own", {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


class Adapter(module.Adapter):
    def script(self, call, step):
        raise NotImplementedError("no")
"""


@pytest.mark.parametrize(
    ("case", "adapter"),
    [
        ("ce/index/4x10/bf16/none,form=module,weight=mixed,grad=mixed,script=again", "torch"),
        ("ce/prob/4x10/f32/mean,smoothing=0.1,layout=transposed", "embedded"),
        ("linear/index/6x8-10x2/f32/sum,form=module,bias=yes,options=chunk2", "torch_linear"),
        ("ce/index/4x10/f32/mean,bad=target-too-large", "embedded"),
        ("ce/index/4x10/f32/mean,bad=smoothing-nan", "torch"),
    ],
)
def test_an_adapter_that_writes_no_script_is_called_by_the_script(tmp_path, case, adapter):
    path = tmp_path / "silent.py"
    path.write_text(SILENT.format(path=str(ADAPTERS / f"{adapter}.py")))
    program = Program.of_adapter(str(path), str(path))
    text = repro.script(Case.parse(case), program)
    assert all(len(line) <= 100 for line in text.split("\n") if str(path) not in line)
    assert "in PYTHONPATH" in text
    assert reported(run(text)) == reported(run(script(case, adapter)))
    assert ("raised" in run(text)) == ("raised" in run(script(case, adapter)))


def test_a_registered_adapter_is_imported_from_the_suite():
    program = Program.of_adapter("jax", str(ADAPTERS / "jax.py"))
    program = replace(program, variables={"JAX_PLATFORMS": "cpu", "CUDA": "/a/path"})
    made = Case()
    request = build(made)
    through = Through(program, {"jax": "1"})
    text = repro.compose(made, request, expect(made, request), through, "jax")
    assert "from conformance.adapters.jax import Adapter\n" in text
    assert "\nadapter = Adapter()\n" in text
    assert "In the environment: JAX_PLATFORMS=cpu\n" in text
    compile(text, "report.py", "exec")
