"""One run of ``uv pip compile``: what it is told, and that nothing it does executes anything of a package.

Every package comes as a wheel, but those named in ``Sources``: of these uv takes the source archive, and what it would
have to build them for, their metadata, it is told beforehand (uv's ``dependency-metadata``). Each such name has an
entry for all versions, so there is no version that uv would have to look into.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from skillyard.sandbox.builds.recipe import WheelMetadata
from skillyard.sandbox.errors import ResolverUnavailableError
from skillyard.sandbox.index import PackageIndex, uv_program
from skillyard.skills.lock import Target
from skillyard.subprocesses.tools import Ended, ToolError, run_tool


@dataclass(frozen=True, slots=True)
class Sources:
    """The packages that are taken as source, by canonical name, and what is known of versions that were built."""

    names: tuple[str, ...] = ()
    known: tuple[WheelMetadata, ...] = ()


NO_SOURCES = Sources()


@dataclass(frozen=True, slots=True)
class Question:
    """What one resolution keeps the same over its runs. ``newest`` is the moment after which releases are ignored."""

    folder: Path
    """New and private, so that no configuration lying about in a working directory is read."""
    target: Target
    newest: str | None


class UvCompile:
    """Runs uv against one index with one cache. Whether an exit code is good or bad is for the caller."""

    def __init__(self, *, index: PackageIndex, cache: Path) -> None:
        self._index = index
        self._cache = cache

    async def run(self, question: Question, file: str, text: str, *extra: str, sources: Sources = NO_SOURCES) -> Ended:
        """Write the requirements ``text`` to ``file`` in the question's folder and compile it; standard error comes
        without secrets. Raises ``ResolverUnavailableError``."""
        (question.folder / file).write_text(text, encoding="utf-8")
        target = question.target
        command = [
            *(uv_program(), "pip", "compile", "--quiet", "--no-header", "--no-sources"),
            *("--only-binary", ":all:", "--python", sys.executable),
            *("--python-version", target.python, "--python-platform", target.platform),
            *(("--exclude-newer", question.newest) if question.newest else ()),
            *self._sources(question, sources),
            *(*extra, file),
        ]
        environment = self._index.uv_environment(self._cache)
        try:
            ended = await run_tool(command, environment=environment, cwd=question.folder, timeout=self._index.timeout)
        except ToolError as error:
            raise ResolverUnavailableError(f"the packages could not be resolved: {error}") from error
        return Ended(ended.exit_code, ended.stdout, self._index.scrub(ended.stderr))

    @staticmethod
    def _sources(question: Question, sources: Sources) -> tuple[str, ...]:
        """With a configuration file named, uv reads no other; without one it is told to read none."""
        if not sources.names:
            return ("--no-config",)
        file = question.folder / "sources.toml"
        file.write_text(tomli_w.dumps({"dependency-metadata": _entries(sources)}), encoding="utf-8")
        return ("--config-file", str(file), *(part for name in sources.names for part in ("--no-binary", name)))


def _entries(sources: Sources) -> list[Mapping[str, Any]]:
    entries: list[Mapping[str, Any]] = [{"name": name, "requires-dist": []} for name in sources.names]
    for one in sources.known:
        python = {"requires-python": one.requires_python} if one.requires_python else {}
        facts = {"name": one.name, "version": one.version, "requires-dist": list(one.requires_dist)}
        entries.append({**facts, **python, "provides-extra": list(one.extras)})
    return entries
