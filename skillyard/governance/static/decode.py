"""Everything that can be read out of a skill's files: each file's text, and what is packed or encoded in it, in turn.

Nothing is unpacked to disk or executed. What cannot be looked at is a gap, which never counts as clean.
"""

from __future__ import annotations

import pickletools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skillyard.governance.report import Capability, Confidence, Severity, Verdict
from skillyard.governance.static import decode_code, decode_hidden, decode_notebooks
from skillyard.governance.static.budget import Budget
from skillyard.governance.static.decode_archives import EncryptedError, archive_kind, is_readable, members
from skillyard.governance.static.decode_blobs import blobs
from skillyard.governance.static.decode_bytes import Binary, Text, program_kind, read_bytes
from skillyard.governance.static.gap import Gap, GapError
from skillyard.governance.static.hit import Hit, Shown, Use
from skillyard.governance.static.languages import guessed, language_of
from skillyard.governance.static.limits import MAX_DECODE_DEPTH
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.view import Language, View

ENCRYPTED_ARCHIVE: Final = Rule(
    id="encrypted_archive",
    title="an archive needs a password",
    severity=Severity.HIGH,
    level=Verdict.INDETERMINATE,
    why="What is encrypted cannot be looked at, and a password told beside it is how scanners are evaded.",
    fix="Ship the files as they are.",
)
UNREADABLE_ARCHIVE: Final = Rule(
    id="unreadable_archive",
    title="an archive is in a format that is not read",
    severity=Severity.MEDIUM,
    level=Verdict.INDETERMINATE,
    why="What is in it was not looked at.",
    fix="Ship the files as they are, or in a zip or tar archive.",
)
NATIVE_PROGRAM: Final = Rule(
    id="native_program",
    title="a program without its source is part of the skill",
    severity=Severity.MEDIUM,
    level=Verdict.FLAG,
    why="What a compiled program does cannot be read; a reviewer has to trust where it comes from.",
    fix="Declare the package that provides the program, or ship its source.",
)
ENCODED_PROGRAM: Final = Rule(
    id="encoded_program",
    title="a compiled program is hidden in a text",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="Programs are encoded as text to get past reviewers and filters, and are written to disk and started later.",
    fix="Remove it; declare the package that provides the program.",
)
PICKLE_EXECUTES: Final = Rule(
    id="pickle_executes",
    title="loading a pickled file runs a command",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="A pickle calls the functions that it names when it is loaded; this one names some that run commands or code.",
    fix="Remove it; keep data in a format that holds data only.",
)
ODD_SOURCE_ENCODING: Final = Rule(
    id="odd_source_encoding",
    title="source code declares an encoding that disguises it",
    severity=Severity.HIGH,
    level=Verdict.BLOCK,
    why="In such an encoding, what looks like a comment or a string to a reader is code to the interpreter.",
    fix="Write the source in UTF-8.",
)
RULES: Final = (
    ENCRYPTED_ARCHIVE,
    UNREADABLE_ARCHIVE,
    NATIVE_PROGRAM,
    ENCODED_PROGRAM,
    PICKLE_EXECUTES,
    ODD_SOURCE_ENCODING,
    *decode_hidden.RULES,
)
_ODD: Final = frozenset({"utf-7", "unicode_escape", "raw_unicode_escape", "punycode", "idna"})
_CALLERS: Final = frozenset(
    {
        "os",
        "posix",
        "nt",
        "subprocess",
        "pty",
        "runpy",
        "importlib",
        "socket",
        "webbrowser",
        "_posixsubprocess",
        "commands",
    }
)
_BUILTIN_CALLERS: Final = frozenset(
    {"eval", "exec", "compile", "__import__", "open", "execfile", "getattr", "breakpoint"}
)


@dataclass(frozen=True, slots=True)
class _Bytes:
    file: str
    name: str
    """What the bytes are called where they come from: the file's path, or a member's name."""
    data: bytes
    via: tuple[str, ...]
    line: int


class Unfolding:
    """Collects views, hits and gaps of one skill."""

    def __init__(self) -> None:
        self.budget = Budget()
        self.views: list[View] = []
        self.shown: list[Shown] = []
        self.gaps: list[Gap] = []
        self._waiting: deque[_Bytes | View] = deque()
        self._seen: set[tuple[str, str]] = set()

    def add_file(self, path: str, data: bytes) -> None:
        """Take one file, and everything found in it."""
        self._waiting.append(_Bytes(path, path, data, (), 1))
        self._work()

    def add_text(self, view: View, how: str, line: int, text: str, language: Language) -> None:
        """Take a text that a view turned out to hold, and everything found in it."""
        try:
            if len(view.via) < MAX_DECODE_DEPTH:
                self._inner(view, how, line, text, guessed(text) if language is Language.TEXT else language)
            self._work()
        except GapError as gap:
            self.gaps.append(Gap(view.file, gap.reason))

    def _work(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            try:
                if isinstance(item, View):
                    self._unfold(item)
                else:
                    self._open(item)
            except GapError as gap:
                self.gaps.append(Gap(item.file, _inside(item.via, gap.reason)))

    def _open(self, item: _Bytes) -> None:
        if (kind := archive_kind(item.data)) is not None:
            self._unpack(item, kind)
            return
        content = read_bytes(item.name, item.data)
        if isinstance(content, Binary):
            self._binary(item, content)
            return
        language = language_of(item.name, content.text)
        if item.via and language is Language.TEXT:
            language = guessed(content.text)
        view = self._view(item.file, content, language, item.via, item.line)
        if view is not None and content.encoding in _ODD:
            self.shown.append(Hit(ODD_SOURCE_ENCODING, view, view.first_line, view.line_text(0), content.encoding))

    def _unpack(self, item: _Bytes, kind: str) -> None:
        where = View(item.file, "", Language.TEXT, item.line, item.via)
        if not is_readable(kind):
            self.shown.append(Hit(UNREADABLE_ARCHIVE, where, item.line, kind, f"({kind})"))
            return
        _deep_enough(item.via)
        try:
            for name, data in members(kind, item.data, self.budget):
                via = (*item.via, f"{kind}: {name}" if name else kind)
                self._waiting.append(_Bytes(item.file, name or _unpacked_name(item.name), data, via, item.line))
        except EncryptedError as error:
            self.shown.append(Hit(ENCRYPTED_ARCHIVE, where, item.line, str(error)))

    def _binary(self, item: _Bytes, content: Binary) -> None:
        where = View(item.file, "", Language.TEXT, item.line, item.via)
        if content.program:
            self.shown.append(Hit(NATIVE_PROGRAM, where, item.line, item.name, f"({content.program})"))
            self.shown.append(Use(Capability.NATIVE_CODE, where, item.line, f"{item.name}: {content.program}"))
        if content.pickle:
            self.shown.extend(_pickled(where, item))

    def _view(self, file: str, content: Text, language: Language, via: tuple[str, ...], line: int) -> View | None:
        key = (file, content.text) if via else (file, f"{line}:{language}:{content.text}")
        if key in self._seen:
            return None
        self._seen.add(key)
        self.budget.view()
        view = View(file, content.text, language, line, via)
        self.views.append(view)
        self._waiting.append(view)
        return view

    def _unfold(self, view: View) -> None:
        self.shown.extend(decode_hidden.hits(view))
        if len(view.via) >= MAX_DECODE_DEPTH:
            self._must_be_plain(view)
            return
        if view.file.lower().endswith(".ipynb") and not view.via:
            for place, text, language in decode_notebooks.cells(view.text):
                self._view(view.file, Text(text, ""), language, (place,), 1)
            return
        for how, line, text, language in decode_hidden.hidden(view):
            self._inner(view, how, line, text, language)
        for how, line, text, language in decode_code.inside(view):
            if how or not view.via:
                self._inner(view, how, line, text, language)
        for how, start, data in blobs(view.text, self.budget):
            self._blob(view, how, view.line(start), data)

    def _inner(self, view: View, how: str, line: int, text: str, language: Language) -> None:
        self.budget.decode(len(text))
        via = (*view.via, how) if how else view.via
        self._view(view.file, Text(text, ""), language, via, line)

    def _blob(self, view: View, how: str, line: int, data: bytes) -> None:
        via = (*view.via, how)
        if kind := program_kind(data):
            where = View(view.file, "", Language.TEXT, line, via)
            self.shown.append(Hit(ENCODED_PROGRAM, where, line, f"{len(data)} bytes: {kind}", f"({kind}, {how})"))
            return
        self._waiting.append(_Bytes(view.file, "", data, via, line))

    def _must_be_plain(self, view: View) -> None:
        if next(blobs(view.text, self.budget), None) is not None:
            raise GapError(f"encoded more than {MAX_DECODE_DEPTH} times over")


def _deep_enough(via: tuple[str, ...]) -> None:
    if len(via) >= MAX_DECODE_DEPTH:
        raise GapError(f"packed more than {MAX_DECODE_DEPTH} times over")


def _inside(via: tuple[str, ...], reason: str) -> str:
    return f"{reason} ({', in '.join(reversed(via))})" if via else reason


def _unpacked_name(name: str) -> str:
    for suffix in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(suffix)
    return name.replace(".tgz", ".tar") if name.endswith(".tgz") else name


def _pickled(where: View, item: _Bytes) -> Iterator[Hit]:
    """The functions that a pickle names, without loading it."""
    strings: deque[str] = deque(maxlen=2)
    try:
        for opcode, argument, _ in pickletools.genops(item.data):
            named = ""
            if opcode.name in {"GLOBAL", "INST"} and isinstance(argument, str):
                named = argument.replace(" ", ".", 1)
            elif opcode.name == "STACK_GLOBAL" and len(strings) == 2:
                named = ".".join(strings)
            elif isinstance(argument, str):
                strings.append(argument)
            module, _, function = named.rpartition(".")
            if module.partition(".")[0] in _CALLERS or (
                module in {"builtins", "__builtin__"} and function in _BUILTIN_CALLERS
            ):
                yield Hit(PICKLE_EXECUTES, where, item.line, named, f"({named})", Confidence.HIGH)
                return
    except Exception as error:  # the reader of pickles raises anything for what is no pickle
        if item.name.lower().endswith((".pkl", ".pickle")):
            raise GapError(f"a pickle that cannot be read: {type(error).__name__}") from error
