"""A body costs nobody more memory or time than its limit."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from skillyard.api.application import create_app
from skillyard.api.body_limit import BODY_BYTES, INVOCATION_BYTES, LARGE_BODIES, UPLOAD_BYTES
from skillyard.settings import Settings
from tests.api.conftest import House


def connected(house: House) -> http.client.HTTPConnection:
    url = httpx.URL(house.server.url)
    return http.client.HTTPConnection(url.host, url.port or 80, timeout=60)


def test_every_route_with_a_large_limit_exists() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    assert [(method, path) for method, path in LARGE_BODIES if method.lower() not in paths.get(path, {})] == []


def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_sent(house: House) -> None:
    connection = connected(house)
    connection.putrequest("POST", "/v1/skills")
    connection.putheader("Authorization", house.admin.headers["authorization"])
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(UPLOAD_BYTES + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["code"]) == (413, "body_too_large")
    connection.close()


def peak_memory(house: House) -> int:
    """The most memory the server's process ever held, in bytes."""
    status = Path(f"/proc/{house.server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize(("route", "limit"), [("/v1/persons", BODY_BYTES), ("/v1/invocations", INVOCATION_BYTES)])
def test_a_body_without_a_length_is_counted_as_it_arrives(house: House, route: str, limit: int) -> None:
    client = house.agent if route == "/v1/invocations" else house.admin
    before = peak_memory(house)

    def endless() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(12 * limit // 65536):
            yield b"x" * 65536

    response = client.post(route, content=endless(), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert peak_memory(house) - before < 4 * limit + 32 * 2**20


def test_a_strangers_body_is_not_read(house: House) -> None:
    connection = connected(house)
    connection.putrequest("POST", "/v1/skills")
    connection.putheader("Content-Length", str(UPLOAD_BYTES))
    connection.endheaders()
    assert connection.getresponse().status == 401  # though not one byte of the body was sent
    connection.close()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name": 1}', b'{"name": "a", "role": "root"}', b"\xff", b"1" * 5000])
def test_a_body_that_is_not_what_it_should_be_is_refused(house: House, body: bytes) -> None:
    response = house.admin.post("/v1/persons", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) in {(422, "invalid_request"), (400, "bad_request")}


@pytest.mark.parametrize("depth", [200, 100_000])
def test_deeply_nested_input_does_not_hurt_the_server(house: House, depth: int) -> None:
    body = b'{"skill": "echo", "input": {"text": ' + b"[" * depth + b"]" * depth + b"}}"
    response = house.agent.post("/v1/invocations", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {200, 422}
    assert house.admin.get("/health").status_code == 200


def test_half_a_request_does_not_hold_up_others(house: House) -> None:
    url = httpx.URL(house.server.url)
    with socket.create_connection((url.host, url.port or 80)) as slow:
        head = f"POST /v1/invocations HTTP/1.1\r\nHost: x\r\nAuthorization: {house.agent.headers['authorization']}\r\n"
        slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert house.agent.post("/v1/invocations", json={"skill": "echo"}).status_code == 200
