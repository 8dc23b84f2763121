"""Code inside of other text: Python in Markdown's fences, and programs given to an interpreter on a command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.static.view import Language, View

_FENCE: Final = re.compile(
    r"^[ \t>]{0,12}(`{3,}|~{3,})[ \t]*\{?\.?(\w+)[^\n]*\n(.*?)^[ \t>]{0,12}\1", re.MULTILINE | re.DOTALL
)
_PYTHON_FENCES: Final = frozenset({"python", "py", "python3", "ipython", "py3"})
_ONE_LINER: Final = re.compile(
    r"\bpython[\d.]*(?:\.exe)?[\"']?(?:,\s*|\s+)(?:-[A-Za-bd-zA-Z]+\s+)*[\"']?-c[\"']?(?:,\s*|\s+)"
    r"(\"(?:[^\"\\]|\\.){8,20000}\"|'(?:[^'\\]|\\.){8,20000}'|\$'(?:[^'\\]|\\.){8,20000}')"
)
_XML_ONE_LINER: Final = re.compile(r"<string>-c</string>\s*<string>(.{8,20000}?)</string>", re.DOTALL)
_HEREDOC: Final = re.compile(
    r"\bpython[\d.]*\b[^\n]{0,80}<<-?\s*[\"']?(\w+)[\"']?[^\n]*\n(.*?)^\s*\1\s*$", re.MULTILINE | re.DOTALL
)
_MOST: Final = 200


def inside(view: View) -> Iterator[tuple[str, int, str, Language]]:
    """How it is embedded (empty for a fence, whose lines are the file's own), the line, the text, the language."""
    if view.language in {Language.MARKDOWN, Language.TEXT}:
        for number, found in enumerate(_FENCE.finditer(view.text)):
            if number >= _MOST:
                break
            if found[2].lower() in _PYTHON_FENCES:
                yield "", view.line(found.start(3)), _dedented(found[3]), Language.PYTHON
    if "python" in view.text:
        for pattern, group in ((_ONE_LINER, 1), (_HEREDOC, 2)):
            for number, found in enumerate(pattern.finditer(view.text)):
                if number >= _MOST:
                    break
                yield (
                    "python -c" if group == 1 else "here document",
                    view.line(found.start(group)),
                    _unquoted(found[group]),
                    Language.PYTHON,
                )
        for found in _XML_ONE_LINER.finditer(view.text):
            yield "python -c", view.line(found.start(1)), _unescaped(found[1]), Language.PYTHON


def _unquoted(text: str) -> str:
    if text[:1] == "$":
        text = text[1:]
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        quote = text[0]
        text = text[1:-1].replace("\\" + quote, quote)
        if "\\n" in text and "\n" not in text:
            text = text.replace("\\n", "\n")
    return text


def _unescaped(text: str) -> str:
    return (
        text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", '"')
        .replace("&apos;", "'")
        .replace("&amp;", "&")
    )


def _dedented(text: str) -> str:
    """A fence in a list or a quotation is indented as a whole; the lines stay where they are."""
    lines = text.split("\n")
    if all(line.lstrip().startswith(">") or not line.strip() for line in lines):
        lines = [re.sub(r"^\s*> ?", "", line) for line in lines]
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines)
