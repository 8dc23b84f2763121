"""What an auditor reads over HTTP is the chain itself, and can be checked without the server."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from skillyard.governance.audit import verify_export
from tests.api.conftest import House, made, serving


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

    export = house.admin.get("/v1/audit/export")
    lines = export.content.splitlines()
    verification = verify_export(lines)
    assert verification.broken is None
    assert verification.records >= checked["records"] + 1
    actions = {json.loads(line)["action"] for line in lines}
    assert {"invocation.admitted", "invocation.finished", "package.banned", "skill.installed"} <= actions


def test_an_edited_record_is_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as server, server.client(server.token) as admin:
        made(admin.post("/v1/agents", json={"name": "a"}))
        with sqlite3.connect(home / "skillyard.db") as database:
            database.execute("UPDATE audit_records SET subject = 'agent/7' WHERE action = 'agent.added'")
        database.close()
        broken = made(admin.get("/v1/audit/verify"))["broken"]
    assert broken["kind"] == "edited"


def test_the_advisory_status_says_how_old_the_data_is(house: House) -> None:
    status = made(house.member.get("/v1/advisories"))
    assert status["max_age_days"] == 36500
    pypi = [dataset for dataset in status["datasets"] if dataset["ecosystem"] == "pypi"]
    assert pypi
    assert pypi[0]["advisories"] > 1000
    assert pypi[0]["data_date"]


def test_a_missing_index_is_never_no_advisories(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as server, server.client(server.token) as admin:
        (home / "advisories.db").unlink()
        response = admin.get("/v1/advisories")
        assert (response.status_code, response.json()["code"]) == (503, "advisory_index_missing")
        assert str(home) not in response.text
