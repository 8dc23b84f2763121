"""Packages declared in files of the bundle.

``requirements.txt`` (pip's format, names and versions only), ``pyproject.toml`` (PEP 621 ``project.dependencies``) and
``package.json`` (``dependencies`` and ``optionalDependencies``) at the top of the folder or in ``scripts/``; and the
inline metadata of scripts (PEP 723) in ``scripts/**/*.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from skillyard.skills.bundle import open_file
from skillyard.skills.errors import RequirementError, SkillError
from skillyard.skills.requirement import npm_package, python_package
from skillyard.skills.skill import Bundle, DeclaredPackage, Origin
from skillyard.skills.tolerance import Tolerance
from skillyard.skills.toml import loads_toml

MAX_DECLARATION_BYTES = 1024 * 1024

_BLOCK_START = re.compile(r"# /// ([a-zA-Z0-9-]+)")
_INDEX_FILES = {"pip.conf", "pip.ini", "uv.toml", ".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", ".pypirc"}
_UV_INDEX_KEYS = {"index", "index-url", "extra-index-url", "find-links", "no-index", "sources", "pip"}
_HASH = re.compile(r"\s--hash[= ](\S+)")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_COMMENT = re.compile(r"(^|\s)#.*$")


def packages_in_files(folder: Path, bundle: Bundle, tolerance: Tolerance) -> Iterator[DeclaredPackage]:
    """Entries of every such file, files in the bundle's order; raises ``RequirementError`` or ``SkillError``."""
    for file in bundle.files:
        parent, _slash, name = file.path.rpartition("/")
        if parent in {"", "scripts"}:
            if name == "requirements.txt":
                yield from requirements_txt(read_text(folder, file.path), file.path)
            elif name == "pyproject.toml":
                yield from pyproject_toml(read_text(folder, file.path), file.path, tolerance)
            elif name == "package.json":
                yield from package_json(read_text(folder, file.path), file.path, tolerance)
        if name in _INDEX_FILES:
            message = "is not read: which index packages come from is the operator's choice"
            tolerance.remark("index_settings", message, file=file.path)
        if file.path.startswith("scripts/") and name.endswith(".py") and file.size <= MAX_DECLARATION_BYTES:
            yield from inline_metadata(_read(folder, file.path), file.path)


def read_text(folder: Path, path: str, *, limit: int = MAX_DECLARATION_BYTES) -> str:
    """A text file of the bundle, of at most ``limit`` bytes (1 MiB); raises ``SkillError``."""
    data = _read(folder, path, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SkillError("is not UTF-8 text", file=path, line=line) from error


def requirements_txt(text: str, path: str) -> Iterator[DeclaredPackage]:
    """pip's requirements format, names and versions only: no options, no URLs, no includes."""
    for number, line in _logical_lines(text):
        content = _COMMENT.sub("", line).strip()
        if not content:
            continue
        bare = _HASH.sub("", f" {content}").strip()
        package = python_package(bare, Origin(path, number, None))
        yield _bound(package, _HASH.findall(f" {content}"))


def _bound(package: DeclaredPackage, hashes: list[str]) -> DeclaredPackage:
    """The requirement with the hashes it was given: the resolver takes only files that have one of them."""
    for given in hashes:
        if not _SHA256.fullmatch(given):
            message = f"{given[:80]!r} is not sha256: and 64 hexadecimal digits, the one kind of hash that is taken"
            raise RequirementError(message, file=package.origin.file, line=package.origin.line)
    options = "".join(f" --hash={given}" for given in hashes)
    return replace(package, requirement=package.requirement + options)


def pyproject_toml(text: str, path: str, tolerance: Tolerance) -> Iterator[DeclaredPackage]:
    """PEP 621 dependencies; other tools' own tables are noted, uv's index and source settings refused."""
    data = _toml(text, path, first_line=1)
    project = _table(data, "project", path)
    yield from _dependencies(project, "project.dependencies", text, path, first_line=1)
    tool = _table(data, "tool", path)
    _refuse_index_settings(tool, path)
    if "dependencies" in _table(tool, "poetry", path):
        message = "Poetry's own table is not read; use project.dependencies (PEP 621)"
        tolerance.remark("poetry", message, file=path, field="tool.poetry.dependencies")
    if "dependencies" in _strings(project.get("dynamic", []), "project.dynamic", path):
        message = "dependencies that a build computes are not read"
        tolerance.remark("dynamic_dependencies", message, file=path, field="project.dynamic")


def inline_metadata(data: bytes, path: str) -> Iterator[DeclaredPackage]:
    """The ``script`` block of PEP 723. A file that is not UTF-8 has none: the PEP asks for UTF-8."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        return
    blocks = list(_script_blocks(lines))
    if not blocks:
        return
    if len(blocks) > 1:
        raise SkillError("a second block of script metadata (PEP 723)", file=path, line=blocks[1].start)
    first_line = blocks[0].start + 1
    content = "".join(f"{lines[index][2:]}\n" for index in range(blocks[0].start, blocks[0].stop))
    settings = _toml(content, path, first_line=first_line)
    _refuse_index_settings(_table(settings, "tool", path), path)
    yield from _dependencies(settings, "dependencies", content, path, first_line=first_line)


def _script_blocks(lines: list[str]) -> Iterator[range]:
    """Where the content of ``script`` blocks is, as PEP 723's regular expression would find it but in linear time.

    A block ends at the last ``# ///`` of the comment lines that follow its start. The range's start is the index of
    the first content line, which is the number, from 1, of the line that opens the block.
    """
    index = 0
    while index < len(lines):
        opening = _BLOCK_START.fullmatch(lines[index])
        index += 1
        if opening is None:
            continue
        end = index
        while end < len(lines) and (lines[end] == "#" or lines[end].startswith("# ")):
            end += 1
        closings = [number for number in range(index + 1, end) if lines[number] == "# ///"]
        if closings and opening[1] == "script":
            yield range(index, closings[-1])
        index = closings[-1] + 1 if closings else end


def package_json(text: str, path: str, tolerance: Tolerance) -> Iterator[DeclaredPackage]:
    """npm's ``dependencies`` and ``optionalDependencies``; ``overrides`` would change other packages: refused."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SkillError(f"not valid JSON: {error.msg}", file=path, line=error.lineno) from error
    if not isinstance(data, dict):
        raise SkillError("must be an object", file=path, line=1)
    for field in ("overrides", "resolutions"):
        if data.get(field):
            raise RequirementError("is not allowed: it rewrites packages", file=path, field=field)
    for field in ("dependencies", "optionalDependencies"):
        table = data.get(field, {})
        if not isinstance(table, dict):
            raise SkillError("must be an object", file=path, field=field)
        for name, wanted in table.items():
            origin = Origin(path, _line_of(text, f'"{name}"', 1), f"{field}.{name}")
            if not isinstance(wanted, str):
                raise SkillError("must be text", file=path, line=origin.line, field=origin.field)
            yield npm_package(name, wanted, origin)
    if data.get("bundleDependencies") or data.get("bundledDependencies"):
        tolerance.remark("bundled_packages", "bundled packages are resolved like all others", file=path)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their number; a backslash at the end joins the next line on, as pip reads it."""
    start, joined = 1, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not joined:
            start = number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1] + " "
            continue
        yield start, joined + line
        joined = ""
    if joined:
        yield start, joined


def _dependencies(
    table: dict[str, object], field: str, text: str, path: str, *, first_line: int
) -> Iterator[DeclaredPackage]:
    for index, item in enumerate(_strings(table.get("dependencies", []), field, path)):
        yield python_package(item, Origin(path, _line_of(text, item, first_line), f"{field}[{index}]"))


def _line_of(text: str, needle: str, first_line: int) -> int | None:
    """The line that holds a value; TOML and JSON parsers give no positions. ``None`` where it is written in escapes."""
    at = text.find(needle)
    return None if at < 0 else first_line + text.count("\n", 0, at)


def _refuse_index_settings(tool: dict[str, object], path: str) -> None:
    for key in sorted(_UV_INDEX_KEYS & _table(tool, "uv", path).keys()):
        message = "is not allowed: where packages come from is the operator's choice"
        raise RequirementError(message, file=path, field=f"tool.uv.{key}")


def _toml(text: str, path: str, *, first_line: int) -> dict[str, object]:
    try:
        return loads_toml(text, file=path)
    except SkillError as error:
        line = None if error.line is None else first_line + error.line - 1
        raise SkillError(error.message, file=path, line=line) from error


def _table(data: dict[str, object], field: str, path: str) -> dict[str, object]:
    table = data.get(field, {})
    if not isinstance(table, dict):
        raise SkillError("must be a table", file=path, field=field)
    return table


def _strings(value: object, field: str, path: str) -> list[str]:
    if not isinstance(value, list):
        raise SkillError("must be a list of text", file=path, field=field)
    strings = [item for item in value if isinstance(item, str)]
    if len(strings) != len(value):
        raise SkillError("must be a list of text", file=path, field=field)
    return strings


def _read(folder: Path, path: str, limit: int = MAX_DECLARATION_BYTES) -> bytes:
    with open_file(folder, path) as (file, info):
        if info.st_size > limit:
            raise SkillError(f"larger than {limit // 1024} KiB", file=path)
        return file.read(limit)
