"""Waivers and reports over HTTP: given, listed, ended, shown; and what is refused says which field."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.api.conftest import House, made

LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()
FILE = "a" * 64
ECHO = "/v1/skills/local/echo/versions/1.0.0"


def of_package(**fields: Any) -> dict[str, Any]:
    name = f"left-pad-{uuid.uuid4().hex[:8]}"
    about = {"ecosystem": "npm", "name": name, "version": "1.2.0", "advisory": "GHSA-x"}
    return {**about, "reason": "not reachable", "expires_at": LATER, **fields}


def test_a_waiver_is_given_listed_and_ended(house: House) -> None:
    wanted = of_package()
    given = made(house.admin.post("/v1/waivers", json=wanted))
    assert given["package"] == {"ecosystem": "npm", "name": wanted["name"], "version": "1.2.0"}
    assert (given["advisory"], given["rule"], given["revoked_at"]) == ("GHSA-x", None, None)
    listed = made(house.member.get("/v1/waivers"))["items"]
    assert given in listed
    assert house.admin.delete(f"/v1/waivers/{given['id']}").status_code == 204
    assert house.admin.delete(f"/v1/waivers/{given['id']}").status_code == 404
    assert given["id"] not in [one["id"] for one in made(house.member.get("/v1/waivers"))["items"]]
    ended = made(house.member.get("/v1/waivers", params={"ended": True}))["items"]
    assert next(one for one in ended if one["id"] == given["id"])["revoked_at"] is not None


def test_a_waiver_of_a_file_takes_its_digest_as_reports_write_it(house: House) -> None:
    body = {"rule": "reverse_shell", "file_sha256": f"sha256:{FILE}", "reason": "a sample", "expires_at": LATER}
    given = made(house.admin.post("/v1/waivers", json={**body, "owner": "second"}))
    assert (given["file_sha256"], given["owner_name"], given["package"]) == (FILE, "second", None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"advisory": "MAL-2025-1"}, "advisory"),
        ({"advisory": None}, None),
        ({"rule": "reverse_shell"}, None),
        ({"version": "^1"}, "version"),
        ({"reason": " "}, "reason"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": None}, "expires_at"),
        ({"file_sha256": "abc"}, "file_sha256"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_no_waiver_names_the_field(house: House, fields: dict[str, Any], field: str | None) -> None:
    refused = house.admin.post("/v1/waivers", json=of_package(**fields))
    assert refused.status_code == 422
    assert refused.json().get("field") == field


def test_only_admins_of_the_workspace_give_and_end_waivers(house: House) -> None:
    given = made(house.admin.post("/v1/waivers", json=of_package()))
    for who in (house.member, house.agent):
        assert who.post("/v1/waivers", json=of_package()).status_code == 403
        assert who.delete(f"/v1/waivers/{given['id']}").status_code == 403
    assert house.stranger.delete(f"/v1/waivers/{given['id']}").status_code == 404
    assert made(house.stranger.get("/v1/waivers"))["items"] == []


def test_a_report_comes_in_every_format(house: House) -> None:
    plain = house.agent.get(f"{ECHO}/report")
    assert plain.headers["content-type"] == "application/json"
    assert made(plain) == made(house.agent.get(ECHO))["report"]
    sarif = house.agent.get(f"{ECHO}/report", params={"format": "sarif"})
    assert sarif.headers["content-type"] == "application/sarif+json"
    assert orjson.loads(sarif.content)["version"] == "2.1.0"
    bom = house.agent.get(f"{ECHO}/report", params={"format": "cyclonedx"})
    assert bom.headers["content-type"].startswith("application/vnd.cyclonedx+json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom.text) is None
    table = house.agent.get(f"{ECHO}/report", params={"format": "table"})
    assert table.headers["content-type"].startswith("text/plain")
    assert "looked at by" in table.text


def test_a_report_of_another_workspace_or_in_another_format_is_not_there(house: House) -> None:
    assert house.stranger.get(f"{ECHO}/report").status_code == 404
    assert house.agent.get(f"{ECHO}/report", params={"format": "xml"}).status_code == 422
