"""Tenants over HTTP: with every kind of id of another tenant, on every route, as everybody of one's own.

The routes are the application's own. A new one is asked by itself; where it needs a body, or an id of a kind that is
not made here yet, it fails until somebody says which.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from skillyard.api.application import create_app
from skillyard.settings import Settings
from tests.api.conftest import made, serving, skill_zip, upload

Ids = dict[str, Any]
Route = tuple[str, str]

MARK = f"mark{uuid.uuid4().hex[:10]}"
"""Part of whatever the victim has that is text, so that it can be looked for in every answer."""
PUBLIC = {"/health", "/openapi.json"}
WAIVED = {
    "ecosystem": "pypi",
    "name": f"waived-{MARK}",
    "version": "1.0",
    "advisory": f"ADV-{MARK}",
    "reason": MARK,
    "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
}

BODIES: dict[Route, Any] = {
    ("PUT", "/v1/agents/{agent_id}/maturity"): {"maturity": "INTERN", "reason": "theft"},
    ("POST", "/v1/agents/{agent_id}/suspend"): {"reason": "theft"},
    ("POST", "/v1/agents/{agent_id}/resume"): {"reason": "theft"},
    ("PUT", "/v1/agents/{agent_id}/pins/{publisher}/{name}"): {"version": "1.0.0"},
    ("POST", "/v1/quarantine/{publisher}/{name}/versions/{version}/lift"): {"reason": "theft"},
    ("POST", "/v1/approvals/{approval_id}/revoke"): {"reason": "theft"},
    ("POST", "/v1/skills/{publisher}/{name}/activate"): {"version": "1.0.0"},
    ("POST", "/v1/supervision/{invocation_id}/stop"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/suspend"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/resume"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/quotas"): {"agents": 0},
}
"""What routes with ids in their paths need besides."""

NO_IDS: set[Route] = {
    ("POST", "/v1/skills"),
    ("POST", "/v1/skills/upgrade"),
    ("POST", "/v1/persons"),
    ("POST", "/v1/packages/approve"),
    ("POST", "/v1/packages/ban"),
    ("POST", "/v1/packages/import"),
    ("POST", "/v1/packages/allow-list"),
    ("POST", "/v1/packages/request"),
    ("POST", "/v1/audit/head"),
    ("POST", "/v1/webhooks"),
    ("POST", "/v1/workspaces"),
}
"""Routes that change something and can be given no id of anybody's."""


def in_bodies(ids: Ids) -> dict[Route, list[dict[str, Any]]]:
    """Requests whose ids are not in the path; each is answered as one with ids that exist nowhere."""
    asked = {"packages": [{"name": "left-pad", "version": "1.0"}], "agent": ids["agent_id"]}
    return {
        ("POST", "/v1/tokens"): [
            {"json": {"name": "theft", "agent": ids["agent_id"]}},
            {"json": {"name": "theft", "person": ids["person_id"]}},
        ],
        ("POST", "/v1/agents"): [{"json": {"name": "theft", "owner": ids["person_id"]}}],
        ("POST", "/v1/waivers"): [{"json": {**WAIVED, "owner": ids["person"]}}],
        ("POST", "/v1/invocations"): [
            {"json": {"skill": f"{ids['publisher']}/{ids['name']}"}},
            {"json": {"skill": f"{ids['publisher']}/{ids['name']}@{ids['version']}"}},
        ],
        ("POST", "/v1/packages/unban"): [{"json": {"name": ids["package"]}}],
        ("POST", "/v1/packages/check"): [{"json": asked}],
        ("GET", "/v1/packages/check"): [
            {"params": {"name": "left-pad", "version": "1.0", "agent": ids["agent_id"]}},
            {"params": {"name": ids["package"], "version": "1.0"}},
        ],
        ("GET", "/v1/supervision"): [{"params": {"agent": ids["agent_id"]}}],
        ("GET", "/v1/supervision/live"): [{"params": {"agent": ids["agent_id"]}}],
        ("GET", "/v1/packages/rules"): [{"params": {"name": ids["package"]}}],
        ("GET", "/v1/audit/records"): [{"params": {"subject": f"agent/{ids['agent_id']}"}}],
    }


ROUTES: list[Route] = sorted(
    (method.upper(), path)
    for path, methods in create_app(Settings()).openapi()["paths"].items()
    if path not in PUBLIC
    for method in methods
)
WITH_IDS = [route for route in ROUTES if "{" in route[1]]
ABSENT: Ids = {
    **dict.fromkeys(
        (
            "agent_id",
            "token_id",
            "rule_id",
            "approval_id",
            "request_id",
            "webhook_id",
            "delivery_id",
            "person_id",
            "waiver_id",
        ),
        987654321,
    ),
    "workspace_id": 987654321,
    "invocation_id": str(uuid.uuid4()),
    "publisher": "local",
    "name": "nothing-here",
    "version": "9.9.9",
    "path": "nowhere.bin",
    "package": "nothing-here",
    "person": "nobody-here",
}


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
    return {
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


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("tenants") / "home"
    with serving(home, webhook_allow_private="true") as server, ExitStack() as clients:

        def open_(token: str) -> httpx.Client:
            return clients.enter_context(server.client(token))

        operator = open_(str(server.token))
        victim = new_tenant(operator, "victim", f"v-{MARK}", open_)
        ids = possessions(victim, open_)
        yield Scene(operator, victim, new_tenant(operator, "thief", "thief", open_), ids)


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


@pytest.mark.parametrize(("method", "path"), WITH_IDS, ids=[" ".join(route) for route in WITH_IDS])
def test_ids_of_another_tenant_are_ids_of_nothing(scene: Scene, method: str, path: str) -> None:
    body = BODIES.get((method, path))
    before = state_of(scene.victim)
    asking = dict(scene.thief.everybody)
    if not path.startswith("/v1/workspaces/"):
        asking["operator"] = scene.operator
    for who, client in asking.items():
        real = ask(client, method, path.format_map(scene.ids), json=body)
        absent = ask(client, method, path.format_map(ABSENT), json=body)
        assert real.status_code in {403, 404}, f"{who}: {real.status_code} {real.text}"
        assert said(real, scene.ids) == said(absent, scene.ids), f"{who} can tell that it exists"
        if real.status_code == 403:
            assert real.json()["code"] in {"forbidden", "admin_role_required", "operator_role_required"}
            assert who != "operator"
            assert who != "admin" or path.startswith("/v1/workspaces/"), "an admin is refused for the id, not the role"
        assert MARK not in re.sub(rf"skill-{MARK}", "", real.text), "the one name that was asked for, and no other"
    assert state_of(scene.victim) == before, "it had an effect"


def test_ids_in_bodies_and_queries_are_ids_of_nothing(scene: Scene) -> None:
    before = state_of(scene.victim)
    absent = in_bodies(ABSENT)
    for (method, path), requests in in_bodies(scene.ids).items():
        for request, like in zip(requests, absent[method, path], strict=True):
            for who, client in {**scene.thief.everybody, "operator": scene.operator}.items():
                real = ask(client, method, path, **request)
                nothing = ask(client, method, path, **like)
                assert said(real, scene.ids) == said(nothing, scene.ids), f"{who}: {method} {path} {request}"
                if method != "GET" and "check" not in path:
                    assert real.status_code in {403, 404}, f"{who}: {method} {path}: {real.text}"
    assert state_of(scene.victim) == before


def test_ones_own_things_do_not_lead_to_anothers(scene: Scene) -> None:
    """The first id of the path is the thief's own, the second the victim's."""
    thief = scene.thief.admin
    agent: Any = made(scene.thief.agent.get("/v1/me"))
    mine = agent["agent"]["id"]
    webhook = made(thief.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/mine"}))["id"]
    name = scene.ids["name"]
    for method, path, body in (
        ("PUT", f"/v1/agents/{mine}/pins/local/{name}", {"version": "1.0.0"}),
        ("DELETE", f"/v1/agents/{mine}/pins/local/{name}", None),
        ("POST", f"/v1/webhooks/{webhook}/deliveries/{scene.ids['delivery_id']}/retry", None),
    ):
        response = thief.request(method, path, json=body)
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), f"{method} {path}"


LISTS = [path for method, path in ROUTES if method == "GET" and "{" not in path]


@pytest.mark.parametrize("path", LISTS)
def test_no_list_holds_anything_of_another_tenant(scene: Scene, path: str) -> None:
    marks = (MARK, scene.ids["invocation_id"])
    shown = [scene.victim.admin.get(path).text, scene.victim.agent.get(path).text]
    for who, client in scene.thief.everybody.items():
        response = client.get(path)
        assert response.status_code in {200, 403, 422}, f"{who}: {response.text}"
        assert not any(mark in response.text for mark in marks), who
    if path != "/v1/workspaces":
        assert not any(mark in scene.operator.get(path).text for mark in marks), (
            "operators do not see into workspaces either"
        )
    if any(mark in text for text in shown for mark in marks):
        return
    assert path in {
        "/v1/advisories",
        "/v1/audit/archives",
        "/v1/audit/keys",
        "/v1/audit/verify",
        "/v1/packages/check",
        "/v1/packages/stats",
        "/v1/quarantine",
        "/v1/status",
        "/v1/supervision/live",
        "/v1/workspaces",
    }, "the victim sees nothing of its own here either: this proves nothing"


def test_every_route_is_asked_somehow() -> None:
    asked = set(WITH_IDS) | {("GET", path) for path in LISTS} | NO_IDS | set(in_bodies(ABSENT))
    assert asked == set(ROUTES), "say in this file what ids a new route takes, or that it takes none"


def test_the_instances_own_figures_are_for_operators(scene: Scene) -> None:
    """How much all sandboxes together do is news of the other tenants."""
    assert made(scene.thief.admin.get("/v1/status"))["instance"] is None
    assert made(scene.operator.get("/v1/status"))["instance"] is not None


def test_an_operator_sees_name_state_and_usage_of_a_workspace_and_no_more(scene: Scene) -> None:
    listed: Any = made(scene.operator.get("/v1/workspaces", params={"limit": 200}))
    assert {"id": scene.victim.id, "name": "victim", "state": "active"} in listed["items"]
    assert set(listed["items"][0]) == {"id", "name", "state"}
    used: Any = made(scene.operator.get(f"/v1/workspaces/{scene.victim.id}/usage"))
    assert set(used) == {"workspace", "at", "quotas"}
    assert used == made(scene.victim.member.get(f"/v1/workspaces/{scene.victim.id}/usage")) | {"at": used["at"]}
