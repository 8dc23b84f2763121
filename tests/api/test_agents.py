"""Agents over HTTP: trusted on evidence, and acting as admins where their token carries the scope."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest
from tests.api.conftest import House, made, skill_zip, upload


def new_agent(house: House, maturity: str = "AUTONOMOUS", *scopes: str) -> tuple[int, httpx.Client]:
    agent = made(house.admin.post("/v1/agents", json={"name": f"g-{uuid.uuid4().hex[:8]}", "maturity": maturity}))
    body = {"name": "t", "agent": agent["id"], "scopes": list(scopes)}
    token = made(house.admin.post("/v1/tokens", json=body))["token"]
    return int(str(agent["id"])), house.server.client(str(token))


@pytest.fixture
def scoped(house: House) -> Iterator[tuple[int, httpx.Client]]:
    agent, client = new_agent(house, "AUTONOMOUS", "admin")
    with client:
        yield agent, client


BAN = {"ecosystem": "pypi", "name": "left-over", "reason": "a test says so"}


def test_an_agent_with_the_scope_does_what_an_admin_does_and_is_named_for_it(
    house: House, scoped: tuple[int, httpx.Client]
) -> None:
    agent, client = scoped
    assert client.post("/v1/packages/ban", json=BAN).status_code == 201
    assert client.post("/v1/packages/unban", json={"ecosystem": "pypi", "name": "left-over"}).status_code == 200
    name = f"s-{agent}"
    made(upload(client, skill_zip("echo", rename=name), publisher="robots"))
    assert client.delete(f"/v1/skills/robots/{name}").status_code == 204
    assert client.post("/v1/agents", json={"name": f"st-{agent}"}).status_code == 201
    other, _ = new_agent(house)
    assert client.post(f"/v1/agents/{other}/suspend", json={"reason": "odd"}).status_code == 200
    mine = [line for line in house.admin.get("/v1/audit/export").text.splitlines() if f'"actor_id":{agent},' in line]
    acted = [line for line in mine if '"actor_kind":"agent"' in line]
    for action in ("package.banned", "skill.installed", "skill.removed", "agent.suspended"):
        (line,) = [line for line in acted if action in line]
        assert "on_behalf_of" in line, action


def test_what_stays_with_persons(house: House, scoped: tuple[int, httpx.Client]) -> None:
    agent, client = scoped
    other, _ = new_agent(house, "STUDENT")
    trusted = {"maturity": "INTERN", "reason": "r"}
    name = {"name": f"x-{uuid.uuid4().hex[:8]}"}
    for refused in (
        client.put(f"/v1/agents/{other}/maturity", json=trusted),
        client.put(f"/v1/agents/{agent}/maturity", json=trusted),
        client.post(f"/v1/agents/{other}/resume", json={"reason": "r"}),
        client.post("/v1/tokens", json={**name, "agent": agent, "scopes": ["admin"]}),
        client.post("/v1/persons", json={**name, "role": "admin"}),
        client.post("/v1/agents", json={**name, "maturity": "AUTONOMOUS"}),
        client.post("/v1/approvals/1/approve"),
        client.post("/v1/approvals/1/deny"),
        client.get("/v1/persons"),
    ):
        assert refused.status_code == 403, refused.request.url
    seen = made(house.admin.get(f"/v1/agents/{other}"))
    assert seen["maturity"] == "STUDENT"


def test_the_scope_counts_for_autonomous_active_agents_alone_from_the_very_next_request(house: House) -> None:
    for maturity in ("STUDENT", "INTERN", "SUPERVISED"):
        _, client = new_agent(house, maturity, "admin")
        with client:
            assert client.post("/v1/packages/ban", json=BAN).status_code == 403
    agent, client = new_agent(house, "AUTONOMOUS", "admin")
    with client:
        assert client.get("/v1/tokens").status_code == 200
        demoted = {"maturity": "SUPERVISED", "reason": "odd"}
        assert house.admin.put(f"/v1/agents/{agent}/maturity", json=demoted).status_code == 200
        assert client.get("/v1/tokens").status_code == 403
        back = {"maturity": "AUTONOMOUS", "reason": "explained"}
        assert house.admin.put(f"/v1/agents/{agent}/maturity", json=back).status_code == 200
        assert client.get("/v1/tokens").status_code == 200
        assert house.admin.post(f"/v1/agents/{agent}/suspend", json={"reason": "odd"}).status_code == 200
        assert client.get("/v1/tokens").status_code == 403
    _, plain = new_agent(house)
    with plain:
        assert plain.post("/v1/packages/ban", json=BAN).status_code == 403


def test_scopes_are_shown_in_lists(house: House, scoped: tuple[int, httpx.Client]) -> None:
    listed = made(house.admin.get("/v1/tokens", params={"limit": 200}))["items"]
    assert isinstance(listed, list)
    assert [one["scopes"] for one in listed if one["holder"] == f"agent/{scoped[0]}"] == [["admin"]]
    assert {len(one["scopes"]) for one in listed if one["holder"].startswith("person/")} == {0}


def test_evidence_and_history(house: House) -> None:
    agent, client = new_agent(house, "SUPERVISED")
    with client:
        empty = made(house.admin.get(f"/v1/agents/{agent}/evidence"))
        assert (empty["calls"], empty["success"], empty["median_wall_seconds"]) == (0, None, None)
        for _ in range(2):
            assert client.post("/v1/invocations", json={"skill": "echo"}).status_code == 200
    found = made(house.member.get(f"/v1/agents/{agent}/evidence", params={"days": 1}))
    assert found["states"] == {"succeeded": 2}
    success = found["success"]
    assert isinstance(success, dict)
    assert (success["part"], success["whole"], success["high"]) == (2, 2, 1.0)
    assert success["low"] == pytest.approx(0.342380, abs=1e-6)
    trusted = {"maturity": "AUTONOMOUS", "reason": " steady "}
    made(house.admin.put(f"/v1/agents/{agent}/maturity", json=trusted))
    (change,) = made(house.member.get(f"/v1/agents/{agent}/maturity-changes"))["items"]  # type: ignore[misc]
    assert (change["before"], change["after"], change["reason"]) == ("SUPERVISED", "AUTONOMOUS", "steady")
    assert change["evidence"]["success"]["of"] == 2


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"maturity": "GRANDMASTER", "reason": "r"}, 422, "maturity"),
        ({"maturity": "INTERN"}, 422, "reason"),
        ({"maturity": "INTERN", "reason": ""}, 422, "reason"),
        ({"maturity": "INTERN", "reason": "  "}, 422, "reason"),
        ({"maturity": "INTERN", "reason": "x" * 10_000}, 422, "reason"),
        ({"maturity": "INTERN", "reason": "r", "force": "perhaps"}, 422, "force"),
        ({"maturity": "SUPERVISED", "reason": "r"}, 409, None),
    ],
    ids=str,
)
def test_a_change_that_is_no_good_changes_nothing(
    house: House, body: dict[str, object], status: int, field: str | None
) -> None:
    agent, client = new_agent(house, "STUDENT")
    client.close()
    answer = house.admin.put(f"/v1/agents/{agent}/maturity", json=body)
    assert (answer.status_code, answer.json().get("field")) == (status, field)
    assert made(house.admin.get(f"/v1/agents/{agent}"))["maturity"] == "STUDENT"
    assert made(house.admin.get(f"/v1/agents/{agent}/maturity-changes"))["items"] == []


@pytest.mark.parametrize("days", ["0", "-1", "99999", "nan", "soon"])
def test_windows_that_are_none(house: House, days: str) -> None:
    agent, client = new_agent(house, "STUDENT")
    client.close()
    answer = house.admin.get(f"/v1/agents/{agent}/evidence", params={"days": days})
    assert (answer.status_code, answer.json()["field"]) == (422, "days")


def test_another_tenant_finds_none_of_it(house: House) -> None:
    agent, client = new_agent(house, "STUDENT", "admin")
    client.close()
    for answer in (
        house.stranger.get(f"/v1/agents/{agent}/evidence"),
        house.stranger.get(f"/v1/agents/{agent}/maturity-changes"),
        house.stranger.put(f"/v1/agents/{agent}/maturity", json={"maturity": "INTERN", "reason": "r"}),
        house.stranger.post(f"/v1/agents/{agent}/suspend", json={"reason": "r"}),
        house.stranger.post("/v1/tokens", json={"name": "t", "agent": agent, "scopes": ["admin"]}),
    ):
        assert answer.status_code == 404
    assert made(house.admin.get(f"/v1/agents/{agent}"))["maturity"] == "STUDENT"


@pytest.mark.parametrize("scopes", [["root"], ["admin", "root"], "admin", [1]], ids=str)
def test_a_scope_that_is_none_is_refused(house: House, scopes: object) -> None:
    agent, client = new_agent(house)
    client.close()
    answer = house.admin.post("/v1/tokens", json={"name": "t", "agent": agent, "scopes": scopes})
    assert (answer.status_code, answer.json()["field"].split(".")[0]) == (422, "scopes")
