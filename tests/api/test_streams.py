"""What streams: events while a call runs, cancelling, calls without their client, large things in and out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import socket
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import House, made, skill_zip, upload
from tests.api.test_body_limit import peak_memory
from tests.api.test_invocations import ended, newest
from tests.out_of_band import change

Json = dict[str, Any]
MIB = 1024 * 1024
NDJSON = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module", autouse=True)
def tell(house: House) -> None:
    made(upload(house.admin, skill_zip("tell")))


def wanted(entry: str = "run", **fields: object) -> Json:
    return {"skill": "local/tell", "entry": f"scripts/tell.py:{entry}"} | fields


def streamed(house: House, **fields: object) -> list[Json]:
    response = house.agent.post("/v1/invocations", json=wanted(**fields), headers=NDJSON)  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def test_progress_and_log_lines_stream_in_the_terms_of_mcp(house: House) -> None:
    first, *events, last = streamed(house)
    assert first == {"event": "accepted", "invocation_id": last["invocation"]["id"]}
    assert events == [
        {"event": "progress", "progress": 1, "total": 2, "message": "half way"},
        {"event": "log", "level": "notice", "message": "grüße", "data": {"number": 1.5}},
    ]
    assert last["invocation"]["outcome"]["result"] == {"text": "", "number": 2**70}


def test_a_plain_answer_is_what_it_was(house: House) -> None:
    answer = made(house.agent.post("/v1/invocations", json=wanted(input={"result": 3 * MIB})))
    assert answer["outcome"]["result"] == {"text": "x" * 3 * MIB, "number": 2**70}
    assert answer["outcome"]["result_file"] is None


def test_a_large_result_of_a_stream_is_a_file_that_is_kept(house: House) -> None:
    last = streamed(house, input={"result": MIB})[-1]
    outcome = last["invocation"]["outcome"]
    assert outcome["state"] == "succeeded"
    assert outcome["result"] is None
    kept = outcome["result_file"]
    assert (kept["path"], kept["media_type"]) == ("result.json", "application/json")
    download = house.agent.get(kept["url"])
    assert hashlib.sha256(download.content).hexdigest() == kept["sha256"]
    assert download.json() == {"text": "x" * MIB, "number": 2**70}
    (listed,) = made(house.agent.get(f"/v1/invocations/{last['invocation']['id']}/files"))["items"]
    assert {key: listed[key] for key in kept} == kept


def test_a_refusal_after_admission_is_told_with_the_status_it_would_have_had(house: House) -> None:
    *_, last = streamed(house, files={"../up": ""})
    assert (last["event"], last["status"], last["code"]) == ("error", 422, "invalid_input")


class Slow:
    """A client of a stream that reads when it wants to."""

    def __init__(self, house: House, body: Json) -> None:
        url = httpx.URL(house.server.url)
        content = json.dumps(body).encode()
        head = (
            f"POST /v1/invocations HTTP/1.1\r\nHost: x\r\nAuthorization: {house.agent.headers['authorization']}\r\n"
            f"Content-Type: application/json\r\nAccept: application/x-ndjson\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((url.host, url.port or 80))
        self.socket.settimeout(60)
        self.socket.sendall(head.encode() + content)

    def until(self, text: bytes) -> bytes:
        seen = b""
        while text not in seen:
            piece = self.socket.recv(4096)
            assert piece, seen
            seen += piece
        return seen

    def rest(self) -> bytes:
        seen = b""
        while not seen.endswith(b"0\r\n\r\n"):
            piece = self.socket.recv(65536)
            assert piece, seen[-200:]
            seen += piece
        return seen


def test_a_slow_reader_costs_the_server_no_more_than_what_a_call_may_print(house: House) -> None:
    streamed(house, input={"printed": 10})
    before = peak_memory(house)
    slow = Slow(house, wanted(input={"printed": 500_000}))
    start = slow.until(b"accepted")
    invocation = start.partition(b'"invocation_id":"')[2][:36].decode()
    assert ended(house, invocation)["state"] == "succeeded"  # though nobody has read what it printed
    assert peak_memory(house) - before < 48 * MIB
    rest = slow.rest()
    slow.socket.close()
    events = [json.loads(line) for line in (start + rest).splitlines() if line.startswith(b'{"event":"std')]
    for stream, letter in (("stdout", "o"), ("stderr", "e")):
        assert "".join(event["text"] for event in events if event["event"] == stream) == letter * 500_000


# Cancelling


def running(house: House, **fields: object) -> tuple[httpx.Response, Iterator[str], str]:
    request = house.agent.build_request(
        "POST", "/v1/invocations", json=wanted("slow", input={"seconds": 600}, **fields), headers=NDJSON
    )
    response = house.agent.send(request, stream=True)
    lines = response.iter_lines()
    invocation = json.loads(next(lines))["invocation_id"]
    assert json.loads(next(lines))["text"] == "begun\n"
    return response, lines, invocation


@pytest.mark.parametrize("who", ["agent", "second", "admin"])
def test_a_call_is_cancelled_by_its_id_and_its_stream_says_so(house: House, who: str) -> None:
    response, lines, invocation = running(house)
    client: httpx.Client = getattr(house, who)
    answer = client.post(f"/v1/invocations/{invocation}/cancel")
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "cancelled"
    assert answer.json()["reason"].startswith("cancelled by ")
    last = json.loads(list(lines)[-1])
    response.close()
    assert (last["event"], last["invocation"]["outcome"]["state"]) == ("outcome", "cancelled")
    assert made(house.agent.get(f"/v1/invocations/{invocation}/files"))["items"] == []
    again = client.post(f"/v1/invocations/{invocation}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "already_finished")


def test_only_who_may_cancels(house: House) -> None:
    response, _, invocation = running(house)
    path = f"/v1/invocations/{invocation}/cancel"
    with house.new_agent("AUTONOMOUS") as other:
        assert other.post(path).status_code == 404
    assert house.stranger.post(path).status_code == 404
    assert house.member.post(path).status_code == 403
    assert house.admin.post(f"/v1/invocations/{uuid.uuid4()}/cancel").status_code == 404
    assert house.admin.get(f"/v1/invocations/{invocation}").json()["state"] == "accepted"
    response.close()
    assert ended(house, invocation)["state"] == "cancelled"


def test_a_call_goes_on_without_its_client_where_that_was_asked_for(house: House) -> None:
    request = wanted("slow", input={"seconds": 1.5}, on_disconnect="continue")
    with house.agent.stream("POST", "/v1/invocations", json=request, headers=NDJSON) as response:
        invocation = json.loads(next(response.iter_lines()))["invocation_id"]
    assert ended(house, invocation)["state"] == "succeeded"
    (left,) = made(house.agent.get(f"/v1/invocations/{invocation}/files"))["items"]
    assert house.agent.get(left["url"]).text == "left"


def test_a_call_that_goes_on_without_its_client_can_be_cancelled(house: House) -> None:
    response, _, invocation = running(house, on_disconnect="continue")
    response.close()
    assert house.agent.get(f"/v1/invocations/{invocation}").json()["state"] == "accepted"
    assert house.agent.post(f"/v1/invocations/{invocation}/cancel").json()["state"] == "cancelled"


# Files out


def test_files_are_listed_page_by_page_with_their_types_and_how_long_they_are_kept(house: House) -> None:
    answer = made(house.agent.post("/v1/invocations", json=wanted("page")))
    path = f"/v1/invocations/{answer['id']}/files"
    first = made(house.agent.get(path, params={"limit": 4}))
    second = made(house.agent.get(path, params={"limit": 4, "cursor": first["next_cursor"]}))
    assert second["next_cursor"] is None
    files = first["items"] + second["items"]
    types = {file["path"]: file["media_type"] for file in files}
    assert types.pop("script.js").endswith("/javascript")  # which of the two depends on Python's version
    assert types == {
        "archive.tar.gz": "application/gzip",
        "data.bin": "application/octet-stream",
        "page.html": "text/html",
        "picture.svg": "image/svg+xml",
        "table.csv": "text/csv",
    }
    for file in files:
        expires = datetime.fromisoformat(file["expires_at"])
        assert 6.9 < (expires - datetime.now(expires.tzinfo)).total_seconds() / 86400 < 7.1
        assert file["removed_at"] is None
    with house.new_agent("AUTONOMOUS") as other:
        assert other.get(path).status_code == 404
    assert house.stranger.get(path).status_code == 404


def test_a_download_is_never_a_page_whatever_its_name_says(house: House) -> None:
    answer = made(house.agent.post("/v1/invocations", json=wanted("page")))
    for file in answer["outcome"]["files"]:
        download = house.agent.get(file["url"])
        assert download.headers["content-disposition"].startswith("attachment")
        assert download.headers["x-content-type-options"] == "nosniff"
        kind = download.headers["content-type"].partition(";")[0]
        assert kind == (
            file["media_type"] if file["path"] in {"table.csv", "archive.tar.gz"} else "application/octet-stream"
        )


def test_a_download_can_be_resumed_and_is_known_by_its_digest(house: House) -> None:
    content = random.Random(7).randbytes(200_000)
    request = {"skill": "local/echo", "entry": "scripts/copy.py", "argv": ["in", "out.bin", "typed"]}
    answer = made(
        house.agent.post("/v1/invocations", json=request | {"files": {"in": base64.b64encode(content).decode()}})
    )
    url = next(file["url"] for file in answer["outcome"]["files"] if file["path"] == "out.bin")
    whole = house.agent.get(url)
    etag = whole.headers["etag"]
    assert etag == f'"{hashlib.sha256(content).hexdigest()}"'
    part = house.agent.get(url, headers={"Range": "bytes=150000-", "If-Range": etag})
    assert (part.status_code, part.content) == (206, content[150_000:])
    assert part.headers["content-range"] == "bytes 150000-199999/200000"
    assert house.agent.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).content == content
    beyond = house.agent.get(url, headers={"Range": "bytes=200000-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */200000")
    assert beyond.json()["detail"]
    same = house.agent.get(url, headers={"If-None-Match": f'W/{etag}, "x"'})
    assert (same.status_code, same.content) == (304, b"")


def test_a_file_that_is_not_kept_any_more_is_gone(house: House) -> None:
    answer = made(house.agent.post("/v1/invocations", json=wanted("page")))
    mine = f"invocation_id = '{answer['id']}' AND path = 'data.bin'"
    asyncio.run(change(house.server.database, f"UPDATE invocation_files SET removed_at = expires_at WHERE {mine}"))
    urls = {file["path"]: file["url"] for file in answer["outcome"]["files"]}
    gone = house.agent.get(urls["data.bin"])
    assert (gone.status_code, gone.json()["code"]) == (410, "artefact_expired")
    assert house.agent.get(urls["table.csv"]).status_code == 200


# Files in


def form(house: House, files: list[tuple[str, tuple[str, Any, str]]], request: Json) -> httpx.Response:
    return house.agent.post("/v1/invocations", data={"request": json.dumps(request)}, files=files)


def spooled(house: House) -> list[Path]:
    return list((house.server.home / "uploads").glob("*"))


def test_large_files_go_in_without_being_held_in_memory(house: House, tmp_path: Path) -> None:
    made(house.agent.post("/v1/invocations", json=wanted("digest", input={"path": "a"}, files={"a": ""})))
    before = peak_memory(house)
    given = tmp_path / "given"
    given.write_bytes(random.Random(3).randbytes(48 * MIB))
    digest = hashlib.sha256(given.read_bytes()).hexdigest()
    with given.open("rb") as file:
        answer = made(
            form(
                house,
                [("files", ("in/größe.bin", file, "application/x-whatever"))],
                wanted("digest", input={"path": "in/größe.bin"}),
            )
        )
    assert answer["outcome"]["result"] == {"sha256": digest}, answer["outcome"]
    assert peak_memory(house) - before < 24 * MIB
    assert spooled(house) == []


def test_standard_input_comes_as_a_part_as_well(house: House) -> None:
    request = {"skill": "local/echo", "entry": "scripts/copy.py", "argv": ["in", "a", "b"]}
    typed = os.urandom(3 * MIB)
    parts = [("files", ("in", b"x", "text/plain")), ("stdin", ("any name", typed, "application/octet-stream"))]
    answer = made(form(house, parts, request))
    (left,) = [file for file in answer["outcome"]["files"] if file["path"] == "b"]
    assert left["sha256"] == hashlib.sha256(typed).hexdigest()
    twice = form(house, parts, request | {"stdin": "more"})
    assert (twice.status_code, twice.json()["field"]) == (422, "stdin")


def endless(pieces: int, first: bytes) -> Iterator[bytes]:
    yield first
    for _ in range(pieces):
        yield b"x" * 65536


PART = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n'


def raw_form(house: House, parts: list[tuple[str, str, bytes]], more: int = 0) -> httpx.Response:
    """A form written by hand; the last part goes on for ``more`` pieces of 64 KiB."""
    body = b""
    for name, rest, content in parts:
        body += b"--b\r\n" + PART.format(name, rest).encode() + content
        body += b"" if more and (name, rest, content) == parts[-1] else b"\r\n"
    tail = b"" if more else b"--b--\r\n"
    return house.agent.post(
        "/v1/invocations",
        content=endless(more, body + tail),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )


def test_files_beyond_the_grant_are_refused_while_they_come(house: House) -> None:
    request = json.dumps(wanted("digest", input={"path": "a"})).encode()
    for field in ("files", "stdin"):
        parts = [("request", "", request), (field, '; filename="a"', b"")]
        refused = raw_form(house, parts, more=80 * 16)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large"), refused.text
    assert spooled(house) == []


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([("request", "", b"{}")], 422),
        ([("files", '; filename="a"', b"x")], 422),
        ([("request", '; filename="r"', b'{"skill": "local/tell"}')], 422),
        ([("request", "", b'{"skill": "local/tell"}'), ("files", "", b"x")], 422),
        ([("request", "", b'{"skill": "local/tell"}'), ("file", '; filename="a"', b"x")], 422),
        ([("request", "", b'{"skill": "local/tell"}'), ("request", "", b"{}")], 422),
        ([("request", "", b'{"skill": "local/nothing"}'), ("files", '; filename="a"', b"x")], 404),
        ([("request", "", b'{"skill": "local/tell"}'), ("files", '; filename="../a"', b"x")], 422),
        ([("request", "", b'{"skill": "local/tell"}'), *[("files", '; filename="a"', b"x")] * 2], 422),
    ],
)
def test_a_form_that_does_not_fit_is_refused_and_nothing_of_it_stays(
    house: House, parts: list[tuple[str, str, bytes]], status: int
) -> None:
    response = raw_form(house, parts)
    assert response.status_code == status, response.text
    assert set(response.json()) >= {"detail", "code"}
    assert spooled(house) == []


@pytest.mark.parametrize(
    "content", [b"", b"nothing like a form", b"--b\r\n\r\n", b"--b\r\nno header\r\n\r\nx\r\n--b--\r\n"]
)
def test_a_body_that_is_no_form_is_refused(house: House, content: bytes) -> None:
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data"):
        response = house.agent.post("/v1/invocations", content=content, headers={"Content-Type": kind})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_input"), response.text


def test_files_may_come_before_the_call_that_they_are_for(house: House) -> None:
    request = json.dumps(wanted("digest", input={"path": "a"})).encode()
    answer = made(raw_form(house, [("files", '; filename="a"', b"abc"), ("request", "", request)]))
    assert answer["outcome"]["result"] == {"sha256": hashlib.sha256(b"abc").hexdigest()}


def test_a_client_that_leaves_while_it_sends_leaves_nothing(house: House) -> None:
    before = newest(house)["id"]
    url = httpx.URL(house.server.url)
    with socket.create_connection((url.host, url.port or 80)) as leaving:
        head = f"POST /v1/invocations HTTP/1.1\r\nHost: x\r\nAuthorization: {house.agent.headers['authorization']}\r\n"
        leaving.sendall(
            f"{head}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n".encode()
        )
        leaving.sendall(b"--b\r\n" + PART.format("files", '; filename="a"').encode() + b"x" * 4_000_000)
        deadline = time.monotonic() + 30
        while not spooled(house):
            assert time.monotonic() < deadline, "nothing was written"
    deadline = time.monotonic() + 30
    while spooled(house):
        assert time.monotonic() < deadline, "the files of a client that left stay"
    assert newest(house)["id"] == before
