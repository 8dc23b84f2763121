"""Calls over HTTP: what comes back, what a refusal looks like, what streams, and what a client that leaves costs."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import time
from typing import Any

import httpx
import pytest
from tests.api.conftest import House, made, skill_zip, upload

Json = dict[str, Any]


def call(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/v1/invocations", json={"skill": "local/echo"} | fields)


def ended(house: House, invocation: str) -> Json:
    """The record of a call, once it has ended."""
    deadline = time.monotonic() + 120
    while (record := made(house.admin.get(f"/v1/invocations/{invocation}")))["state"] == "accepted":
        assert time.monotonic() < deadline, "the call is still running"
        time.sleep(0.02)
    return record


def newest(house: House) -> Json:
    return made(house.admin.get("/v1/invocations", params={"limit": 1}))["items"][0]


def test_a_function_gets_its_input_and_its_result_comes_back(house: House) -> None:
    number = 2**70  # an integer that a float would not hold
    answer = made(call(house.agent, input={"text": "grüße", "number": number}))
    assert answer["outcome"]["state"] == "succeeded"
    assert answer["outcome"]["result"] == {"text": "grüße", "number": number}
    assert answer["decision"]["kind"] == "allow"
    assert answer["decision"]["reasons"]
    assert answer["skill"] == "local/echo@1.0.0"
    record = made(house.agent.get(f"/v1/invocations/{answer['id']}"))
    assert record["state"] == "succeeded"
    assert record["usage"]["wall_seconds"] > 0


def test_a_skills_failure_is_an_answer_and_not_a_servers_error(house: House) -> None:
    response = call(house.agent, entry="scripts/fail.py")
    assert response.status_code == 200
    outcome = response.json()["outcome"]
    assert (outcome["state"], outcome["exit_code"]) == ("failed", 3)
    assert outcome["stdout"] == "caf\N{REPLACEMENT CHARACTER}\n"
    assert base64.b64decode(outcome["stdout_base64"]) == b"caf\xe9\n"


@pytest.mark.parametrize("kind", ["json", "multipart"])
def test_files_go_in_and_what_the_call_left_can_be_downloaded(house: House, kind: str) -> None:
    content = bytes(range(256)) * 300  # more than fits into one read of anything
    wanted: Json = {
        "skill": "local/echo",
        "entry": "scripts/copy.py",
        "argv": ["in/data.bin", "out/größe #1?.bin", "typed"],
        "stdin_base64": base64.b64encode(b"\x00typed").decode(),
    }
    if kind == "json":
        wanted["files"] = {"in/data.bin": base64.b64encode(content).decode()}
        answer = made(house.agent.post("/v1/invocations", json=wanted))
    else:
        parts = {"files": ("in/data.bin", content, "application/octet-stream")}
        answer = made(house.agent.post("/v1/invocations", data={"request": json.dumps(wanted)}, files=parts))
    left = {file["path"]: file for file in answer["outcome"]["files"]}
    copied = left["out/größe #1?.bin"]
    assert copied["sha256"] == hashlib.sha256(content).hexdigest()
    assert copied["media_type"] == "application/octet-stream"
    download = house.agent.get(copied["url"])
    assert download.content == content
    assert download.headers["content-disposition"].startswith("attachment")
    assert download.headers["x-content-type-options"] == "nosniff"
    assert download.headers["content-type"] == "application/octet-stream"
    assert house.member.get(left["typed"]["url"]).content == b"\x00typed"


@pytest.mark.parametrize("path", ["../../../instance-id", "%2e%2e/%2e%2e/instance-id", "/etc/passwd", "out", "missing"])
def test_only_files_that_the_call_left_can_be_downloaded(house: House, path: str) -> None:
    arguments = {"argv": ["in", "out/a", "b"], "files": {"in": "YQ=="}}
    answer = made(call(house.agent, entry="scripts/copy.py", **arguments))
    response = house.agent.get(f"/v1/invocations/{answer['id']}/files/{path}")
    assert response.status_code == 404
    assert set(response.json()) == {"detail", "code"}


def test_an_agent_sees_its_own_calls_alone(house: House) -> None:
    answer = made(call(house.agent, entry="scripts/copy.py", argv=["in", "a", "b"], files={"in": "YQ=="}))
    with house.new_agent("AUTONOMOUS") as other:
        assert other.get(f"/v1/invocations/{answer['id']}").status_code == 404
        assert other.get(answer["outcome"]["files"][0]["url"]).status_code == 404
    assert house.member.get(f"/v1/invocations/{answer['id']}").status_code == 200


def test_a_denied_call_says_why(house: House) -> None:
    with house.new_agent("STUDENT") as student:
        response = call(student)
    assert response.status_code == 403
    refused = response.json()
    assert refused["decision"]["kind"] == "deny"
    assert refused["decision"]["reasons"][0]["message"]
    assert refused["code"] == refused["decision"]["reasons"][0]["code"]
    assert refused["outcome"]["state"] == "refused"
    assert refused["approval"] is None


def test_a_held_call_runs_after_a_second_person_approved(house: House) -> None:
    with house.new_agent("INTERN") as intern:
        held = call(intern)
        assert held.status_code == 202
        assert held.json()["decision"]["kind"] == "hold"
        request = held.headers["location"]
        assert request == f"/v1/approvals/{held.json()['approval']}"
        waiting = made(intern.get(request))
        assert (waiting["state"], waiting["first_use"]) == ("pending", True)

        assert house.member.post(f"{request}/approve").status_code == 403
        own = house.admin.post(f"{request}/approve", json={})  # the agent's owner
        assert (own.status_code, own.json()["code"]) == (403, "second_person_required")
        approved = made(house.second.post(f"{request}/approve", json={"comment": "fine"}))
        assert (approved["state"], approved["comment"]) == ("approved", "fine")
        again = house.second.post(f"{request}/deny")
        assert (again.status_code, again.json()["code"]) == (409, "already_decided")

        assert made(call(intern, input={"text": "now"}))["outcome"]["result"]["text"] == "now"
    with house.new_agent("INTERN") as other:
        assert other.get(request).status_code == 404


def test_output_streams_while_the_call_still_runs_and_a_client_that_leaves_cancels_it(house: House) -> None:
    wanted = {"skill": "local/echo", "entry": "scripts/talk.py"}
    headers = {"Accept": "application/x-ndjson"}
    with house.agent.stream("POST", "/v1/invocations", json=wanted, headers=headers) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = response.iter_lines()
        accepted = json.loads(next(lines))
        heard = {(event := json.loads(next(lines)))["event"]: event["text"] for _ in range(2)}
        assert heard == {"stdout": "grüße\n", "stderr": "on the other stream\n"}
        running = newest(house)
        assert running["state"] == "accepted"  # the script never ends by itself
        assert accepted == {"event": "accepted", "invocation_id": running["id"]}
    assert ended(house, running["id"])["state"] == "cancelled"
    assert made(call(house.agent))["outcome"]["state"] == "succeeded"  # the sandbox is free again


def test_a_stream_ends_with_the_outcome(house: House) -> None:
    wanted = {"skill": "local/echo", "entry": "scripts/talk.py", "argv": ["end"]}
    response = house.agent.post("/v1/invocations", json=wanted, headers={"Accept": "application/x-ndjson"})
    first, *output, last = [json.loads(line) for line in response.text.splitlines()]
    assert first == {"event": "accepted", "invocation_id": last["invocation"]["id"]}
    assert "".join(event["text"] for event in output if event["event"] == "stdout") == "grüße\n"
    assert last["event"] == "outcome"
    assert last["invocation"]["outcome"]["state"] == "succeeded"
    assert last["invocation"]["outcome"]["stdout"] == "grüße\n"


def test_a_refusal_keeps_its_status_when_a_stream_was_asked_for(house: House) -> None:
    with house.new_agent("STUDENT") as student:
        response = student.post("/v1/invocations", json={"skill": "echo"}, headers={"Accept": "application/x-ndjson"})
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/json"


def test_a_client_that_waits_for_a_plain_answer_and_leaves_cancels_its_call(house: House) -> None:
    before = newest(house)["id"]
    url = httpx.URL(house.server.url)
    leaving = http.client.HTTPConnection(url.host, url.port or 80)
    headers = {"Content-Type": "application/json", "Authorization": house.agent.headers["authorization"]}
    body = json.dumps({"skill": "local/echo", "entry": "scripts/talk.py"})
    leaving.request("POST", "/v1/invocations", body=body, headers=headers)
    deadline = time.monotonic() + 30
    while (running := newest(house))["id"] == before:
        assert time.monotonic() < deadline, "the call was not admitted"
    assert running["state"] == "accepted"  # the script never ends by itself
    leaving.close()
    assert ended(house, running["id"])["state"] == "cancelled"


def test_a_call_that_takes_too_long_is_a_typed_outcome(house: House) -> None:
    answer = made(call(house.agent, entry="scripts/talk.py", timeout_seconds=0.5))
    assert answer["outcome"]["state"] == "timed_out"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"skill": "local/echo", "inputs": {}}, 422, "invalid_request", "inputs"),
        ({"skill": "a/b/c"}, 422, "invalid_input", "skill"),
        ({"skill": "local/echo", "timeout_seconds": 0}, 422, "invalid_request", "timeout_seconds"),
        ({"skill": "local/echo", "files": {"a": "not base64!"}}, 422, "invalid_request", "files.a"),
        ({"skill": "local/echo", "stdin": "a", "stdin_base64": "YQ=="}, 422, "invalid_request", ""),
        ({"skill": "local/echo", "argv": ["x"] * 513}, 422, "invalid_request", "argv"),
        ({"skill": "local/nothing"}, 404, "not_found", None),
        ({"skill": "local/echo@9.9.9"}, 404, "not_found", None),
        ({"skill": "local/echo", "entry": "scripts/none.py"}, 404, "not_found", None),
    ],
)
def test_a_call_that_does_not_fit_is_refused_with_its_place(
    house: House, body: Json, status: int, code: str, field: str | None
) -> None:
    response = house.agent.post("/v1/invocations", json=body)
    problem = response.json()
    assert (response.status_code, problem["code"], problem.get("field")) == (status, code, field), response.text


@pytest.mark.parametrize("path", ["../up", "/etc/x", "a/../../b", "a\x00b"])
def test_an_input_file_cannot_be_put_outside_the_calls_folder(house: House, path: str) -> None:
    response = call(house.agent, files={path: "YQ=="})
    assert response.status_code == 422, response.text


def test_numbers_that_are_not_json_are_refused(house: House) -> None:
    body = b'{"skill": "local/echo", "input": {"text": NaN}}'
    response = house.agent.post("/v1/invocations", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422


def test_a_body_of_another_type_is_refused(house: House) -> None:
    response = house.agent.post("/v1/invocations", content=b"skill=echo", headers={"Content-Type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_calls_are_listed_newest_first_and_page_by_page(house: House) -> None:
    made_here = [made(call(house.agent))["id"] for _ in range(3)]
    seen: list[str] = []
    cursor: str | None = None
    while len(seen) < 3:
        page = made(house.member.get("/v1/invocations", params={"limit": 2} | ({"cursor": cursor} if cursor else {})))
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen[:3] == made_here[::-1]
    assert house.member.get("/v1/invocations", params={"cursor": "x.y"}).status_code == 422


def test_a_skill_of_instructions_answers_with_its_instructions(house: House) -> None:
    made(upload(house.admin, skill_zip("advice")))
    with house.new_agent("STUDENT") as student:
        answer = made(student.post("/v1/invocations", json={"skill": "advice"}))
    assert "Say the hard part first." in answer["outcome"]["result"]["instructions"]
