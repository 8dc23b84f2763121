"""The hub over HTTP: a skill is published, seen, rated, yanked and revoked, by those who may, through a real server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tarfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from skillyard.database import Kind
from tests.api.conftest import Server, made, serving
from tests.postgres import Cluster

KEY = "acme/csv-report@1.0.0"
WHERE = "/v1/marketplace/skills/acme/csv-report"
FILES = {
    "SKILL.md": b'---\nname: csv-report\ndescription: Writes a report.\nmetadata:\n  version: "1.0.0"\n'
    b'  skillyard.entry: "scripts/main.py:run"\n---\n# Report\n\nSums up a table.\n',
    "scripts/main.py": b"import time\n\n\ndef run(seconds: float = 0) -> int:\n    time.sleep(seconds)\n    return 1\n",
}


@pytest.fixture(scope="module", params=list(Kind), ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server on each database; the tests publish under names of their own."""
    home = tmp_path_factory.mktemp("hub") / "home"
    if request.param is Kind.SQLITE:
        with serving(home, database_url=f"sqlite+aiosqlite:///{home.parent / 'hub.db'}") as running:
            yield running
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = asyncio.run(cluster.create(template=None))
    with serving(home, database_url=cluster.url(name)) as running:
        yield running
    asyncio.run(cluster.drop(name))


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def push(client: httpx.Client, *items: Mapping[str, object]) -> list[dict[str, object]]:
    answer = made(client.post("/v1/marketplace/push", json={"items": items}))
    results = answer["results"]
    assert isinstance(results, list)
    return results


def version(item: str, files: Mapping[str, bytes] = FILES, **said: str) -> dict[str, object]:
    rows = [
        {"path": path, "sha256": sha(content), "size": len(content), "executable": False}
        for path, content in files.items()
    ]
    return {"item": item, "kind": "version", "key": KEY, "document": json.dumps(said), "files": rows}


def entries(client: httpx.Client) -> dict[tuple[str, str], dict[str, object]]:
    """The catalogue as followers see it."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    cursor: str | None = None
    path = "/v1/marketplace/snapshot"
    while True:
        page = made(client.get(path, params={} if cursor is None else {"cursor": cursor}))
        rows, cursor = page["entries"], str(page["cursor"])
        assert isinstance(rows, list)
        found |= {(row["kind"], row["key"]): row for row in rows}
        if not page["more"]:
            return found


def test_published_seen_rated_yanked_and_revoked(server: Server) -> None:
    admin = server.client(server.token)
    made(admin.post("/v1/marketplace/publishers", json={"name": "acme", "display_name": "Acme"}))
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"name": "mirror", "scopes": ["read", "publish"], "expires_at": tomorrow}
    token = made(admin.post("/v1/marketplace/tokens", json=body))
    instance = server.client(str(token["token"]))

    (answer,) = push(instance, version("first"))
    assert (answer["status"], set(answer["missing"])) == ("missing", {sha(one) for one in FILES.values()})  # type: ignore[call-overload]
    for content in FILES.values():
        half = len(content) // 2
        path = f"/v1/marketplace/files/{sha(content)}"
        parts = ((0, half), (half, len(content)))
        for begin, end in parts:
            span = {"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"}
            put = made(instance.put(path, content=content[begin:end], headers=span))
            assert put["received"] == end
    (answer,) = push(instance, version("first"))
    assert answer["status"] == "applied", answer
    assert push(instance, version("first"))[0]["status"] == "duplicate"
    assert push(instance, version("first", channel="beta"))[0]["code"] == "item_reused"

    rows = made(instance.get(f"{WHERE}/versions/1.0.0/files"))["files"]
    assert isinstance(rows, list)
    assert {row["path"]: row["sha256"] for row in rows} == {path: sha(content) for path, content in FILES.items()}
    file = f"/v1/marketplace/files/{sha(FILES['SKILL.md'])}"
    part = instance.get(file, headers={"Range": "bytes=10-"})
    assert (part.status_code, part.content) == (206, FILES["SKILL.md"][10:])
    assert instance.get(file, headers={"If-None-Match": part.headers["ETag"]}).status_code == 304
    assert made(instance.get(f"{WHERE}/versions/1.0.0/report"))["verdict"] == "PASS"

    made(admin.put(f"{WHERE}/rating", json={"stars": 5, "review": "Does it."}))
    seen = entries(instance)
    assert {kind for kind, key in seen if key.startswith("acme")} == {"publisher", "skill", "version", "rating"}
    assert json.loads(str(seen["skill", "acme/csv-report"]["document"]))["channels"] == {"latest": "1.0.0"}
    assert made(admin.put(f"{WHERE}/deprecation", json={"reason": "There is a better one."}))["deprecated"] is True

    # Yanked, it is there for who names it; revoked, it is there for nobody, and what runs of it stops.
    said = {"key": KEY, "state": "yanked", "reason": "wrong sums"}
    assert made(instance.post("/v1/marketplace/moderation", json=said))["actor"] == "publisher acme"
    assert instance.get(file).status_code == 200
    revoked = made(admin.post("/v1/marketplace/moderation", json=said | {"state": "revoked"}))
    assert (revoked["state"], revoked["stopped"]) == ("revoked", 0)
    assert instance.get(file).status_code == 404
    words = made(instance.get("/v1/marketplace/moderation", params={"state": "revoked"}))["items"]
    assert isinstance(words, list)
    assert KEY in [one["key"] for one in words]
    refused = instance.post("/v1/marketplace/moderation", json=said | {"state": "visible"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    for client in (admin, instance):
        client.close()


def test_an_instances_token_is_one_in_the_marketplace_alone_and_ends_at_once(server: Server) -> None:
    admin = server.client(server.token)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"name": "mirror", "scopes": ["rate"], "expires_at": tomorrow}
    token = made(admin.post("/v1/marketplace/tokens", json=body))
    assert str(token["token"]).startswith("skm_")
    instance = server.client(str(token["token"]), address="127.0.0.2")
    assert instance.get("/v1/skills").status_code == 401
    assert instance.get("/v1/marketplacex").status_code == 401
    assert instance.get("/v1/marketplace").json()["code"] == "not_allowed"
    assert instance.get("/v1/marketplace/tokens").status_code == 403
    assert instance.put(f"/v1/marketplace/files/{sha(b'')}", content=b"").json()["code"] == "not_allowed"
    rotated = made(instance.post("/v1/marketplace/token/rotate", json={"expires_at": tomorrow, "grace_seconds": 600}))
    newer = server.client(str(rotated["token"]), address="127.0.0.2")
    for client in (instance, newer):
        assert client.get("/v1/marketplace").status_code == 403
    listed = made(admin.get("/v1/marketplace/tokens"))["items"]
    assert isinstance(listed, list)
    assert [one["replaced_by"] for one in listed[-2:]] == [rotated["id"], None]
    assert str(token["token"]).rpartition("_")[2] not in str(listed)
    assert admin.delete(f"/v1/marketplace/tokens/{rotated['id']}").status_code == 204
    assert newer.get("/v1/marketplace").status_code == 401
    answers = [newer.get("/v1/marketplace").status_code for _ in range(25)]
    assert answers[-1] == 429
    for client in (admin, instance, newer):
        client.close()


def test_a_revoke_stops_a_call_that_runs(server: Server) -> None:
    admin = server.client(server.token)
    made(admin.post("/v1/marketplace/publishers", json={"name": "globex", "display_name": "Globex"}))
    # Other content than what was revoked before: that is known again, under whatever name.
    files = FILES | {"notes.md": b"For Globex.\n"}
    for content in files.values():
        made(admin.put(f"/v1/marketplace/files/{sha(content)}", content=content))
    assert push(admin, version("running", files) | {"key": "globex/csv-report@1.0.0"})[0]["status"] == "applied"
    folder = server.home.parent / "csv-report"
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    packed = server.home.parent / "skill.tar"
    with tarfile.open(packed, "w") as archive:
        archive.add(folder, arcname="csv-report")
    with packed.open("rb") as upload:
        made(admin.post("/v1/skills", data={"publisher": "globex"}, files={"file": ("skill.tar", upload)}))
    owned = made(admin.post("/v1/agents", json={"name": "robot", "maturity": "AUTONOMOUS"}))
    issued = made(admin.post("/v1/tokens", json={"name": "test", "agent": owned["id"]}))
    agent = server.client(str(issued["token"]))
    call = {"skill": "globex/csv-report", "input": {}}
    assert agent.post("/v1/invocations", json=call).json()["outcome"]["state"] == "succeeded"
    with agent.stream(
        "POST", "/v1/invocations", json=call | {"input": {"seconds": 50}}, headers={"Accept": "application/x-ndjson"}
    ) as running:
        lines = running.iter_lines()
        assert "accepted" in next(lines)
        said = {"key": "globex/csv-report", "state": "revoked", "reason": "steals tables"}
        begun = time.monotonic()
        assert made(admin.post("/v1/marketplace/moderation", json=said))["stopped"] == 1
        outcome = json.loads([line for line in lines if line][-1])
        assert time.monotonic() - begun < 30, "it ran to its end"
    assert outcome["invocation"]["outcome"]["state"] != "succeeded"
    denied = agent.post("/v1/invocations", json=call)
    assert (denied.status_code, denied.json()["code"]) == (403, "skill_not_active")
    assert "is revoked in this workspace, because a marketplace says 'steals tables'" in denied.text
    for client in (admin, agent):
        client.close()
