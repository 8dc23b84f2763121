"""What people of this hub do to its skills: channels, deprecation, ratings, and what publishers and moderators say."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from skillyard.api.auth import AnyPerson, MarketReader, MarketSender, Operator
from skillyard.api.paging import PageSize
from skillyard.api.schemas.marketplace import (
    ChannelRequest,
    DeprecateRequest,
    ModeratedView,
    ModerateRequest,
    RatedView,
    RateRequest,
    SkillEntryView,
    WordView,
)
from skillyard.api.schemas.reports import ReportView
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheMarketplace
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import PersonPrincipal, Role
from skillyard.marketplace_sync.catalogue.documents import (
    Deprecation,
    ModerationDocument,
    ModerationState,
    RatingDocument,
    SkillDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import MAX_KEY, Entry

router = APIRouter(prefix="/v1/marketplace", tags=["marketplace"])

Part = Annotated[str, Path(min_length=1, max_length=64)]
Channel = Annotated[str, Path(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Version = Annotated[str, Path(min_length=1, max_length=128)]
Origin = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$")]
Why = Annotated[str, Query(min_length=1, max_length=500, description="Kept in the audit.")]
Said = Annotated[ModerationState | None, Query(alias="state", description="Only those in this state.")]
Place = Annotated[
    str | None,
    Query(max_length=MAX_KEY, description="`next_cursor` of the page before; leave it out for the first page."),
]


def _review(publisher: Part, name: Part, origin: Origin, rater: Origin) -> str:
    return f"{publisher}/{name}#{origin}/{rater}"


Review = Annotated[str, Depends(_review)]
"""The key of what somebody said of a skill."""


@router.put("/skills/{publisher}/{name}/channels/{channel}")
async def move_channel(
    market: TheMarketplace, sender: MarketSender, *, publisher: Part, name: Part, channel: Channel, body: ChannelRequest
) -> SkillEntryView:
    """Make a channel name a version, for the skill's publisher."""
    return _skill(await market.hub.set_channel(sender, f"{publisher}/{name}", channel, body.version))


@router.delete("/skills/{publisher}/{name}/channels/{channel}")
async def remove_channel(
    market: TheMarketplace, sender: MarketSender, publisher: Part, name: Part, channel: Channel
) -> SkillEntryView:
    """Take a channel away. There is always a `latest`."""
    return _skill(await market.hub.set_channel(sender, f"{publisher}/{name}", channel, None))


@router.put("/skills/{publisher}/{name}/deprecation")
async def deprecate(
    market: TheMarketplace, sender: MarketSender, publisher: Part, name: Part, body: DeprecateRequest
) -> SkillEntryView:
    """Say that a skill should not be used any more, and what instead. It can still be installed."""
    word = Deprecation(reason=body.reason, successor=body.successor)
    return _skill(await market.hub.deprecate(sender, f"{publisher}/{name}", word))


@router.delete("/skills/{publisher}/{name}/deprecation")
async def take_back_deprecation(
    market: TheMarketplace, sender: MarketSender, publisher: Part, name: Part
) -> SkillEntryView:
    """A skill is not deprecated any more."""
    return _skill(await market.hub.deprecate(sender, f"{publisher}/{name}", None))


@router.get("/skills/{publisher}/{name}/versions/{version}/report")
async def published_report(
    market: TheMarketplace, _reader: MarketReader, publisher: Part, name: Part, version: Version
) -> ReportView:
    """The scan report that a version was published with."""
    return ReportView.model_validate(await market.hub.report(f"{publisher}/{name}@{version}"))


@router.put("/skills/{publisher}/{name}/rating")
async def rate(market: TheMarketplace, person: AnyPerson, publisher: Part, name: Part, body: RateRequest) -> RatedView:
    """Your rating of a skill, with a review; it takes the place of an earlier one."""
    entry = await market.hub.rate(person, f"{publisher}/{name}", body.stars, body.review)
    document = read_document(RatingDocument, entry.document or "")
    return RatedView(
        key=entry.id.key, rev=entry.rev, stars=document.stars, review=document.review, stamp=document.stamp
    )


@router.delete("/skills/{publisher}/{name}/rating", status_code=204)
async def take_rating_back(market: TheMarketplace, person: AnyPerson, publisher: Part, name: Part) -> None:
    """Take your own rating back."""
    await market.hub.take_back(person, f"{publisher}/{name}")


@router.delete("/skills/{publisher}/{name}/ratings/{origin}/{rater}", status_code=204)
async def strike_rating(market: TheMarketplace, operator: Operator, review: Review, reason: Why) -> None:
    """Take away a review that does not belong here, whoever wrote it. Its rater rates no more until that is lifted."""
    await market.hub.strike(review, reason, by=operator)


@router.delete("/skills/{publisher}/{name}/ratings/{origin}/{rater}/strike", status_code=204)
async def lift_strike(market: TheMarketplace, operator: Operator, review: Review, reason: Why) -> None:
    """Let somebody rate again whose review was taken away. The review itself does not come back."""
    await market.hub.lift(review, reason, by=operator)


@router.get("/moderation")
async def list_words(
    market: TheMarketplace, _reader: MarketReader, cursor: Place = None, limit: PageSize = 100, state: Said = None
) -> Page[WordView]:
    """What moderators and publishers said last of publishers, skills and versions, by key.

    Where one `state` is asked for, a page may be short, or empty, and have a `next_cursor` all the same.
    """
    found, after = await market.hub.words(after=cursor or "", limit=limit, state=state)
    return Page(items=tuple(map(_word, found)), next_cursor=after)


@router.post("/moderation")
async def moderate(market: TheMarketplace, sender: MarketSender, body: ModerateRequest) -> ModeratedView:
    """Operators yank, hold, quarantine, revoke, delete, and let back; publishers yank and delete what is theirs.

    What is quarantined or revoked stops in every workspace of this instance within a second.
    """
    principal = sender.principal
    if isinstance(principal, PersonPrincipal) and principal.person.role is Role.OPERATOR:
        said = await market.hub.moderate(body.key, body.state, body.reason, by=Administrator.of(principal))
    else:
        said = await market.hub.say(sender, body.key, body.state, body.reason)
    word = said.document
    return ModeratedView(
        key=body.key,
        state=word.state,
        reason=word.reason,
        actor=word.actor,
        epoch=word.epoch,
        at=word.at,
        stopped=len(said.stopped),
    )


def _skill(entry: Entry) -> SkillEntryView:
    document = read_document(SkillDocument, entry.document or "")
    return SkillEntryView(
        key=entry.id.key,
        rev=entry.rev,
        channels=dict(document.channels),
        deprecated=document.deprecated is not None,
    )


def _word(entry: Entry) -> WordView:
    document = read_document(ModerationDocument, entry.document or "")
    return WordView(
        key=entry.id.key,
        state=document.state,
        reason=document.reason,
        actor=document.actor,
        epoch=document.epoch,
        at=document.at,
    )
