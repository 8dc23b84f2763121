"""Approval requests and webhooks over HTTP: the queue, parts, calls that wait, messages."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import House, made, skill_zip, upload
from tests.runtime.test_webhooks import Receiver, receiving


@pytest.fixture(scope="module")
def guarded(house: House) -> str:
    """A skill of this module's own that INTERNs need an approval for."""
    name = f"guarded-{uuid.uuid4().hex[:8]}"
    made(upload(house.admin, skill_zip("echo", rename=name)))
    return name


@contextmanager
def waiting(
    agent: httpx.Client, skill: str, seconds: float = 60
) -> Iterator[tuple[dict[str, Any], Iterator[dict[str, Any]]]]:
    """A streamed call that waits: its first event, and those after it."""
    body = {"skill": skill, "wait_for_approval": seconds}
    headers = {"Accept": "application/x-ndjson"}
    with agent.stream("POST", "/v1/invocations", json=body, headers=headers) as response:
        assert response.status_code == 200, response.read()
        events = (json.loads(line) for line in response.iter_lines())
        yield next(events), events


def test_a_call_that_waits_streams_that_it_is_held_and_then_runs(house: House, guarded: str) -> None:
    with house.new_agent("INTERN") as intern, waiting(intern, guarded) as (held, events):
        assert held["event"] == "held"
        assert held["until"] > "2020"
        asked = made(house.second.get(f"/v1/approvals/{held['approval']}"))
        assert (asked["state"], asked["first_use"]) == ("pending", True)
        done = made(house.second.post(f"/v1/approvals/{held['approval']}/approve", json={"comment": "fine"}))
        assert (done["state"], done["second_person"], done["decider"]["name"]) == ("approved", True, "second")
        following = list(events)
    assert [event["event"] for event in following if event["event"] in {"accepted", "outcome"}] == [
        "accepted",
        "outcome",
    ]
    assert following[-1]["invocation"]["id"] == held["invocation_id"]
    assert following[-1]["invocation"]["decision"]["kind"] == "allow"


def test_a_denied_wait_says_who_and_why_and_so_does_the_next_call(house: House, guarded: str) -> None:
    with house.new_agent("INTERN") as intern:
        with waiting(intern, guarded) as (held, events):
            made(house.second.post(f"/v1/approvals/{held['approval']}/deny", json={"comment": "not this"}))
            (outcome,) = [event for event in events if event["event"] != "held"]
        assert outcome["invocation"]["decision"]["kind"] == "deny"
        assert "second denied request" in outcome["invocation"]["outcome"]["reason"]
        again = intern.post("/v1/invocations", json={"skill": guarded, "wait_for_approval": 60})
    assert again.status_code == 403
    assert again.json()["code"] == "approval_denied"
    assert "not this" in again.json()["detail"]
    assert again.headers["location"] == f"/v1/approvals/{held['approval']}"


def test_a_wait_that_ends_in_vain_is_held_as_any(house: House, guarded: str) -> None:
    with house.new_agent("INTERN") as intern:
        over = intern.post("/v1/invocations", json={"skill": guarded, "wait_for_approval": 0.3})
        longer = intern.post("/v1/invocations", json={"skill": guarded, "wait_for_approval": 80_000})
    assert (over.status_code, over.json()["code"]) == (202, "approval_timeout")
    assert (longer.status_code, longer.json()["field"]) == (422, "wait_for_approval")


def test_a_client_that_leaves_ends_its_wait(house: House, guarded: str) -> None:
    with house.new_agent("INTERN") as intern:
        with waiting(intern, guarded) as (held, _):
            pass
        made(house.second.post(f"/v1/approvals/{held['approval']}/approve"))
        # Had it gone on waiting, it would run now.
        assert made(intern.post("/v1/invocations", json={"skill": guarded}))["outcome"]["state"] == "succeeded"
        assert intern.get(f"/v1/invocations/{held['invocation_id']}").status_code == 404


def test_the_queue_is_paged_and_filtered(house: House, guarded: str) -> None:
    ids = []
    for _ in range(3):
        with house.new_agent("INTERN") as intern:
            ids.append(intern.post("/v1/invocations", json={"skill": guarded}).json()["approval"])
    wanted = {"skill": guarded, "state": "pending"}
    first = made(house.member.get("/v1/approvals", params={**wanted, "limit": 2}))
    assert len(first["items"]) == 2  # type: ignore[arg-type]
    every, cursor = list(first["items"]), first["next_cursor"]  # type: ignore[call-overload]
    while cursor is not None:
        page = made(house.member.get("/v1/approvals", params={**wanted, "limit": 2, "cursor": str(cursor)}))
        every, cursor = [*every, *page["items"]], page["next_cursor"]  # type: ignore[misc]
    assert set(ids) <= {one["id"] for one in every}
    one = next(item for item in every if item["id"] == ids[-1])
    assert one["agent"]["maturity"] == "INTERN"
    assert one["owner"]["name"] not in [person["name"] for person in one["approvers"]]
    assert "second" in [person["name"] for person in one["approvers"]]
    assert one["waiting_seconds"] >= 0
    by_agent = made(house.member.get("/v1/approvals", params={"agent": one["agent"]["id"]}))
    assert [item["id"] for item in by_agent["items"]] == [ids[-1]]  # type: ignore[attr-defined]
    assert made(house.member.get("/v1/approvals", params={**wanted, "older_than": 3600}))["items"] == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"state": "maybe"}, "state"),
        ({"agent": "0"}, "agent"),
        ({"older_than": "-1"}, "older_than"),
        ({"package": "conda:x"}, "package"),
        ({"package": "x" * 10_000}, "package"),
        ({"skill": "a/b/c"}, "skill"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_a_question_that_makes_no_sense_names_its_field(house: House, params: dict[str, str], field: str) -> None:
    response = house.member.get("/v1/approvals", params=params)
    assert (response.status_code, response.json()["field"]) == (422, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"packages": []}, "packages"),
        ({"packages": ["nothing-of-that-name"]}, "packages"),
        ({"min_maturity": "PROFESSOR"}, "min_maturity"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"comment": "x" * 2001}, "comment"),
    ],
)
def test_a_decision_that_makes_no_sense_changes_nothing(
    house: House, guarded: str, body: dict[str, Any], field: str
) -> None:
    with house.new_agent("INTERN") as intern:
        request = intern.post("/v1/invocations", json={"skill": guarded}).json()["approval"]
    response = house.second.post(f"/v1/approvals/{request}/approve", json=body)
    assert response.status_code == 422, response.text
    assert response.json()["field"].startswith(field)
    assert made(house.second.get(f"/v1/approvals/{request}"))["state"] == "pending"


# Webhooks.


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as running:
        yield running


def test_approvers_are_told_by_a_signed_message(house: House, guarded: str, receiver: Receiver) -> None:
    wanted = {"url": receiver.url("/ok"), "events": ["approval.requested", "approval.decided"]}
    added = made(house.admin.post("/v1/webhooks", json=wanted))
    receiver.allow(str(added["secret"]))
    tested = made(house.admin.post(f"/v1/webhooks/{added['id']}/test"))
    assert (tested["state"], tested["status"], tested["error"]) == ("delivered", 204, None)
    with house.new_agent("INTERN") as intern:
        request = intern.post("/v1/invocations", json={"skill": guarded}).json()["approval"]
    made(house.second.post(f"/v1/approvals/{request}/deny", json={"comment": "no"}))
    give_up = time.monotonic() + 60
    while len(receiver.heard) < 3:
        assert time.monotonic() < give_up, receiver.heard
        time.sleep(0.05)
    assert all(one["genuine"] for one in receiver.heard)
    told = [(one["body"]["type"], one["body"]["data"].get("approval")) for one in receiver.heard]
    assert told == [("webhook.test", None), ("approval.requested", request), ("approval.decided", request)]
    (listed,) = [item for item in _items(house.admin.get("/v1/webhooks")) if item["id"] == added["id"]]
    assert "secret" not in listed
    assert house.admin.delete(f"/v1/webhooks/{added['id']}").status_code == 204
    assert house.admin.get(f"/v1/webhooks/{added['id']}/deliveries").status_code == 404


def test_what_did_not_arrive_is_shown_and_only_the_dead_can_be_retried(house: House) -> None:
    added = made(house.admin.post("/v1/webhooks", json={"url": "https://127.0.0.1:1/"}))["id"]
    failed = made(house.admin.post(f"/v1/webhooks/{added}/test"))
    assert (failed["state"], failed["error"]) == ("waiting", "it cannot be connected to")
    path = f"/v1/webhooks/{added}/deliveries"
    assert [item["id"] for item in _items(house.admin.get(path, params={"state": "waiting"}))] == [failed["id"]]
    assert _items(house.admin.get(path, params={"state": "dead"})) == []
    assert house.admin.post(f"{path}/{failed['id']}/retry").status_code == 409
    assert house.admin.post(f"{path}/987654321/retry").status_code == 404
    assert house.admin.delete(f"/v1/webhooks/{added}").status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "nothing"}, "url"),
        ({"url": "https://a:b@example.org/"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "https://example.org/" + "x" * 10_000}, "url"),
        ({"url": "https://127.0.0.1/", "events": []}, "events"),
        ({"url": "https://127.0.0.1/", "events": ["webhook.test"]}, "events"),
    ],
)
def test_a_webhook_that_makes_no_sense_is_refused(house: House, body: dict[str, Any], field: str) -> None:
    before = _items(house.admin.get("/v1/webhooks"))
    response = house.admin.post("/v1/webhooks", json=body)
    assert (response.status_code, response.json()["field"].split(".")[0]) == (422, field)
    assert _items(house.admin.get("/v1/webhooks")) == before


def _items(response: httpx.Response) -> list[dict[str, Any]]:
    items: Any = made(response)["items"]
    return list(items)
