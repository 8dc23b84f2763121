"""What reaches where in JavaScript: by names, over the whole of a file.

Nothing is parsed in full. A name stands for whatever is assigned to it anywhere in the file, is handed to the parameter
of that name, or is returned by the function of that name; that is enough to follow a secret from the line that reads it to the
line that sends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from skillyard.governance.static import python_paths as paths
from skillyard.governance.static.python_values import Tag

_LONGEST: Final = 300_000
_MOST_PLACES: Final = 4_000
_MOST_SPAN: Final = 4_000
_ROUNDS: Final = 4
_TOKENS: Final = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`", re.DOTALL
)
_FILLED: Final = re.compile(r"\$\{[^{}]*\}")
_ASSIGNED: Final = re.compile(
    r"(?:\b(?:const|let|var)\s+)?(?<![\w$.])([A-Za-z_$][\w$]*|\{[^{}=]{1,300}\}|\[[^\[\]=]{1,300}\])((?:\??\.[\w$]+|\[[^\]\n]{0,80}\])*)\s*(?:\?\?|\|\||\+)?=(?![=>])\s*"
)
_LOOPED: Final = re.compile(r"\bfor\s*(?:await\s*)?\(\s*(?:const|let|var)\s+([\w$]+|[{\[][^\]}]{1,200}[\]}])\s+of\b")
_DEFINED: Final = re.compile(r"\bfunction\s*\*?\s*([\w$]+)\s*\(([^()]{0,400})\)\s*\{")
_ARROW: Final = re.compile(r"^(?:async\s*)?(?:function\b[^(]{0,60})?(?:\(([^()]{0,400})\)|([\w$]+))\s*(=>\s*)?(\{)?")
_RETURNED: Final = re.compile(r"\breturn\b")
_NAME: Final = re.compile(r"(?<![\w$.])[A-Za-z_$][\w$]*(?!\s*:(?!:))")
_READS: Final = re.compile(
    r"\b(?:readFile(?:Sync)?|createReadStream|readTextFile(?:Sync)?|readJson(?:Sync)?|Bun\.file|Deno\.readFile|openAsBlob)\s*\("
)
_HOME: Final = re.compile(r"\bhomedir\s*\(|\benv\.(?:HOME|USERPROFILE|APPDATA)\b")
_ENVIRONMENT: Final = re.compile(
    r"(?<!\} = )(?<!\}= )(?<!\}=)\bprocess\.env\b(?!\s*(?:\??\.|\[))|\bDeno\.env\.toObject\b|\bBun\.env\b(?!\s*[.\[])"
)
_KEYS: Final = re.compile(
    r"\b(?:private_?key|priv_?key|mnemonic|seed_?phrase|secret_?recovery\w*|recovery_?phrase|keypair\.secretKey)\b",
    re.IGNORECASE,
)
_FETCHES: Final = re.compile(
    r"\b(?:fetch|axios(?:\.\w+)?|got(?:\.\w+)?|https?\.(?:get|request)|needle|undici\.\w+)\s*\("
)
_ASKED: Final = re.compile(
    r"\b(?:req|request|ctx)\.(?:headers|body|query|params|url|rawHeaders)\b|\bsearchParams\.get\("
)
_HEADER: Final = re.compile(r"\b(?:req|request|ctx)\.(?:headers|rawHeaders|get\()")
_DECODES: Final = re.compile(r"\batob\s*\(|Buffer\.from\s*\([^;\n]{0,200},\s*[\"'](?:base64|hex)|\bunescape\s*\(")
_TOLD: Final = re.compile(
    r"security\s+find-\w+-password|secret-tool\s+lookup|git\s+credential\s+fill|\bgh\s+auth\s+token|print-access-token|aws\s+configure\s+(?:get|export)"
    r"|get-access-token|\bpass\s+show|\bop\s+read\b|gpg\s+--export-secret"
)


class Mark(Enum):
    """What is known of a value."""

    SECRET_PATH = auto()
    OWN_PATH = auto()
    """``.env`` and its like, which may be the skill's own."""
    AGENT_PATH = auto()
    START_PATH = auto()
    HOME = auto()
    SECRET = auto()
    OWN = auto()
    """What such a file of one's own holds."""
    KEY = auto()
    ENVIRONMENT = auto()
    NETWORK = auto()
    REQUEST = auto()
    HEADER = auto()
    DECODED = auto()


_MARKED: Final = (
    (Mark.HOME, _HOME),
    (Mark.ENVIRONMENT, _ENVIRONMENT),
    (Mark.KEY, _KEYS),
    (Mark.NETWORK, _FETCHES),
    (Mark.REQUEST, _ASKED),
    (Mark.HEADER, _HEADER),
)


@dataclass(slots=True)
class Code:
    """A file, its text without comments and strings, and what its names stand for."""

    text: str
    plain: str
    strings: tuple[tuple[int, int], ...]
    names: dict[str, set[Mark]] = field(default_factory=dict)

    def marks(self, start: int, end: int) -> set[Mark]:
        """What an expression may be."""
        source, plain = self.text[start:end], self.plain[start:end]
        found: set[Mark] = set()
        for name in _NAME.finditer(plain):
            found |= self.names.get(name[0], set())
        parts = [self.text[a + 1 : b - 1] for a, b in self.within(start, end)]
        for part in [*parts, "/".join(part.strip("/") for part in parts[:6])] if len(parts) > 1 else parts:
            found |= _of_path(part)
            if _TOLD.search(part):
                found.add(Mark.SECRET)
        found |= {mark for mark, pattern in _MARKED if pattern.search(plain)}
        if _READS.search(plain):
            if Mark.SECRET_PATH in found or {Mark.OWN_PATH, Mark.HOME} <= found:
                found.add(Mark.SECRET)
            elif Mark.OWN_PATH in found:
                found.add(Mark.OWN)
        if _DECODES.search(source):
            found.add(Mark.DECODED)
        return found

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        return ((a, b) for a, b in self.strings if start <= a and b <= end)

    def closing(self, start: int) -> int:
        """Where the brackets that are open at ``start`` end."""
        depth = 0
        for position in range(start, min(start + _MOST_SPAN, len(self.plain))):
            letter = self.plain[position]
            if letter in "([{":
                depth += 1
            elif letter in ")]}":
                depth -= 1
                if depth < 0:
                    return position
        return min(start + _MOST_SPAN, len(self.plain))

    def statement(self, start: int) -> int:
        """Where an expression ends: at a semicolon, or at a line's end after which nothing goes on."""
        depth = 0
        for position in range(start, min(start + _MOST_SPAN, len(self.plain))):
            letter = self.plain[position]
            if letter in "([{":
                depth += 1
            elif letter in ")]}":
                depth -= 1
                if depth < 0:
                    return position
            elif depth == 0 and (letter == ";" or (letter == "\n" and not self._goes_on(position))):
                return position
        return min(start + _MOST_SPAN, len(self.plain))

    def _goes_on(self, position: int) -> bool:
        before = self.plain[max(0, position - 40) : position].rstrip()
        after = self.plain[position : position + 80].lstrip()
        return before.endswith(("=", "+", "(", ",", "?", ":", "&&", "||", "=>")) or after.startswith(
            (".", "+", "?", ":", "&&", "||")
        )

    def arguments(self, start: int, end: int) -> list[tuple[int, int]]:
        """What stands between commas."""
        found, depth, begin = [], 0, start
        for position in range(start, end):
            letter = self.plain[position]
            if letter in "([{":
                depth += 1
            elif letter in ")]}":
                depth -= 1
            elif letter == "," and depth == 0:
                found.append((begin, position))
                begin = position + 1
        return [*found, (begin, end)]


def read(text: str) -> Code | None:
    """The file with its names followed; None for what is too large to be one that somebody wrote."""
    if len(text) > _LONGEST:
        return None
    strings: list[tuple[int, int]] = []
    pieces: list[str] = []
    last = 0
    for token in _TOKENS.finditer(text):
        pieces.append(text[last : token.start()])
        last = token.end()
        if token[0][0] == "/":
            pieces.append(re.sub(r"[^\n]", " ", token[0]))
            continue
        strings.append(token.span())
        pieces.append(_emptied(token[0]))
    pieces.append(text[last:])
    code = Code(text, "".join(pieces), tuple(strings[:_MOST_PLACES]))
    _follow(code)
    return code


def _emptied(literal: str) -> str:
    kept = [" "] * len(literal)
    kept[0] = kept[-1] = '"'
    for position, letter in enumerate(literal):
        if letter == "\n":
            kept[position] = letter
    if literal[0] == "`":
        for filled in _FILLED.finditer(literal):
            kept[filled.start() : filled.end()] = ["+", "(", *filled[0][2:-1], ")"]
    return "".join(kept)


def _follow(code: Code) -> None:
    assigned: list[tuple[list[str], int, int]] = []
    functions: dict[str, list[str]] = {}
    for found in _ASSIGNED.finditer(code.plain):
        end = code.statement(found.end())
        names = re.findall(r"[A-Za-z_$][\w$]*", found[1])
        arrow = _ARROW.match(code.plain[found.end() : end])
        if arrow and (arrow[3] or code.plain.startswith(("function", "async function"), found.end())):
            functions[names[0]] = re.findall(r"[A-Za-z_$][\w$]*", arrow[1] or arrow[2] or "")
            span = (found.end() + arrow.end(), end)
            assigned.extend(_returns(code, names[:1], span) if arrow[4] else [(names[:1], *span)])
        else:
            assigned.append((names, found.end(), end))
    assigned.extend(
        (re.findall(r"[A-Za-z_$][\w$]*", found[1]), found.end(), code.closing(found.end()))
        for found in _LOOPED.finditer(code.plain)
    )
    for found in _DEFINED.finditer(code.plain):
        functions[found[1]] = re.findall(r"[A-Za-z_$][\w$]*", found[2])
        assigned.extend(_returns(code, [found[1]], (found.end(), code.closing(found.end()))))
    calls = _calls(code, functions)
    for _ in range(_ROUNDS):
        before = sum(len(marks) for marks in code.names.values())
        for names, start, end in assigned[:_MOST_PLACES]:
            marks = code.marks(start, end)
            for name in names if marks else ():
                code.names.setdefault(name, set()).update(marks)
        for name, start, end in calls:
            if marks := code.marks(start, end):
                code.names.setdefault(name, set()).update(marks)
        if sum(len(marks) for marks in code.names.values()) == before:
            return


def _returns(code: Code, names: list[str], span: tuple[int, int]) -> list[tuple[list[str], int, int]]:
    return [(names, found.end(), code.statement(found.end())) for found in _RETURNED.finditer(code.plain, *span)]


def _calls(code: Code, functions: dict[str, list[str]]) -> list[tuple[str, int, int]]:
    """Each parameter with what is handed to it."""
    wanted = [name for name, given in functions.items() if given]
    if not wanted:
        return []
    found: list[tuple[str, int, int]] = []
    pattern = re.compile(r"(?<![\w$.])(" + "|".join(re.escape(name) for name in wanted[:400]) + r")\s*\(")
    for call in pattern.finditer(code.plain):
        if code.plain[max(0, call.start() - 12) : call.start()].rstrip().endswith("function"):
            continue
        given = code.arguments(call.end(), code.closing(call.end()))
        found.extend((name, start, end) for name, (start, end) in zip(functions[call[1]], given, strict=False))
    return found[:_MOST_PLACES]


def _of_path(text: str) -> set[Mark]:
    if len(text) > 300 or "\n" in text or "://" in text:
        return set()
    found: set[Mark] = set()
    tags = paths.secrets_at(text)
    if tags & {Tag.PRIVATE, Tag.VENDOR}:
        found.add(Mark.SECRET_PATH)
    if Tag.GENERIC in tags:
        found.add(Mark.OWN_PATH)
    if paths.is_agent_configuration(text):
        found.add(Mark.AGENT_PATH)
    if paths.started_from(text) or paths.is_interpreter_hook(text) or paths.grants_access(text):
        found.add(Mark.START_PATH)
    return found
