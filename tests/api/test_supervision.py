"""Supervised calls over HTTP: listed while they run, watched line by line, stopped, looked at afterwards."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import httpx
from tests.api.conftest import House, made

TIMEOUT = httpx.Timeout(60)


def lines_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.iter_lines() if line]


def test_a_running_call_is_listed_watched_and_stopped(house: House) -> None:
    with house.new_agent("SUPERVISED") as agent:
        answers: list[httpx.Response] = []
        body = {"skill": "echo", "entry": "scripts/talk.py"}
        caller = threading.Thread(target=lambda: answers.append(agent.post("/v1/invocations", json=body)))
        caller.start()
        call = _live(house)
        try:
            with house.admin.stream("GET", f"/v1/supervision/{call}/stream", timeout=TIMEOUT) as response:
                assert response.headers["content-type"].startswith("application/x-ndjson")
                lines = response.iter_lines()
                assert json.loads(next(line for line in lines if line))["event"] == "started"
                refused = house.admin.post(f"/v1/supervision/{call}/stop", json={"reason": " "})
                assert (refused.status_code, refused.json()["field"]) == (422, "reason")
                stopped = made(house.second.post(f"/v1/supervision/{call}/stop", json={"reason": "it loops"}))
                assert stopped["state"] == "cancelled"
                last = [json.loads(line) for line in lines if line][-1]
        finally:
            caller.join(60)
    assert (last["event"], last["state"]) == ("ended", "cancelled")
    assert last["reason"].endswith("it loops")
    assert answers[0].json()["outcome"]["state"] == "cancelled"
    assert house.second.post(f"/v1/supervision/{call}/stop", json={"reason": "again"}).status_code == 409


def _live(house: House) -> str:
    for _ in range(600):
        items = made(house.admin.get("/v1/supervision/live"))["items"]
        assert isinstance(items, list)
        if items:
            assert items[0]["live"] is True
            return str(items[0]["call"]["id"])
        threading.Event().wait(0.05)
    raise AssertionError("no supervised call runs")


def test_a_finished_call_is_looked_at_by_admins_alone(house: House) -> None:
    with house.new_agent("SUPERVISED") as agent:
        answer = made(agent.post("/v1/invocations", json={"skill": "echo", "input": {"text": "seen"}}))
        call = answer["id"]
        own = made(agent.get(f"/v1/invocations/{call}"))
        assert own["supervised"] is True
        path = f"/v1/supervision/{call}"
        for client in (agent, house.member):
            for answer_ in (client.get(path), client.get(f"{path}/stream"), client.get("/v1/supervision")):
                assert answer_.status_code == 403
            assert client.post(f"{path}/stop", json={"reason": "r"}).status_code == 403
    for answer_ in (
        house.stranger.get(path),
        house.stranger.get(f"{path}/stream"),
        house.stranger.post(f"{path}/stop", json={"reason": "r"}),
    ):
        assert (answer_.status_code, answer_.json()["code"]) == (404, "not_found")
    assert made(house.stranger.get("/v1/supervision"))["items"] == []
    with house.admin.stream("GET", f"{path}/stream", timeout=TIMEOUT) as response:
        events = lines_of(response)
    assert "seen" in "".join(event.get("text", "") for event in events if event.get("of") == "input")
    assert (events[-1]["event"], events[-1]["state"]) == ("ended", "succeeded")
    assert made(house.admin.get(path))["live"] is False


def test_pages_and_what_is_none(house: House) -> None:
    with house.new_agent("SUPERVISED") as agent:
        calls = [made(agent.post("/v1/invocations", json={"skill": "echo"}))["id"] for _ in range(3)]
        me = made(agent.get("/v1/me"))["agent"]
        assert isinstance(me, dict)
    walked: list[object] = []
    cursor: object = None
    while True:
        query = {"agent": me["id"], "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = made(house.admin.get("/v1/supervision", params=query))
        items = page["items"]
        assert isinstance(items, list)
        walked += [item["call"]["id"] for item in items]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert walked == calls[::-1]
    assert house.admin.get("/v1/supervision", params={"cursor": "x"}).status_code == 422
    assert house.admin.get("/v1/supervision", params={"agent": 0}).status_code == 422
    assert house.admin.get(f"/v1/supervision/{uuid.uuid4()}").status_code == 404
    assert house.admin.get("/v1/supervision/nothing").status_code == 422
    free = made(house.agent.post("/v1/invocations", json={"skill": "echo"}))["id"]
    assert house.admin.get(f"/v1/supervision/{free}/stream").json()["code"] == "not_supervised"
