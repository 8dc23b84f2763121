"""Package rules over HTTP."""

from __future__ import annotations

import uuid

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
    ],
)
def test_a_rule_that_does_not_fit_names_the_field(
    house: House, route: str, body: dict[str, object], field: str
) -> None:
    response = house.admin.post(f"/v1/packages/{route}", json=body)
    assert (response.status_code, response.json()["field"]) == (422, field), response.text
