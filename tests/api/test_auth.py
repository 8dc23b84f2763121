"""Nobody gets in without a token, and nobody gets further than their role. What tenants see is in ``test_tenants``."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import httpx
import pytest
from skillyard.api.application import create_app
from skillyard.settings import Settings
from tests.api.conftest import House, made, serving

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
_ROW = re.compile(r"^\| `([A-Z]+) (/[^`]*)` \| ([^|]+) \|", re.MULTILINE)

DOCUMENTED = {(method, path): who for method, path, who in _ROW.findall(REFERENCE.read_text())}
PROTECTED = sorted(route for route, who in DOCUMENTED.items() if who != "public")
OPENED = {"anyone; everybody with the setting `marketplace_public`", "likewise"}
"""Routes that a setting opens: closed without it, and the document says nothing of tokens."""
TAKES = {
    **dict.fromkeys((*OPENED, "anyone, instance"), "anyone"),
    **dict.fromkeys(("person, instance", "operator, publisher"), "person"),
    "a person's admin": "admin",
}
"""What it comes to for the persons and agents of a workspace."""


def existing() -> set[tuple[str, str]]:
    paths = create_app(Settings()).openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def address(path: str) -> str:
    """A route's address with ids that exist nowhere."""
    filled = path.replace("{invocation_id}", str(uuid.uuid4())).replace("{version}", "9.9.9")
    return re.sub(r"\{[a-z]+_id\}", "987654321", re.sub(r"\{(publisher|name|path)\}", "nothing", filled))


def named(routes: list[tuple[str, str]]) -> list[str]:
    return [" ".join(route) for route in routes]


def test_every_route_is_documented_and_every_documented_route_exists() -> None:
    assert existing() == set(DOCUMENTED)


def test_the_openapi_document_refers_to_nothing_that_it_does_not_hold() -> None:
    document = create_app(Settings()).openapi()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r"'\$ref': '([^']+)'", str(document))) <= known
    for (method, path), who in DOCUMENTED.items():
        assert ("security" in document["paths"][path][method.lower()]) == (who not in {"public", *OPENED}), (
            f"{method} {path}"
        )


@pytest.mark.parametrize(("method", "path"), PROTECTED, ids=named(PROTECTED))
def test_no_route_answers_a_stranger(house: House, method: str, path: str) -> None:
    with house.server.client(None) as nobody:
        response = nobody.request(method, address(path))
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["code"] == "unauthenticated"


def test_paths_that_do_not_exist_tell_a_stranger_nothing(house: House) -> None:
    with house.server.client(None) as nobody:
        assert nobody.get("/v1/nothing").status_code == 401
        assert nobody.get("/docs").status_code == 401
        assert nobody.get("/health").json()["status"] == "ok"
        assert nobody.get("/openapi.json").json()["info"]["title"] == "Skillyard"
    assert house.member.get("/v1/nothing").json()["code"] == "not_found"
    assert house.member.patch("/v1/skills").json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(("method", "path"), PROTECTED, ids=named(PROTECTED))
def test_each_route_takes_the_tokens_that_the_reference_says(house: House, method: str, path: str) -> None:
    who = TAKES.get(DOCUMENTED[method, path], DOCUMENTED[method, path])
    refused = {
        "anyone": (),
        "publisher": (house.agent,),
        "instance": (house.agent, house.member, house.admin),
        "person": (house.agent,),
        "admin": (house.agent, house.member),
        "operator": (house.agent, house.member, house.second),
        "agent": (house.admin, house.member),
    }[who]
    allowed = {
        "anyone": (house.agent, house.member),
        # Whose namespace it is comes after the role: there is none here.
        "publisher": (),
        "instance": (),
        "person": (house.member,),
        "admin": (house.admin,),
        "operator": (house.admin,),
        "agent": (house.agent,),
    }[who]
    for client in refused:
        response = client.request(method, address(path))
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    for client in allowed:
        with client.stream(method, address(path)) as response:
            assert response.status_code not in {401, 403, 500}


def test_the_export_of_one_workspace_holds_nothing_of_another(house: House) -> None:
    ours = made(house.admin.get("/v1/me"))["workspace"]
    assert f'"workspace_id":{ours},' not in house.stranger.get("/v1/audit/export").text


def test_a_revoked_token_is_refused_at_the_next_request(house: House) -> None:
    issued = made(house.admin.post("/v1/tokens", json={"name": "short", "agent": _robot(house)}))
    with house.server.client(str(issued["token"])) as client:
        assert made(client.get("/v1/me"))["kind"] == "agent"
        assert house.admin.delete(f"/v1/tokens/{issued['id']}").status_code == 204
        response = client.get("/v1/me")
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_a_token_cannot_be_issued_for_the_past_or_without_a_zone(house: House) -> None:
    for moment in ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00", "soon"):
        wanted = {"name": "x", "agent": _robot(house), "expires_at": moment}
        response = house.admin.post("/v1/tokens", json=wanted)
        assert (response.status_code, response.json()["field"]) == (422, "expires_at")


def test_no_answer_may_be_kept_or_taken_for_a_page(house: House) -> None:
    with house.server.client(None) as nobody:
        answers = [nobody.get("/health"), nobody.get("/v1/me"), house.admin.get("/v1/me"), house.admin.get("/v1/no")]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_tokens_text_is_shown_once(house: House) -> None:
    issued = made(house.admin.post("/v1/tokens", json={"name": "once", "agent": _robot(house)}))
    secret = str(issued["token"]).rpartition("_")[2]
    assert secret not in house.admin.get("/v1/tokens").text
    assert secret not in house.admin.get("/v1/audit/export").text


@pytest.mark.parametrize(
    "header", ["Bearer", "Basic YTpi", "sky_1_x", "Bearer sky_1_" + "A" * 43, "Bearer " + "x" * 5000]
)
def test_what_is_no_token_is_refused(house: House, header: str) -> None:
    with house.server.client(None, address="127.0.0.3") as nobody:
        response = nobody.get("/v1/me", headers={"Authorization": header})
    assert response.status_code == 401


def test_an_address_that_keeps_failing_is_slowed_down_and_others_are_not(house: House) -> None:
    with house.server.client("sky_1_" + "B" * 43, address="127.0.0.2") as guesser:
        statuses = [guesser.get("/v1/me").status_code for _ in range(40)]
        assert statuses[:20] == [401] * 20
        assert statuses[-1] == 429
        assert int(guesser.get("/v1/me").headers["retry-after"]) >= 1
    with house.server.client(_token(house.member), address="127.0.0.2") as known:
        assert known.get("/v1/me").status_code == 200, "a token that was valid before must go on working"
    assert house.admin.get("/v1/me").status_code == 200


def test_the_first_token_is_shown_once_and_goes_on_working(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as first:
        token = first.token
        assert token
    with serving(home) as second:
        assert second.token is None
        with second.client(token) as client:
            answer = made(client.get("/v1/me"))
    assert answer["person"] == {"id": 1, "name": "admin", "role": "operator"}


def test_browsers_may_call_from_configured_origins_only(tmp_path: Path, house: House) -> None:
    asks = {"Origin": "https://console.example", "Access-Control-Request-Method": "GET"}
    with house.server.client(None) as nobody:
        assert "access-control-allow-origin" not in nobody.options("/v1/skills", headers=asks).headers
    origins = '["https://console.example"]'
    with serving(tmp_path / "home", cors_origins=origins) as server, server.client(None) as browser:
        allowed = browser.options("/v1/skills", headers=asks)
        assert allowed.headers["access-control-allow-origin"] == "https://console.example"
        refused = browser.options("/v1/skills", headers=asks | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers


def _robot(house: House) -> int:
    return int(made(house.agent.get("/v1/me"))["agent"]["id"])


def _token(client: httpx.Client) -> str:
    return client.headers["authorization"].removeprefix("Bearer ")
