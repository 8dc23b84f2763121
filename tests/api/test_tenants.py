"""Tenants over HTTP: with every kind of id of another tenant, on every route, as everybody of one's own.

The routes are the application's own. A new one is asked by itself; where it needs a body, or an id of a kind that is
not made here yet, it fails until somebody says which.

What a workspace publishes is public to whoever holds a token of the instance (ADR 0035): there everybody may look, and
nobody but its publisher may change anything. Which routes those are is said in tenant_routes.py.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.conftest import made
from tests.api.tenant_routes import (
    ABSENT,
    AHEAD,
    BODIES,
    BY_THEMSELVES,
    CATALOGUE,
    LISTS,
    MARK,
    NO_IDS,
    OPERATORS,
    PUBLISHED,
    PUBLISHERS,
    ROUTES,
    SHOWN,
    SKILL_PATH,
    WITH_IDS,
    Route,
    in_bodies,
    path_of,
)
from tests.api.tenant_scene import Scene, ask, catalogue, push, said, sha, staged, state_of, version_item


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with staged(tmp_path_factory.mktemp("tenants") / "home") as both:
        yield both


@pytest.mark.parametrize(("method", "path"), WITH_IDS, ids=[" ".join(route) for route in WITH_IDS])
def test_ids_of_another_tenant_are_ids_of_nothing(scene: Scene, method: str, path: str) -> None:
    body = BODIES.get((method, path))
    before = state_of(scene.victim)
    asking = dict(scene.thief.everybody)
    if not path.startswith("/v1/workspaces/"):
        asking["operator"] = scene.operator
    for who, client in asking.items():
        real = ask(client, method, path_of(path, scene.ids), json=body)
        absent = ask(client, method, path_of(path, ABSENT), json=body)
        assert real.status_code in {403, 404}, f"{who}: {real.status_code} {real.text}"
        assert said(real, scene.ids) == said(absent, scene.ids), f"{who} can tell that it exists"
        if real.status_code == 403:
            assert real.json()["code"] in {"forbidden", "admin_role_required", "operator_role_required"}
            assert who != "operator"
            assert who != "admin" or path.startswith("/v1/workspaces/"), "an admin is refused for the id, not the role"
        assert MARK not in re.sub(rf"(skill|remote)-{MARK}", "", real.text), (
            "the one name that was asked for, and no other"
        )
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


@pytest.mark.parametrize("path", LISTS)
def test_no_list_holds_anything_of_another_tenant(scene: Scene, path: str) -> None:
    marks = (MARK, scene.ids["invocation_id"], scene.ids["publisher_key"])
    if path == "/v1/marketplace/namespaces":
        # The names are public; which of them are one's own is asked here.
        marks = (SHOWN,)
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
        "/v1/admin/sync/ratings/status",
        "/v1/admin/sync/runs",
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
    asked = set(WITH_IDS) | {("GET", path) for path in (*LISTS, "/metrics")} | NO_IDS | set(in_bodies(ABSENT))
    asked |= BY_THEMSELVES
    assert asked == set(ROUTES), "say in tests/api/tenant_routes.py what ids a new route takes, or that it takes none"


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


# The marketplace: what is published is everybody's to see, and its publisher's alone to change.


@pytest.mark.parametrize(("method", "path"), sorted(CATALOGUE), ids=[path for _, path in sorted(CATALOGUE)])
def test_the_catalogue_shows_what_is_published_and_nothing_else(scene: Scene, method: str, path: str) -> None:
    for who, client in {**scene.thief.everybody, "operator": scene.operator}.items():
        response = ask(client, method, path.format_map(scene.published))
        assert response.status_code == 200, f"{who}: {response.text}"
        assert MARK not in response.text, who
        assert scene.ids["publisher_key"] not in response.text, who


def trespasses() -> dict[Route, Any]:
    """What a publisher, or an operator, may do to what the victim published: all with their bodies."""
    bodies: dict[Route, Any] = {
        ("POST", "/v1/marketplace/publishers/{publisher}/keys"): {"key": "ef" * 32},
        ("PUT", f"{SKILL_PATH}/channels/{{channel}}"): {"version": "1.0.0"},
        ("PUT", f"{SKILL_PATH}/deprecation"): {"reason": "theft"},
        ("POST", "/v1/marketplace/moderation"): {"key": f"{SHOWN}/{SHOWN}@1.0.0", "state": "yanked", "reason": "theft"},
        ("PUT", "/v1/marketplace/categories/{category}"): {"title": "theft"},
    }
    routes = (PUBLISHERS | OPERATORS) - {("POST", "/v1/marketplace/push")}
    assert set(bodies) <= routes
    return {route: bodies.get(route) for route in sorted(routes)}


def test_nobody_changes_what_another_published(scene: Scene) -> None:
    before, shown = state_of(scene.victim), catalogue(scene.operator)
    values = {**scene.published, "category": "data"}
    for (method, path), body in trespasses().items():
        asking = {**scene.thief.everybody, "instance": scene.instance}
        # Operators moderate, strike reviews and keep the categories, of whatever workspace: that is their office.
        if (method, path) not in OPERATORS | {("POST", "/v1/marketplace/moderation")}:
            asking["operator"] = scene.operator
        params = {"reason": "theft"} if "{rater}" in path else {}
        for who, client in asking.items():
            response = ask(client, method, path.format_map(values), json=body, params=params)
            assert response.status_code == 403, f"{who}: {method} {path}: {response.status_code} {response.text}"
            # An admin is refused for whose it is, not for the role.
            may = who in {"admin", "operator"} and (method, path) in PUBLISHERS
            codes = {"not_allowed"} if may else {"not_allowed", "forbidden", "operator_role_required"}
            assert response.json()["code"] in codes, f"{who}: {method} {path}: {response.text}"
            assert MARK not in response.text
    assert catalogue(scene.operator) == shown
    assert state_of(scene.victim) == before


def test_nothing_is_pushed_into_anothers_namespace_or_in_anothers_name(scene: Scene) -> None:
    before, shown = state_of(scene.victim), catalogue(scene.operator)
    skill, rating = f"{SHOWN}/{SHOWN}", f"{SHOWN}/{SHOWN}#{scene.published['origin']}/{scene.published['rater']}"
    edited = json.loads(shown["skill", skill]["document"]) | {"description": "theft"}
    rated = json.loads(shown["rating", rating]["document"]) | {"stars": 1}
    rev = shown["skill", skill]["rev"]
    items = [
        version_item(f"{skill}@1.0.1", PUBLISHED),
        version_item(f"{SHOWN}-too/other@1.0.0", PUBLISHED),
        {"kind": "skill", "key": skill, "base_rev": rev, "document": json.dumps(edited)},
        {"kind": "moderation", "key": f"{skill}@1.0.0", "document": json.dumps({"state": "yanked", "reason": "theft"})},
        {"kind": "rating", "key": rating, "document": json.dumps(rated)},
        {"kind": "rating", "key": rating, "document": None},
    ]
    for who in (scene.thief.admin, scene.thief.member, scene.instance, scene.operator):
        answers = push(who, *({"item": uuid.uuid4().hex, **item} for item in items))
        assert [(one["status"], one["code"]) for one in answers] == [("refused", "not_allowed")] * len(items)
        assert all(one["current"] is None and one["missing"] == [] for one in answers)
    for agent in (scene.thief.agent, scene.thief.trusted):
        assert agent.post("/v1/marketplace/push", json={"items": []}).status_code == 403
    assert catalogue(scene.operator) == shown
    assert state_of(scene.victim) == before


def test_a_rating_is_ones_own(scene: Scene) -> None:
    shown = catalogue(scene.operator)
    path = f"{SKILL_PATH}/rating".format_map(scene.published)
    assert scene.thief.member.delete(path).status_code == 404
    made(scene.thief.member.put(path, json={"stars": 1, "review": "mine"}))
    assert {key: entry for key, entry in catalogue(scene.operator).items() if key in shown} == shown
    assert scene.thief.member.delete(path).status_code == 204
    assert catalogue(scene.operator) == shown
    for agent in (scene.thief.agent, scene.thief.trusted):
        assert (agent.put(path, json={"stars": 1}).status_code, agent.delete(path).status_code) == (403, 403)


def test_a_file_that_was_sent_ahead_is_there_for_its_workspace_alone(scene: Scene) -> None:
    """Who knows a hash has not got the file: neither does it show, nor is anything published of it."""
    wanted, nothing = sha(AHEAD), sha(b"nothing that anybody sent")
    before = state_of(scene.victim)
    asking = {**scene.thief.everybody, "instance": scene.instance, "operator": scene.operator}
    for who, client in asking.items():
        for path in ("/v1/marketplace/uploads", "/v1/marketplace/files"):
            real, absent = client.get(f"{path}/{wanted}"), client.get(f"{path}/{nothing}")
            assert real.text.replace(wanted, nothing) == absent.text, f"{who}: {path}"
            assert real.status_code == absent.status_code, f"{who}: {path}"
        # Other bytes are not taken for it, and are not kept.
        put = client.put(f"/v1/marketplace/files/{wanted}", content=b"")
        assert put.status_code == (403 if who in {"agent", "trusted"} else 422), f"{who}: {put.text}"
    for client, namespace in ((scene.thief.admin, "thieves"), (scene.instance, "thieves"), (scene.operator, "house")):
        files = {"SKILL.md": PUBLISHED["SKILL.md"], "stolen.md": AHEAD}
        (answer,) = push(client, version_item(f"{namespace}/{SHOWN}@1.0.0", files))
        assert (answer["status"], answer["missing"]) == ("missing", [wanted])
    assert made(scene.victim.admin.get(f"/v1/marketplace/uploads/{wanted}"))["whole"] is True
    assert state_of(scene.victim) == before


def test_a_mirror_is_read_by_its_workspace_alone(scene: Scene) -> None:
    skill = SKILL_PATH.format_map(scene.ids)
    for path in ("/v1/marketplace/skills", skill, f"{skill}/versions", f"{skill}/ratings"):
        seen = scene.victim.agent.get(path, params={"remote": scene.ids["remote"]})
        assert seen.status_code == 200, f"{path}: {seen.text}"
        for who, client in {**scene.thief.everybody, "operator": scene.operator, "instance": scene.instance}.items():
            real = client.get(path, params={"remote": scene.ids["remote"]})
            absent = client.get(path, params={"remote": ABSENT["remote"]})
            assert real.status_code == (403 if who == "instance" else 404), f"{who}: {path}: {real.text}"
            assert said(real, scene.ids) == said(absent, scene.ids), f"{who}: {path}"


def test_an_instances_token_lists_nothing_of_its_own_workspace_either(scene: Scene) -> None:
    for path in (path for path in LISTS if path.startswith("/v1/marketplace")):
        assert scene.instance.get(path).status_code == 403, path
