"""The process that holds an adapter: ``python worker.py ADAPTER.py [FOLDER...]``.

It answers the protocol on stdin and stdout and runs in the framework's own Python, which may be
3.8 and has NumPy and the framework, nothing of the suite's.  Modules are looked up in the
``FOLDER`` arguments last, after everything that this Python has of its own.

``python worker.py [--memory BYTES] --exec PROGRAM...`` becomes a program that speaks the protocol
itself, after arranging that it cannot outlive the harness, nor take more memory than that.
"""

import contextlib
import faulthandler
import importlib.util
import json
import os
import signal
import sys
import types
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, List, NamedTuple, Optional

if TYPE_CHECKING:
    import numpy as np

    from conformance.protocol import Adapter, Array, Call

#: Longest exception text that is passed on; some frameworks print a whole tensor into it.
MESSAGE_LIMIT = 2000


class AdapterError(Exception):
    """The adapter returned what :class:`conformance.protocol.Adapter` does not allow."""


class Hello(NamedTuple):
    """The loaded adapter, or None, and what is said about it."""

    adapter: "Optional[Adapter]"
    reply: Dict[str, Any]


def die_with_parent(how: int = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when its parent dies; elsewhere do nothing.

    End of file on stdin ends a worker that listens; this ends one that hangs.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).prctl(1, how)  # 1 is PR_SET_PDEATHSIG


def limit_memory(size: int) -> None:
    """Refuse this process, and each that it starts, more than ``size`` bytes of data.

    It is data that counts, not addresses, of which a GPU's driver reserves more than exist.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def find_protocol() -> None:
    """Make ``conformance.protocol`` importable, and nothing else beside the suite.

    The folder that holds ``conformance`` may be the site-packages of another Python, so it must
    not enter ``sys.path``; neither may this file's own folder, which ``python worker.py`` puts
    there first and where ``adapters/torch.py`` and the like would shadow what they import.
    """
    folder = os.path.dirname(os.path.abspath(__file__))
    if os.path.abspath(sys.path[0]) == folder:
        del sys.path[0]
    package = types.ModuleType("conformance")
    package.__path__ = [folder]
    sys.modules["conformance"] = package


def load(path: str) -> "Adapter":
    """Load an adapter's file under a name that hides no package, and make its ``Adapter``."""
    stem = os.path.splitext(os.path.basename(path))[0]
    name = "crossent_adapter_" + "".join(c if c.isalnum() else "_" for c in stem)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AdapterError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "Adapter"):
        raise AdapterError(f"{path} defines no class named Adapter")
    adapter: Adapter = module.Adapter()
    return adapter


def hello(path: str) -> Hello:
    """Load the adapter and describe it; say why where that fails."""
    try:
        import numpy

        from conformance import protocol

        adapter = load(path)
        reply = dict(adapter.describe())
        reply["protocol"] = protocol.PROTOCOL_VERSION
        versions = {name: str(version) for name, version in reply.get("versions", {}).items()}
        versions.setdefault("numpy", numpy.__version__)
        versions.setdefault("python", ".".join(map(str, sys.version_info[:3])))
        reply["versions"] = versions
        return Hello(adapter, reply)
    except BaseException as error:  # whatever it is, the harness must hear of it
        failure = {"error": f"{type(error).__name__}: {_text(error)}"}
        if isinstance(error, ModuleNotFoundError) and error.name:
            failure["module"] = error.name
        return Hello(None, failure)


def answer(adapter: "Adapter", message: Dict[str, Any]) -> Dict[str, Any]:
    """Take the steps of one request and say what came of each."""
    from conformance import protocol

    arrays = {name: protocol.decode(encoded) for name, encoded in message["arrays"].items()}
    buffers = {name: _buffer(array.data) for name, array in arrays.items()}
    before = {name: buffer.tobytes() for name, buffer in buffers.items()}
    states: Dict[str, Any] = {}
    taken = [_take(adapter, message, step, arrays, states) for step in message["steps"]]
    # Results are read after the last step, so that one whose memory a later step used again shows.
    steps = [_finish(outcome) for outcome in taken]
    modified = [name for name, buffer in buffers.items() if buffer.tobytes() != before[name]]
    return {"case": message["case"], "steps": steps, "modified": modified}


def write(adapter: "Adapter", message: Dict[str, Any]) -> Dict[str, Any]:
    """Return one step of a case as source code in the framework's own API."""
    from conformance import protocol

    arrays = {name: protocol.decode(encoded) for name, encoded in message["arrays"].items()}
    seed = message["grad_array"]
    step = dict(message["step"], grad_array=None if seed is None else protocol.decode(seed))
    try:
        source = adapter.script(_call(message, arrays), step)
    except protocol.Unsupported as error:
        return {"case": message["case"], "unsupported": _text(error)}
    except NotImplementedError as error:
        return {"case": message["case"], "unwritten": _text(error)}
    except BaseException as error:
        return {"case": message["case"], "error": f"{type(error).__name__}: {_text(error)}"}
    return {"case": message["case"], "source": source}


def _call(message: Dict[str, Any], arrays: "Dict[str, Array]") -> "Call":
    from conformance import protocol

    return protocol.Call(
        system=message["system"],
        form=message["form"],
        arguments=dict(message["arguments"]),
        arrays=arrays,
        wrt=list(message["wrt"]),
    )


def _take(
    adapter: "Adapter",
    message: Dict[str, Any],
    step: Dict[str, Any],
    arrays: "Dict[str, Array]",
    states: Dict[str, Any],
) -> Dict[str, Any]:
    from conformance import protocol

    try:
        if step["do"] == "forward":
            passed = {argument: arrays[name] for argument, name in step["arrays"].items()}
            call = _call(message, passed)
            for name in ("label_smoothing", "mult"):
                if isinstance(call.arguments.get(name), str):  # JSON has no NaN
                    call.arguments[name] = float(call.arguments[name])
            result = adapter.forward(call)
            if not isinstance(result, tuple) or len(result) != 2:
                raise AdapterError(
                    f"forward returned {_kind(result)}, expected the pair (Array, state)"
                )
            outputs = {"loss": ("the loss", result[0])}
            states[step["as"]] = result[1]
        else:
            if step["of"] not in states:
                return {"outcome": "skipped"}
            name = step["grad_output"]
            gradients = adapter.backward(
                states[step["of"]], None if name is None else arrays[name], bool(step["retain"])
            )
            if not isinstance(gradients, dict):
                raise AdapterError(
                    f"backward returned {_kind(gradients)}, expected a dict of Array"
                )
            outputs = {
                str(name): (f"the gradient of {name}", gradient)
                for name, gradient in gradients.items()
            }
    except protocol.Unsupported as error:
        return {"outcome": "unsupported", "reason": _text(error)}
    except BaseException as error:  # SystemExit and a foreign runtime's panic are answers too
        return _raised(error)
    return {"outcome": "ok", "arrays": outputs}


def _raised(error: BaseException) -> Dict[str, Any]:
    return {"outcome": "raised", "type": type(error).__name__, "message": _text(error)}


def _finish(taken: Dict[str, Any]) -> Dict[str, Any]:
    """Encode what a step gave."""
    if taken["outcome"] != "ok":
        return taken
    try:
        arrays = {name: _encode(*output) for name, output in taken["arrays"].items()}
    except Exception as error:
        return _raised(error)
    return {"outcome": "ok", "arrays": arrays}


def _encode(what: str, array: Any) -> Dict[str, Any]:
    """Encode a result; refuse one whose storage is not what its dtype says.

    ``protocol.encode`` would convert it, and hide that the framework returned another dtype.
    """
    import numpy as np

    from conformance import protocol

    if not isinstance(array, protocol.Array):
        raise AdapterError(f"{what} is {_kind(array)}, expected a protocol.Array")
    if array.dtype not in protocol.STORAGE:
        raise AdapterError(
            f"{what} has dtype {array.dtype!r}, allowed are {', '.join(protocol.STORAGE)}"
        )
    data = np.asarray(array.data)
    storage = np.dtype(protocol.STORAGE[array.dtype])
    if data.dtype.newbyteorder("<") != storage:
        raise AdapterError(
            f"{what} is called {array.dtype}, which is stored as {storage.name}, "
            f"but its data is {data.dtype.name}"
        )
    return protocol.encode(array)


def _buffer(view: "np.ndarray") -> "np.ndarray":
    """Return the whole buffer that a decoded view looks into."""
    owner: Any = view
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    result: np.ndarray = owner
    return result


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a framework's own exception class may be broken too
        text = "(its text could not be read)"
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + " [...]"


def serve(path: str, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests, one a line, until ``quit`` or the end of the file."""
    adapter: Optional[Adapter] = None
    for line in iter(requests.readline, b""):
        message = json.loads(line.decode("utf-8"))
        op = message.get("op")
        if op == "quit":
            return
        if op == "hello":
            adapter, reply = hello(path)
        elif op == "call" and adapter is not None:
            reply = answer(adapter, message)
        elif op == "script" and adapter is not None:
            reply = write(adapter, message)
        else:
            reply = {"error": f"expected hello, then call or quit, got {op!r}"}
        replies.write(json.dumps(reply, allow_nan=False).encode("ascii") + b"\n")
        replies.flush()


def main(argv: List[str]) -> None:
    """Run as the command line says."""
    die_with_parent()
    if argv[1] == "--memory":
        limit_memory(int(argv[2]))
        argv = argv[:1] + argv[3:]
    if argv[1] == "--exec":
        try:
            os.execvp(argv[2], argv[2:])
        except OSError as error:
            sys.exit(f"cannot run {argv[2]}: {error.strerror}")
    # The framework gets no share of the protocol's pipes: what it prints, from Python or from C,
    # goes to stderr, and reading stdin gives it the end of a file.
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    find_protocol()
    sys.path.extend(argv[2:])
    serve(argv[1], requests, replies)


if __name__ == "__main__":
    main(sys.argv)
