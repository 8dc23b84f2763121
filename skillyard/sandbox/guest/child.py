"""One call: a process that waits as a spare, then runs one entry of the skill and ends.

To the relay it sends packets on its own socket: ``R`` result bytes that go on, ``S`` the last result bytes, ``X`` a
failure (one byte of flags, then a reason in UTF-8), and ``{`` an event, which is JSON (see ``skillyard_call``). All
that is the skill's own word; the exit comes from the kernel.
"""

from __future__ import annotations

import _socket
import atexit
import os
import sys
import types
from _collections_abc import Coroutine
from importlib.machinery import ModuleSpec

from skillyard.sandbox.guest import kernel, skillyard_call
from skillyard.sandbox.guest.bundle import BundleLoader, compile_file
from skillyard.sandbox.guest.nursery import MAX_PACKET, SPARE_BORN, SPARE_READY
from skillyard.sandbox.guest.plain import dumps, loads, recv_fds, suppress
from skillyard.sandbox.guest.scratch import is_no_space

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal

RESULT_PART, RESULT_END, FAILURE, EVENT = b"R", b"S", b"X", b"{"
NO_SPACE = 1
"""Flag of a failure: a write ended with no space left, or over the largest file size."""

_OOM_SCORE = 1000
_REASON_LIMIT = 2000
_SHELL = "/bin/sh"
_ENTRY_MODULE = "_skillyard_entry"
_GUEST = os.path.dirname(__file__)
_WARM_UP = "warmup.py"
_PRACTICE_RUNS = 32
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
_EVENTS = 3
"""The descriptor on which a shell script sends events, and the environment variable that says so."""
_EVENTS_VARIABLE = "SKILLYARD_EVENTS"

# The name by which a skill imports it; nothing has to be installed or found for that.
sys.modules["skillyard_call"] = skillyard_call


def pack_spec(spec: dict[str, Any], given_input: bytes) -> bytes:
    """What the relay sends to a spare, after one byte of kind: a description of the call, and the call's input."""
    description = dumps(spec).encode()
    return len(description).to_bytes(4, "big") + description + given_input


_WARM_UP_SPEC = {
    "mode": "function",
    "bundle": _GUEST,
    "folder": "/",
    "path": _WARM_UP,
    "function": "run",
    "stdin": False,
}
_WARM_UP_PACKET = b"I" + pack_spec(_WARM_UP_SPEC, b'{"text":"a","number":1.5,"nothing":null}')


class RefusedError(Exception):
    """The call cannot be run as asked; the message is the reason, without a traceback."""


def wait_and_serve(descriptors: list[int]) -> NoReturn:
    """As a spare: take the descriptors (socket, standard output, standard error), say so, and wait for the call."""
    try:
        link = _socket.socket(fileno=descriptors[0])
        # Before it leaves the zygote's session, by which the relay tells a fork that is under way.
        link.send(SPARE_BORN)
        os.dup2(descriptors[1], 1)
        os.dup2(descriptors[2], 2)
        os.close(descriptors[1])
        os.close(descriptors[2])
        os.setsid()
        _reseed()
        # What is costly and harmless is done while nobody waits.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _warm_up()
        skillyard_call._connect(link.fileno())  # noqa: SLF001 - its other names are for skills
        link.send(SPARE_READY)
        data, files = recv_fds(link, MAX_PACKET, 2)
        if not data:
            os._exit(0)
        _forget_signals()
        kernel.set_dumpable(True)
        kernel.set_oom_score(_OOM_SCORE)
        _serve(link, data, files)
    finally:
        # Whatever happens, a child never returns into the zygote's frames.
        os._exit(70)


def _forget_signals() -> None:
    """Drop what was sent to the spare, and hear again what is sent to the call."""
    for number in signal.sigpending():
        # Ignoring one takes it back (POSIX, sigaction).
        before = signal.signal(number, signal.SIG_IGN)
        signal.signal(number, signal.SIG_DFL if before is None else before)
    kernel.unblock_signals()


def _reseed() -> None:
    """Give this child random numbers of its own where forking alone does not; the standard library sees to itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def practise() -> None:
    """In the zygote: run the path of a call until the interpreter has adapted its code, which children then share.

    PEP 659: code is specialised after a few runs, by writing into it; done here it costs no child a page.
    """
    compile_file(f"{_GUEST}/{_WARM_UP}")
    for _ in range(_PRACTICE_RUNS):
        _warm_up()


def _warm_up() -> None:
    """Do once, on nothing, what a call does.

    The first write to a page shared with the zygote costs a page fault, and a call touches hundreds of such pages:
    here they are paid for while nobody waits.
    """
    kernel.set_dumpable(False)
    kernel.set_oom_score(0, "/dev/null")
    path = list(sys.path)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    ours.send(_WARM_UP_PACKET)
    _respond(theirs, *recv_fds(theirs, MAX_PACKET, 2))
    ours.recv(MAX_PACKET)
    ours.close()
    theirs.close()
    sys.path[:] = path
    del sys.modules[_ENTRY_MODULE]


def _serve(link: _socket.socket, data: bytes, files: list[int]) -> None:
    if _respond(link, data, files)["mode"] == "script":
        os._exit(1)
    # The relay measures the process that gave the answer, and ends it.
    signal.pause()


def _respond(link: _socket.socket, data: bytes, files: list[int]) -> dict[str, Any]:
    """Do what the relay's packet asks for and answer it; returns the description of the call."""
    spec, given_input = _read_spec(data, files)
    if spec["stdin"]:
        os.dup2(files[-1], 0)
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - lives on
    for descriptor in files:
        os.close(descriptor)
    os.chdir(spec["folder"])
    try:
        match spec["mode"]:
            case "function":
                _send_result(link, _call_function(spec, given_input))
            case "script":
                _run_script(link, spec)
            case "check":
                _check(spec)
                _send_result(link, b"null")
    except RefusedError as error:
        _send_failure(link, str(error), error)
    except BaseException as error:  # noqa: BLE001 - the skill may raise anything, and its end is our answer
        _print_traceback(error)
        _send_failure(link, _reason(error), error)
    _flush()
    return spec


def _read_spec(data: bytes, files: list[int]) -> tuple[dict[str, Any], bytes]:
    """The relay's description of the call and the input: in the packet, or for larger ones in a memory file."""
    if data[:1] == b"M":
        with open(files.pop(0), "rb") as memory:
            data = b"I" + memory.read()
    size = int.from_bytes(data[1:5], "big")
    return loads(data[5 : 5 + size]), data[5 + size :]


# Functions


def _call_function(spec: dict[str, Any], given_input: bytes) -> bytes:
    arguments = loads(given_input)
    if not isinstance(arguments, dict):
        raise RefusedError("the input must be a JSON object: its members are the function's arguments")
    result = _load_function(spec, _ENTRY_MODULE)(**arguments)
    if isinstance(result, Coroutine):
        # Imported for those who need it: every fork would pay for it otherwise.
        import asyncio  # noqa: PLC0415 - for the reason above

        result = asyncio.run(result)
    return _encode(result)


def _encode(result: object) -> bytes:
    try:
        return dumps(result, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RefusedError(f"the result is not JSON: {error}") from error


def _load_function(spec: dict[str, Any], module_name: str):  # type: ignore[no-untyped-def]
    path = f"{spec['bundle']}/{spec['path']}"
    _extend_path(spec, path)
    _require_file(path, spec["path"])
    loader = BundleLoader(module_name, path)
    module = _new_module(module_name, path, loader)
    module.__spec__ = ModuleSpec(module_name, loader, origin=path)
    exec(loader.code(), module.__dict__)  # noqa: S102 - this is the skill
    function = getattr(module, spec["function"], None)
    if not callable(function):
        raise RefusedError(f"{spec['path']} has no callable {spec['function']!r}")
    return function


def _extend_path(spec: dict[str, Any], path: str) -> None:
    sys.path[:0] = [os.path.dirname(path), spec["bundle"]]


def _require_file(path: str, name: str) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        raise RefusedError(f"{name} does not exist") from None
    except OSError as error:
        raise RefusedError(f"{name} cannot be read: {error.strerror}") from error


# Scripts


def _run_script(link: _socket.socket, spec: dict[str, Any]) -> NoReturn:
    path = f"{spec['bundle']}/{spec['path']}"
    _require_file(path, spec["path"])
    if path.endswith(".sh"):
        for number in _DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if link.fileno() != _EVENTS:
            os.dup2(link.fileno(), _EVENTS)
        os.set_inheritable(_EVENTS, True)
        os.putenv(_EVENTS_VARIABLE, str(_EVENTS))
        os.execv(_SHELL, [_SHELL, path, *spec["argv"]])  # noqa: S606 - an argument list, by design
    if not path.endswith(".py"):
        raise RefusedError(f"{spec['path']}: only Python (.py) and shell (.sh) scripts can run here")
    sys.argv[:] = [path, *spec["argv"]]
    sys.path.insert(0, os.path.dirname(path))
    code = 0
    try:
        _run_main(path)
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException as error:  # noqa: BLE001 - as the interpreter does it: show what ended the script, exit 1
        _print_traceback(error)
        _send_failure(link, _reason(error), error)
        code = 1
    # The order in which the interpreter itself ends: threads, exit handlers, streams.
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()  # noqa: SLF001 - there is no public name for it
    atexit._run_exitfuncs()  # noqa: SLF001 - likewise
    _flush()
    os._exit(code)


def _run_main(path: str) -> None:
    """What ``python PATH`` does: a fresh ``__main__`` with the file's code."""
    loader = BundleLoader("__main__", path)
    exec(loader.code(), _new_module("__main__", path, loader).__dict__)  # noqa: S102 - this is the skill


def _new_module(name: str, path: str, loader: BundleLoader) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__file__ = path
    module.__loader__ = loader
    module.__dict__["__builtins__"] = __builtins__
    sys.modules[name] = module
    return module


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


# Checks


def _check(spec: dict[str, Any]) -> None:
    for number, entry in enumerate(spec["entries"]):
        entry["bundle"] = spec["bundle"]
        try:
            if entry["function"] is not None:
                _load_function(entry, f"{_ENTRY_MODULE}_{number}")
            else:
                _check_script(f"{spec['bundle']}/{entry['path']}", entry["path"])
        except RefusedError:
            raise
        except BaseException as error:
            _print_traceback(error)
            raise RefusedError(f"{entry['path']}: {_reason(error)}") from error


def _check_script(path: str, name: str) -> None:
    _require_file(path, name)
    if path.endswith(".py"):
        BundleLoader("__main__", path).code()
    elif not path.endswith(".sh"):
        raise RefusedError(f"{name}: only Python (.py) and shell (.sh) scripts can run here")


# What goes back


def _send_result(link: _socket.socket, result: bytes) -> None:
    _flush()
    part = MAX_PACKET - 1
    while len(result) > part:
        link.send(RESULT_PART + result[:part])
        result = result[part:]
    link.send(RESULT_END + result)


def _send_failure(link: _socket.socket, reason: str, error: BaseException) -> None:
    flags = NO_SPACE if _is_no_space(error) else 0
    with suppress(OSError):
        link.send(FAILURE + bytes([flags]) + reason[:_REASON_LIMIT].encode(errors="replace"))


def _is_no_space(error: BaseException | None) -> bool:
    for _ in range(16):
        if isinstance(error, OSError) and error.errno is not None and is_no_space(error.errno):
            return True
        error = (error.__cause__ or error.__context__) if error is not None else None
    return False


def _reason(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__name__


def _print_traceback(error: BaseException) -> None:
    """On standard error, from the first frame that is not ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OWN_FILES:
        trace = trace.tb_next
    with suppress(BaseException):
        sys.excepthook(type(error), error.with_traceback(trace), trace)


_OWN_FILES = {__file__, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"}


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
