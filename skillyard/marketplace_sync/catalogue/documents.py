"""The documents of entries, read strictly where it matters and kept as received.

Reading one checks every field this release knows. Fields that it does not know are let be, for the text is what is
kept. Lengths are of characters. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeVar
from weakref import WeakValueDictionary

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from skillyard.marketplace_sync.catalogue.entry import MAX_DOCUMENT_BYTES, MAX_INTEGER, EntryKind, canonical
from skillyard.marketplace_sync.errors import DocumentError
from skillyard.skills.skill import Ecosystem, SkillKind

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Topic = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([-+.][a-z0-9]+)*$", max_length=40)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
VersionText = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+-]{1,128}$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]
KeyHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Origin = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC))]
"""What every reader has in every time zone."""

MAX_BODY = 8192
MAX_REVIEW = 4000


class Document(BaseModel):
    """A document of some kind."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    @property
    def text(self) -> str:
        """Canonical JSON."""
        return canonical(self.model_dump(mode="json", exclude_none=True))


class PublicKeyFact(Document):
    """A publisher's Ed25519 key, 32 bytes in hex."""

    key: KeyHex
    added_at: Moment
    revoked_at: Moment | None = None


class PublisherDocument(Document):
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    keys: Annotated[tuple[PublicKeyFact, ...], Field(max_length=20)] = ()


class CategoryDocument(Document):
    title: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    description: Annotated[str, StringConstraints(max_length=500)] = ""


class Deprecation(Document):
    reason: Reason
    successor: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$", max_length=129)] | None = None


class SkillDocument(Document):
    """What its publisher says of a skill. ``channels`` always has ``latest`` once a version is there."""

    description: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    license: Annotated[str, StringConstraints(max_length=200)] | None = None
    topics: Annotated[tuple[Topic, ...], Field(max_length=20)] = ()
    categories: Annotated[tuple[Slug, ...], Field(max_length=5)] = ()
    channels: Annotated[dict[Slug, VersionText], Field(max_length=20)] = {}
    deprecated: Deprecation | None = None
    body: Annotated[str, StringConstraints(max_length=MAX_BODY)] = ""
    """The beginning of the latest version's SKILL.md, for search."""
    updated_at: Moment


class PackageFact(Document):
    """One package of the resolved closure."""

    ecosystem: Ecosystem
    name: Annotated[str, StringConstraints(max_length=214)]
    version: Annotated[str, StringConstraints(max_length=256)]


class VersionDocument(Document):
    """What a version is. Immutable: the same number with other content is refused."""

    bundle: Digest
    bundle_bytes: Annotated[int, Field(ge=0, le=MAX_INTEGER)]
    files: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    lock: Digest | None = None
    kind: SkillKind
    ecosystems: tuple[Ecosystem, ...] = ()
    packages: Annotated[tuple[PackageFact, ...], Field(max_length=400)] = ()
    packages_in_all: Annotated[int, Field(ge=0, le=MAX_INTEGER)] = 0
    verdict: Literal["PASS", "FLAG", "INDETERMINATE"]
    """No hub publishes ``INDETERMINATE``: it stands for versions of remotes that resolve and scan nothing
    (``remotes.indexed``), which have neither ``lock`` nor ``scanned_at``."""
    scanned_at: Moment | None = None
    published_at: Moment
    signature: Annotated[str, StringConstraints(max_length=8192)] | None = None
    """A DSSE envelope (JSON) by the publisher's key over bundle, lock and verdict."""


class ModerationState(StrEnum):
    """Of a publisher, skill or version. Each is stricter than the one before; ``visible`` takes back what was said."""

    VISIBLE = "visible"
    YANKED = "yanked"
    HELD = "held"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"
    DELETED = "deleted"

    @property
    def listed(self) -> bool:
        """Whether search shows it and it can be found without its exact version."""
        return self is ModerationState.VISIBLE

    @property
    def installable(self) -> bool:
        """Yanked versions are installed where they are named exactly, as on other registries (PEP 592)."""
        return self in (ModerationState.VISIBLE, ModerationState.YANKED)

    @property
    def stops(self) -> bool:
        """Whether what is installed of it must not run any more."""
        return self in (ModerationState.QUARANTINED, ModerationState.REVOKED)


class ModerationDocument(Document):
    """What a moderator said. ``epoch`` is the hub's moderation epoch after it."""

    state: ModerationState
    reason: Reason
    actor: Annotated[str, StringConstraints(max_length=100)]
    epoch: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    at: Moment


class RatingDocument(Document):
    """One rater's word about a skill: a register in which the latest stamp wins."""

    stars: Annotated[int, Field(ge=1, le=5, strict=True)]
    review: Annotated[str, StringConstraints(max_length=MAX_REVIEW)] = ""
    author: Annotated[str, StringConstraints(max_length=100)] = ""
    stamp: Annotated[str, StringConstraints(max_length=90)]
    at: Moment


class CountsDocument(Document):
    """What one instance counted, in all: both only grow."""

    installs: Annotated[int, Field(ge=0, le=MAX_INTEGER, strict=True)]
    calls: Annotated[int, Field(ge=0, le=MAX_INTEGER, strict=True)]
    at: Moment


DOCUMENTS: dict[EntryKind, type[Document]] = {
    EntryKind.PUBLISHER: PublisherDocument,
    EntryKind.CATEGORY: CategoryDocument,
    EntryKind.SKILL: SkillDocument,
    EntryKind.VERSION: VersionDocument,
    EntryKind.MODERATION: ModerationDocument,
    EntryKind.RATING: RatingDocument,
    EntryKind.COUNTS: CountsDocument,
}

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it: behind an even number of backslashes, each two of which are one."""

D = TypeVar("D", bound=Document)


_HELD: Final = WeakValueDictionary[tuple[type[Document], str], Document]()
"""What somebody holds is not read again: of a page that is followed, first all is judged, then the most is indexed."""


def read_document(kind: type[D], text: str) -> D:
    """The document that a text is. Raises ``DocumentError`` naming the field."""
    held = _HELD.get((kind, text))
    if isinstance(held, kind):
        return held
    document = _HELD[kind, text] = _read(kind, text)
    return document


def _read(kind: type[D], text: str) -> D:
    if len(text.encode()) > MAX_DOCUMENT_BYTES:
        raise DocumentError(f"larger than {MAX_DOCUMENT_BYTES} bytes")
    if "\\u0000" in text and _NUL.search(text):
        raise DocumentError("a NUL, which no database keeps in a text")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise _refusal(error) from error
    except ValueError as error:
        raise DocumentError(f"not JSON: {error}") from error


def checked(kind: type[D], fields: Mapping[str, object]) -> D:
    """The document of these fields, as strictly as one that is read. Raises ``DocumentError`` naming the field."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> DocumentError:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    return DocumentError(str(first["msg"]), field=field)


def moment(value: datetime) -> datetime:
    """Times of documents have whole milliseconds, so that their text is short and the same everywhere."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000)
