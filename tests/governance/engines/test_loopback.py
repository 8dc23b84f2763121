"""The endpoint answers as registries do, for as long as a scan takes, and never says "nothing known" by mistake."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import update
from skillyard.governance.engines.loopback import Loopback, serving
from skillyard.governance.engines.osv_answers import Asked
from skillyard.skills.skill import Ecosystem
from tests.governance.engines.conftest import NOW

JINJA = {"package": {"name": "Jinja2", "ecosystem": "PyPI"}, "version": "2.10"}


@pytest.fixture
def endpoint(index: IndexFile) -> Iterator[Loopback]:
    with serving(index.current()) as running:
        yield running


def test_a_query_answers_with_records_that_pip_audit_can_read(endpoint: Loopback) -> None:
    answer = httpx.post(f"{endpoint.url}/v1/query", json=JINJA).json()
    records = {record["id"]: record for record in answer["vulns"]}
    assert set(records) == {"PYSEC-2019-217", "PYSEC-2021-66"}
    record = records["PYSEC-2019-217"]
    assert "CVE-2019-10906" in record["aliases"]
    assert all(record[field].endswith("Z") for field in ("modified", "published"))
    assert record["affected"][0]["package"] == {"ecosystem": "PyPI", "name": "jinja2"}
    assert {"fixed": "2.10.1"} in record["affected"][0]["ranges"][0]["events"]


def test_nothing_known_is_an_empty_object_and_the_question_is_remembered(endpoint: Loopback) -> None:
    question = {**JINJA, "version": "99.0"}
    assert httpx.post(f"{endpoint.url}/v1/query", json=question).json() == {}
    assert endpoint.asked == {Asked(Ecosystem.PYPI, "jinja2", "99.0")}


def test_a_batch_answers_ids_in_the_order_of_its_queries(endpoint: Loopback) -> None:
    queries = [{**JINJA, "version": "99.0"}, JINJA]
    answer = httpx.post(f"{endpoint.url}/v1/querybatch", json={"queries": queries}).json()
    clean, known = answer["results"]
    assert clean == {}
    assert [set(one) for one in known["vulns"]] == [{"id", "modified"}] * 2


@pytest.mark.parametrize(
    "question",
    [
        {},
        [],
        {"package": {"name": "jinja2", "ecosystem": "Cargo"}, "version": "1"},
        {"package": {"name": "jinja2", "ecosystem": "PyPI"}},
        {"commit": "6879efc2c1596d11a6a6ad296f80063b558d5e0f"},
        {**JINJA, "page_token": "next"},
        {**JINJA, "version": "not a version"},
    ],
)
def test_what_is_not_understood_is_refused_and_not_answered_with_nothing(endpoint: Loopback, question: object) -> None:
    response = httpx.post(f"{endpoint.url}/v1/query", json=question)
    assert response.status_code == 400
    assert response.json()["message"]
    assert endpoint.asked == frozenset()


def test_only_who_knows_the_secret_is_answered(endpoint: Loopback) -> None:
    host = endpoint.url.rpartition("/")[0]
    assert httpx.post(f"{host}/v1/query", json=JINJA).status_code == 404
    assert httpx.post(f"{host}/guess/v1/query", json=JINJA).status_code == 404
    assert httpx.get(f"{endpoint.url}/v1/query").status_code == 405
    assert endpoint.url.startswith("http://127.0.0.1:")


def test_a_huge_question_is_refused_unread(endpoint: Loopback) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(endpoint.url).port or 0), timeout=30) as connection:
        path = httpx.URL(endpoint.url).path
        head = f"POST {path}/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096)


async def test_an_index_without_data_of_an_ecosystem_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "npm.db"
    await update(path, MemorySource([NPM_RECORD]), now=NOW)
    with serving(AdvisoryIndex.open(path)) as running:
        async with httpx.AsyncClient() as client:
            response = await client.post(f"{running.url}/v1/query", json=JINJA)
    assert response.status_code == 500


def test_an_index_that_breaks_meanwhile_is_an_error(index: IndexFile) -> None:
    opened = index.current()
    with serving(opened) as running:
        opened.close()
        assert httpx.post(f"{running.url}/v1/query", json=JINJA).status_code == 500


def test_afterwards_nobody_listens_and_no_thread_is_left(index: IndexFile) -> None:
    with serving(index.current()) as running:
        url = running.url
        httpx.post(f"{url}/v1/query", json=JINJA)
    with pytest.raises(httpx.ConnectError):
        httpx.post(f"{url}/v1/query", json=JINJA)
    assert "advisory-endpoint" not in {thread.name for thread in threading.enumerate()}


_NPM = {
    "package": {"ecosystem": "npm", "name": "demo"},
    "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
}
NPM_RECORD = json.dumps({"id": "NPM-1", "modified": "2026-05-01T00:00:00Z", "affected": [_NPM]}).encode()
