"""Package rules over HTTP: checked, asked for, changed, as files; and what is wrong names its field."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.api.conftest import House, made


def test_a_package_is_approved_banned_and_unbanned(house: House) -> None:
    name = f"left-pad-{uuid.uuid4().hex[:8]}"
    wanted = {"name": name.upper(), "specifier": "<2", "min_maturity": "INTERN"}
    approved = made(house.admin.post("/v1/packages/approve", json=wanted))
    assert (approved["name"], approved["state"], approved["min_maturity"]) == (name, "approved", "INTERN")
    banned = made(house.admin.post("/v1/packages/ban", json={"name": name, "reason": "stolen account"}))
    assert (banned["specifier"], banned["reason"]) == ("", "stolen account")
    rules = made(house.member.get("/v1/packages/rules", params={"name": name, "state": "banned"}))["items"]
    assert rules == [banned]
    lifted = house.admin.post("/v1/packages/unban", json={"name": name})
    assert [rule["id"] for rule in lifted.json()] == [banned["id"]]
    assert house.admin.post("/v1/packages/unban", json={"name": name}).status_code == 404
    assert house.admin.delete(f"/v1/packages/rules/{approved['id']}").status_code == 204
    assert made(house.member.get("/v1/packages/rules", params={"name": name}))["items"] == []


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("ban", {"name": "x"}, "reason"),
        ("ban", {"name": "x", "reason": "  "}, "reason"),
        ("ban", {"name": "no such name!", "reason": "r"}, "name"),
        ("ban", {"name": "x", "reason": "r", "specifier": "=>1"}, "specifier"),
        ("ban", {"name": "x", "reason": "r", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ("approve", {"name": "x"}, "min_maturity"),
        ("approve", {"name": "x", "min_maturity": "GENIUS"}, "min_maturity"),
        ("approve", {"name": "x", "min_maturity": "INTERN", "hashes": ["abc"]}, "hashes.0"),
        ("approve", {"ecosystem": "cargo", "name": "x", "min_maturity": "INTERN"}, "ecosystem"),
        ("approve", {"name": "x", "min_maturity": "INTERN", "scope": "galaxy"}, "scope"),
        ("approve", {"name": "x" * 10_000, "min_maturity": "INTERN"}, "name"),
        ("ban", {"ecosystem": "npm", "name": "x", "reason": "r", "specifier": "latest"}, "specifier"),
        ("check", {"packages": [{"name": "x", "version": ">=1"}]}, "packages.0.version"),
        (
            "check",
            {"packages": [{"name": "x", "version": "1"}, {"name": "no name!", "version": "1"}]},
            "packages.1.name",
        ),
        ("check", {"packages": [{"ecosystem": "npm", "name": "x", "version": "^1"}]}, "packages.0.version"),
        ("check", {}, "packages"),
        ("request", {"name": "x", "version": "1"}, "reason"),
        ("request", {"name": "x", "version": "~=1.0", "reason": "r"}, "version"),
        ("request", {"name": "x", "reason": " "}, "reason"),
        ("import", {"text": "version: 1\nrules: []", "mode": "guess"}, "mode"),
        ("import", {"text": "version: 1\nrules:\n  - {}"}, "state"),
        ("allow-list", {"text": "six==1.0"}, "min_maturity"),
    ],
)
def test_a_rule_that_does_not_fit_names_the_field(
    house: House, route: str, body: dict[str, object], field: str
) -> None:
    response = house.admin.post(f"/v1/packages/{route}", json=body)
    assert (response.status_code, response.json()["field"]) == (422, field), response.text


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def test_a_package_is_checked_for_each_maturity_and_for_an_agent(house: House) -> None:
    good, bad, new = unique("good"), unique("bad"), unique("new")
    made(house.admin.post("/v1/packages/approve", json={"name": good, "min_maturity": "SUPERVISED"}))
    made(house.admin.post("/v1/packages/ban", json={"name": bad, "specifier": "<2", "reason": "stolen account"}))
    asked = [{"name": name.upper(), "version": "1.0"} for name in (good, bad, new)]
    checked = made(house.agent.post("/v1/packages/check", json={"packages": asked}))
    states = [(one["name"], one["state"], one["for_agent"]["answer"]) for one in checked["packages"]]
    assert states == [(good, "approved", "allow"), (bad, "banned", "deny"), (new, "unknown", "hold")]
    first, second, third = checked["packages"]
    assert [one["answer"] for one in first["by_maturity"]] == ["deny", "deny", "allow", "allow"]
    assert (first["min_maturity"], first["rule"]["scope"]) == ("SUPERVISED", "workspace")
    assert "stolen account" in second["reasons"][0]["message"]
    assert third["by_maturity"][3]["reason"]["code"] == "unknown_package"
    one = made(house.member.get("/v1/packages/check", params={"name": bad, "version": "2.0"}))
    assert (one["packages"][0]["state"], one["packages"][0]["for_agent"]) == ("unknown", None)
    listed = made(house.member.post("/v1/packages/check", json={"text": f"{good}==1.0\n{bad}==1.5\n"}))
    assert [one["state"] for one in listed["packages"]] == ["approved", "banned"]
    assert house.member.post("/v1/packages/check", json={"packages": asked, "agent": 10**9}).status_code == 404


def test_an_npm_range_is_a_rule(house: House) -> None:
    name = f"@{unique('scope')}/Left"
    body = {"ecosystem": "npm", "name": name, "specifier": "^1.2.0 || >=4", "min_maturity": "INTERN"}
    assert made(house.admin.post("/v1/packages/approve", json=body))["specifier"] == "^1.2.0 || >=4"
    versions = {"1.3.0": "approved", "2.0.0": "unknown", "1.3.0-beta": "unknown", "4.0.0": "approved"}
    for version, state in versions.items():
        params = {"ecosystem": "npm", "name": name, "version": version}
        assert made(house.member.get("/v1/packages/check", params=params))["packages"][0]["state"] == state


def test_an_agent_asks_for_a_package_and_a_second_person_approves_it(house: House) -> None:
    name = unique("wanted")
    with house.new_agent("INTERN") as agent:
        body = {"name": name, "version": "1.0", "reason": "for the report"}
        first = agent.post("/v1/packages/request", json=body)
        assert (first.status_code, first.json()["package"]["state"]) == (201, "pending")
        request = first.json()["request"]["id"]
        again = agent.post("/v1/packages/request", json=body)
        assert (again.status_code, again.json()["request"]["id"]) == (200, request)
        assert [one["id"] for one in made(agent.get("/v1/packages/requests"))["items"]] == [request]
        assert house.agent.get(f"/v1/packages/requests/{request}").status_code == 404
        for stranger, status in ((house.stranger, 404), (house.member, 403), (agent, 403)):
            assert stranger.post(f"/v1/packages/requests/{request}/approve").status_code == status
            assert stranger.post(f"/v1/packages/requests/{request}/deny").status_code == status
        assert house.stranger.get(f"/v1/packages/requests/{request}").status_code == 404
        own = house.admin.post(f"/v1/packages/requests/{request}/approve")
        assert (own.status_code, own.json()["code"]) == (403, "second_person_required")
        decided = made(house.second.post(f"/v1/packages/requests/{request}/approve", json={"comment": "fine"}))
        assert (decided["state"], decided["second_person"]) == ("approved", True)
        after = agent.post("/v1/packages/request", json=body)
        assert (after.status_code, after.json()["request"], after.json()["package"]["state"]) == (200, None, "approved")
        assert house.second.post(f"/v1/packages/requests/{request}/deny").status_code == 409


def test_a_request_on_a_banned_package_answers_that_it_is_banned(house: House) -> None:
    name = unique("evil")
    made(house.admin.post("/v1/packages/ban", json={"name": name, "reason": "it steals"}))
    asked = house.agent.post("/v1/packages/request", json={"name": name, "reason": "please"})
    assert (asked.status_code, asked.json()["request"]) == (200, None)
    assert asked.json()["package"]["reasons"][0]["code"] == "banned_package"


def test_a_global_rule_is_an_operators_and_binds_strangers(house: House) -> None:
    name = unique("evil")
    body = {"name": name, "reason": "it steals", "scope": "global"}
    assert house.second.post("/v1/packages/ban", json=body).status_code == 403
    assert house.stranger.post("/v1/packages/ban", json=body).status_code == 403
    rule = made(house.admin.post("/v1/packages/ban", json=body))
    seen = made(house.stranger.get("/v1/packages/check", params={"name": name, "version": "1"}))
    assert (seen["packages"][0]["state"], seen["packages"][0]["rule"]["scope"]) == ("banned", "global")
    approved = house.stranger.post("/v1/packages/approve", json={"name": name, "min_maturity": "INTERN"})
    assert approved.status_code == 201
    assert house.stranger.delete(f"/v1/packages/rules/{rule['id']}").status_code == 403
    after = made(house.stranger.get("/v1/packages/check", params={"name": name, "version": "1"}))
    assert after["packages"][0]["state"] == "banned"
    assert house.admin.delete(f"/v1/packages/rules/{rule['id']}").status_code == 204


def test_rules_go_out_as_a_file_and_come_in_whole_or_not_at_all(house: House) -> None:
    first, second = unique("one"), unique("two")
    text = (
        f'version: "1"\nrules:\n  - {{ecosystem: pypi, name: {first}, state: banned, reason: bad}}\n'
        f"  - {{ecosystem: pypi, name: {second}, state: approved, min_maturity: INTERN}}\n"
    )
    dry = made(house.admin.post("/v1/packages/import", json={"text": text, "dry_run": True}))
    assert ([one["name"] for one in dry["added"]], dry["impact"]["decisions"]) == ([first, second], [])
    assert made(house.admin.get("/v1/packages/rules", params={"name": first}))["items"] == []
    broken = house.admin.post("/v1/packages/import", json={"text": text.replace("INTERN", "BOSS"), "file": "mine.yaml"})
    assert broken.status_code == 422
    assert [broken.json()[key] for key in ("file", "line", "field")] == ["mine.yaml", 4, "min_maturity"]
    assert made(house.admin.get("/v1/packages/rules", params={"name": first}))["items"] == []
    assert house.member.post("/v1/packages/import", json={"text": text}).status_code == 403
    done = made(house.admin.post("/v1/packages/import", json={"text": text}))
    assert (len(done["added"]), done["ended"], done["impact"]) == (2, [], None)
    exported = made(house.member.get("/v1/packages/export"))
    assert first in exported["text"]
    again = made(house.admin.post("/v1/packages/import", json={"text": exported["text"], "mode": "replace"}))
    assert (again["added"], again["ended"], again["kept"]) == ([], [], exported["rules"])


def test_an_allow_list_approves_exactly_its_versions(house: House) -> None:
    name, digest = unique("listed"), "c" * 64
    body = {"text": f"{name}==1.0 --hash=sha256:{digest}\n", "min_maturity": "INTERN", "reason": "reviewed"}
    made(house.admin.post("/v1/packages/allow-list", json=body))
    params = {"name": name, "version": "1.0"}
    unbound = made(house.member.get("/v1/packages/check", params=params))["packages"][0]
    assert (unbound["state"], unbound["reasons"][-1]["code"]) == ("unknown", "bound_to_files")
    bound = made(house.member.get("/v1/packages/check", params=params | {"hash": digest}))["packages"][0]
    assert bound["state"] == "approved"
    loose = house.admin.post("/v1/packages/allow-list", json=body | {"text": f"{name}>=1\n"})
    assert (loose.status_code, loose.json()["line"]) == (422, 1)


def test_the_figures_are_those_of_what_is_stored(house: House) -> None:
    before = made(house.admin.get("/v1/packages/stats"))
    name = unique("counted")
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    wanted = {"name": name, "min_maturity": "INTERN", "expires_at": soon}
    made(house.admin.post("/v1/packages/approve", json=wanted))
    made(house.agent.post("/v1/packages/request", json={"name": unique("waits"), "reason": "r"}))
    after = made(house.admin.get("/v1/packages/stats"))
    assert after["requests_waiting"] == before["requests_waiting"] + 1
    assert _approved(after) == [count + 1 for count in _approved(before)]
    few = made(house.admin.get("/v1/packages/rules", params={"prefix": name[:-2].upper(), "expiring_days": 4}))
    assert [one["name"] for one in few["items"]] == [name]
    assert made(house.admin.get("/v1/packages/rules", params={"name": name, "expiring_days": 2}))["items"] == []


def _approved(stats: dict[str, Any]) -> list[int]:
    of = [
        one
        for one in stats["rules"]
        if (one["scope"], one["ecosystem"], one["state"]) == ("workspace", "pypi", "approved")
    ]
    return [of[0]["in_force"], of[0]["expiring"]] if of else [0, 0]
