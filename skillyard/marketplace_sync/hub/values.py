"""Who sends to a hub, and what a hub tells of what it keeps beside its catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NewType

from pydantic import StringConstraints

from skillyard.governance.identity import SYSTEM, Actor, PersonPrincipal
from skillyard.ids import BundleDigest, PersonId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue.documents import Document, Slug
from skillyard.marketplace_sync.errors import NotAllowedError
from skillyard.skills.skill import BundleFile

MOST_ITEMS = 500
"""Of one push."""

HubTokenId = NewType("HubTokenId", int)


class InstanceScope(StrEnum):
    """What another instance's token may be used for. ``publish`` counts for the namespaces of its workspace alone."""

    READ = "read"
    PUBLISH = "publish"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class InstanceToken:
    """A token of another instance, without its secret. ``origin`` is the instance that it was first used by to rate."""

    id: HubTokenId
    workspace: WorkspaceId
    name: str
    scopes: tuple[InstanceScope, ...]
    created_by: PersonId
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    replaced_by: HubTokenId | None
    last_used_at: datetime | None
    origin: str | None


@dataclass(frozen=True, slots=True)
class InstancePrincipal:
    """A request that carries an instance token. ``line`` is the first token of its rotations."""

    token: HubTokenId
    line: HubTokenId
    workspace: WorkspaceId
    name: str
    scopes: frozenset[InstanceScope]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends something to the hub: a person of it, or an instance by its token."""

    principal: PersonPrincipal | InstancePrincipal

    @property
    def workspace(self) -> WorkspaceId:
        """Whose namespaces it may publish to."""
        return self.principal.workspace

    @property
    def id(self) -> str:
        """Stable, also over rotations of a token: what idempotency and records go by."""
        match self.principal:
            case PersonPrincipal(person=person):
                return f"person {person.id}"
            case InstancePrincipal(line=line):
                return f"instance {line}"

    @property
    def name(self) -> str:
        """As others are shown it."""
        principal = self.principal
        return principal.person.name if isinstance(principal, PersonPrincipal) else principal.name

    @property
    def actor(self) -> Actor:
        """An instance has no actor of its own in the audit: ``facts`` say which it was."""
        principal = self.principal
        return principal.actor if isinstance(principal, PersonPrincipal) else SYSTEM

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        principal = self.principal
        return {} if isinstance(principal, PersonPrincipal) else {"instance": principal.name, "token": principal.token}

    def require(self, scope: InstanceScope) -> None:
        """Raises ``NotAllowedError`` where an instance's token does not carry it; persons need none."""
        principal = self.principal
        if isinstance(principal, InstancePrincipal) and scope not in principal.scopes:
            raise NotAllowedError(f"the token {principal.name} does not carry the scope {scope.value}")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A publisher's name and the workspace that took it."""

    name: str
    workspace: WorkspaceId
    created_by: PersonId | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HubVersion:
    """A published version as the hub keeps it. One that is ``deleted`` only keeps its number taken."""

    key: str
    bundle: BundleDigest
    workspace: WorkspaceId
    published_by: str
    published_at: datetime
    deleted: bool

    @property
    def skill(self) -> str:
        return self.key.partition("@")[0]

    @property
    def number(self) -> str:
        return self.key.partition("@")[2]


@dataclass(frozen=True, slots=True)
class Holder:
    """A version that holds a file."""

    key: str
    bundle: BundleDigest
    file: BundleFile


class WantedVersion(Document):
    """What a publisher says of a version that is to be published; everything else of it the hub finds out.

    With a ``channel`` that one names the version, and ``latest`` stays where it is.
    """

    signature: Annotated[str, StringConstraints(max_length=8192)] | None = None
    channel: Slug | None = None
