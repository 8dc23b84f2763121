"""A hub over a real runtime, on both databases, and the people and instances that send to it."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.governance import people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.governance.advisories.index import index_path
from skillyard.governance.identity import SYSTEM, PersonPrincipal, Role, TokenId
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, member
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.hub.hub import Hub
from skillyard.marketplace_sync.hub.push import Answered
from skillyard.marketplace_sync.hub.values import InstanceScope, Sender
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes.remote import PushItem
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.settings import Settings
from skillyard.skills.skill import BundleFile
from skillyard.times import utcnow

_ITEMS = itertools.count(1)


def skill_files(
    name: str = "csv-report", version: str = "1.0.0", *, text: str = "Writes a report."
) -> dict[str, bytes]:
    """A skill of instructions alone, which scans in milliseconds."""
    head = f'---\nname: {name}\ndescription: {text}\nlicense: MIT\nmetadata:\n  version: "{version}"\n---\n'
    return {"SKILL.md": f"{head}# {name}\n\nRead the table and sum up what is in it.\n".encode()}


def manifest(files: Mapping[str, bytes]) -> tuple[BundleFile, ...]:
    return tuple(
        BundleFile(path, hashlib.sha256(content).hexdigest(), len(content), executable=False)
        for path, content in files.items()
    )


@dataclass
class HubYard:
    """A begun hub with two workspaces: ``acme``'s, whose admin is an operator, and another."""

    runtime: Runtime
    hub: Hub
    operator: PersonPrincipal
    member: PersonPrincipal
    """Of the operator's workspace."""
    other: PersonPrincipal
    """The admin of another workspace."""
    metrics: SyncMetrics = field(repr=False)

    @property
    def sender(self) -> Sender:
        return Sender(self.member)

    async def send(self, files: Mapping[str, bytes], *, sender: Sender | None = None) -> None:
        for content in files.values():
            sha256 = hashlib.sha256(content).hexdigest()
            assert await self.hub.receive(sha256, chunks(content), sender=sender or self.sender)

    async def push(self, *items: PushItem, sender: Sender | None = None) -> tuple[Answered, ...]:
        return await self.hub.push(sender or self.sender, items)

    async def publish(
        self,
        files: Mapping[str, bytes],
        key: str = "acme/csv-report@1.0.0",
        *,
        sender: Sender | None = None,
        **said: str,
    ) -> Answered:
        """Send the files and push the version."""
        await self.send(files, sender=sender)
        (answer,) = await self.push(version_item(key, files, **said), sender=sender)
        return answer

    async def entry(self, kind: EntryKind, key: str) -> Entry | None:
        async with self.runtime.database.reading() as session:
            return await store.get(session, self.hub.catalogue, EntryId(kind, key))

    async def document(self, kind: EntryKind, key: str) -> dict[str, object]:
        entry = await self.entry(kind, key)
        assert entry is not None
        assert entry.document is not None
        value: dict[str, object] = orjson.loads(entry.document)
        return value

    async def instance(self, *scopes: InstanceScope, of: PersonPrincipal | None = None) -> Sender:
        """Another instance, with a token of its own."""
        expires = utcnow() + timedelta(days=1)
        by = Administrator.of(of or self.operator)
        _, text = await self.hub.tokens.issue("mirror", scopes, expires_at=expires, by=by)
        principal = await self.hub.tokens.authenticate(text)
        assert principal is not None
        return Sender(principal)

    async def require_sound(self) -> None:
        """The catalogue's figures are those of its entries."""
        async with self.runtime.database.reading() as session:
            catalogue = await store.find(session, self.hub.catalogue)
            entries = await store.page(session, catalogue.id, after=0, limit=10_000)
        digest = SetDigest()
        live = [entry for entry in entries if not entry.deleted]
        digest.add_all(member(entry.id, entry.sha256) for entry in live)
        assert (catalogue.live, catalogue.digest_hex) == (len(live), digest.hex)
        assert catalogue.seq == max(entry.seq for entry in entries)


async def chunks(content: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), size):
        yield content[begin : begin + size]


def version_item(key: str, files: Mapping[str, bytes], *, item: str | None = None, **said: str) -> PushItem:
    return PushItem(
        item or f"item-{next(_ITEMS)}", EntryKind.VERSION, key, None, orjson.dumps(said).decode(), manifest(files)
    )


def item(kind: EntryKind, key: str, document: object, *, base_rev: int | None = None, name: str = "") -> PushItem:
    text = None if document is None else orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
    return PushItem(name or f"item-{next(_ITEMS)}", kind, key, base_rev, text)


@pytest.fixture
async def yard(migrated_url: str, tmp_path: Path, advisories: Path) -> AsyncIterator[HubYard]:
    settings = Settings(home=tmp_path / "home", database_url=migrated_url, advisories_max_age_days=100_000)
    index_path(settings.home).parent.mkdir(parents=True)
    shutil.copy(advisories, index_path(settings.home))
    async with await create_runtime(settings) as runtime:
        metrics = SyncMetrics()
        hub = Hub(runtime=runtime, search=SearchIndex(runtime.database), metrics=metrics)
        await hub.begin()
        async with runtime.database.transaction() as session:
            default = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
            operator = await people.person_by_name(session, default.id, tokens.FIRST_PERSON)
            member = await people.add_person(session, default.id, "writer", Role.MEMBER, by=SYSTEM, at=utcnow())
            elsewhere = await people.create_workspace(session, "elsewhere", by=SYSTEM, at=utcnow())
            other = await people.add_person(session, elsewhere.id, "stranger", Role.ADMIN, by=SYSTEM, at=utcnow())
        built = HubYard(
            runtime=runtime,
            hub=hub,
            operator=PersonPrincipal(TokenId(1), operator),
            member=PersonPrincipal(TokenId(2), member),
            other=PersonPrincipal(TokenId(3), other),
            metrics=metrics,
        )
        await hub.namespaces.take("acme", "Acme", by=Administrator.of(built.operator))
        await hub.namespaces.take("zenith", "Zenith", by=Administrator.of(built.other))
        yield built
        await built.require_sound()
