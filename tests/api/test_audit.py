"""What an auditor reads over HTTP is the chain itself, and can be checked without the server."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from skillyard.governance.audit import verify_export
from tests.api.conftest import House, made, serving
from tests.out_of_band import change


def test_the_chain_verifies_and_its_export_verifies_offline(house: House) -> None:
    made(house.agent.post("/v1/invocations", json={"skill": "echo"}))
    checked = made(house.admin.get("/v1/audit/verify"))
    assert checked["broken"] is None
    noted = {"noted_seq": checked["head"]["seq"], "noted_hash": checked["head"]["hash"]}
    made(house.admin.post("/v1/packages/ban", json={"name": "later-ban", "reason": "r"}))
    assert made(house.admin.get("/v1/audit/verify", params=noted))["broken"] is None
    wrong = noted | {"noted_hash": "0" * 64}
    assert made(house.admin.get("/v1/audit/verify", params=wrong))["broken"]["kind"] == "head"
    assert house.admin.get("/v1/audit/verify", params={"noted_seq": 1}).status_code == 422

    key = made(house.admin.get("/v1/audit/keys"))["items"][0]["id"]
    for packed in (False, True):
        export = house.admin.get("/v1/audit/export", params={"gzip": packed})
        content = gzip.decompress(export.content) if packed else export.content
        lines = content.splitlines(keepends=True)
        verification = verify_export(lines, trusted=[key])
        assert (verification.broken, verification.unsigned) == (None, 0)
        assert verification.records >= checked["records"] + 1
    actions = {json.loads(line).get("action") for line in lines}
    assert {"invocation.admitted", "invocation.finished", "package.banned", "skill.installed"} <= actions


def test_a_head_is_signed_on_demand_and_anybody_can_check_it(house: House) -> None:
    head = made(house.admin.post("/v1/audit/head"))
    text = [head["workspace_id"], head["seq"], head["hash"], head["at"], head["key_id"]]
    message = b"skillyard audit head, version 1\n" + json.dumps(text, separators=(",", ":")).encode()
    key = load_pem_public_key(str(head["pem"]).encode())
    assert isinstance(key, Ed25519PublicKey)
    key.verify(bytes.fromhex(str(head["signature"])), message)
    found = made(house.admin.get("/v1/audit/verify", params={"noted_seq": head["seq"], "noted_hash": head["hash"]}))
    assert (found["broken"], found["indeterminate"]) == (None, None)
    assert found["signed"]["seq"] >= head["seq"]


def test_records_are_picked_page_by_page(house: House) -> None:
    made(house.agent.post("/v1/invocations", json={"skill": "echo"}))
    call = made(house.agent.post("/v1/invocations", json={"skill": "echo"}))["id"]
    params = {"action": "invocation.", "limit": 1}
    newest = made(house.admin.get("/v1/audit/records", params=params))
    older = made(house.admin.get("/v1/audit/records", params=params | {"cursor": newest["next_cursor"]}))
    both = [*newest["items"], *older["items"]]
    assert [one["action"] for one in both] == ["invocation.finished", "invocation.admitted"]
    of_call = made(house.admin.get("/v1/audit/records", params={"invocation": call}))
    assert (of_call["items"], of_call["next_cursor"]) == (both, None)
    excerpt = house.admin.get("/v1/audit/export", params={"invocation": call})
    key = made(house.admin.get("/v1/audit/keys"))["items"][0]["id"]
    found = verify_export(excerpt.content.splitlines(keepends=True), trusted=[key])
    assert (found.broken, found.excerpt, found.records) == (None, True, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actor", "nobody"),
        ("actor", "a" * 33),
        ("action", "DROP TABLE"),
        ("subject", ""),
        ("subject", "s" * 501),
        ("agent", "0"),
        ("agent", str(2**63)),
        ("since", "yesterday"),
        ("since", "2026-01-02T03:04:05"),
        ("cursor", "x"),
        ("order", "sideways"),
        ("limit", "0"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_field(house: House, name: str, value: str) -> None:
    refused = house.admin.get("/v1/audit/records", params={name: value})
    assert refused.status_code == 422
    assert refused.json()["field"].rpartition(".")[2] == name


def test_only_admins_read_the_log_and_only_their_own(house: House) -> None:
    routes = ("verify", "records", "export", "keys", "archives")
    for client in (house.member, house.agent):
        assert [client.get(f"/v1/audit/{name}").status_code for name in routes] == [403] * len(routes)
        assert client.post("/v1/audit/head").status_code == 403
    ours = made(house.admin.post("/v1/audit/head"))["workspace_id"]
    theirs = made(house.stranger.post("/v1/audit/head"))["workspace_id"]
    assert ours != theirs
    text = house.stranger.get("/v1/audit/records").text + house.stranger.get("/v1/audit/export").text
    assert f'"workspace_id":{ours},' not in text


def test_an_edited_record_is_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as server, server.client(server.token) as admin:
        made(admin.post("/v1/agents", json={"name": "a"}))
        edit = "UPDATE audit_records SET subject = 'agent/7' WHERE action = 'agent.added'"
        asyncio.run(change(server.database, edit))
        broken = made(admin.get("/v1/audit/verify"))["broken"]
    assert broken["kind"] == "edited"
