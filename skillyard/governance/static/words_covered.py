"""Text that is there for the agent and not for eyes: without size or colour, or far to the right of everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_STYLED: Final = re.compile(
    r"<(span|div|p|font|small|sub|sup|b|i|em|strong|td|li|a|details|section)\b[^>]{0,300}?"
    r"(?:display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0\d?)?\s*[;\"']|font-size\s*:\s*(?:0|1)(?:px|pt|em|rem|%)?\s*[;\"']"
    r"|(?<![-\w])color\s*[:=]\s*[\"']?(?:white|#fff(?:fff)?\b|transparent|rgba?\([^)]{0,40}(?:,\s*0(?:\.0\d?)?\s*)\))|\bhidden\b(?=[^>]{0,80}>)|aria-hidden=\"true\")"
    r"[^>]{0,300}>(.{4,4000}?)</\1>",
    re.IGNORECASE | re.DOTALL,
)
_FAR: Final = re.compile(r"(?<=\S)[ \t\u00a0\u2003\u3000]{60,4000}(\S[^\n]{8,2000})")
_FAR_ALONE: Final = re.compile(r"(?m)^[ \t\u00a0]{100,4000}(\S[^\n]{8,2000})")
_TABLE: Final = re.compile(r"^\s*\|")
_MOST: Final = 50


def covered(text: str) -> Iterator[tuple[int, str]]:
    """Where such text begins, and what it says."""
    if "<" in text:
        for number, found in enumerate(_STYLED.finditer(text)):
            if number >= _MOST:
                return
            yield found.start(2), found[2]
    if " " * 60 in text or "\u3000" * 60 in text or "\t" * 12 in text:
        for pattern in (_FAR, _FAR_ALONE):
            for found in pattern.finditer(text):
                line = text[text.rfind("\n", 0, found.start()) + 1 : found.start(1)]
                if not _TABLE.match(line):
                    yield found.start(1), found[1]
