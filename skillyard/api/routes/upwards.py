"""What the caller's workspace sends to its remotes. Everything waits in the outbox until it is sent, within seconds."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import StringConstraints

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.routes.sync_views import upload_view
from skillyard.api.schemas.sync import UploadView
from skillyard.api.schemas.upwards import (
    EditRequest,
    GivenRatingView,
    PublisherKeyView,
    PublishInstalledRequest,
    RateRemoteRequest,
    YankRequest,
)
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheMarketplace, TheRuntime
from skillyard.api.uploads import UPLOAD_BODY, submission
from skillyard.errors import InputError
from skillyard.marketplace_sync.upwards.words import GivenRating
from skillyard.runtime.values import SkillRef
from skillyard.skills.source import Source

router = APIRouter(prefix="/v1", tags=["remotes"])

Name = Annotated[str, Path(min_length=1, max_length=64)]
Version = Annotated[str, Path(min_length=1, max_length=128)]
Channel = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)] | None,
    Query(description="Move this channel to it; without one, `latest` goes by version."),
]


@router.post("/remotes/{remote}/publish", status_code=202, openapi_extra=UPLOAD_BODY)
async def publish(
    *,
    request: Request,
    runtime: TheRuntime,
    market: TheMarketplace,
    admin: Admin,
    remote: Name,
    channel: Channel = None,
) -> UploadView:
    """Publish a skill at a remote: parsed strictly, resolved and scanned here, then sent, and scanned there again."""
    async with submission(request, runtime.settings, remote=_not_from_a_remote) as wanted:
        upload = await market.uploads.publish(
            remote, wanted.source, publisher=wanted.publisher, channel=channel, by=admin
        )
    return upload_view(upload, remote)


@router.post("/remotes/{remote}/publish-installed", status_code=202)
async def publish_installed(
    market: TheMarketplace, admin: Admin, remote: Name, body: PublishInstalledRequest
) -> UploadView:
    """Publish a version that is installed here."""
    ref = SkillRef.parse(body.skill)
    if ref.version is None:
        raise InputError("name the version: publisher/name@version", field="skill")
    return upload_view(await market.uploads.publish_installed(remote, ref, channel=body.channel, by=admin), remote)


@router.post("/remotes/{remote}/skills/{publisher}/{name}/edit", status_code=202)
async def edit_skill(
    *, market: TheMarketplace, admin: Admin, remote: Name, publisher: Name, name: Name, body: EditRequest
) -> UploadView:
    """Change what is said of a skill at a remote: description, topics, categories, channels, deprecation.

    Made from how the mirror has it: where somebody changes it there meanwhile, that is a conflict.
    """
    fields = body.model_dump(mode="json", exclude_unset=True)
    return upload_view(await market.uploads.edit(remote, f"{publisher}/{name}", fields, by=admin), remote)


@router.post("/remotes/{remote}/skills/{publisher}/{name}/versions/{version}/yank", status_code=202)
async def yank_version(
    *,
    market: TheMarketplace,
    admin: Admin,
    remote: Name,
    publisher: Name,
    name: Name,
    version: Version,
    body: YankRequest,
) -> UploadView:
    """Let a version of yours not be found any more at a remote; who names it exactly still gets it."""
    key = f"{publisher}/{name}@{version}"
    act = market.uploads.unyank if body.undo else market.uploads.yank
    return upload_view(await act(remote, key, reason=body.reason, by=admin), remote)


@router.get("/remotes/{remote}/ratings")
async def list_given_ratings(
    market: TheMarketplace, person: AnyPerson, remote: Name, cursor: Cursor = None, limit: PageSize = 100
) -> Page[GivenRatingView]:
    """What people of the workspace said of a remote's skills, in the order they said it."""
    found = await market.uploads.ratings(person.workspace, remote, after=key_of(cursor), limit=limit + 1)
    mine = f"person {person.person.id}"
    return page_of(found, limit, lambda one: _given(one, mine=mine), key=lambda one: one.upload.id)


@router.put("/remotes/{remote}/skills/{publisher}/{name}/rating", status_code=202)
async def rate_remote_skill(
    *, market: TheMarketplace, person: AnyPerson, remote: Name, publisher: Name, name: Name, body: RateRemoteRequest
) -> UploadView:
    """Say what you think of a remote's skill; it takes the place of what you said before. Your name is not sent."""
    skill = f"{publisher}/{name}"
    upload = await market.uploads.rate(
        remote, skill, stars=body.stars, review=body.review, author=body.author, by=person
    )
    return upload_view(upload, remote)


@router.delete("/remotes/{remote}/skills/{publisher}/{name}/rating", status_code=202)
async def take_remote_rating_back(
    *, market: TheMarketplace, person: AnyPerson, remote: Name, publisher: Name, name: Name
) -> UploadView:
    """Take back what you said of a remote's skill."""
    return upload_view(await market.uploads.unrate(remote, f"{publisher}/{name}", by=person), remote)


@router.get("/publisher-key")
async def get_publisher_key(market: TheMarketplace, admin: Admin) -> PublisherKeyView:
    """The key that this workspace signs with; made now where there is none."""
    key = await asyncio.to_thread(market.uploads.publisher.key, admin.workspace)
    return PublisherKeyView(key=key.public.hex)


async def _not_from_a_remote(_spec: str) -> tuple[Source, str]:
    raise InputError("what is published comes from a folder, an archive or Git; or publish what is installed")


def _given(one: GivenRating, *, mine: str) -> GivenRatingView:
    return GivenRatingView(
        skill=one.skill,
        stars=one.stars,
        review=one.review,
        author=one.author,
        mine=one.upload.created_by == mine,
        said_at=one.upload.created_at,
        upload=upload_view(one.upload, one.remote),
    )
