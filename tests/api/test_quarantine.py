"""Quarantine over HTTP: who sees it, who lifts it, and what is refused."""

from __future__ import annotations

from tests.api.conftest import House, made

ECHO = "/v1/quarantine/local/echo/versions/1.0.0/lift"


def test_persons_see_what_is_in_quarantine(house: House) -> None:
    assert made(house.member.get("/v1/quarantine"))["items"] == []


def test_what_is_not_in_quarantine_is_not_lifted(house: House) -> None:
    refused = house.admin.post(ECHO, json={"reason": "it is fine"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_quarantined")
    assert house.admin.post(ECHO.replace("echo", "nothing"), json={"reason": "it is fine"}).status_code == 404


def test_lifting_needs_a_reason_and_an_admin(house: House) -> None:
    assert house.admin.post(ECHO, json={"reason": "  "}).status_code == 422
    assert house.member.post(ECHO, json={"reason": "it is fine"}).status_code == 403
