"""English words without their endings, so that "publishes" is found by "publishing"."""

from __future__ import annotations

from Stemmer import Stemmer

_REMEMBERED = 100_000
_LONGEST = 64


class _Stems(dict[str, str]):
    """Of the beginnings of words that were met before. Far faster than a function's cache, for each word of each text
    is looked up."""

    def __missing__(self, word: str) -> str:
        if len(word) > _LONGEST:
            return self[word[:_LONGEST]]
        if len(self) >= _REMEMBERED:
            self.clear()
        self[word] = found = stem(word)
        return found


STEMS = _Stems()


def stem(word: str) -> str:
    """Of a word in lower case, by Snowball's English stemmer. What is no English word of letters is as it was."""
    if not (word.isascii() and word.isalpha()):
        return word
    # One for each word: they keep what they are at, so that two threads must not share one, and cost next to nothing.
    stemmed: str = Stemmer("english", 0).stemWord(word)
    return stemmed
