"""Conflicts between what was changed here and at a remote, as people see and decide them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue

from skillyard.api.schemas.values import MAX_KEY, Body, View
from skillyard.marketplace_sync.conflicts.difference import ChangedBy
from skillyard.marketplace_sync.conflicts.values import MOST_AT_ONCE, ConflictKind, ConflictState, Severity, Strategy

SeverityName = Annotated[str, BeforeValidator(lambda value: value.name if isinstance(value, Severity) else value)]
Id = Annotated[int, Field(ge=1, le=MAX_KEY)]


class ConflictView(View):
    """A conflict without its sides."""

    id: int
    remote: str
    key: str
    kind: ConflictKind
    severity: SeverityName = Field(description="LOW (texts), MEDIUM (parameters), HIGH (packages), CRITICAL (code).")
    state: ConflictState
    strategy: Strategy | None = Field(description="How it was settled.")
    resolved_by: str | None = Field(description="`system` where the remote's strategy settled it by itself.")
    detected_at: datetime
    resolved_at: datetime | None


class PlaceView(View):
    """One field, package or file that is not the same on both sides."""

    name: str
    base: str | None
    local: str | None
    remote: str | None
    changed_by: ChangedBy


class ConflictDetailView(ConflictView):
    """A conflict with all sides: what both started from, what we made of it, what the remote has, what it came to."""

    base: dict[str, JsonValue] | None
    local: dict[str, JsonValue]
    theirs: dict[str, JsonValue]
    remote_rev: int
    result: dict[str, JsonValue] | None
    upload: int | None
    places: tuple[PlaceView, ...]


class ResolveRequest(Body):
    """Either a strategy, or the skill's document as it is to be."""

    strategy: Strategy | None = None
    document: dict[str, JsonValue] | None = None


class ResolveManyRequest(Body):
    """Conflicts that are settled by one strategy: all of them, or none."""

    ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=MOST_AT_ONCE)]
    strategy: Strategy


class ResolvedView(View):
    resolved: tuple[ConflictView, ...]
