"""From a published version on one server to an installed one on another, and what keeps it from being installed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import SkillState
from skillyard.governance.signing import SigningKey
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue import store as entries_of
from skillyard.marketplace_sync.catalogue.statement import Statement, signed_statement
from skillyard.marketplace_sync.errors import NotInstallableError, RemoteAnswerError, RemoteError, SignerError
from skillyard.marketplace_sync.follower.address import is_remote_address, parse_remote_address
from skillyard.marketplace_sync.follower.choice import choose
from skillyard.marketplace_sync.follower.source import RemoteSource
from skillyard.marketplace_sync.jobs.runner import RunTooLongError
from skillyard.marketplace_sync.marketplace import Marketplace, create_marketplace
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, Filters
from skillyard.marketplace_sync.remotes.remotes import RemoteDraft, RemoteEdit, RemoteKindMissingError
from skillyard.marketplace_sync.remotes.tables import RemoteRow
from skillyard.marketplace_sync.search.settling import FEW
from skillyard.marketplace_sync.search.tables import UnsettledRow
from skillyard.runtime.errors import DecisionRefusedError
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import Installation, SkillRef
from skillyard.settings import Settings
from skillyard.skills.bundle import make_bundle
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow
from sqlalchemy import func, select, update
from tests.api.conftest import Server, made, serving
from tests.first_start import furnish
from tests.marketplace_sync.search.shelves import Shelf

FILES = {"notes/long.md": "Long words.\n" * 2000}


def skill_md(name: str, version: str) -> str:
    head = f'---\nname: {name}\ndescription: Reads tables.\nlicense: MIT\nmetadata:\n  version: "{version}"\n---\n'
    return f"{head}# {name}\n\nRead the table and sum up what is in it.\n"


@dataclass
class There:
    """The hub, as those who publish to it see it."""

    server: Server
    admin: httpx.Client
    folder: Path

    def publish(self, name: str, version: str = "1.0.0", *, signed_by: SigningKey | None = None) -> BundleDigest:
        folder = self.folder / f"{name}-{version}" / name
        for path, text in {"SKILL.md": skill_md(name, version), **FILES}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        bundle = make_bundle(folder)
        for file in bundle.files:
            content = (folder / file.path).read_bytes()
            made(self.admin.put(f"/v1/marketplace/files/{file.sha256}", content=content))
        key = f"acme/{name}@{version}"
        said: dict[str, str] = {}
        if signed_by is not None:
            said["signature"] = signed_statement(
                Statement(key, bundle.digest, "sha256:" + hashlib.sha256(b"").hexdigest(), "PASS"), signed_by
            )
        files = [
            {"path": file.path, "sha256": file.sha256, "size": file.size, "executable": file.executable}
            for file in bundle.files
        ]
        item = {
            "item": uuid.uuid4().hex,
            "kind": "version",
            "key": key,
            "base_rev": None,
            "document": json.dumps(said),
            "files": files,
        }
        (result,) = made(self.admin.post("/v1/marketplace/push", json={"items": [item]}))["results"]  # type: ignore[misc]
        assert result["status"] == "applied", result
        return bundle.digest

    def say(self, key: str, state: str) -> None:
        made(self.admin.post("/v1/marketplace/moderation", json={"key": key, "state": state, "reason": "It steals."}))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("there")
    with (
        serving(folder / "home", marketplace_allow_private="true") as server,
        server.client(server.token) as admin,
    ):
        made(admin.post("/v1/marketplace/publishers", json={"name": "acme", "display_name": "Acme"}))
        yield There(server, admin, folder)


@dataclass
class Follows:
    """The following instance, and its admin."""

    runtime: Runtime
    market: Marketplace
    admin: Administrator
    home: Path

    async def sync(self) -> None:
        remote = await self.market.remotes.get(self.admin.workspace, "hub")
        assert (await self.market.follower.sync(remote)).equal

    async def install(self, text: str, *, upgrade: bool = False) -> Installation:
        source, publisher = await self.market.follower.source(self.admin.workspace, text)
        prepared = await self.runtime.prepare(source)
        return await self.runtime.install_prepared(
            prepared, workspace=self.admin.workspace, publisher=publisher, actor=self.admin, upgrade=upgrade
        )


@pytest.fixture
async def here(there: There, tmp_path: Path) -> AsyncIterator[Follows]:
    settings = Settings(
        home=tmp_path / "home",
        advisories_max_age_days=100_000,
        marketplace_allow_private=True,
        marketplace_allow_http=True,
    )
    furnish(settings.home)
    async with (
        await create_runtime(settings) as runtime,
        await create_marketplace(runtime, background=False) as market,
    ):
        async with runtime.database.reading() as session:
            workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
            person = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
        admin = Administrator(workspace.id, person.id, person.actor)
        expires = (utcnow() + timedelta(days=1)).isoformat()
        wanted = {"name": f"follower-{tmp_path.name}"[:60], "scopes": ["read"], "expires_at": expires}
        token = str(made(there.admin.post("/v1/marketplace/tokens", json=wanted))["token"])
        draft = RemoteDraft(name="hub", url=there.server.url, token=token, kind=SKILLYARD, live=False)
        await market.remotes.add(draft, by=admin)
        yield Follows(runtime, market, admin, settings.home)


async def test_a_published_version_is_installed_with_its_publisher_and_where_it_came_from(
    there: There, here: Follows
) -> None:
    digest = there.publish("first")
    await here.sync()
    installed = await here.install("hub:acme/first")
    version = installed.version
    assert (version.publisher, version.name, version.version) == ("acme", "first", "1.0.0")
    assert version.origin == "remote:hub/acme/first@1.0.0"
    assert version.skill.bundle.digest == digest
    assert version.state is SkillState.ACTIVE
    # What was written down can be asked for again, whatever the channel is by then.
    assert not (await here.install(version.origin)).created
    state = await here.market.follower.mirror(here.admin.workspace, "hub")
    assert (state.live, state.set_aside, state.seq) == (state.counts["skill"] * 2 + 1, 0, state.head_seq)


async def test_only_files_that_are_not_here_are_fetched(there: There, here: Follows) -> None:
    there.publish("grows")
    await here.sync()
    await here.install("remote:acme/grows")
    there.publish("grows", "1.1.0")
    await here.sync()
    source, _ = await here.market.follower.source(here.admin.workspace, "remote:acme/grows@latest")
    names = {hashlib.sha256(text.encode()).hexdigest() for text in FILES.values()}
    assert names <= source.here.keys()
    installed = await here.install("remote:acme/grows", upgrade=True)
    assert installed.version.version == "1.1.0"


async def test_files_that_are_not_what_was_promised_are_refused(there: There, here: Follows, tmp_path: Path) -> None:
    there.publish("promised")
    await here.sync()
    async with here.runtime.database.reading() as session:
        address = parse_remote_address("hub:acme/promised")
        choice = await choose(session, here.admin.workspace, address, oldest=timedelta(hours=1))
    for wrong in ({"bundle": f"sha256:{'0' * 64}"}, {"bundle_bytes": 1}):
        other = replace(choice, document=choice.document.model_copy(update=wrong))
        into = tmp_path / "into"
        into.mkdir(exist_ok=True)
        with pytest.raises(RemoteAnswerError, match="promised"):
            await RemoteSource(other, connect=here.market.remotes.client, here={}).fetch(into)
        assert not list(into.iterdir())


async def test_what_moderators_stopped_is_installed_from_nowhere(there: There, here: Follows) -> None:
    digest = there.publish("bad")
    there.publish("bad", "1.1.0")
    await here.sync()
    installed = await here.install("hub:acme/bad@1.0.0")
    there.say("acme/bad@1.0.0", "revoked")
    await here.sync()
    stored = await here.runtime.version(here.admin.workspace, SkillRef("acme", "bad", "1.0.0"))
    assert (stored.id, stored.state) == (installed.version.id, SkillState.REVOKED)
    with pytest.raises(NotInstallableError, match="revoked"):
        await here.install("hub:acme/bad@1.0.0")
    # The same content from a folder is the same content.
    prepared = await here.runtime.prepare(FolderSource(there.folder / "bad-1.0.0" / "bad"))
    assert prepared.skill.bundle.digest == digest
    with pytest.raises(DecisionRefusedError, match="revoked"):
        await here.runtime.install_prepared(
            prepared, workspace=here.admin.workspace, publisher="local", actor=here.admin, upgrade=False
        )
    await here.install("hub:acme/bad@1.1.0", upgrade=True)


async def test_a_yanked_version_is_installed_by_its_number_alone(there: There, here: Follows) -> None:
    there.publish("yanked")
    there.say("acme/yanked@1.0.0", "yanked")
    await here.sync()
    with pytest.raises((NotInstallableError, NotFoundError)):
        await here.install("hub:acme/yanked")
    assert (await here.install("hub:acme/yanked@1.0.0")).created


async def test_what_is_not_known_or_left_out_is_said(there: There, here: Follows) -> None:
    there.publish("known")
    await here.sync()
    with pytest.raises(NotFoundError, match="no version or channel"):
        await here.install("hub:acme/known@9.9.9")
    with pytest.raises(NotFoundError, match="no remote has"):
        await here.install("remote:acme/unheard-of")
    with pytest.raises(NotFoundError):
        await here.install("other:acme/known")
    with pytest.raises(InputError, match="REMOTE:publisher/name"):
        await here.install("acme/known")
    workspace = here.admin.workspace
    await here.market.remotes.change(
        workspace, "hub", RemoteEdit(filters=Filters(publishers=("zenith",))), by=here.admin
    )
    await here.sync()
    with pytest.raises(NotInstallableError, match="filters"):
        await here.install("hub:acme/known")
    await here.market.remotes.disable(workspace, "hub", by=here.admin)
    with pytest.raises(NotInstallableError, match="disabled"):
        await here.install("hub:acme/known")


async def test_a_hub_that_is_gone_leaves_nothing_behind(there: There, here: Follows) -> None:
    there.publish("away")
    await here.sync()
    workspace = here.admin.workspace
    async with here.runtime.database.transaction() as session:
        await session.execute(update(RemoteRow).values(url="http://127.0.0.1:9"))
    with pytest.raises(RemoteError):
        await here.install("hub:acme/away")
    assert not list((here.home / "staging").glob("*/*/.incoming"))
    remote = await here.market.remotes.get(workspace, "hub")
    with pytest.raises(RemoteError):
        await here.market.follower.sync(remote)
    assert (await here.market.remotes.get(workspace, "hub")).failures == 1


async def test_a_run_that_cannot_even_begin_is_seen_at_its_remote(here: Follows) -> None:
    remotes = here.market.remotes
    openers, remotes._openers = remotes._openers, {}
    try:
        with pytest.raises(RemoteKindMissingError):
            await here.market.follower.sync(await remotes.get(here.admin.workspace, "hub"))
    finally:
        remotes._openers = openers
    remote = await remotes.get(here.admin.workspace, "hub")
    assert (remote.failures, "not installed" in (remote.error or "")) == (1, True)
    # So is one that was ended because it took too long.
    await here.market.follower.cut_short(remote.id, RunTooLongError("ended after 3600 s"))
    assert (await remotes.get(here.admin.workspace, "hub")).failures == 2


async def test_a_run_that_fails_leaves_nothing_that_slows_searches_down(here: Follows) -> None:
    database, follower = here.runtime.database, here.market.follower
    remote = await here.market.remotes.get(here.admin.workspace, "hub")
    async with database.reading() as session:
        shelf = Shelf(database, await entries_of.find(session, remote.catalogue))

    async def waiting(begin: int) -> int:
        """After a page of a sync that goes on."""
        keys = [f"acme/s{number}" for number in range(begin, begin + FEW + 5)]
        await shelf.put(*(entry for key in keys for entry in shelf.both(key)))
        return await left()

    async def left() -> int:
        async with database.reading() as session:
            return int(await session.scalar(select(func.count()).select_from(UnsettledRow)) or 0)

    assert await waiting(0) == FEW + 5
    await follower.cut_short(remote.id, RunTooLongError("ended after 3600 s"))
    assert await left() == 0
    assert await waiting(100) == FEW + 5
    async with database.transaction() as session:
        await session.execute(update(RemoteRow).values(url="http://127.0.0.1:9"))
    with pytest.raises(RemoteError):
        await follower.sync(await here.market.remotes.get(here.admin.workspace, "hub"))
    assert await left() == 0


def test_over_http_and_on_the_command_line(there: There, tmp_path: Path) -> None:
    """A server that follows itself: synced, installed by its address, taken out as a file and in again."""
    there.publish("travels")
    made(there.admin.post("/v1/remotes", json={"name": "self", "url": there.server.url, "token": there.server.token}))
    until = time.monotonic() + 60
    # It may be followed already: that is begun without being asked for.
    while there.admin.post("/v1/admin/sync/trigger", json={"remote": "self", "job": "catalogue"}).status_code != 202:
        assert time.monotonic() < until
        time.sleep(0.1)
    while made(there.admin.get("/v1/remotes/self/mirror"))["succeeded_at"] is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    refused = there.admin.post("/v1/skills", json={"source": "remote:acme/travels", "publisher": "me"})
    assert refused.status_code == 422
    installed = made(there.admin.post("/v1/skills", json={"source": "remote:self/acme/travels@latest"}))["version"]
    assert (installed["publisher"], installed["origin"]) == ("acme", "remote:self/acme/travels@1.0.0")  # type: ignore[index]
    assert made(there.admin.get("/v1/remotes/self/set-aside"))["items"] == []
    assert made(there.admin.get("/v1/remotes/self/signers"))["items"] == []

    def skillyard(*arguments: str) -> dict[str, object]:
        environment = os.environ | {"SKILLYARD_SERVER": there.server.url, "SKILLYARD_TOKEN": str(there.server.token)}
        program = [sys.executable, "-m", "skillyard", *arguments, "--json"]
        ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == 0, ended.stderr
        said: dict[str, object] = json.loads(ended.stdout)
        return said

    assert skillyard("mirrors", "show", "self")["phase"] == "feed"
    assert skillyard("install", "self:acme/travels@1.0.0")["created"] is False
    file = tmp_path / "travels.tar"
    assert skillyard("skills", "export", "acme/travels@1.0.0", str(file))["bytes"] == file.stat().st_size
    made_again = there.admin.delete("/v1/skills/acme/travels")
    assert made_again.status_code == 204
    assert skillyard("skills", "import", str(file))["created"] is True
    broken = there.admin.post("/v1/skills/import", content=b"no parcel")
    assert (broken.status_code, broken.json()["field"]) == (422, "parcel")


async def test_another_signer_is_refused_until_an_admin_accepts_it(there: There, here: Follows) -> None:
    first, second = SigningKey.new(), SigningKey.new()
    there.publish("unsigned")
    made(there.admin.post("/v1/marketplace/publishers/acme/keys", json={"key": first.public.hex}))
    there.publish("signed", signed_by=first)
    await here.sync()
    assert (await here.install("hub:acme/signed")).created
    with pytest.raises(SignerError, match="not signed"):
        await here.install("hub:acme/unsigned")

    made(there.admin.post("/v1/marketplace/publishers/acme/keys", json={"key": second.public.hex}))
    there.publish("signed", "1.1.0", signed_by=second)
    await here.sync()
    with pytest.raises(SignerError, match="another key"):
        await here.install("hub:acme/signed", upgrade=True)
    await here.market.follower.signers.accept(here.admin.workspace, "hub", "acme", second.public.hex, by=here.admin)
    assert (await here.install("hub:acme/signed", upgrade=True)).created
    (signer,) = await here.market.follower.signers.list(here.admin.workspace, "hub")
    assert (signer.key, signer.accepted_by) == (second.public.hex, here.admin.person)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hub:acme/csv-report", "remote:hub/acme/csv-report"),
        ("hub:acme/csv-report@1.0.0", "remote:hub/acme/csv-report@1.0.0"),
        ("remote:acme/csv-report@beta", "remote:acme/csv-report@beta"),
        ("remote:hub/acme/csv-report@1.0.0", "remote:hub/acme/csv-report@1.0.0"),
    ],
)
def test_addresses(text: str, meant: str) -> None:
    assert parse_remote_address(text).text == meant
    assert parse_remote_address(meant).text == meant


@pytest.mark.parametrize(
    "text",
    ["acme/csv-report", "./folder", "git@host:acme/csv", "https://host/acme/csv", "hub:x/acme/csv", "hub:../a", "c:a"],
)
def test_what_is_no_address(text: str) -> None:
    assert not is_remote_address(text)
