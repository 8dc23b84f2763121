"""What the analysis of Python knows about a value: where it comes from, and what text it may be.

A text may be known in part: ``UNKNOWN`` stands for what is only known when the code runs, so that ``home / ".aws" /
name`` is ``~/.aws/?``. A value may have several texts, because a loop or a branch gives it one of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import islice, product
from typing import Final

UNKNOWN: Final = "\ufffd"
_MOST_TEXTS: Final = 12
_LONGEST: Final = 200_000
_LONG: Final = 4_000
"""A text as long as this has no alternatives: it is a payload, and not a path."""
_MOST_ITEMS: Final = 200


class Tag(Enum):
    """Where a value comes from."""

    NETWORK = auto()
    DOWNLOADED = auto()
    """A file into which something from the network was written, or its path."""
    DECODED = auto()
    MARSHALLED = auto()
    SKILL_DATA = auto()
    """The content of a file that the skill brings."""
    USER = auto()
    """Given by whoever calls: arguments, standard input."""
    REQUEST = auto()
    """Received by a server of the skill's."""
    PRIVATE = auto()
    """Keys, browsers' stores, wallets, histories: nothing that any service is meant to get."""
    VENDOR = auto()
    """Credentials that a known tool keeps for its own service."""
    GENERIC = auto()
    """``.env`` and the like, which also belong to whoever wrote the skill for themselves."""
    ENVIRONMENT = auto()
    CLIPBOARD = auto()
    KEYSTROKES = auto()
    SCREEN = auto()
    SELF = auto()
    """The skill's own file."""


SECRET: Final = frozenset({Tag.PRIVATE, Tag.VENDOR, Tag.GENERIC, Tag.ENVIRONMENT})


@dataclass(frozen=True, slots=True)
class Value:
    texts: tuple[str, ...] = ()
    tags: frozenset[Tag] = frozenset()
    symbol: str = ""
    """The dotted name of what it is, if it comes from a module: ``os.environ``, ``requests.Session()``."""
    items: tuple[Value, ...] | None = None
    """Of a list or tuple that was written out."""
    fields: tuple[tuple[str, Value], ...] = ()
    """Of a dictionary that was written out."""
    variables: frozenset[str] = frozenset()
    """Environment variables that it was read from."""
    urls: frozenset[str] = frozenset()
    """The addresses that it came from."""
    roots: frozenset[str] = frozenset()
    """The variables that a file, an archive or a buffer was made from, which get what is written to it."""
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None = None
    assembled: bool = False
    """Whether its text stands nowhere in the source, but is put together from pieces."""
    open_start: bool = True
    """Whether the value as a whole comes from where its tags say, and not just a part after a text of the source."""

    def tagged(self, *tags: Tag) -> Value:
        return replace(self, tags=self.tags | set(tags))

    def without(self, *tags: Tag) -> Value:
        return replace(self, tags=self.tags - set(tags))

    def field(self, name: str) -> Value | None:
        """What a dictionary holds under a name."""
        return next((value for key, value in reversed(self.fields) if key == name), None)

    @property
    def text(self) -> str | None:
        """Its only text, if it is known in full."""
        return self.texts[0] if len(self.texts) == 1 and UNKNOWN not in self.texts[0] else None

    def everything(self, depth: int = 3) -> Value:
        """With the tags of all that it holds."""
        held = [*(self.items or ()), *(value for _, value in self.fields)]
        if not held or not depth:
            return self
        inner = [one.everything(depth - 1) for one in held[:_MOST_ITEMS]]
        return replace(
            self,
            tags=self.tags.union(*(one.tags for one in inner)),
            variables=self.variables.union(*(one.variables for one in inner)),
            urls=self.urls.union(*(one.urls for one in inner)),
        )


NOTHING: Final = Value()
_UNMARKED: Final = Value()
"""Something, of which nothing is known."""


def known(*texts: str) -> Value:
    return Value(texts=texts)


def joined(values: Iterable[Value]) -> Value:
    """One of several values, it is not known which."""
    listed = [value for value in values if value is not NOTHING]
    if not listed:
        return NOTHING
    first = listed[0]
    if all(one == first for one in listed[1:]):
        return first
    texts = tuple(dict.fromkeys(text for one in listed for text in one.texts))
    symbols = {one.symbol for one in listed if one.symbol}
    functions = {one.function for one in listed if one.function is not None}
    lists = [one.items for one in listed if one.items is not None]
    fields: dict[str, Value] = {}
    for one in listed:
        fields.update(one.fields)
    return Value(
        texts=() if any(len(text) > _LONG for text in texts) and len(texts) > 1 else texts[:_MOST_TEXTS],
        tags=frozenset().union(*(one.tags for one in listed)),
        symbol=next(iter(symbols)) if len(symbols) == 1 else "",
        items=lists[0] if len(lists) == 1 else None if not lists else _merged(lists),
        fields=tuple(fields.items()),
        variables=frozenset().union(*(one.variables for one in listed)),
        urls=frozenset().union(*(one.urls for one in listed)),
        roots=frozenset().union(*(one.roots for one in listed)),
        function=next(iter(functions)) if len(functions) == 1 else None,
        assembled=any(one.assembled for one in listed),
        open_start=any(one.open_start for one in listed),
    )


def _merged(lists: list[tuple[Value, ...]]) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(one for items in lists for one in items))[:_MOST_ITEMS]


def mixed(values: Iterable[Value]) -> Value:
    """Made from all of several values, in a way that says nothing about its text."""
    everything = (value.everything() for value in values)
    listed = [one for one in everything if one.tags or one.variables or one.urls or one.roots]
    if not listed:
        return _UNMARKED
    return Value(
        tags=frozenset().union(*(one.tags for one in listed)),
        variables=frozenset().union(*(one.variables for one in listed)),
        urls=frozenset().union(*(one.urls for one in listed)),
        roots=frozenset().union(*(one.roots for one in listed)),
    )


def concatenated(parts: Iterable[Value], separator: str = "") -> Value:
    """The parts one after the other; parts that are not known leave a gap in the text."""
    listed = list(parts)
    made = mixed(listed)
    choices = [one.texts or (UNKNOWN,) for one in listed]
    texts = tuple(
        dict.fromkeys(
            _collapsed(separator.join(chosen))
            for chosen in islice(product(*choices), _MOST_TEXTS)
            if sum(map(len, chosen)) <= _LONGEST
        )
    )
    if all(text.strip(UNKNOWN + separator) == "" for text in texts):
        texts = ()
    starts = bool(listed) and (not listed[0].texts or listed[0].text == "")
    return replace(
        made,
        texts=texts,
        assembled=sum(one.texts != () for one in listed) > 1 or any(one.assembled for one in listed),
        open_start=starts and listed[0].open_start if listed and not listed[0].texts else False,
    )


def _collapsed(text: str) -> str:
    while UNKNOWN * 2 in text:
        text = text.replace(UNKNOWN * 2, UNKNOWN)
    return text


def element(value: Value) -> Value:
    """One element of a value that is looped over."""
    if value.items is not None:
        one = joined(value.items) if value.items else NOTHING
        return replace(one, tags=one.tags | value.tags, urls=one.urls | value.urls) if value.tags else one
    if value.fields:
        return Value(texts=tuple(name for name, _ in value.fields)[:_MOST_TEXTS], tags=value.tags)
    return replace(value, texts=(), symbol="", function=None)
