"""Text that people do not see: invisible characters that carry something, reordered lines, comments, look-alikes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence, Severity, Verdict
from skillyard.governance.static.hit import Hit
from skillyard.governance.static.languages import guessed
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.view import Language, View

HIDDEN_CHARACTERS: Final = Rule(
    id="hidden_characters",
    title="text is written in characters that nobody sees",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="An agent or a program reads characters that a reviewer cannot see; honest text has no use for that.",
    fix="Remove the invisible characters, and say what they said in plain text.",
)
INVISIBLE_CHARACTERS: Final = Rule(
    id="invisible_characters",
    title="invisible characters stand inside of words or code",
    severity=Severity.MEDIUM,
    level=Verdict.FLAG,
    why="Invisible characters can split words so that neither a reviewer nor a filter recognises them.",
    fix="Remove them; joiners in emoji and in scripts that need them are not meant.",
)
BIDIRECTIONAL: Final = Rule(
    id="bidirectional_override",
    title="code is displayed in another order than it runs",
    severity=Severity.HIGH,
    level=Verdict.BLOCK,
    why="Bidirectional controls make a reviewer read something else than what is executed (CVE-2021-42574).",
    fix="Remove the control characters (U+202A to U+202E, U+2066 to U+2069).",
)
LOOK_ALIKES: Final = Rule(
    id="look_alike_letters",
    title="letters of another alphabet stand among Latin ones",
    severity=Severity.MEDIUM,
    level=Verdict.FLAG,
    why="A word spelled with look-alike letters is another word to a computer than to its reader.",
    fix="Spell the word in one alphabet.",
)
RULES: Final = (HIDDEN_CHARACTERS, INVISIBLE_CHARACTERS, BIDIRECTIONAL, LOOK_ALIKES)

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{2,}")
_FLAG_EMOJI: Final = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{2,8}\U000e007f")
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BITS: Final = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u180e\u034f\u115f\u1160\u3164]{8,}")
_BIDI: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_INVISIBLE: Final = re.compile("[\u200b\u2060-\u2064\u180e\u00ad\u034f\u115f\u1160\u3164\ufeff\U000e0000-\U000e007f]")
_IN_WORD: Final = re.compile("[A-Za-z][\u200b-\u200d\u2060-\u2064\u180e\u00ad\u034f\ufeff]+(?=[A-Za-z])")
_STYLED: Final = re.compile(
    r"<\w+[^<>]{0,200}?(?:display: ?none|visibility: ?hidden|font-size: ?0|opacity: ?0[^.\d]|color: ?(?:white|#fff\b|#ffffff"
    r"|transparent))[^<>]{0,200}>(.{8,5000}?)</",
    re.IGNORECASE | re.DOTALL,
)
_FAR_RIGHT: Final = re.compile(r"[^\s](?:[ ]{120}|\t{20})\s{0,5000}([^\s|][^\n]{7,2000})")
_LINK_COMMENT: Final = re.compile(r"^\[(?://|comment|_)\]: *#? *[\"'(](.{8,5000}?)[\"')] *$", re.MULTILINE)
_TRICKS: Final = re.compile(
    "[\U000e0000-\U000e007f\U000e0100-\U000e01ef\ufe00-\ufe0f\u200b-\u200f\u2060-\u2069\u202a-\u202e\ufeff\u180e\u034f\u115f\u1160"
    "\u3164\u00ad]"
)
"""Any character of the patterns above that nobody sees."""
_FOREIGN: Final = re.compile(r"[\u0370-\u04ff]")
_MIXED: Final = re.compile(
    r"(?<![a-zA-Z])[a-zA-Z]*(?:[a-zA-Z][\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff\u0400-\u04ff][a-zA-Z])\w*"
)
_LOOKS: Final = str.maketrans(
    "аеорсухіјѕԁһӏкмтвнАВЕКМНОРСТХІЈЅαοερτικνυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aeopcyxijsdhlkmtbhABEKMHOPCTXIJSaoeptikvuABEZHIKMNOPTYX"
)
_GAP: Final = " " * 120
_TABS: Final = "\t" * 20
_LATIN: Final = re.compile("[A-Za-z]+")
_MOST: Final = 50
_MOST_COMMENTS: Final = 500


def hits(view: View) -> Iterator[Hit]:
    """What is hidden, as findings. Emoji, and marks that a script needs, are nothing."""
    text = view.text
    if text.isascii():
        return
    if _TRICKS.search(text):
        yield from _unseen(view)
    for found in _some(_MIXED, text) if _FOREIGN.search(text) else ():
        if _is_disguised(found[0]):
            yield Hit(LOOK_ALIKES, view, view.line(found.start()), found[0], f"in {found[0][:40]!r}", Confidence.MEDIUM)
            break


def _unseen(view: View) -> Iterator[Hit]:
    text = view.text
    without_flags = _FLAG_EMOJI.sub(lambda found: " " * len(found[0]), text)
    for found in _some(_TAGS, without_flags):
        message = _from_tags(found[0])
        if any(c.isalnum() for c in message):
            yield Hit(HIDDEN_CHARACTERS, view, view.line(found.start()), message, "as Unicode tags")
    for found in _some(_SELECTORS, text):
        yield Hit(
            HIDDEN_CHARACTERS, view, view.line(found.start()), _from_selectors(found[0]), "as variation selectors"
        )
    for found in _some(_BITS, text):
        if len(set(found[0])) > 1 or len(found[0]) > 30:
            evidence = f"{len(found[0])} characters that are not visible"
            yield Hit(HIDDEN_CHARACTERS, view, view.line(found.start()), evidence, "as zero-width characters")
    code = view.language in {Language.PYTHON, Language.JAVASCRIPT, Language.SHELL, Language.CONFIG}
    for found in _some(_BIDI, text):
        if code:
            yield Hit(BIDIRECTIONAL, view, view.line(found.start()), view.line_text(found.start()))
            break
        if found[0] in "\u202d\u202e" and not _has_right_to_left(view.line_text(found.start())):
            where = view.line_text(found.start())
            yield Hit(INVISIBLE_CHARACTERS, view, view.line(found.start()), where, "that reverse the text after them")
            break
    for found in _some(_IN_WORD, text):
        yield Hit(INVISIBLE_CHARACTERS, view, view.line(found.start()), view.line_text(found.start()))
        break


def hidden(view: View) -> Iterator[tuple[str, int, str, Language]]:
    """Texts that stand hidden in one, or show what it says without the tricks: (how, line, text, language)."""
    text = view.text
    if view.language in {Language.MARKDOWN, Language.TEXT}:
        for start, comment in _comments(text):
            yield "comment", view.line(start), comment, Language.MARKDOWN
        for found in _some(_LINK_COMMENT, text) if "]:" in text else ():
            yield "comment", view.line(found.start(1)), found[1], Language.MARKDOWN
        for found in _some(_STYLED, text) if "style" in text or "color" in text else ():
            yield "text styled to be unseen", view.line(found.start(1)), found[1], Language.MARKDOWN
    for found in _some(_FAR_RIGHT, text) if _GAP in text or _TABS in text else ():
        yield "text far to the right", view.line(found.start(1)), found[1], view.language
    if text.isascii():
        return
    if _TRICKS.search(text):
        yield from _spelled(view)
    plain = unicodedata.normalize("NFKC", text)
    if _FOREIGN.search(plain) and any(_is_disguised(found[0]) for found in _some(_MIXED, plain)):
        plain = _MIXED.sub(lambda found: found[0].translate(_LOOKS), plain)
    if plain != text and _letters(plain) > _letters(text) + 3:
        yield "look-alike letters replaced", 1, plain, view.language


def _spelled(view: View) -> Iterator[tuple[str, int, str, Language]]:
    """What invisible characters say, and the text without them."""
    text = view.text
    for found in _some(_TAGS, _FLAG_EMOJI.sub(lambda one: " " * len(one[0]), text)):
        yield "Unicode tags", view.line(found.start()), _from_tags(found[0]), Language.MARKDOWN
    for found in _some(_SELECTORS, text):
        decoded = _from_selectors(found[0])
        yield "variation selectors", view.line(found.start()), decoded, guessed(decoded)
    for found in _some(_BITS, text):
        for decoded in _from_bits(found[0]):
            yield "zero-width characters", view.line(found.start()), decoded, guessed(decoded)
    if _IN_WORD.search(text) or _BIDI.search(text):
        yield "invisible characters removed", 1, _visible(text), view.language


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """HTML's comments; by ``find``, since a pattern would look for the end of each anew."""
    start = text.find("<!--")
    for _ in range(_MOST_COMMENTS):
        end = text.find("-->", start + 4)
        if start < 0 or end < 0:
            return
        if end - start > 12:
            yield start + 4, text[start + 4 : end]
        start = text.find("<!--", end)


def _some(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for number, found in enumerate(pattern.finditer(text)):
        if number >= _MOST:
            return
        yield found


def _visible(text: str) -> str:
    return _BIDI.sub("", _INVISIBLE.sub("", _IN_WORD.sub(lambda found: found[0][0], text)))


def _letters(text: str) -> int:
    return sum(map(len, _LATIN.findall(text)))


def _is_disguised(word: str) -> bool:
    """Whether a word reads as a Latin one; ``µm`` and ``Δt`` are ordinary."""
    plain = word.translate(_LOOKS)
    foreign = sum(not c.isascii() for c in word)
    return plain.isascii() and len(word) >= 4 and 0 < foreign < len(word)


def _has_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(c) in {"R", "AL"} for c in text[:2000])


def _from_tags(run: str) -> str:
    return "".join(chr(ord(c) - 0xE0000) for c in run)


def _from_selectors(run: str) -> str:
    data = bytes(ord(c) - 0xFE00 if ord(c) < 0xFE10 else ord(c) - 0xE0100 + 16 for c in run)
    return data.decode("utf-8", "replace")


def _from_bits(run: str) -> Iterator[str]:
    """Two characters may stand for the bits of ASCII, in either order and with seven or eight to a letter."""
    kinds = sorted(set(run), key=run.count, reverse=True)[:2]
    if len(kinds) < 2:
        return
    for zero, one in (kinds, kinds[::-1]):
        bits = "".join("0" if c == zero else "1" for c in run if c in {zero, one})
        for width in (8, 7):
            data = bytes(int(bits[at : at + width], 2) for at in range(0, len(bits) - width + 1, width))
            decoded = data.decode("utf-8", "ignore")
            if len(decoded) >= 3 and all(c.isprintable() or c.isspace() for c in decoded) and decoded.isascii():
                yield decoded
