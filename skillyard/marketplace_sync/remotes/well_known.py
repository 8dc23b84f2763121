"""A site that publishes skills by the Agent Skills discovery convention, version 0.2.0, as a remote.

``/.well-known/agent-skills/index.json`` names skills with a type (``skill-md`` or ``archive``), an address and the
SHA-256 of what is there. Indexes of version 0.1 have no digests and are refused.
"""

from __future__ import annotations

import httpx

from skillyard.marketplace_sync.errors import RemoteAnswerError
from skillyard.marketplace_sync.remotes.http import Trust, said
from skillyard.marketplace_sync.remotes.indexed import IndexedRemote, Item, raw_of, read_item
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteMarket
from skillyard.settings import Settings

_TYPES = {"skill-md": False, "archive": True}


def create_opener(settings: Settings) -> WellKnownOpener:
    """The plug-in of the group ``skillyard.remotes``."""
    return WellKnownOpener(settings)


class WellKnownOpener:
    """Opens remotes of the kind ``well_known``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trust = Trust(settings.marketplace_ca_bundle)

    def open(self, market: RemoteMarket) -> Remote:
        return WellKnownRemote(market, self._settings, trust=self._trust)

    async def close(self) -> None:
        return


class WellKnownRemote(IndexedRemote):
    """``Remote`` over the index of a site."""

    places = ("/.well-known/agent-skills/index.json", "/.well-known/skills/index.json")

    def read(self, value: object, base: httpx.URL) -> tuple[Item, ...]:
        if not isinstance(value, dict) or not isinstance(value.get("skills"), list):
            raise RemoteAnswerError("its index has no list of skills")
        version = value.get("$schema") or value.get("version")
        if not isinstance(version, str) or "0.2." not in version:
            raise RemoteAnswerError("its index is of another version of the convention than 0.2")
        return tuple(_item(one, base) for one in value["skills"])


def _item(row: object, base: httpx.URL) -> Item:
    raw = raw_of(row)
    if raw is None:
        return Item("?", wrong="it is nested too deep")
    if not isinstance(row, dict):
        return Item("?", raw=raw, wrong="it is no object")
    archive = _TYPES.get(str(row.get("type")))
    digest = row.get("digest")
    if archive is None:
        return Item(said(str(row.get("name")))[:64], raw=raw, wrong="its type is neither skill-md nor archive")
    if not isinstance(digest, str) or not digest.startswith("sha256:"):
        digest = None
    sha256 = None if digest is None else digest.removeprefix("sha256:")
    return read_item(row.get("name"), row.get("url"), sha256, archive=archive, base=base, raw=raw)
