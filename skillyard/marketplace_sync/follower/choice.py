"""Which version of a remote is meant, and whether it may be installed: from the mirror, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.database import Session
from skillyard.errors import InputError, NotFoundError
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue import standing
from skillyard.marketplace_sync.catalogue import store as entries_of
from skillyard.marketplace_sync.catalogue.documents import (
    PublisherDocument,
    SkillDocument,
    VersionDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind
from skillyard.marketplace_sync.errors import NotInstallableError
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.address import RemoteAddress
from skillyard.marketplace_sync.follower.words import scopes
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import RemoteMarket, RemoteState


@dataclass(frozen=True, slots=True)
class Choice:
    """A version of a remote that may be installed, as far as the remote goes."""

    remote: RemoteMarket
    publisher: str
    name: str
    version: str
    document: VersionDocument
    keys: tuple[str, ...]
    """The publisher's keys that count now, in hex."""

    @property
    def key(self) -> str:
        return f"{self.publisher}/{self.name}@{self.version}"

    @property
    def origin(self) -> str:
        return f"remote:{self.remote.name}/{self.key}"


async def choose(session: Session, workspace: WorkspaceId, address: RemoteAddress) -> Choice:
    """What an address means now. Raises ``NotFoundError``, ``InputError`` where several remotes have it, and
    ``NotInstallableError``."""
    remote = await _remote(session, workspace, address)
    if remote.state is not RemoteState.ENABLED:
        raise NotInstallableError(f"remote {remote.name} is {remote.state.value}; nothing is installed from it")
    skill = await _document(session, remote, EntryId(EntryKind.SKILL, address.skill))
    version = await _version(session, remote, address, read_document(SkillDocument, skill))
    id_ = EntryId(EntryKind.VERSION, f"{address.skill}@{version}")
    document = read_document(VersionDocument, await _document(session, remote, id_))
    await _require_installable(session, remote, id_.key, exact=address.which == version)
    publisher = await _document(session, remote, EntryId(EntryKind.PUBLISHER, address.publisher))
    keys = tuple(one.key for one in read_document(PublisherDocument, publisher).keys if one.revoked_at is None)
    return Choice(remote, address.publisher, address.name, version, document, keys)


async def _remote(session: Session, workspace: WorkspaceId, address: RemoteAddress) -> RemoteMarket:
    if address.remote is not None:
        return await remote_store.get(session, workspace, address.remote)
    found = []
    for remote in await remote_store.list_remotes(session, workspace):
        entry = await entries_of.get(session, remote.catalogue, EntryId(EntryKind.SKILL, address.skill))
        if entry is not None and entry.document is not None:
            found.append(remote)
    if not found:
        raise NotFoundError(f"no remote has a skill {address.skill}, as far as their mirrors know")
    if len(found) > 1:
        names = ", ".join(remote.name for remote in found)
        raise InputError(f"{address.skill} is there at several remotes ({names}); say which", field="source")
    return found[0]


async def _version(session: Session, remote: RemoteMarket, address: RemoteAddress, skill: SkillDocument) -> str:
    which = address.which
    if which is not None:
        exact = EntryId(EntryKind.VERSION, f"{address.skill}@{which}")
        entry = await entries_of.get(session, remote.catalogue, exact)
        if entry is not None and not entry.deleted:
            return which
    channel = which or "latest"
    if channel not in skill.channels:
        wanted = "channel latest" if which is None else f"version or channel {which}"
        raise NotFoundError(f"{address.skill} has no {wanted} at {remote.name}, as far as its mirror knows")
    return skill.channels[channel]


async def _document(session: Session, remote: RemoteMarket, id_: EntryId) -> str:
    entry: Entry | None = await entries_of.get(session, remote.catalogue, id_)
    if entry is None or entry.deleted:
        raise NotFoundError(f"there is no {id_} at {remote.name}, as far as its mirror knows")
    if entry.document is None:
        raise NotInstallableError(f"{id_} lies outside of the filters of remote {remote.name}")
    return entry.document


async def _require_installable(session: Session, remote: RemoteMarket, key: str, *, exact: bool) -> None:
    words = await store.words(session, remote.id, scopes(key))
    for word in words.values():
        raise NotInstallableError(f"{remote.name} says that {word.key} is {word.state.value}: {word.reason}")
    stands = await standing.standing_of(session, remote.catalogue, key)
    if not stands.installable:
        state = (stands.stop or stands.state).value
        raise NotInstallableError(f"{remote.name} says that {key} is {state}: {stands.reason}")
    if not stands.listed and not exact:
        raise NotInstallableError(f"{key} is yanked at {remote.name} ({stands.reason}); name it exactly to have it")
