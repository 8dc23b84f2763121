"""Persons, agents and their maturity over HTTP."""

from __future__ import annotations

import uuid

import pytest
from tests.api.conftest import House, made


def test_an_agent_is_trusted_more_then_suspended_and_resumed(house: House) -> None:
    agent = made(house.admin.post("/v1/agents", json={"name": f"a-{uuid.uuid4().hex[:8]}"}))
    assert (agent["maturity"], agent["state"]) == ("STUDENT", "active")
    path = f"/v1/agents/{agent['id']}"
    token = made(house.admin.post("/v1/tokens", json={"name": "t", "agent": agent["id"]}))["token"]
    with house.server.client(str(token)) as client:

        def status() -> int:
            return client.post("/v1/invocations", json={"skill": "echo"}).status_code

        assert status() == 403
        trusted = {"maturity": "AUTONOMOUS", "reason": "known for years", "force": True}
        assert made(house.admin.put(f"{path}/maturity", json=trusted))["maturity"] == "AUTONOMOUS"
        assert status() == 200
        assert made(house.admin.post(f"{path}/suspend", json={"reason": "odd calls"}))["state"] == "suspended"
        assert status() == 403
        assert made(house.admin.post(f"{path}/resume", json={"reason": "explained"}))["state"] == "active"
        assert status() == 200
    actions = house.admin.get("/v1/audit/export").text
    for action in ("agent.maturity_changed", "agent.suspended", "agent.resumed"):
        assert action in actions


def test_names_are_taken_once(house: House) -> None:
    for route, body in (("/v1/persons", {"name": "twice"}), ("/v1/agents", {"name": "twice"})):
        assert house.admin.post(route, json=body).status_code == 201
        again = house.admin.post(route, json=body)
        assert (again.status_code, again.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "ünï", "-a", "a\u202eb"])
def test_names_that_could_be_mistaken_are_refused(house: House, name: str) -> None:
    for route in ("/v1/persons", "/v1/agents"):
        response = house.admin.post(route, json={"name": name})
        assert (response.status_code, response.json()["field"]) == (422, "name")


def test_lists_come_page_by_page(house: House) -> None:
    for _ in range(3):
        made(house.admin.post("/v1/agents", json={"name": f"p-{uuid.uuid4().hex[:8]}"}))
    for route, client in (("/v1/agents", house.member), ("/v1/tokens", house.admin), ("/v1/persons", house.member)):
        everything = [item["id"] for item in made(client.get(route, params={"limit": 200}))["items"]]
        page = made(client.get(route, params={"limit": 1}))
        walked = [page["items"][0]["id"]]
        while page["next_cursor"]:
            page = made(client.get(route, params={"limit": 1, "cursor": page["next_cursor"]}))
            walked += [item["id"] for item in page["items"]]
        assert walked == everything


def test_a_token_belongs_to_exactly_one_holder(house: House) -> None:
    for holders in ({}, {"person": 1, "agent": 1}):
        assert house.admin.post("/v1/tokens", json={"name": "t", **holders}).status_code == 422
