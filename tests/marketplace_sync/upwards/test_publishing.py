"""A version that goes up is whole, scanned, signed where anybody can check it, and gets its own number."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from skillyard.database import Kind
from skillyard.errors import ConflictError, InputError
from skillyard.governance import people, tokens
from skillyard.governance.signing import PublicKey
from skillyard.marketplace_sync.catalogue.documents import moment
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.statement import read_statement
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.conflicts.values import Conflict, ConflictKind, ConflictState, Severity, Strategy
from skillyard.marketplace_sync.errors import RemoteAnswerError
from skillyard.marketplace_sync.follower.run import Run
from skillyard.marketplace_sync.follower.signers import Signers
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import PushItem, PushResult, PushStatus
from skillyard.marketplace_sync.upwards.values import Upload, UploadState
from skillyard.runtime.runtime import create_runtime
from skillyard.settings import Settings
from skillyard.skills.skill import BundleFile
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow
from tests.first_start import furnish
from tests.marketplace_sync.hubs import Unindexed
from tests.marketplace_sync.upwards.conftest import Outpost, add_remote, outpost_of, skill

pytestmark = pytest.mark.database(Kind.SQLITE)


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Outpost]:
    """An outpost over a real runtime. The embedded advisories are old: their age is accepted here."""
    home = tmp_path / "home"
    furnish(home)
    async with await create_runtime(Settings(home=home, advisories_max_age_days=100_000)) as runtime:
        async with runtime.database.transaction() as session:
            workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
            admin = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
        remote = await add_remote(runtime.database, admin)
        yield outpost_of(runtime.database, remote, admin, home, bench=runtime)


def folder(root: Path, *, version: str | None = "1.0.0", body: str = "Say hello.", **files: str) -> Path:
    """A skill of words, and of whatever files it is given."""
    made = root / f"{version}-{len(list(root.iterdir()))}" / "greeter"
    made.mkdir(parents=True)
    metadata = f'metadata:\n  version: "{version}"\n' if version else ""
    (made / "SKILL.md").write_text(f"---\nname: greeter\ndescription: Greets.\n{metadata}---\n{body}\n")
    for name, content in files.items():
        (made / f"{name}.md").write_text(content)
    return made


async def publish(yard: Outpost, path: Path, **more: str) -> Upload:
    return await yard.uploads.publish(
        "hub", FolderSource(path), publisher="acme", channel=more.get("channel"), by=yard.admin
    )


async def conflicts(yard: Outpost) -> tuple[Conflict, ...]:
    return await yard.conflicts.list(yard.admin.workspace)


def versions(yard: Outpost) -> list[str]:
    return sorted(one.key for one in yard.market.entries if one.kind is EntryKind.VERSION)


async def collide(yard: Outpost, strategy: Strategy, *, ours: Path, theirs: Path) -> None:
    """Somebody else published other content under the number of ours."""
    await theirs_there(yard, strategy, theirs)
    await publish(yard, ours)
    await yard.send()


async def theirs_there(yard: Outpost, strategy: Strategy, theirs: Path) -> None:
    """Somebody published a version, and the mirror knows it."""
    await yard.set_strategy(strategy)
    await publish(yard, theirs)
    await yard.send()
    name = EntryId(EntryKind.SKILL, "acme/greeter")
    await yard.market.write(Change(name, skill("Greets.", channels={"latest": "1.0.0"})))
    await yard.market.write(Change(EntryId(EntryKind.PUBLISHER, "acme"), canonical({"display_name": "Acme"})))
    await read_to_the_head(yard)


async def read_to_the_head(yard: Outpost) -> None:
    """As a follower does, with all that it checks."""

    async def stopped(_words: object) -> None:
        """Nothing is revoked in these tests."""

    run = Run(
        yard.remote,
        yard.client,
        database=yard.database,
        projection=Unindexed(),
        listener=yard.conflicts,
        on_stopped=stopped,
    )
    await run.to_the_head()
    async with yard.database.transaction() as session:
        await remote_store.record(session, yard.remote.id, error=None, at=utcnow())


@pytest.fixture
def hub_reserves(yard: Outpost, monkeypatch: pytest.MonkeyPatch) -> None:
    """As our hub answers for a number that has other content."""
    push = yard.market.push

    def reserved(item: PushItem) -> PushResult:
        found = push(item)
        if found.status is PushStatus.CONFLICT and item.kind is EntryKind.VERSION:
            return PushResult(item.item, PushStatus.REFUSED, code="version_reserved", current=found.current)
        return found

    monkeypatch.setattr(yard.market, "push", reserved)


async def test_files_go_first_and_then_the_version(yard: Outpost, tmp_path: Path) -> None:
    await publish(yard, folder(tmp_path, extra="More."), channel="beta")
    report = await yard.uploads.send(yard.remote)
    assert (report.sent, report.files, report.batches) == (1, 2, 2)
    (entry,) = yard.market.entries.values()
    document = orjson.loads(str(entry.document))
    assert (entry.id.key, document["channel"], document["verdict"]) == ("acme/greeter@1.0.0", "beta", "PASS")
    assert "signature" not in document


async def test_where_the_publisher_signs_it_is_signed_by_the_workspaces_key(yard: Outpost, tmp_path: Path) -> None:
    key = yard.uploads.publisher.key(yard.admin.workspace).public
    await _signs_with(yard, key.hex)
    made = await publish(yard, folder(tmp_path))
    stated, by = read_statement(orjson.loads(str(made.document))["signature"], [PublicKey(bytes.fromhex(key.hex))])
    assert (stated.version, by) == ("acme/greeter@1.0.0", key)
    (held,) = (yard.home / "keys").glob("publisher-*")
    assert held.stat().st_mode & 0o777 == 0o600


async def test_another_key_than_the_publishers_is_said_before_anything_is_sent(yard: Outpost, tmp_path: Path) -> None:
    await _signs_with(yard, "ab" * 32)
    with pytest.raises(InputError, match="not with this workspace's key"):
        await publish(yard, folder(tmp_path))


async def test_what_says_no_version_is_not_published(yard: Outpost, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metadata\.version"):
        await publish(yard, folder(tmp_path, version=None))


async def test_one_number_is_queued_with_one_content(yard: Outpost, tmp_path: Path) -> None:
    first = await publish(yard, folder(tmp_path))
    assert (await publish(yard, folder(tmp_path))).id == first.id
    with pytest.raises(ConflictError):
        await publish(yard, folder(tmp_path, body="Something else."))


async def test_one_number_is_queued_with_one_channel(yard: Outpost, tmp_path: Path) -> None:
    """Or the second channel would never move, and nobody would hear of it."""
    first = await publish(yard, folder(tmp_path))
    with pytest.raises(ConflictError, match="without a channel"):
        await publish(yard, folder(tmp_path), channel="beta")
    name = EntryId(EntryKind.SKILL, "acme/greeter")
    await yard.market.write(Change(name, skill("Greets.", channels={"latest": "0.9.0"})))
    await yard.follow()
    assert (await publish(yard, folder(tmp_path))).id == first.id, "it is the same, from whatever it was made"


async def test_a_remote_does_not_get_files_that_are_not_the_versions(
    yard: Outpost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def curious(item: PushItem) -> PushResult:
        return PushResult(item.item, PushStatus.MISSING, missing=("ab" * 32,))

    monkeypatch.setattr(yard.market, "push", curious)
    await publish(yard, folder(tmp_path))
    with pytest.raises(RemoteAnswerError, match="none of the version's"):
        await yard.send()
    assert yard.market.files == {}


async def test_files_that_another_servers_home_has_are_left_to_it(yard: Outpost, tmp_path: Path) -> None:
    made = await publish(yard, folder(tmp_path))
    stored = yard.uploads.publisher.outgoing
    (digest,) = stored.digests()
    stored.remove(digest)
    with pytest.raises(RemoteAnswerError, match="home of another server"):
        await yard.send()
    ((waiting, _),) = await yard.uploads.list(yard.admin.workspace)
    assert (waiting.id, waiting.state) == (made.id, UploadState.WAITING)


@pytest.mark.usefixtures("hub_reserves")
async def test_two_bundles_of_one_number_the_remotes_stays(yard: Outpost, tmp_path: Path) -> None:
    await collide(yard, Strategy.REMOTE_WINS, ours=folder(tmp_path), theirs=folder(tmp_path, body="Theirs."))
    (found,) = await conflicts(yard)
    assert (found.kind, found.state) == (ConflictKind.CONTENT, ConflictState.RESOLVED)
    assert versions(yard) == ["acme/greeter@1.0.0"]


async def test_ours_goes_up_as_the_next_number(yard: Outpost, tmp_path: Path) -> None:
    await collide(yard, Strategy.LOCAL_WINS, ours=folder(tmp_path), theirs=folder(tmp_path, body="Theirs."))
    await yard.send()
    assert versions(yard) == ["acme/greeter@1.0.0", "acme/greeter@1.0.1"]
    (found,) = await conflicts(yard)
    assert found.strategy is Strategy.LOCAL_WINS
    ours = yard.market.manifests[EntryId(EntryKind.VERSION, "acme/greeter@1.0.1")]
    (manifest,) = [yard.market.files[one.sha256].decode() for one in ours if one.path == "SKILL.md"]
    assert "Say hello." in manifest
    assert "1.0.1" in manifest


async def test_files_of_both_are_merged_where_no_file_was_changed_by_both(yard: Outpost, tmp_path: Path) -> None:
    ours, theirs = folder(tmp_path, ours="Ours."), folder(tmp_path, theirs="Theirs.")
    await collide(yard, Strategy.MERGE, ours=ours, theirs=theirs)
    await yard.send()
    merged = yard.market.manifests[EntryId(EntryKind.VERSION, "acme/greeter@1.0.1")]
    assert [one.path for one in merged] == ["SKILL.md", "ours.md", "theirs.md"]


async def test_a_file_that_both_changed_waits_for_somebody_who_can_still_have_ours(
    yard: Outpost, tmp_path: Path
) -> None:
    await collide(yard, Strategy.MERGE, ours=folder(tmp_path), theirs=folder(tmp_path, body="Theirs."))
    (found,) = await conflicts(yard)
    assert (found.state, found.severity) == (ConflictState.OPEN, Severity.MEDIUM)
    (_, (waiting, _)) = await yard.uploads.list(yard.admin.workspace)
    assert (waiting.state, waiting.error) == (UploadState.CONFLICT, "both changed SKILL.md")
    await yard.conflicts.resolve(
        [found.id], by=yard.admin, successors=yard.uploads.collisions, strategy=Strategy.LOCAL_WINS
    )
    await yard.send()
    assert versions(yard) == ["acme/greeter@1.0.0", "acme/greeter@1.0.1"]


@pytest.mark.parametrize("lie", ["another file", "another signer"])
async def test_what_the_remote_did_not_promise_is_not_signed_and_published_as_ours(
    yard: Outpost, tmp_path: Path, lie: str
) -> None:
    """Its feed named one bundle, and it gives the files of another; or the bundle is not by whom it was before."""
    await theirs_there(yard, Strategy.MERGE, folder(tmp_path, theirs="Theirs."))
    if lie == "another signer":
        signers = Signers(database=yard.database)
        await signers.accept(yard.admin.workspace, "hub", "acme", "ab" * 32, by=yard.admin)
    else:
        _swap(yard, "theirs.md", b"Evil...")
    await publish(yard, folder(tmp_path, ours="Ours."))
    if lie == "another signer":
        await yard.send()
    else:
        with pytest.raises(RemoteAnswerError, match="as promised"):
            await yard.send()
    (_, (ours, _)) = await yard.uploads.list(yard.admin.workspace)
    assert ours.state is (UploadState.CONFLICT if lie == "another signer" else UploadState.WAITING)
    assert "signed before" in (ours.error or "") or "as promised" in (ours.error or "")
    assert versions(yard) == ["acme/greeter@1.0.0"]


async def test_files_that_cannot_lie_side_by_side_wait_for_somebody(yard: Outpost, tmp_path: Path) -> None:
    theirs = folder(tmp_path)
    (theirs / "run.md").mkdir()
    (theirs / "run.md" / "more.md").write_text("Theirs.")
    await collide(yard, Strategy.MERGE, ours=folder(tmp_path, run="Ours."), theirs=theirs)
    (found,) = await conflicts(yard)
    assert found.state is ConflictState.OPEN
    (_, (waiting, _)) = await yard.uploads.list(yard.admin.workspace)
    assert (waiting.state, "run.md" in (waiting.error or "")) == (UploadState.CONFLICT, True)


async def test_a_collision_is_left_to_the_server_that_has_the_files(yard: Outpost, tmp_path: Path) -> None:
    await theirs_there(yard, Strategy.LOCAL_WINS, folder(tmp_path, body="Theirs."))
    await publish(yard, ours := folder(tmp_path))
    for path in ours.iterdir():
        yard.market.files[hashlib.sha256(path.read_bytes()).hexdigest()] = path.read_bytes()
    for digest in yard.uploads.publisher.outgoing.digests():
        yard.uploads.publisher.outgoing.remove(digest)
    with pytest.raises(RemoteAnswerError, match="home of another server"):
        await yard.send()
    (_, (waiting, _)) = await yard.uploads.list(yard.admin.workspace)
    assert waiting.state is UploadState.WAITING


def _swap(yard: Outpost, path: str, content: bytes) -> None:
    """The remote names another file in the place of one."""
    version = EntryId(EntryKind.VERSION, "acme/greeter@1.0.0")
    sha256 = hashlib.sha256(content).hexdigest()
    yard.market.files[sha256] = content
    other = BundleFile(path, sha256, len(content), executable=False)
    yard.market.manifests[version] = tuple(other if one.path == path else one for one in yard.market.manifests[version])


async def _signs_with(yard: Outpost, key: str) -> None:
    document = canonical({"display_name": "Acme", "keys": [{"key": key, "added_at": moment(utcnow()).isoformat()}]})
    await yard.market.write(Change(EntryId(EntryKind.PUBLISHER, "acme"), document))
    await yard.follow()
