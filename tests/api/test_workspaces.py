"""Workspaces over HTTP: made and limited by operators, suspended and resumed, and what each refusal says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.api.conftest import House, made, skill_zip, upload

COPY = {"skill": "echo", "entry": "scripts/copy.py", "argv": ["in", "a", "b"], "files": {"in": "YQ=="}}
_names = (f"workspace-{number}" for number in range(1000))


class Tenant:
    """A workspace made over HTTP, with an installed skill and an agent that may call it."""

    def __init__(self, house: House) -> None:
        founded: Any = made(house.admin.post("/v1/workspaces", json={"name": next(_names), "admin": "boss"}))
        self.id = founded["workspace"]["id"]
        self.path = f"/v1/workspaces/{self.id}"
        self.founded = founded
        self.operator = house.admin
        self.admin = house.server.client(founded["token"])
        made(upload(self.admin, skill_zip("echo")))
        robot: Any = made(self.admin.post("/v1/agents", json={"name": "robot", "maturity": "AUTONOMOUS"}))
        issued: Any = made(self.admin.post("/v1/tokens", json={"name": "robot", "agent": robot["id"]}))
        self.agent = house.server.client(issued["token"])

    def close(self) -> None:
        self.admin.close()
        self.agent.close()

    def call(self) -> httpx.Response:
        return self.agent.post("/v1/invocations", json=COPY)

    def limit(self, **quotas: int | None) -> Any:
        return made(self.operator.post(f"{self.path}/quotas", json=quotas))

    def use(self, quota: str) -> Any:
        used: Any = made(self.admin.get(f"{self.path}/usage"))
        return next(one for one in used["quotas"] if one["quota"] == quota)


@pytest.fixture
def tenant(house: House) -> Iterator[Tenant]:
    fresh = Tenant(house)
    yield fresh
    fresh.close()


def test_a_new_workspace_has_an_admin_who_is_no_operator(tenant: Tenant) -> None:
    assert tenant.founded["workspace"]["state"] == "active"
    assert tenant.founded["admin"]["name"] == "boss"
    me: Any = made(tenant.admin.get("/v1/me"))
    assert (me["workspace"], me["person"]["role"]) == (tenant.id, "admin")
    assert tenant.call().status_code == 200
    assert (
        tenant.founded["token"] not in tenant.admin.get("/v1/tokens").text + tenant.admin.get("/v1/audit/export").text
    )
    for request in (
        tenant.admin.get("/v1/workspaces"),
        tenant.admin.post("/v1/workspaces", json={"name": "more"}),
        tenant.admin.post(f"{tenant.path}/quotas", json={"agents": None}),
        tenant.admin.post(f"{tenant.path}/suspend", json={"reason": "x"}),
    ):
        assert (request.status_code, request.json()["code"]) == (403, "forbidden")


def test_an_admin_makes_nobody_an_operator(tenant: Tenant, house: House) -> None:
    for admin in (tenant.admin, house.second):
        response = admin.post("/v1/persons", json={"name": "climber", "role": "operator"})
        assert (response.status_code, response.json()["code"]) == (403, "operator_role_required")
    operator = made(house.admin.get("/v1/me"))["person"]["id"]  # type: ignore[index]
    theft = house.second.post("/v1/tokens", json={"name": "theft", "person": operator})
    assert (theft.status_code, theft.json()["code"]) == (403, "operator_role_required")


def test_a_call_over_a_quota_is_told_which_and_when_to_try_again(tenant: Tenant) -> None:
    tenant.limit(calls_per_day=2)
    assert [tenant.call().status_code for _ in range(3)] == [200, 200, 429]
    refused = tenant.call()
    problem = refused.json()
    assert (problem["code"], problem["quota"], problem["limit"], problem["used"]) == (
        "quota_exceeded",
        "calls_per_day",
        2,
        2,
    )
    assert 1 <= int(refused.headers["retry-after"]) <= 24 * 3600
    use = tenant.use("calls_per_day")
    assert (use["used"], use["limit"], use["own"]) == (2, 2, True)
    assert use["resets_at"].endswith("T00:00:00Z")
    streamed = tenant.agent.post("/v1/invocations", json=COPY, headers={"Accept": "application/x-ndjson"})
    assert (streamed.status_code, streamed.json()["code"]) == (429, "quota_exceeded")
    tenant.limit(calls_per_day=None)
    assert tenant.call().status_code == 200
    assert tenant.use("calls_per_day")["limit"] is None


def test_what_time_does_not_heal_is_a_conflict(tenant: Tenant) -> None:
    used = tenant.limit(agents=1, skills=1, storage_bytes=10)
    assert {one["quota"]: one["used"] for one in used["quotas"]}["storage_bytes"] > 10, "nothing is taken away"
    assert tenant.call().json()["outcome"]["state"] == "disk_full", "it would leave a file"
    for response, quota in (
        (tenant.admin.post("/v1/agents", json={"name": "second"}), "agents"),
        (upload(tenant.admin, skill_zip("echo", rename="second")), "skills"),
    ):
        assert (response.status_code, response.json()["code"], response.json()["quota"]) == (
            409,
            "quota_exceeded",
            quota,
        )
        assert "retry-after" not in response.headers
    tenant.limit(skills=None)
    full = upload(tenant.admin, skill_zip("echo", rename="second"))
    assert (full.status_code, full.json()["quota"]) == (409, "storage_bytes")


def test_a_suspended_workspace_is_read_and_nothing_else(tenant: Tenant) -> None:
    suspended: Any = made(tenant.operator.post(f"{tenant.path}/suspend", json={"reason": "unpaid"}))
    assert suspended["state"] == "suspended"
    denied = tenant.call()
    assert (denied.status_code, denied.json()["code"]) == (403, "workspace_suspended")
    for path in ("/v1/skills", "/v1/agents", "/v1/invocations", "/v1/audit/export", f"{tenant.path}/usage", "/v1/me"):
        assert tenant.admin.get(path).status_code == 200
    for response in (
        tenant.admin.post("/v1/agents", json={"name": "more"}),
        tenant.admin.post("/v1/packages/ban", json={"name": "x", "reason": "y"}),
        tenant.admin.delete("/v1/skills/local/echo"),
        tenant.agent.post("/v1/packages/request", json={"name": "x", "reason": "y"}),
        upload(tenant.admin, skill_zip("echo", rename="more")),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "workspace_suspended")
    made(tenant.operator.post(f"{tenant.path}/resume", json={"reason": "paid"}))
    assert tenant.call().status_code == 200
    actions = [item["action"] for item in made(tenant.admin.get("/v1/audit/records"))["items"]]  # type: ignore[attr-defined]
    assert {"workspace.suspended", "workspace.resumed"} <= set(actions)


def test_an_operator_cannot_suspend_the_workspace_they_are_in(house: House) -> None:
    own = made(house.admin.get("/v1/me"))["workspace"]
    response = house.admin.post(f"/v1/workspaces/{own}/suspend", json={"reason": "oops"})
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("", {"name": ""}, "name"),
        ("", {"name": "x" * 10_000}, "name"),
        ("", {"name": "a b"}, "name"),
        ("", {"name": "fine", "admin": "\u200b"}, "name"),
        ("/quotas", {"calls": 1}, "calls"),
        ("/quotas", {"calls_per_day": -1}, "calls_per_day"),
        ("/quotas", {"calls_per_day": 1.5}, "calls_per_day"),
        ("/quotas", {"calls_per_day": "7"}, "calls_per_day"),
        ("/quotas", {"agents": True}, "agents"),
        ("/quotas", {"storage_bytes": 2**53}, "storage_bytes"),
        ("/quotas", {"sandboxes": 0}, "sandboxes"),
        ("/quotas", {"sandbox_memory_bytes": 1024}, "sandbox_memory_bytes"),
        ("/suspend", {"reason": ""}, "reason"),
        ("/suspend", {"reason": "   "}, "reason"),
        ("/suspend", {}, "reason"),
    ],
)
def test_bad_input_names_its_field_and_changes_nothing(
    house: House, tenant: Tenant, path: str, body: dict[str, Any], field: str
) -> None:
    before = made(tenant.admin.get("/v1/audit/verify"))["head"]
    response = house.admin.post("/v1/workspaces" if not path else tenant.path + path, json=body)
    assert (response.status_code, response.json()["field"]) == (422, field), response.text
    assert made(tenant.admin.get("/v1/audit/verify"))["head"] == before


def test_workspaces_are_listed_page_by_page(house: House, tenant: Tenant) -> None:
    first: Any = made(house.admin.get("/v1/workspaces", params={"limit": 1}))
    assert len(first["items"]) == 1
    rest: Any = made(house.admin.get("/v1/workspaces", params={"limit": 200, "cursor": first["next_cursor"]}))
    assert tenant.id in [item["id"] for item in rest["items"]]
    assert first["items"][0]["id"] not in [item["id"] for item in rest["items"]]


def test_a_taken_name_is_a_conflict(house: House, tenant: Tenant) -> None:
    name = tenant.founded["workspace"]["name"]
    response = house.admin.post("/v1/workspaces", json={"name": name})
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
