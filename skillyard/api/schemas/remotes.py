"""Remotes: which marketplaces a workspace follows, and how they stand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from skillyard.api.schemas.values import Body, View
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, RemoteKind, RemoteState

Address = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
RemoteToken = Annotated[str, StringConstraints(min_length=1, max_length=512)]
KeyText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
KindName = Annotated[RemoteKind, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Names = Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...], Field(max_length=200)]


class FiltersBody(Body):
    """What is mirrored with its documents; an empty list is all."""

    publishers: Names = ()
    categories: Names = ()
    kinds: Names = ()


class AddRemoteRequest(Body):
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    url: Address = Field(description="An `https://` address, unless a setting allows more.")
    token: RemoteToken | None = Field(default=None, description="What the remote gave; sent to its origin alone.")
    kind: KindName = Field(
        default=SKILLYARD,
        description="Its protocol: `skillyard`, `well_known`, `claude`, or a plug-in's.",
    )
    filters: FiltersBody = FiltersBody()
    strategy: Strategy = Field(default=Strategy.REMOTE_WINS, description="How conflicts with it are settled.")
    live: bool = Field(default=True, description="Keep a live channel to it.")
    public_key: KeyText | None = Field(
        default=None, description="The key that its heads are signed with; else the first one seen is pinned."
    )


class ChangeRemoteRequest(Body):
    """What is left out stays. Another origin forgets the token."""

    url: Address | None = None
    filters: FiltersBody | None = None
    strategy: Strategy | None = None
    live: bool | None = None


class AcceptKeyRequest(Body):
    key: KeyText


class RotateTokenRequest(Body):
    token: RemoteToken | None = Field(description="The new token; null shows the remote none any more.")


class FiltersView(View):
    publishers: tuple[str, ...]
    categories: tuple[str, ...]
    kinds: tuple[str, ...]


class RemoteView(View):
    """A remote without its token. ``offered_key`` is another key that it came with, refused until it is accepted.

    ``failures`` are runs that failed since the last that did not; ``error`` says why the last one did.
    """

    id: int
    name: str
    kind: RemoteKind
    url: str
    has_token: bool
    filters: FiltersView
    strategy: Strategy
    state: RemoteState
    live: bool
    public_key: str | None
    offered_key: str | None
    tried_at: datetime | None
    succeeded_at: datetime | None
    failures: int
    error: str | None
    created_at: datetime
