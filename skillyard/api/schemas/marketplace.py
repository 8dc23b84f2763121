"""What publishers, raters, moderators and other instances send to a hub, and what they get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from skillyard.api.schemas.marketplace_feed import EntryView
from skillyard.api.schemas.reports import ReportView
from skillyard.api.schemas.values import Body, FutureTime, Name, View
from skillyard.marketplace_sync.catalogue.documents import (
    MAX_REVIEW,
    CategoryDocument,
    KeyHex,
    ModerationState,
    PublicKeyFact,
    Reason,
    Slug,
    VersionText,
)
from skillyard.marketplace_sync.catalogue.entry import MAX_DOCUMENT_BYTES, MAX_KEY, EntryKind
from skillyard.marketplace_sync.hub.values import MOST_ITEMS, InstanceScope
from skillyard.marketplace_sync.remotes.remote import PushStatus
from skillyard.skills.bundle import MAX_FILE_BYTES, MAX_FILES

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
KeyOf = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY)]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class TakeNamespaceRequest(Body):
    """The name that skills are published under; ``display_name`` is what people read."""

    name: Slug
    display_name: DisplayName


class NamespaceView(View):
    """A publisher's name and when the workspace took it."""

    name: str
    workspace: int
    created_at: datetime


class PublisherView(View):
    """A publisher as everybody sees it. Keys that were revoked stay, with the time."""

    name: str
    display_name: str
    keys: tuple[PublicKeyFact, ...]


class AddKeyRequest(Body):
    """An Ed25519 public key, 32 bytes in hex."""

    key: KeyHex


class CategoryBody(Body):
    title: DisplayName
    description: Annotated[str, StringConstraints(max_length=500)] = ""

    @property
    def document(self) -> CategoryDocument:
        return CategoryDocument(title=self.title, description=self.description)


class CategoryView(View):
    slug: str
    title: str
    description: str


class IssueInstanceTokenRequest(Body):
    """A token for another instance. It is good for the marketplace alone, and always expires."""

    name: Name
    scopes: Annotated[tuple[InstanceScope, ...], Field(min_length=1, max_length=3)]
    expires_at: FutureTime


class RotateInstanceTokenRequest(Body):
    """The old token counts ``grace_seconds`` longer, an hour where nothing is said, so that nobody is cut off."""

    expires_at: FutureTime
    grace_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] = 3600.0


class InstanceTokenView(View):
    """A token without its secret. ``origin`` is the instance whose ratings it brings, once it brought some."""

    id: int
    name: str
    scopes: tuple[InstanceScope, ...]
    created_by: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    replaced_by: int | None
    last_used_at: datetime | None
    origin: str | None


class IssuedInstanceTokenView(View):
    """``token`` is shown this once; only its hash is kept."""

    id: int
    token: str
    expires_at: datetime


class FileBody(Body):
    path: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    sha256: Sha256
    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES, strict=True)]
    executable: bool


class FileView(View):
    path: str
    sha256: str
    size: int
    executable: bool


class ManifestView(View):
    """The files of a version, all of them."""

    files: tuple[FileView, ...]


class UploadView(View):
    """How much of a file is here. A ``whole`` one can be published; another is gone on with behind ``received``."""

    sha256: str
    received: int
    whole: bool


class PushItemBody(Body):
    """One thing to be changed. ``item`` is its idempotency key; ``document`` is JSON as text, null to take a rating
    back. ``files`` are a version's, all of them."""

    item: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    kind: EntryKind
    key: KeyOf
    base_rev: Annotated[int, Field(ge=0, le=2**53)] | None = None
    document: Annotated[str, StringConstraints(max_length=MAX_DOCUMENT_BYTES)] | None = None
    files: Annotated[tuple[FileBody, ...], Field(max_length=MAX_FILES)] = ()


class PushRequest(Body):
    items: Annotated[tuple[PushItemBody, ...], Field(max_length=MOST_ITEMS)]


class PushResultView(View):
    """What became of one item. ``current`` is the hub's entry, for a conflict; ``missing`` the SHA-256 of files that
    are to be sent first; ``report`` why a version was refused."""

    item: str
    status: PushStatus
    rev: int | None
    code: str | None
    detail: str | None
    current: EntryView | None
    missing: tuple[str, ...]
    report: ReportView | None


class PushAnswerView(View):
    results: tuple[PushResultView, ...]


class ModerateRequest(Body):
    """``key`` is a publisher, ``publisher/name`` or ``publisher/name@version``."""

    key: KeyOf
    state: ModerationState
    reason: Reason


class ModeratedView(View):
    """What was said, and how many installed versions of this instance's workspaces it stopped."""

    key: str
    state: ModerationState
    reason: str
    actor: str
    epoch: int
    at: datetime
    stopped: int


class WordView(View):
    """What was said last of a publisher, skill or version."""

    key: str
    state: ModerationState
    reason: str
    actor: str
    epoch: int
    at: datetime


class ChannelRequest(Body):
    version: VersionText


class DeprecateRequest(Body):
    """``successor`` is the skill to use instead, ``publisher/name``."""

    reason: Reason
    successor: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$", max_length=129)] | None = None


class SkillEntryView(View):
    """A skill's entry after an edit: its revision, and where its channels are."""

    key: str
    rev: int
    channels: dict[str, str]
    deprecated: bool


class RateRequest(Body):
    """Your rating of a skill; a second one takes the place of the first."""

    stars: Annotated[int, Field(ge=1, le=5, strict=True)]
    review: Annotated[str, StringConstraints(max_length=MAX_REVIEW)] = ""


class RatedView(View):
    key: str
    rev: int
    stars: int
    review: str
    stamp: str
