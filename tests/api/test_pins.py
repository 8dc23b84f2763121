"""Pins over HTTP: who may set them, that they act, and that no other workspace is touched."""

from __future__ import annotations

import uuid

from tests.api.conftest import House, made, skill_zip, upload


def test_pins_are_an_admins_and_of_one_workspace(house: House) -> None:
    name = f"pinned-{uuid.uuid4().hex[:8]}"
    made(upload(house.admin, skill_zip("echo", rename=name), publisher="acme"))
    made(upload(house.admin, skill_zip("echo", rename=name, version="2.0.0"), "/v1/skills/upgrade", publisher="acme"))
    agent = made(house.admin.post("/v1/agents", json={"name": f"a-{uuid.uuid4().hex[:8]}"}))
    path = f"/v1/agents/{agent['id']}/pins"
    one = f"{path}/acme/{name}"
    for client, status in ((house.member, 403), (house.agent, 403), (house.stranger, 404)):
        assert client.put(one, json={"version": "1.0.0"}).status_code == status
        assert client.delete(one).status_code == status
    assert made(house.admin.put(one, json={"version": "1.0.0"}))["version"] == "1.0.0"
    assert made(house.admin.put(one, json={"version": "1.0.0"}))["version"] == "1.0.0"
    items = made(house.member.get(path))["items"]
    assert [(item["publisher"], item["name"], item["version"]) for item in items] == [("acme", name, "1.0.0")]
    assert house.stranger.get(path).status_code == 404
    assert house.agent.get(path).status_code == 403
    removal = house.admin.delete(f"/v1/skills/acme/{name}/versions/1.0.0")
    assert (removal.status_code, removal.json()["code"]) == (409, "version_pinned")
    assert house.admin.delete(one).status_code == 204
    assert house.admin.delete(one).status_code == 404
    assert house.admin.delete(f"/v1/skills/acme/{name}/versions/1.0.0").status_code == 204
    assert house.admin.put(one, json={"version": "1.0.0"}).status_code == 404
