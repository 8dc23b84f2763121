"""Byte-compiling wheels once, with the base image's interpreter, in a container without a network.

The sources are mounted read-only and the bytecode is written to another folder: nothing that happens in the container
can change what was verified. Files are ``unchecked-hash`` (PEP 552), because hard links and copies change time stamps
and the environment is read-only anyway. Compiling parses; it runs nothing of a package.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from skillyard.sandbox.chores import chore_labels, own_user
from skillyard.sandbox.engine import Engine, EngineError, Finished, Mount
from skillyard.sandbox.errors import DiskFullError, WheelError
from skillyard.sandbox.folders import Place
from skillyard.sandbox.images import BaseImage

ENVIRONMENT_MOUNT = "/env"
"""Where a sandbox sees its environment; tracebacks name files below it."""
_TIMEOUT = 600.0
_MEMORY = 2 * 1024**3
_FULL = 28

# Arguments: mount prefix for tracebacks, then folders below /src. Two processes share the work. A file that is not
# Python of this version (templates, Python 2) is left to be refused when somebody imports it, as pip does. Test suites
# that packages carry inside them are half of all source, and next to nobody imports them: they stay source.
_SCRIPT = f"""
import errno, os, py_compile, sys, warnings
warnings.simplefilter("ignore")
prefix, folders = sys.argv[1], sys.argv[2:]
files = []
for folder in folders:
    for parent, below, names in os.walk("/src/" + folder + "/files"):
        if parent.count("/") > 3:  # a folder inside a package; at the top it is a package of its own
            below[:] = [name for name in below if name != "tests"]
        files += [os.path.join(parent, name)[5:] for name in names if name.endswith(".py")]
files.sort()
tag = sys.implementation.cache_tag
def work(share):
    for name in share:
        parent, base = os.path.split(name)
        out = f"/out/{{parent}}/__pycache__/{{base[:-3]}}.{{tag}}.pyc"
        seen = prefix + "/" + name.split("/", 2)[2]
        os.makedirs(os.path.dirname(out), exist_ok=True)
        try:
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile("/src/" + name, out, seen, True, invalidation_mode=mode)
        except py_compile.PyCompileError:
            continue
workers = max(1, min(len(os.sched_getaffinity(0)), 8))
children = []
for number in range(workers):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(files[number::workers])
            code = 0
        except OSError as error:
            code = {_FULL} if error.errno in (errno.ENOSPC, errno.EDQUOT) else 1
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(next((code if code > 0 else 1 for code in codes if code), 0))
"""


class ByteCompiler:
    """Compiles folders of a staging place with one image's interpreter."""

    def __init__(self, *, engine: Engine) -> None:
        self._engine = engine

    async def compile(self, image: BaseImage, place: Place, folders: Sequence[str], out: Path) -> None:
        """Compile every ``.py`` below ``folders`` (names inside ``place``) into the same layout below ``out``.

        A wheel that makes the compiler itself fail is named: all are tried at once, then one by one.
        Raises ``WheelError``, ``DiskFullError`` or ``EngineUnavailableError``.
        """
        finished = await self._run(image, place, folders, out)
        if finished is not None and finished.exit_code == 0:
            return
        for folder in folders:
            alone = await self._run(image, place, [folder], out)
            if alone is None or alone.exit_code != 0:
                said = alone.stderr.decode(errors="replace")[-500:] if alone else "it did not end"
                raise WheelError(f"the wheel {folder} could not be byte-compiled: {said.strip() or 'it crashed'}")

    async def _run(self, image: BaseImage, place: Place, folders: Sequence[str], out: Path) -> Finished | None:
        """``None`` where the container had to be stopped."""
        try:
            finished = await self._engine.run_once(
                image=image.reference,
                command=[image.python, "-I", "-S", "-B", "-c", _SCRIPT, ENVIRONMENT_MOUNT, *folders],
                mounts=[Mount(place.path, "/src"), Mount(out, "/out", writable=True)],
                labels=chore_labels("bytecode", place),
                user=await own_user(self._engine),
                timeout=_TIMEOUT,
                memory_bytes=_MEMORY,
            )
        except EngineError as error:
            if isinstance(error.__cause__, TimeoutError):
                return None
            raise
        if finished.exit_code == _FULL:
            raise DiskFullError(f"no space is left in {out}")
        return finished


def collect_bytecode(out: Path, into: Path, sources: Sequence[str], tag: str) -> tuple[str, ...]:
    """Move the bytecode of ``sources`` (relative ``.py`` paths) from ``out`` beside them; the paths moved.

    Takes regular files under the expected names only, and leaves whatever else the container may have written.
    """
    moved: list[str] = []
    for source in sources:
        path = PurePosixPath(source)
        name = (path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").as_posix()
        if _is_plain(out, name):
            (into / name).parent.mkdir(exist_ok=True)
            (out / name).rename(into / name)
            moved.append(name)
    return tuple(moved)


def _is_plain(root: Path, name: str) -> bool:
    """Whether a file below ``root`` is regular, with one name, and reached through folders only, not links."""
    parts = PurePosixPath(name).parts
    for depth in range(1, len(parts)):
        try:
            if not stat.S_ISDIR(os.lstat(root.joinpath(*parts[:depth])).st_mode):
                return False
        except FileNotFoundError:
            return False
    try:
        status = os.lstat(root / name)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
