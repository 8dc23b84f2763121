"""A Claude-style ``marketplace.json`` over HTTP as a remote.

Plug-ins whose source is an archive with its SHA-256, as a Skillyard writes them, are taken. Others are set aside with
the reason: a relative path means a file of the Git repository that the marketplace lies in, which an address alone does
not give; and sources in Git or npm have no digest of their content here. Those are installed by their own address.
"""

from __future__ import annotations

import httpx

from skillyard.marketplace_sync.errors import RemoteAnswerError
from skillyard.marketplace_sync.remotes.http import Trust, said
from skillyard.marketplace_sync.remotes.indexed import IndexedRemote, Item, raw_of, read_item
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteMarket
from skillyard.settings import Settings


def create_opener(settings: Settings) -> ClaudeOpener:
    """The plug-in of the group ``skillyard.remotes``."""
    return ClaudeOpener(settings)


class ClaudeOpener:
    """Opens remotes of the kind ``claude``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trust = Trust(settings.marketplace_ca_bundle)

    def open(self, market: RemoteMarket) -> Remote:
        return ClaudeRemote(market, self._settings, trust=self._trust)

    async def close(self) -> None:
        return


class ClaudeRemote(IndexedRemote):
    """``Remote`` over a marketplace file."""

    places = ("/.claude-plugin/marketplace.json", "/marketplace.json")

    def read(self, value: object, base: httpx.URL) -> tuple[Item, ...]:
        owner = value.get("owner") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(value.get("plugins"), list) or not isinstance(owner, dict):
            raise RemoteAnswerError("its marketplace has no owner or no list of plug-ins")
        return tuple(_item(one, base) for one in value["plugins"])


def _item(row: object, base: httpx.URL) -> Item:
    raw = raw_of(row)
    if raw is None:
        return Item("?", wrong="it is nested too deep")
    if not isinstance(row, dict):
        return Item("?", raw=raw, wrong="it is no object")
    source = row.get("source")
    kind = source.get("source") if isinstance(source, dict) else "a relative path"
    if not isinstance(source, dict) or kind != "archive":
        wrong = f"its source ({said(str(kind))}) gives no archive with a digest; install it by its own address"
        return Item(said(str(row.get("name")))[:64], raw=raw, wrong=wrong)
    return read_item(row.get("name"), source.get("url"), source.get("sha256"), archive=True, base=base, raw=raw)
