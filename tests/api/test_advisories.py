"""What the server knows about vulnerabilities, how old that is, and whether it can still get newer data."""

from __future__ import annotations

from pathlib import Path

import httpx
from skillyard.governance.advisories.attempts import AttemptState, write_attempt
from skillyard.times import utcnow
from tests.api.conftest import House, made, serving
from tests.marketplace_sync.metrics.conftest import wait

SOURCE = "https://example.com/all.zip"


def test_the_advisory_status_says_how_old_the_data_is(house: House) -> None:
    status = made(house.member.get("/v1/advisories"))
    assert status["max_age_days"] == 36500
    pypi = [dataset for dataset in status["datasets"] if dataset["ecosystem"] == "pypi"]
    assert pypi
    assert pypi[0]["advisories"] > 1000
    assert pypi[0]["data_date"]
    assert {dataset["kind"] for dataset in pypi} == {"advisories", "names"}
    assert (status["supplied"], status["attempts"], status["update_hours"]) == ([], [], 0)


def test_a_failed_update_is_told_to_everybody_and_its_words_to_operators(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as server, server.client(server.token) as admin:
        index = home / "advisories.db"
        write_attempt(index, SOURCE, at=utcnow(), state=AttemptState.FAILED, error="status 500")
        assert made(admin.get("/v1/status"))["advisories"] == {"state": "fresh", "failing": [SOURCE]}
        (attempt,) = made(admin.get("/v1/advisories"))["attempts"]
        assert (attempt["state"], attempt["error"], attempt["succeeded_at"]) == ("failed", "status 500", None)
        ann = made(admin.post("/v1/persons", json={"name": "ann", "role": "admin"}))["id"]
        token = made(admin.post("/v1/tokens", json={"name": "test", "person": ann}))["token"]
        with server.client(str(token)) as other:
            (attempt,) = made(other.get("/v1/advisories"))["attempts"]
            assert (attempt["state"], attempt["error"]) == ("failed", None)
        index.write_bytes(b"damaged")
        assert made(admin.get("/v1/status"))["advisories"] == {"state": "unreadable", "failing": []}


def test_why_an_update_by_hand_failed_is_told_to_operators_alone(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/all.zip"
    with serving(tmp_path / "home", advisories_url=nobody) as server, server.client(server.token) as admin:

        def run(client: httpx.Client) -> dict[str, object]:
            (found,) = made(client.get("/v1/admin/sync/runs?job=advisories"))["items"]  # type: ignore[misc]
            return dict(found)  # type: ignore[call-overload]

        assert admin.post("/v1/admin/sync/trigger", json={"job": "advisories"}).status_code == 202
        wait(lambda: run(admin)["ended_at"])
        assert (run(admin)["state"], "127.0.0.1" in str(run(admin)["error"])) == ("failed", True)
        ann = made(admin.post("/v1/persons", json={"name": "ann", "role": "admin"}))["id"]
        token = made(admin.post("/v1/tokens", json={"name": "test", "person": ann}))["token"]
        with server.client(str(token)) as other:
            assert (run(other)["state"], run(other)["error"]) == ("failed", None)


def test_old_advisories_are_called_stale(tmp_path: Path) -> None:
    with serving(tmp_path / "home", advisories_max_age_days="1") as server, server.client(server.token) as admin:
        assert made(admin.get("/v1/status"))["advisories"] == {"state": "stale", "failing": []}


def test_a_missing_index_is_never_no_advisories(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as server, server.client(server.token) as admin:
        (home / "advisories.db").unlink()
        response = admin.get("/v1/advisories")
        assert (response.status_code, response.json()["code"]) == (503, "advisory_index_missing")
        assert str(home) not in response.text
