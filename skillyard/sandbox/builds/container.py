"""One run of the driver in a container of its own: limited like a skill's, without a network, gone afterwards.

The source tree and the build requirements are mounted read-only, and no folder of the host is mounted writable: what
comes out comes through the container's standard output, counted.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from skillyard.sandbox.builds.hostconfig import BuildPlan, build_config, build_host_config
from skillyard.sandbox.builds.output import BuildOutput, open_output
from skillyard.sandbox.builds.recipe import BuildLimits
from skillyard.sandbox.builds.system import BuildSystem
from skillyard.sandbox.chores import chore_labels
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.errors import BuildError, BuildFailure
from skillyard.sandbox.folders import Place, disk_full_named
from skillyard.sandbox.images import SKILL_UID, BaseImages

_CHUNK = 256 * 1024
_START_SECONDS = 30.0
_COMPILERS = re.compile(
    r"command '(?:[^']*/)?([\w.+-]*(?:gcc|g\+\+|clang|clang\+\+|cc|c\+\+|gfortran|nvcc|rustc))' failed: No such file"
    r"|[Nn]o such file or directory: '(?:[^']*/)?([\w.+-]*(?:gcc|g\+\+|clang|cc|c\+\+|gfortran|cmake|make|cargo))'"
    r"|unable to execute '([^']+)'"
    r"|(?:error: )?linker `(\w+)` not found"
    r"|Unknown compiler\(s\): \[\['([^']+)'"
    r"|can't find (Rust compiler)"
    r"|(CMAKE_C(?:XX)?_COMPILER) (?:not set|could not be found)"
)


@dataclass(frozen=True, slots=True)
class Task:
    """One hook of one backend. ``tree`` is the unpacked source, ``requirements`` the folder of what it needs."""

    what: str
    """The package and version, for people."""
    hook: str
    system: BuildSystem
    tree: Path
    requirements: Path | None


class BuildContainers:
    """Runs tasks; each gets a container and no container stays."""

    def __init__(self, *, engine: Engine, images: BaseImages, limits: BuildLimits, runtime: str | None) -> None:
        self._engine = engine
        self._images = images
        self._limits = limits
        self._runtime = runtime

    async def requires(self, task: Task, place: Place) -> tuple[str, ...]:
        """What ``get_requires_for_build_wheel`` asks for beyond the build-system table."""
        answer = (await self._run(task, place, place.path / "requires.out")).get("requires")
        if not isinstance(answer, list) or not all(isinstance(one, str) for one in answer):
            raise BuildError(f"{task.what} asks for build requirements that are no texts", failure=BuildFailure.FAILED)
        return tuple(answer)

    async def wheel(self, task: Task, place: Place) -> Path:
        """The wheel as it was handed out, unchecked but for its size and for the form of its name."""
        out = place.path / "wheel.out"
        name = (await self._run(task, place, out)).get("wheel")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.whl", name):
            raise BuildError(f"{task.what} was built to a file that is no wheel", failure=BuildFailure.WHEEL)
        final = place.path / "wheel" / name
        with disk_full_named(place.path):
            await asyncio.to_thread(_move, out, final)
        return final

    async def _run(self, task: Task, place: Place, into: Path) -> Mapping[str, object]:
        image = await self._images.python_image()
        system = task.system
        argument = {"hook": task.hook, "backend": system.backend, "backend_path": system.backend_path}
        plan = BuildPlan(
            image=image.reference,
            python=image.python,
            uid=SKILL_UID,
            argument=orjson.dumps(argument).decode(),
            tree=task.tree,
            requirements=task.requirements,
            labels=chore_labels("build", place),
            runtime=self._runtime,
            limits=self._limits,
        )
        with disk_full_named(place.path), open_output(into) as file:
            output = BuildOutput(file, self._limits)
            try:
                async with self._container(plan) as container:
                    await self._listen(container, output)
            except TimeoutError as error:
                message = f"{task.what} did not build within {self._limits.timeout:g} s"
                raise BuildError(message, failure=BuildFailure.TIMED_OUT, stderr=output.stderr) from error
            except BuildError as error:
                message = f"{task.what} could not be built: {error}"
                raise BuildError(message, failure=error.failure) from error
        return _answer(task, output)

    @asynccontextmanager
    async def _container(self, plan: BuildPlan) -> AsyncIterator[str]:
        """A created container, removed in the end; also one whose creation was under way when we were cancelled."""
        creating = asyncio.ensure_future(self._engine.create(build_config(plan), build_host_config(plan)))
        try:
            yield await asyncio.shield(creating)
        finally:
            await asyncio.shield(self._remove(creating))

    async def _remove(self, creating: asyncio.Future[str]) -> None:
        await asyncio.wait({creating})
        if creating.exception() is None:
            await self._engine.remove(creating.result())

    async def _listen(self, container: str, output: BuildOutput) -> None:
        stream = await self._engine.attach(container)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._engine.start(container)
            async with asyncio.timeout(self._limits.timeout):
                while not output.complete and (data := await loop.sock_recv(stream, _CHUNK)):
                    output.feed(data)
        finally:
            stream.close()


def _answer(task: Task, output: BuildOutput) -> Mapping[str, object]:
    header = output.header
    if header is None or not output.complete:
        message = f"the container that built {task.what} went away"
        raise BuildError(message, failure=BuildFailure.LOST, stderr=output.stderr)
    if "failed" not in header:
        return header
    failure, why = _judged(header, output.stderr)
    raise BuildError(f"{task.what} could not be built: {why}", failure=failure, stderr=output.stderr)


def _judged(header: Mapping[str, object], stderr: str) -> tuple[BuildFailure, str]:
    """The strongest evidence first: what the kernel counted, then what the build printed."""
    if header.get("pids"):
        # Before memory, because processes without end take that too.
        return BuildFailure.PROCESS_LIMIT, "it started more processes than builds may"
    if header.get("oom"):
        return BuildFailure.OUT_OF_MEMORY, "it needs more memory than builds get"
    if header.get("full") or "No space left on device" in stderr:
        return BuildFailure.DISK_FULL, "it filled the scratch space that builds get"
    if found := _COMPILERS.search(stderr):
        missing = next(name for name in found.groups() if name)
        return BuildFailure.COMPILER_MISSING, f"it needs {missing}, and packages are built without a compiler here"
    if header.get("failed") == "driver":
        return BuildFailure.FAILED, f"what it built cannot be read: {header.get('message')}"
    return BuildFailure.FAILED, "its own build failed"


def _move(out: Path, final: Path) -> None:
    final.parent.mkdir()
    out.rename(final)
