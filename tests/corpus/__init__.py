"""The labelled set: small skills, malicious and benign, by which scanning is measured. ``docs/reference/corpus.md``.

A skill is one text file, ``<half>/<label>/<technique>/<name>.skill``, so that nothing of it can be run, imported or
picked up by a tool by accident. Before the first delimiter stands a header of ``key: value`` lines (``label``,
``technique``, ``why``, and ``unparsable: yes`` where the project's own parser has to refuse the skill). Then each file
begins with a line ``==== path``, after which one word may say how its content is written:

- nothing: the lines as they are, each ended by a line feed;
- ``base64``: bytes, in lines of base64;
- ``escapes``: text in which ``\\u{200b}`` stands for that character, so that what cannot be seen can be reviewed.

A content line that begins with ``==== `` is written with a backslash before it, as is one that begins with backslashes
before ``==== ``; reading takes one backslash away.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType

FOLDER = Path(__file__).parent

_DELIMITER = re.compile(r"==== (\S+)(?: (base64|escapes))?")
_ESCAPED = re.compile(r"\\+==== ")
_CHARACTER = re.compile(r"\\u\{([0-9a-f]{1,6})\}")
_HEADER = {"label", "technique", "why", "unparsable"}


class Half(StrEnum):
    """Rules are written by looking at ``development`` alone; ``test`` shows what they are worth."""

    DEVELOPMENT = "development"
    TEST = "test"


class Label(StrEnum):
    MALICIOUS = "malicious"
    BENIGN = "benign"


class CorpusError(ValueError):
    """A file of the labelled set is not written as it should be."""


@dataclass(frozen=True, slots=True)
class LabelledSkill:
    """One skill of the set. ``technique`` is the technique of a malicious one, the family of a benign one."""

    name: str
    half: Half
    label: Label
    technique: str
    why: str
    unparsable: bool
    files: Mapping[str, bytes]

    def write(self, parent: Path) -> Path:
        """Write the files into a new folder of the skill's name below ``parent``, none of them executable."""
        folder = parent / self.name
        folder.mkdir()
        for path, content in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return folder


def paths(half: Half | None = None) -> list[Path]:
    """The files of the set, or of one half of it, in a stable order. The other half is not even opened."""
    return sorted(FOLDER.glob(f"{half or '*'}/*/*/*.skill"))


def corpus(half: Half | None = None) -> Iterator[LabelledSkill]:
    """The skills of the set, or of one half of it, in a stable order."""
    return map(read, paths(half))


def read(path: Path) -> LabelledSkill:
    """Read one file; raises ``CorpusError`` where it is not written as it should be, or lies in the wrong folder."""
    half, label, technique = path.parent.parts[-3:]
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    starts = [number for number, line in enumerate(lines) if line.startswith("==== ")]
    if not starts:
        raise CorpusError(f"{path}: no file in it")
    header = _header(path, lines[: starts[0]])
    if (header["label"], header["technique"]) != (label, technique):
        raise CorpusError(f"{path}: the header names another label or technique than the folders")
    files: dict[str, bytes] = {}
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        found = _DELIMITER.fullmatch(lines[start])
        if not found:
            raise CorpusError(f"{path}:{start + 1}: not a delimiter; content is escaped with a backslash")
        name, form = found.groups()
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts or name in files:
            raise CorpusError(f"{path}:{start + 1}: outside of the skill, or given twice")
        files[name] = _content(lines[start + 1 : end], form)
    if "SKILL.md" not in files:
        raise CorpusError(f"{path}: no SKILL.md in it")
    return LabelledSkill(
        name=path.stem,
        half=Half(half),
        label=Label(label),
        technique=technique,
        why=header["why"],
        unparsable=header.get("unparsable") == "yes",
        files=MappingProxyType(files),
    )


def _header(path: Path, lines: list[str]) -> dict[str, str]:
    pairs = [line.partition(": ") for line in lines]
    header = {key: value for key, _, value in pairs if value}
    if len(header) != len(lines) or not {"label", "technique", "why"} <= set(header) <= _HEADER:
        raise CorpusError(f"{path}: the header needs label, technique and why, and may say unparsable")
    return header


def _content(lines: list[str], form: str | None) -> bytes:
    if form == "base64":
        return base64.b64decode("".join(lines), validate=True)
    text = "".join((line[1:] if _ESCAPED.match(line) else line) + "\n" for line in lines)
    if form == "escapes":
        text = _CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)
    return text.encode()
