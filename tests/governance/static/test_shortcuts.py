"""What is looked for first, because that is cheap, leaves out nothing that the patterns behind it find."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skillyard.governance.static import decode_blobs, decode_hidden, shell_text
from skillyard.governance.static.python_source import parse

CONTINUED = re.compile(r"(?:[\\^]|(?<=[ \t])`)\r?\n|(?<=[|])[ \t]*\r?\n[ \t]*(?:#[^\n]*\n[ \t]*)?(?=[a-z/])")
"""Continued lines as one pattern."""


def spread(alphabet: str, size: int = 60) -> st.SearchStrategy[str]:
    return st.text(alphabet=st.sampled_from(alphabet), max_size=size)


@settings(max_examples=400)
@given(spread("aZ09+/_-=é \n你", 200))
def test_long_words_are_what_the_pattern_finds(text: str) -> None:
    runs = text.encode("latin-1", "replace").translate(decode_blobs._RUNS)
    found = [(one.start(), one.start() + len(one[0].rstrip("="))) for one in decode_blobs._BASE64.finditer(text)]
    assert list(decode_blobs._long(runs)) == found


@pytest.mark.parametrize(
    "text",
    [
        "104, 116, 116, 112, 58, 47, 47, 101, 118, 105",
        "0x68, 0x74, 0xff, 0xab, 0xcd, 0x2f, 0x2f, 0x65, 0x76",
        "chr(104) + chr(116) + chr(116) + chr(112) + chr(58) + chr(47) + chr(47) + chr(101) + chr(118)",
        "١٠, ١١, ١٢, ١٣, ١٤, ١٥, ١٦, ١٧, ١٨",
    ],
)
def test_numbers_are_looked_for_where_there_are_any(text: str) -> None:
    assert decode_blobs._NUMBERS.search(text)
    assert decode_blobs._has_numbers(text, text.encode("latin-1", "replace"))


@settings(max_examples=400)
@given(spread("\\^`| \t\r\n#a/"))
def test_continued_lines_are_those_of_one_pattern(text: str) -> None:
    text = f"x{text}"
    assert shell_text.plain(text) == CONTINUED.sub(lambda found: " " * len(found[0]), text)


def test_every_character_that_nobody_sees_is_a_trick() -> None:
    patterns = ("_TAGS", "_SELECTORS", "_BITS", "_BIDI", "_INVISIBLE")
    looked_for = [getattr(decode_hidden, name) for name in patterns]
    for code in range(0x80, 0x110000):
        char = chr(code)
        if any(pattern.search(char * 8) for pattern in looked_for) or decode_hidden._IN_WORD.search(f"a{char}a"):
            assert decode_hidden._TRICKS.search(char), hex(code)


def test_functions_and_what_is_loaded_are_found_at_any_depth() -> None:
    text = (
        "import a\nclass B:\n  @c.d\n  def e(self, f=lambda: g.h):\n    with i.j as k:\n      match k.l:\n"
        "        case m.N if o.p:\n          async def q(): from r import s; return {t.u: v.w for x in y.z if aa.bb}\n"
        "try:\n  pass\nexcept cc.dd as ee:\n  raise ff.gg from hh.ii\n"
    )
    source = parse(text)
    assert source is not None
    assert {type(one).__name__ for one in source.functions} == {"FunctionDef", "AsyncFunctionDef", "Lambda"}
    every = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Import | ast.ImportFrom | ast.Attribute)]
    assert sorted(map(ast.dump, source.loads)) == sorted(map(ast.dump, every))
    assert len(every) > 12
