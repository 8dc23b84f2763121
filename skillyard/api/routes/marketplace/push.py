"""What publishers and other instances push: versions, edits, ratings, counts, yanks."""

from __future__ import annotations

from fastapi import APIRouter

from skillyard.api.auth import MarketSender
from skillyard.api.schemas.marketplace import PushAnswerView, PushItemBody, PushRequest, PushResultView
from skillyard.api.schemas.marketplace_feed import EntryView
from skillyard.api.schemas.reports import ReportView
from skillyard.api.state import TheMarketplace
from skillyard.marketplace_sync.catalogue.entry import Entry
from skillyard.marketplace_sync.hub.push import Answered
from skillyard.marketplace_sync.remotes.remote import PushItem
from skillyard.skills.skill import BundleFile

router = APIRouter(prefix="/v1/marketplace", tags=["marketplace"])


@router.post("/push")
async def push(market: TheMarketplace, sender: MarketSender, body: PushRequest) -> PushAnswerView:
    """Change many things, each by itself, and each once: an item that is sent again is answered as before."""
    answers = await market.hub.push(sender, tuple(map(_item, body.items)))
    return PushAnswerView(results=tuple(map(_result, answers)))


def _item(body: PushItemBody) -> PushItem:
    files = tuple(BundleFile(one.path, one.sha256, one.size, one.executable) for one in body.files)
    return PushItem(body.item, body.kind, body.key, body.base_rev, body.document, files)


def _result(answer: Answered) -> PushResultView:
    result = answer.result
    return PushResultView(
        item=result.item,
        status=result.status,
        rev=result.rev,
        code=result.code,
        detail=result.detail,
        current=None if result.current is None else entry_view(result.current),
        missing=result.missing,
        report=None if answer.report is None else ReportView.model_validate(answer.report),
    )


def entry_view(entry: Entry) -> EntryView:
    return EntryView(
        kind=entry.id.kind.value,
        key=entry.id.key,
        seq=entry.seq,
        rev=entry.rev,
        sha256=entry.sha256,
        deleted=entry.deleted,
        changed_at=entry.changed_at,
        document=entry.document,
    )
