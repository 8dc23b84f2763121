"""Remotes as use cases: which marketplaces a workspace follows, and the client to each."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from skillyard.database import Database
from skillyard.errors import InputError, MachineError
from skillyard.governance.administrators import Administrator
from skillyard.governance.signing import HEX_KEY
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.store import Projection
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import RemoteAddressError
from skillyard.marketplace_sync.remotes import store
from skillyard.marketplace_sync.remotes.http import check_address, parse_address
from skillyard.marketplace_sync.remotes.indexed import archives_of
from skillyard.marketplace_sync.remotes.remote import (
    SKILLYARD,
    Filters,
    Remote,
    RemoteId,
    RemoteKind,
    RemoteMarket,
    RemoteOpener,
    RemoteState,
)
from skillyard.plugins import Group, discover
from skillyard.settings import Settings
from skillyard.times import utcnow

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
_MOST_FILTERS = 200
_FILTER_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

PROTOCOLS: Mapping[str, type] = {Group.REMOTES: RemoteOpener}
"""The seam of this room, by entry-point group."""


class RemoteKindMissingError(MachineError):
    """The plug-in that speaks a remote's protocol did not load; ``skillyard doctor`` says why."""

    code = "remote_kind_missing"


@dataclass(frozen=True, slots=True)
class RemoteDraft:
    """A remote to be added. ``public_key`` (64 hex digits) pins its key beforehand; else the first head does."""

    name: str
    url: str
    token: str | None = None
    kind: RemoteKind = SKILLYARD
    filters: Filters = field(default_factory=Filters)
    strategy: Strategy = Strategy.REMOTE_WINS
    live: bool = True
    public_key: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteEdit:
    """What is to be different; ``None`` leaves it. Another ``url`` or other ``filters`` begin with a snapshot."""

    url: str | None = None
    filters: Filters | None = None
    strategy: Strategy | None = None
    live: bool | None = None


class Remotes:
    """What people do with remotes, and what the parts that talk to them ask. Started by ``start``, ended by ``close``.

    The changes that a run makes inside its own transaction are functions of ``remotes.store``: ``trust``, ``distrust``
    and ``record``.
    """

    def __init__(self, *, database: Database, settings: Settings, projection: Projection) -> None:
        self._database = database
        self._settings = settings
        self._projection = projection
        self._openers: dict[str, RemoteOpener] = {}
        self._failed: dict[str, str] = {}

    async def start(self) -> None:
        """Load the plug-ins that speak to remotes."""
        found = await asyncio.to_thread(discover, Group.REMOTES, RemoteOpener, self._settings)
        self._openers = {plugin.name: plugin.instance for plugin in found.loaded}
        self._failed = {plugin.name: plugin.reason for plugin in found.failed}

    async def close(self) -> None:
        openers, self._openers = self._openers, {}
        async with AsyncExitStack() as stack:
            for opener in openers.values():
                stack.push_async_callback(opener.close)

    # Looking

    async def list(self, workspace: WorkspaceId) -> tuple[RemoteMarket, ...]:
        """All remotes of a workspace, by name."""
        async with self._database.reading() as session:
            return await store.list_remotes(session, workspace)

    async def get(self, workspace: WorkspaceId, name: str) -> RemoteMarket:
        """Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            return await store.get(session, workspace, name)

    async def find(self, remote: RemoteId) -> RemoteMarket:
        """As it stands now. Raises ``NotFoundError``: it was removed."""
        async with self._database.reading() as session:
            return await store.find(session, remote)

    # Changing

    async def add(self, draft: RemoteDraft, *, by: Administrator) -> RemoteMarket:
        """A remote with an empty mirror. Nothing is asked of it yet but where its name leads.

        Raises ``InputError`` for a draft that is none, ``RemoteAddressError`` for an address that nothing is sent to
        from here, ``ConflictError`` for a name that is taken.
        """
        if not _SLUG.fullmatch(draft.name) or len(draft.name) > 64:
            raise InputError("a name is lower-case letters, digits and single hyphens, 64 at most", field="name")
        if draft.kind not in self._openers:
            there = ", ".join(sorted(self._openers)) or "none"
            raise InputError(f"{self._missing(draft.kind)}; there are: {there}", field="kind")
        url = await self._checked(draft.url)
        _check_token(draft.token)
        _check_filters(draft.filters)
        if draft.public_key is not None and not HEX_KEY.fullmatch(draft.public_key):
            raise InputError("a public key is 64 hexadecimal digits", field="public_key")
        async with self._database.transaction() as session:
            return await store.add(
                session,
                by=by,
                at=utcnow(),
                name=draft.name,
                url=url,
                token=draft.token,
                kind=draft.kind,
                filters=draft.filters,
                strategy=draft.strategy,
                live=draft.live,
                public_key=draft.public_key,
            )

    async def change(self, workspace: WorkspaceId, name: str, edit: RemoteEdit, *, by: Administrator) -> RemoteMarket:
        """Another address, other filters, another strategy. Raises what ``add`` raises, and ``NotFoundError``.

        At another origin the token is forgotten: it was meant for the one before.
        """
        url = None if edit.url is None else await self._checked(edit.url)
        if edit.filters is not None:
            _check_filters(edit.filters)
        async with self._database.transaction() as session:
            return await store.change(
                session,
                workspace,
                name,
                by=by,
                at=utcnow(),
                url=url,
                filters=edit.filters,
                strategy=edit.strategy,
                live=edit.live,
            )

    async def remove(self, workspace: WorkspaceId, name: str, *, by: Administrator) -> None:
        """Forget a remote with its mirror and whatever waits to go up to it. What was installed from it stays."""
        async with self._database.transaction() as session:
            await store.remove(session, workspace, name, by=by, at=utcnow(), projection=self._projection)

    async def enable(self, workspace: WorkspaceId, name: str, *, by: Administrator) -> RemoteMarket:
        """Follow it again; also what was distrusted, whose key or state an operator has looked at.

        What was distrusted begins with a snapshot, and its head is believed anew, under the pinned key.
        """
        async with self._database.transaction() as session:
            return await store.set_state(session, workspace, name, RemoteState.ENABLED, by=by, at=utcnow())

    async def disable(self, workspace: WorkspaceId, name: str, *, by: Administrator) -> RemoteMarket:
        """Ask nothing of it until it is enabled; the mirror stays as it is."""
        async with self._database.transaction() as session:
            return await store.set_state(session, workspace, name, RemoteState.DISABLED, by=by, at=utcnow())

    async def accept_key(self, workspace: WorkspaceId, name: str, key: str, *, by: Administrator) -> RemoteMarket:
        """Believe another key from now on: the one that was offered, or one that is known from elsewhere.

        ``key`` is named in full (64 hex digits), so that nobody accepts one unseen. The next run begins with a
        snapshot.
        """
        if not HEX_KEY.fullmatch(key):
            raise InputError("a public key is 64 hexadecimal digits", field="key")
        async with self._database.transaction() as session:
            return await store.accept_key(session, workspace, name, key, by=by, at=utcnow())

    async def rotate_token(
        self, workspace: WorkspaceId, name: str, token: str | None, *, by: Administrator
    ) -> RemoteMarket:
        """Show it another token from now on. The new one is tried first; one that is refused changes nothing.

        Raises ``RemoteRefusedError`` and the other errors of a remote.
        """
        _check_token(token)
        async with self._database.reading() as session:
            before = await store.get(session, workspace, name)
        client = self.client(store.with_token(before, token))
        try:
            await client.changes(None, limit=1)
        finally:
            await client.close()
        async with self._database.transaction() as session:
            return await store.set_token(session, before, token, by=by, at=utcnow())

    async def sweep(self) -> None:
        """Remove what this home keeps of remotes that are no more."""
        # The folders first: of one that is added meanwhile there is none among them.
        folders = await asyncio.to_thread(_numbered, archives_of(self._settings.home))
        async with self._database.reading() as session:
            known = {int(remote.id) for remote in await store.list_remotes(session, None)}
        for number, folder in folders.items():
            if number not in known:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    # Talking

    def client(self, remote: RemoteMarket) -> Remote:
        """A client of its kind; whoever asked for it closes it. Raises ``RemoteKindMissingError``."""
        opener = self._openers.get(remote.kind)
        if opener is None:
            raise RemoteKindMissingError(self._missing(remote.kind))
        return opener.open(remote)

    async def record(self, remote: RemoteMarket, *, error: str | None, at: datetime | None = None) -> None:
        """Write down how a run ended: ``error`` in a sentence, ``None`` for one that got to the head."""
        async with self._database.transaction() as session:
            await store.record(session, remote.id, error=error, at=at or utcnow())

    def _missing(self, kind: RemoteKind) -> str:
        why = self._failed.get(kind, "it is not installed")
        return f"nothing here speaks to remotes of the kind {kind}: {why}"

    async def _checked(self, text: str) -> str:
        url = parse_address(text)
        try:
            await check_address(url, self._settings)
        except RemoteAddressError as error:
            raise InputError(str(error), field="url") from error
        return str(url)


def _numbered(folder: Path) -> dict[int, Path]:
    try:
        return {int(path.name): path for path in folder.iterdir() if path.name.isdecimal()}
    except FileNotFoundError:
        return {}


def _check_token(token: str | None) -> None:
    if token is not None and not _TOKEN.fullmatch(token):
        raise InputError("a token is up to 512 visible ASCII characters", field="token")


def _check_filters(filters: Filters) -> None:
    for name, values in (
        ("publishers", filters.publishers),
        ("categories", filters.categories),
        ("kinds", filters.kinds),
    ):
        if len(values) > _MOST_FILTERS or not all(map(_FILTER_TEXT.fullmatch, values)):
            raise InputError(f"up to {_MOST_FILTERS} names of letters, digits, `.`, `_` and `-`", field=name)
