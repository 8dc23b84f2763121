"""What a workspace sends to its remotes: versions, edits, ratings, and where each stands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from skillyard.api.schemas.sync import UploadView
from skillyard.api.schemas.values import Body, SkillText, View
from skillyard.marketplace_sync.catalogue.documents import (
    MAX_REVIEW,
    Deprecation,
    KeyHex,
    Reason,
    Slug,
    Topic,
    VersionText,
)


class PublishInstalledRequest(Body):
    """A version that is installed here, as `publisher/name@version`. A `channel` that is named is moved to it."""

    skill: SkillText
    channel: Slug | None = None


class EditRequest(Body):
    """What is to be different; what is left out stays, `null` takes away. `channels` names those alone that change."""

    description: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    license: Annotated[str, StringConstraints(max_length=200)] | None = None
    topics: Annotated[tuple[Topic, ...], Field(max_length=20)] | None = None
    categories: Annotated[tuple[Slug, ...], Field(max_length=5)] | None = None
    channels: Annotated[dict[Slug, VersionText | None], Field(max_length=20)] | None = None
    deprecated: Deprecation | None = None


class YankRequest(Body):
    """Why a version should not be found any more, or with `undo`, why it should be found again."""

    reason: Reason
    undo: bool = False


class RateRemoteRequest(Body):
    """One to five stars, and words. `author` is the name that it is shown with at the remote; none by default."""

    stars: Annotated[int, Field(ge=1, le=5)]
    review: Annotated[str, StringConstraints(max_length=MAX_REVIEW)] = ""
    author: Annotated[str, StringConstraints(max_length=100)] = ""


class GivenRatingView(View):
    """What somebody of the workspace said, and where it stands. Without `stars` it was taken back."""

    skill: str
    stars: int | None
    review: str
    author: str
    mine: bool
    said_at: datetime
    upload: UploadView


class PublisherKeyView(View):
    """The key that this workspace signs its versions with: 64 hex digits, Ed25519. Add it to the publisher at the
    remote, and versions go up signed."""

    key: KeyHex
