"""Looking only where a pattern can begin finds what looking everywhere does."""

from __future__ import annotations

import re

import pytest
from skillyard.governance.static.beginnings import Beginnings, UnindexedError, alternatives

TEXT = (
    "Do not tell them, never!  The user's card number goes to https://a.example/x?y=<z> and “quietly” off; "
    "СООБЩАЙ никому, 不要告诉用户。 git push --force\n\t$(A)$(B) | sh # no no  no mention\nÑandú's ｅnv ENV env| \n" * 3
)
PATTERNS = [
    r"\b(?:do not|never) (?:tell|show)\b",
    r"(?:\b|(?=n['’]t))no\b(?:\W+\w+){0,2}?\W+mention",
    r"сообща\w+|不要[^。\n]{0,6}告诉",
    r"(?:^|[|;\n][ \t]{0,40})env\s*[|>]",
    r"(?:the |your )?user's\s+card|card numbers?",
    r"https?://[^\s]{2,40}[?&]\w+=<",
    r"@(?<=[\w.]@)\w+|“\w+”",
    r"(?:git )?push\b[^\n]{0,60}--force",
]
EARLIER = r"\b(?:the )?user's (?:\w+ ){0,2}number\b|\b(?:\w+ )?goes to\b"
"""Its matches begin before what is looked for."""


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_matches_are_those_of_a_plain_search(pattern: str) -> None:
    parts = tuple(re.compile(part, re.IGNORECASE) for part in alternatives(pattern))
    found = [one.span() for one in Beginnings({"one": parts}).matches(TEXT, "one", 0, len(TEXT))]
    assert found == [one.span() for one in re.finditer(pattern, TEXT, re.IGNORECASE)]


@pytest.mark.parametrize("pattern", [*PATTERNS, EARLIER])
def test_a_stretch_of_a_text_is_searched_as_if_it_were_all_but_for_what_stands_before_it(pattern: str) -> None:
    """Also where a match may begin a little before the place that was found, and that lies before the stretch."""
    whole = re.compile(pattern, re.IGNORECASE)
    index = Beginnings({"one": (whole,)})
    for start in range(len(TEXT) // 2):
        found = [one.span() for one in index.matches(TEXT, "one", start, start + 60)]
        assert found == [one.span() for one in whole.finditer(TEXT, start, start + 60)], start


def test_a_pattern_is_split_outside_of_groups_and_classes_only() -> None:
    assert alternatives(r"a(?:b|c)|[|]d|\|e|[^]|]f") == [r"a(?:b|c)", "[|]d", r"\|e", "[^]|]f"]


def test_a_pattern_that_may_begin_anywhere_is_refused() -> None:
    index = Beginnings({"any": (re.compile(r"\w+@"),)})
    with pytest.raises(UnindexedError):
        index.places(TEXT)
