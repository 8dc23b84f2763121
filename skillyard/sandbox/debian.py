"""A base image from Debian packages, for machines whose Docker Engine reaches no registry.

``mmdebstrap --variant=extract`` unpacks packages and runs none of their scripts, so what those scripts would have made
is added here: users and groups, the name service switch, the certificate bundle, the loader's cache, and the bytecode
of the standard library (without it every container start compiles what it imports). The last two are made by the
image's own programs in a container without a network. Same packages in, same bytes out (``SOURCE_DATE_EPOCH``).
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import stat
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skillyard.sandbox.chores import chore_labels, own_user
from skillyard.sandbox.engine import Engine, Mount
from skillyard.sandbox.errors import DiskFullError, ImageError
from skillyard.sandbox.folders import Place
from skillyard.subprocesses.tools import DiskLimit, ToolError, run_tool

DEBIAN_PYTHON = "/usr/bin/python3"

_FORMAT = 1
_EPOCH = 1_700_000_000
_PACKAGES = ("python3", "libstdc++6", "dash", "ca-certificates", "tzdata", "libc-bin")
_TIMEOUT = 600.0
_MOST_BYTES = 2 * 1024**3
_CERTIFICATES = "./usr/share/ca-certificates/mozilla/"
_NO_SPACE = "No space left on device"

_USERS = """root:x:0:0:root:/root:/usr/sbin/nologin
skill:x:{uid}:{uid}:skill:/scratch:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS = """root:x:0:
skill:x:{uid}:
nogroup:x:65534:
"""
_NSSWITCH = """passwd: files
group: files
hosts: files dns
"""

_FINISH = """
import os, py_compile, subprocess, sys
subprocess.run(["/sbin/ldconfig", "-X", "-C", "/out/ld.so.cache"], check=True)
top = os.path.dirname(os.__file__)
files = sorted(os.path.join(p, n) for p, _, names in os.walk(top) for n in names if n.endswith(".py"))
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for file in files:
    parent, name = os.path.split(file)
    out = f"/out/root{parent}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"
    os.makedirs(os.path.dirname(out), exist_ok=True)
    try:
        py_compile.compile(file, out, file, True, invalidation_mode=mode)
    except py_compile.PyCompileError:
        pass
"""


@dataclass(frozen=True, slots=True)
class DebianRecipe:
    """Everything that decides what the image holds, but for the versions of the packages on the mirror."""

    suite: str
    skill_uid: int

    @property
    def digest(self) -> str:
        """64 hex digits; another recipe, another digest."""
        parts = (_FORMAT, _EPOCH, self.suite, self.skill_uid, _PACKAGES, _USERS, _GROUPS, _NSSWITCH, _FINISH)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def changes(self) -> tuple[str, ...]:
        """Dockerfile instructions for the import."""
        return (
            f"LABEL skillyard.recipe={self.digest}",
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ENV LANG=C.UTF-8",
            f'CMD ["{DEBIAN_PYTHON}"]',
        )


async def build_archive(recipe: DebianRecipe, place: Place, *, engine: Engine, environment: Mapping[str, str]) -> Path:
    """A root file system as a tar file in ``place``. Raises ``ImageError`` or ``DiskFullError``."""
    archive = place.path / "base.tar"
    await _unpack_packages(recipe, place, archive, environment)
    made = place.path / "made"
    await asyncio.to_thread(made.mkdir)
    await _run_inside(archive, made, place, engine)
    try:
        await asyncio.to_thread(_finish, archive, made, recipe)
    except (OSError, tarfile.TarError) as error:
        raise ImageError(f"the base image could not be put together: {error}.") from error
    return archive


async def _unpack_packages(recipe: DebianRecipe, place: Place, archive: Path, environment: Mapping[str, str]) -> None:
    program = shutil.which("mmdebstrap", path=environment.get("PATH"))
    if program is None:
        raise ImageError("mmdebstrap is not installed; on Debian and Ubuntu: apt-get install mmdebstrap.")
    command = [program, "--quiet", "--variant=extract", f"--include={','.join(_PACKAGES)}", recipe.suite, str(archive)]
    variables = {**environment, "SOURCE_DATE_EPOCH": str(_EPOCH)}
    if os.geteuid() == 0:
        # As root its work folder is ours to remove after a crash; else it belongs to mapped users, who need /tmp.
        variables["TMPDIR"] = str(place.path)
    try:
        ended = await run_tool(
            command,
            environment=variables,
            cwd=place.path,
            timeout=_TIMEOUT,
            disk_limit=DiskLimit(place.path, _MOST_BYTES),
            keep_open=[place.lock],
        )
    except ToolError as error:
        raise ImageError(f"{error}.") from error
    if _NO_SPACE in ended.stderr:
        raise DiskFullError(f"no space is left for building the base image in {place.path.parent}")
    if ended.exit_code != 0:
        raise ImageError(f"mmdebstrap failed: {' '.join(ended.stderr.split())[-600:]}.")


async def _run_inside(archive: Path, made: Path, place: Place, engine: Engine) -> None:
    tag = f"unfinished-{uuid.uuid4().hex}"
    await engine.import_image(archive, repository="skillyard/python", tag=tag)
    image = f"skillyard/python:{tag}"
    try:
        finished = await engine.run_once(
            image=image,
            command=[DEBIAN_PYTHON, "-I", "-B", "-c", _FINISH],
            mounts=[Mount(made, "/out", writable=True)],
            labels=chore_labels("image-build", place),
            user=await own_user(engine),
        )
    finally:
        await asyncio.shield(engine.remove_image(image))
    if finished.exit_code != 0:
        said = finished.stderr.decode(errors="replace").strip()[-500:]
        raise ImageError(f"the unpacked packages do not run: {said or f'exit code {finished.exit_code}'}.")


def _finish(archive: Path, made: Path, recipe: DebianRecipe) -> None:
    with tarfile.open(archive) as tar:
        names = sorted(name for name in tar.getnames() if name.startswith(_CERTIFICATES) and name.endswith(".crt"))
        certificates = b"".join(_member(tar, name) for name in names)
    if not certificates:
        raise ImageError("the package ca-certificates brought no certificates.")
    files = {
        "etc/passwd": _USERS.format(uid=recipe.skill_uid).encode(),
        "etc/group": _GROUPS.format(uid=recipe.skill_uid).encode(),
        "etc/nsswitch.conf": _NSSWITCH.encode(),
        "etc/ssl/certs/ca-certificates.crt": certificates,
        "etc/ld.so.cache": (made / "ld.so.cache").read_bytes(),
        **{str(name): file.read_bytes() for name, file in _bytecode(made / "root")},
    }
    with tarfile.open(archive, "a", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted({str(PurePosixPath(name).parent) for name in files if "__pycache__" in name}):
            entry = tarfile.TarInfo(f"./{folder}")
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, _EPOCH
            tar.addfile(entry)
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o644, _EPOCH
            tar.addfile(entry, io.BytesIO(content))


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    if stream is None:
        raise ImageError(f"{name} is no file.")
    content = stream.read()
    return content if content.endswith(b"\n") else content + b"\n"


def _bytecode(root: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    for parent, _, names in os.walk(root):
        for name in names:
            file = Path(parent) / name
            if stat.S_ISREG(file.lstat().st_mode):
                yield PurePosixPath(file.relative_to(root).as_posix()), file
