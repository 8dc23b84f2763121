"""Forms of an English word have one stem; everything else is looked for as it is written."""

from __future__ import annotations

import pytest
from skillyard.marketplace_sync.search.stems import STEMS, stem
from skillyard.marketplace_sync.search.words import stems, words


@pytest.mark.parametrize("forms", ["publish publishes publishing published", "file files filing", "run running runs"])
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({stem(one) for one in forms.split()}) == 1


def test_what_is_no_english_word_is_left_as_it_is() -> None:
    for one in ("s3", "utf8", "größen", "データ", "as", "2026"):
        assert stem(one) == one


def test_words_are_the_same_however_they_are_cut() -> None:
    wanted = ["read", "me", "a", "file", "s", "csv2pdf"]
    assert words("Read-me: A_file's CSV2pdf") == words("Réad-me: A_file's CSV2pdf") == wanted
    assert list(stems("x" * 130)) == list(stems("x" * 130 + "é")) == ["x" * 64]


def test_endless_words_take_no_memory() -> None:
    assert STEMS["y" * 8000] == STEMS["y" * 64]
    assert max(map(len, STEMS)) <= 64
