"""Lists by cursor: one item more than the page is read, so that the last page knows that it is the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, TypeVar

from fastapi import Query

from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.errors import InputError

MAX_PAGE = 200

Cursor = Annotated[
    str | None, Query(max_length=128, description="`next_cursor` of the page before; leave it out for the first page.")
]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most items on a page.")]

T = TypeVar("T")
V = TypeVar("V")


def key_of(cursor: str | None) -> int:
    """The key that a page begins behind; raises ``InputError`` for text that no list handed out."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and int(cursor) <= MAX_KEY):
        raise InputError("not a cursor of this list", field="cursor")
    return int(cursor)


def page_of(
    found: Sequence[T], size: int, view: Callable[[T], V], *, key: Callable[[T], object] = attrgetter("id")
) -> Page[V]:
    """A page of ``size`` out of up to ``size + 1`` items, each as ``view`` shows it.

    ``key`` is what the next page begins behind; there is none where nothing is left.
    """
    page = found[:size]
    more = len(found) > size
    return Page(items=tuple(map(view, page)), next_cursor=str(key(page[-1])) if more else None)
