"""Two tenants on one server: a victim that has one of everything, and a thief."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from skillyard.database import open_database
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.conflicts import store as conflict_store
from skillyard.marketplace_sync.conflicts.detect import Difference
from skillyard.marketplace_sync.conflicts.values import ConflictKind, Severity
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.testing import MemoryMarketplace
from skillyard.marketplace_sync.upwards.values import UploadId
from skillyard.times import utcnow
from tests.api.conftest import made, serving, skill_zip, upload
from tests.api.tenant_routes import ABSENT, AHEAD, MARK, PUBLISHED, SHOWN, SOON, WAIVED, Ids
from tests.marketplace_sync.hubs import Unindexed


@dataclass
class Tenant:
    """A workspace with everybody who can ask for something in it."""

    id: int
    admin: httpx.Client
    member: httpx.Client
    agent: httpx.Client
    trusted: httpx.Client
    """An agent that may act as an admin."""

    @property
    def everybody(self) -> dict[str, httpx.Client]:
        return {"admin": self.admin, "member": self.member, "agent": self.agent, "trusted": self.trusted}


@dataclass
class Scene:
    operator: httpx.Client
    victim: Tenant
    thief: Tenant
    ids: Ids
    """The victim's, of every kind."""
    published: Ids
    """What is in paths to what the victim published."""
    instance: httpx.Client
    """Another instance, with a token of the thief's workspace that carries every scope."""


def new_tenant(operator: httpx.Client, workspace: str, name: str, open_: Callable[[str], httpx.Client]) -> Tenant:
    founded: Any = made(operator.post("/v1/workspaces", json={"name": workspace}))
    admin = open_(founded["token"])

    def token(**holder: Any) -> httpx.Client:
        return open_(str(made(admin.post("/v1/tokens", json={"name": f"{name}-token", **holder}))["token"]))

    def agent(kind: str) -> int:
        wanted = {"name": f"{name}-{kind}", "maturity": "AUTONOMOUS"}
        return int(str(made(admin.post("/v1/agents", json=wanted))["id"]))

    member = made(admin.post("/v1/persons", json={"name": f"{name}-member"}))["id"]
    return Tenant(
        id=founded["workspace"]["id"],
        admin=admin,
        member=token(person=member),
        agent=token(agent=agent("agent")),
        trusted=token(agent=agent("trusted"), scopes=["admin"]),
    )


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def instance_token(admin: httpx.Client, name: str) -> Any:
    """A token for another instance that carries every scope."""
    wanted = {"name": name, "scopes": ["read", "publish", "rate"], "expires_at": SOON}
    return made(admin.post("/v1/marketplace/tokens", json=wanted))


def version_item(key: str, files: dict[str, bytes]) -> dict[str, Any]:
    rows = [{"path": path, "sha256": sha(one), "size": len(one), "executable": False} for path, one in files.items()]
    return {"item": f"publish-{uuid.uuid4().hex}", "kind": "version", "key": key, "document": "{}", "files": rows}


def push(client: httpx.Client, *items: dict[str, Any]) -> list[dict[str, Any]]:
    answer: Any = made(client.post("/v1/marketplace/push", json={"items": items}))
    return list(answer["results"])


def catalogue(client: httpx.Client) -> dict[tuple[str, str], dict[str, Any]]:
    """Every entry of the instance's own catalogue, as whoever asks is shown it."""
    page: Any = made(client.get("/v1/marketplace/snapshot", params={"limit": 200}))
    assert page["more"] is False
    return {(one["kind"], one["key"]): one for one in page["entries"]}


def publication(victim: Tenant, open_: Callable[[str], httpx.Client]) -> Ids:
    """A namespace with a key, a version, a channel, a review; and a file that was sent ahead and is not published."""
    admin, skill = victim.admin, f"/v1/marketplace/skills/{SHOWN}/{SHOWN}"
    made(admin.post("/v1/marketplace/publishers", json={"name": SHOWN, "display_name": SHOWN}))
    made(admin.post("/v1/marketplace/publishers", json={"name": f"{SHOWN}-too", "display_name": SHOWN}))
    for content in (*PUBLISHED.values(), AHEAD):
        assert made(admin.put(f"/v1/marketplace/files/{sha(content)}", content=content))["whole"] is True
    (answer,) = push(admin, version_item(f"{SHOWN}/{SHOWN}@1.0.0", PUBLISHED))
    assert answer["status"] == "applied", answer
    made(admin.put(f"{skill}/channels/beta", json={"version": "1.0.0"}))
    made(admin.put(f"{skill}/deprecation", json={"reason": f"{SHOWN} is old"}))
    # Signed from now on: what was published before is not.
    made(admin.post(f"/v1/marketplace/publishers/{SHOWN}/keys", json={"key": "cd" * 32}))
    rater = made(admin.post("/v1/persons", json={"name": f"{SHOWN}-rater"}))["id"]
    token = str(made(admin.post("/v1/tokens", json={"name": MARK, "person": rater}))["token"])
    made(open_(token).put(f"{skill}/rating", json={"stars": 5, "review": SHOWN}))
    (rating,) = [key for kind, key in catalogue(admin) if kind == "rating"]
    origin, _, name = rating.partition("#")[2].partition("/")
    index = made(admin.get("/.well-known/agent-skills/index.json"))
    (digest,) = re.findall(r"([0-9a-f]{64})\.tar\.gz", json.dumps(index))
    return {
        "publisher": SHOWN,
        "name": SHOWN,
        "version": "1.0.0",
        "channel": "beta",
        "key": "cd" * 32,
        "sha256": sha(PUBLISHED["notes.md"]),
        "digest": digest,
        "origin": origin,
        "rater": name,
    }


async def mirrored(database: str, ids: Ids) -> int:
    """A skill in the mirror of the victim's remote, and a conflict about it: as a follower writes them down."""
    market = MemoryMarketplace()
    key = f"{ids['publisher']}/{ids['name']}"
    theirs = canonical({"description": MARK, "updated_at": "2026-01-01T00:00:00Z", "channels": {}})
    local = canonical({"description": f"ours {MARK}", "updated_at": "2026-01-01T00:00:00Z", "channels": {}})
    await market.write(Change(EntryId(EntryKind.SKILL, key), theirs))
    opened = await open_database(database)
    try:
        async with opened.transaction() as session:
            remote = await remote_store.get(session, WorkspaceId(ids["workspace_id"]), ids["remote"])
            mirror = await catalogue_store.find(session, remote.catalogue)
            await catalogue_store.apply(session, mirror, list(market.entries.values()), projection=Unindexed())
            return await conflict_store.add(
                session,
                remote,
                UploadId(ids["upload_id"]),
                Difference(ConflictKind.METADATA, Severity.LOW, ("description",)),
                key=key,
                mark=conflict_store.fingerprint(remote.id, key, None, local, 1),
                base=None,
                local=local,
                theirs=theirs,
                rev=1,
                at=utcnow(),
            )
    finally:
        await opened.close()


def possessions(victim: Tenant, open_: Callable[[str], httpx.Client]) -> Ids:
    """One of everything that has an id, made as its owners make it."""
    admin = victim.admin
    made(upload(admin, skill_zip("echo", rename=f"skill-{MARK}")))
    me: Any = made(victim.agent.get("/v1/me"))
    agent = me["agent"]["id"]
    wanted = {
        "skill": f"skill-{MARK}",
        "entry": "scripts/copy.py",
        "argv": ["in", "left.bin", "more.bin"],
        "files": {"in": "YQ=="},
    }
    made(admin.put(f"/v1/agents/{agent}/pins/local/skill-{MARK}", json={"version": "1.0.0"}))
    pupil: Any = made(admin.post("/v1/agents", json={"name": f"{MARK}-intern", "maturity": "INTERN"}))
    watched: Any = made(admin.post("/v1/agents", json={"name": f"{MARK}-watched", "maturity": "SUPERVISED"}))
    issued: Any = made(admin.post("/v1/tokens", json={"name": f"{MARK}-intern", "agent": pupil["id"]}))
    approval = open_(issued["token"]).post("/v1/invocations", json={"skill": f"skill-{MARK}"}).json()["approval"]
    supervised = open_(made(admin.post("/v1/tokens", json={"name": MARK, "agent": watched["id"]}))["token"])  # type: ignore[arg-type]
    invocation = made(supervised.post("/v1/invocations", json=wanted))["id"]
    made(admin.post("/v1/packages/ban", json={"name": f"banned-{MARK}", "reason": f"because {MARK}"}))
    rule = made(
        admin.post("/v1/packages/approve", json={"name": f"fine-{MARK}", "min_maturity": "INTERN", "reason": MARK})
    )["id"]
    request: Any = made(victim.agent.post("/v1/packages/request", json={"name": f"new-{MARK}", "reason": MARK}))
    webhook = made(admin.post("/v1/webhooks", json={"url": f"http://127.0.0.1:9/{MARK}"}))["id"]
    delivery = made(admin.post(f"/v1/webhooks/{webhook}/test"))["id"]
    waiver = made(admin.post("/v1/waivers", json=WAIVED))["id"]
    remote = f"remote-{MARK}"
    made(admin.post("/v1/remotes", json={"name": remote, "url": "http://127.0.0.1:9"}))
    published = {"skill": f"local/skill-{MARK}@1.0.0"}
    sent = made(admin.post(f"/v1/remotes/{remote}/publish-installed", json=published))["id"]
    return {
        "remote": remote,
        "upload_id": sent,
        "instance_token_id": instance_token(admin, MARK)["id"],
        "publisher_key": made(admin.get("/v1/publisher-key"))["key"],
        "waiver_id": waiver,
        "agent_id": agent,
        "person_id": made(admin.get("/v1/persons"))["items"][0]["id"],  # type: ignore[index]
        "token_id": issued["id"],
        "rule_id": rule,
        "approval_id": approval,
        "request_id": request.get("id") or request["request"]["id"],
        "invocation_id": invocation,
        "webhook_id": webhook,
        "delivery_id": delivery,
        "workspace_id": victim.id,
        "publisher": "local",
        "name": f"skill-{MARK}",
        "version": "1.0.0",
        "path": "left.bin",
        "package": f"banned-{MARK}",
        "person": f"v-{MARK}-member",
    }


@contextmanager
def staged(home: Path) -> Iterator[Scene]:
    """A server with both of them."""
    private = {"webhook_allow_private": "true", "marketplace_allow_private": "true"}
    with serving(home, **private) as server, ExitStack() as clients:

        def open_(token: str) -> httpx.Client:
            return clients.enter_context(server.client(token))

        operator = open_(str(server.token))
        victim = new_tenant(operator, "victim", f"v-{MARK}", open_)
        ids = possessions(victim, open_)
        ids["conflict_id"] = asyncio.run(mirrored(server.database, ids))
        published = publication(victim, open_)
        thief = new_tenant(operator, "thief", "thief", open_)
        # Both publish too, so that what is refused is refused for what it is about.
        for admin, name in ((thief.admin, "thieves"), (operator, "house")):
            made(admin.post("/v1/marketplace/publishers", json={"name": name, "display_name": name}))
        instance = open_(instance_token(thief.admin, "thieves")["token"])
        yield Scene(operator, victim, thief, ids, published, instance)


def said(response: httpx.Response, ids: Ids) -> tuple[int, str]:
    """Status and body, with every id taken out of it that can have been asked for."""
    text = response.text
    for value in sorted({str(value) for value in (*ids.values(), *ABSENT.values())}, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(value)}(?![\w-]|\.\d)", "#", text)
    return response.status_code, text


def state_of(victim: Tenant) -> Any:
    """The end of the audit chain: whatever is changed in a workspace moves it."""
    verified: Any = made(victim.admin.get("/v1/audit/verify"))
    assert verified["broken"] is None
    return verified["head"]


def ask(client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    """The whole answer, also of a route that would stream."""
    return client.request(method, path, **request)
