"""Which version of a remote is meant, and whether it may be installed: from the mirror, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from semver import Version

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
from skillyard.marketplace_sync.catalogue.standing import levels
from skillyard.marketplace_sync.errors import NotInstallableError
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.address import RemoteAddress
from skillyard.marketplace_sync.follower.values import MirrorPhase
from skillyard.marketplace_sync.hub.channels import latest_of
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import RemoteMarket, RemoteState
from skillyard.times import utcnow


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


async def choose(session: Session, workspace: WorkspaceId, address: RemoteAddress, *, oldest: timedelta) -> Choice:
    """What an address means now. ``oldest`` is how long ago the mirror may have been read to its head.

    Raises ``NotFoundError``, ``InputError`` where several remotes have it, and ``NotInstallableError``.
    """
    remote = await _remote(session, workspace, address)
    if remote.state is not RemoteState.ENABLED:
        raise NotInstallableError(f"remote {remote.name} is {remote.state.value}; nothing is installed from it")
    await _require_known(session, remote, oldest=oldest)
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
    number = skill.channels[channel]
    return number if which is not None else await _shown(session, remote, address.skill, number)


async def _shown(session: Session, remote: RemoteMarket, skill: str, latest: str) -> str:
    """``latest``; where it is not shown any more, the newest version that is. Hubs of ours move the channel themselves,
    and one yanked version hides no skill at others either."""
    if (await standing.standing_of(session, remote.catalogue, f"{skill}@{latest}")).listed:
        return latest
    keys: list[str] = []
    while page := await entries_of.with_prefix(
        session, remote.catalogue, EntryKind.VERSION, f"{skill}@", after=keys[-1] if keys else ""
    ):
        keys += [entry.id.key for entry in page]
    found = await standing.standings(session, remote.catalogue, keys)
    shown = [key.partition("@")[2] for key in keys if found[key].listed]
    return latest_of(number for number in shown if Version.is_valid(number)) or latest


async def _document(session: Session, remote: RemoteMarket, id_: EntryId) -> str:
    entry: Entry | None = await entries_of.get(session, remote.catalogue, id_)
    if entry is None or entry.deleted:
        raise NotFoundError(f"there is no {id_} at {remote.name}, as far as its mirror knows")
    if entry.document is None:
        raise NotInstallableError(f"{id_} lies outside of the filters of remote {remote.name}")
    return entry.document


async def _require_known(session: Session, remote: RemoteMarket, *, oldest: timedelta) -> None:
    """That nothing is known against a version says something only where what was said is known: all of it, and
    lately."""
    mirror = await store.mirror_of(session, remote.id)
    read = mirror is not None and not remote.resync and mirror.phase in (MirrorPhase.SWEEPING, MirrorPhase.FEED)
    if remote.succeeded_at is None or not read:
        raise NotInstallableError(f"the mirror of {remote.name} was not read to its head yet; sync it first")
    # In both directions: what a clock that was ahead wrote down must not count for ever.
    if abs(utcnow() - remote.succeeded_at) > oldest:
        why = f": {remote.error}" if remote.error else ""
        raise NotInstallableError(
            f"the mirror of {remote.name} was last read to its head at {remote.succeeded_at:%Y-%m-%d %H:%M} UTC, "
            f"longer ago than the setting marketplace_mirror_hours allows{why}"
        )


async def _require_installable(session: Session, remote: RemoteMarket, key: str, *, exact: bool) -> None:
    if unread := await store.unread_words(session, remote.id, levels(key)):
        raise NotInstallableError(
            f"{remote.name} says something of {unread[0]} that could not be read; "
            f"`skillyard mirrors set-aside {remote.name}` shows it"
        )
    words = await store.words(session, remote.id, levels(key))
    for word in words.values():
        raise NotInstallableError(f"{remote.name} says that {word.key} is {word.state.value}: {word.reason}")
    stands = await standing.standing_of(session, remote.catalogue, key)
    if not stands.installable:
        state = (stands.stop or stands.state).value
        reason = stands.stop_reason or stands.reason
        raise NotInstallableError(f"{remote.name} says that {key} is {state}: {reason}")
    if not stands.listed and not exact:
        raise NotInstallableError(f"{key} is yanked at {remote.name} ({stands.reason}); name it exactly to have it")
