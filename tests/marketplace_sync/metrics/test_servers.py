"""What an admin of a follower sees and does, on two real servers. In order: the last tests take the hub away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from skillyard.cli.main import run
from skillyard.times import utcnow
from tests.api.conftest import made
from tests.marketplace_sync.metrics.conftest import LABEL, Pair, publish, wait

OF_HUB = f'{{remote="{LABEL}"}}'


def rate(pair: Pair, skill: str) -> None:
    assert pair.admin.put(f"/v1/remotes/hub/skills/{skill}/rating", json={"stars": 4}).status_code == 202


def newest(pair: Pair, job: str) -> dict[str, Any]:
    (found,) = made(pair.admin.get(f"/v1/admin/sync/runs?remote=hub&job={job}&limit=1"))["items"]
    return dict(found)


def test_a_remote_is_followed_by_itself_and_its_status_says_how_it_stands(pair: Pair) -> None:
    wait(lambda: pair.status()["succeeded_at"] and pair.status()["channel"]["state"] == "open")
    status = pair.status()
    assert (status["skills"], status["categories"], status["state"], status["failures"]) == (2, 1, "enabled", 0)
    assert (status["seq"], status["head"], status["lag"]) == (3, 3, 0)
    assert status["uploads"] == {"waiting": 0, "conflict": 0, "dead": 0}
    assert (status["set_aside"], status["open_conflicts"], status["error"]) == (0, 0, None)
    jobs = {job["job"]: job for job in status["jobs"]}
    assert jobs["catalogue"]["period"] == 900.0, "live: every quarter of an hour"
    assert jobs["catalogue"]["next_at"]
    assert jobs["uploads"]["period"] == 1800.0
    whole = made(pair.admin.get("/v1/admin/sync/status"))
    assert whole["running"] is True
    assert whole["advisories"]["next_at"] is None, "updates are off in tests"


def test_what_is_published_arrives_at_once_by_the_live_channel(pair: Pair) -> None:
    wait(lambda: pair.status()["channel"]["state"] == "open")
    publish(pair.hub, "fresh-skill")
    wait(lambda: pair.status()["skills"] == 3)
    wait(lambda: newest(pair, "catalogue")["ended_at"])
    found = newest(pair, "catalogue")
    assert (found["trigger"], found["state"], found["counts"]["applied"]) == ("live", "succeeded", 1)


def test_figures_are_counted_by_what_is_done(pair: Pair) -> None:
    before, began = pair.figures(), utcnow().timestamp()
    pair.run("catalogue")
    pair.run("uploads")
    after = pair.figures()
    for counted in ("sync_success_total", "rating_sync_success_total"):
        assert after[counted + OF_HUB] == before[counted + OF_HUB] + 1
    for timed in ("sync_duration_seconds_count", "rating_sync_duration_seconds_count"):
        assert after[timed + OF_HUB] == before[timed + OF_HUB] + 1
    for told in ("sync_last_success_timestamp_seconds", "rating_sync_last_success_timestamp_seconds"):
        assert began - 1 < after[told + OF_HUB] <= utcnow().timestamp()
    assert after["sync_skills_cached" + OF_HUB] == 3
    assert after["sync_categories_cached" + OF_HUB] == 1
    assert after["websocket_connected" + OF_HUB] == 1
    assert after['sync_health{state="healthy"}'] == 1
    for nothing in ("sync_errors_total", "remote_failures", "sync_lag", "sync_set_aside", "conflicts_unresolved"):
        assert after[nothing + OF_HUB] == 0


def test_a_channel_is_opened_again_by_hand_closed_and_kept_again(pair: Pair) -> None:
    def state() -> object:
        (channel,) = made(pair.admin.get("/v1/admin/sync/live"))["items"]
        return channel["state"]

    wait(lambda: state() == "open")
    before = pair.figures()["websocket_reconnects_total" + OF_HUB]
    assert pair.admin.post("/v1/admin/sync/live/hub/reconnect").status_code == 202
    wait(lambda: pair.figures()["websocket_reconnects_total" + OF_HUB] == before + 1 and state() == "open")
    made(pair.admin.post("/v1/admin/sync/live/hub/disable"))
    wait(lambda: state() is None)
    assert "websocket_connected" + OF_HUB not in pair.figures()
    assert {job["job"]: job["period"] for job in pair.status()["jobs"]}["catalogue"] == 60.0
    made(pair.admin.post("/v1/admin/sync/live/hub/enable"))
    wait(lambda: state() == "open")
    assert pair.admin.post("/v1/admin/sync/live/nowhere/reconnect").status_code == 404


def test_a_job_is_paused_resumed_and_given_a_period_of_its_own(pair: Pair) -> None:
    job = {"remote": "hub", "job": "uploads"}
    paused = made(pair.admin.put("/v1/admin/sync/config", json={**job, "paused": True}))
    assert (paused["paused"], paused["next_at"]) == (True, None)
    changed = made(pair.admin.put("/v1/admin/sync/config", json={**job, "paused": False, "seconds": 300}))
    assert (changed["paused"], changed["period"], changed["own_period"]) == (False, 300.0, True)
    again = made(pair.admin.put("/v1/admin/sync/config", json={**job, "default": True}))
    assert (again["period"], again["own_period"]) == (1800.0, False)
    config = made(pair.admin.get("/v1/admin/sync/config"))
    assert config["settings"]["sync_upload_period"] == 1800.0
    assert pair.admin.put("/v1/admin/sync/config", json={**job, "seconds": 1}).status_code == 422
    refused = pair.admin.put("/v1/admin/sync/config", json={"remote": "hub", "job": "advisories", "paused": True})
    assert refused.status_code == 422
    actions = [record["action"] for record in made(pair.admin.get("/v1/audit/records?action=sync."))["items"]]
    assert actions.count("sync.job_changed") == 3


def test_a_rating_that_is_put_into_the_outbox_goes_up_within_seconds(pair: Pair) -> None:
    before = pair.figures()["rating_sync_success_total" + OF_HUB]
    rate(pair, "acme/csv-report")
    wait(lambda: pair.figures()["rating_sync_success_total" + OF_HUB] > before)
    wait(lambda: newest(pair, "uploads")["state"] != "running")  # a flight is told of after what it sent
    found = newest(pair, "uploads")
    assert (found["state"], found["counts"]["sent"], found["counts"]["dead"]) == ("succeeded", 1, 0)
    ratings = made(pair.upstream.get("/v1/marketplace/skills/acme/csv-report/ratings"))["items"]
    assert [one["stars"] for one in ratings] == [4]


def test_strangers_are_told_little_and_figures_are_for_operators(pair: Pair) -> None:
    with pair.follower.client(None) as nobody, pair.follower.client("not-a-token") as wrong:
        health = nobody.get("/health/sync")
        assert (health.status_code, health.json()) == (200, {"status": "healthy", "reasons": []})
        assert wrong.get("/health/sync").status_code == 401
        assert nobody.get("/metrics").status_code == 401
    admin = made(pair.admin.post("/v1/persons", json={"name": "mere-admin", "role": "admin"}))
    token = made(pair.admin.post("/v1/tokens", json={"name": "t", "person": admin["id"]}))["token"]
    with pair.follower.client(str(token)) as person:
        assert person.get("/metrics").status_code == 403
        assert person.get("/v1/admin/sync/status").status_code == 200
    answer = pair.admin.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_the_command_line_mirrors_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKILLYARD_SERVER", pair.follower.url)
    monkeypatch.setenv("SKILLYARD_TOKEN", str(pair.follower.token))

    def cli(*arguments: str) -> str:
        assert run(["sync", *arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    def document(*arguments: str) -> Any:
        return json.loads(cli(*arguments, "--json"))

    shown = cli("status")
    assert "hub (skillyard, enabled)" in shown
    assert "channel: open" in shown
    ran = document("run", "hub")
    assert (ran["state"], ran["trigger"]) == ("succeeded", "manual")
    assert document("runs", "--remote", "hub", "--job", "catalogue")["runs"][0]["id"] == ran["id"]
    assert document("pause", "hub", "--job", "uploads")["paused"] is True
    assert document("resume", "hub", "--job", "uploads")["paused"] is False
    assert document("period", "hub", "120")["period"] == 120.0
    assert document("period", "hub")["own_period"] is False
    (channel,) = document("live", "status")["channels"]
    assert (channel["remote"], channel["state"]) == ("hub", "open")
    assert document("live", "reconnect", "hub")["wanted"] is True
    assert "sync_upload_period" in cli("config")
    assert "last sent in full" in cli("ratings")
    assert run(["sync", "run", "nowhere"]) == 1
    assert run(["sync", "run"]) == 2


@pytest.mark.timeout(300)
def test_a_hub_that_is_gone_is_seen_everywhere(pair: Pair) -> None:
    pair.hub.process.terminate()
    pair.hub.process.wait(60)
    wait(lambda: pair.status()["channel"]["state"] in ("waiting", "resting", "connecting"))
    before = pair.figures()["sync_errors_total" + OF_HUB]
    pair.run()
    status = pair.status()
    assert status["failures"] >= 1
    assert status["error"]
    found = newest(pair, "catalogue")
    assert (found["state"], found["error"]) == ("failed", status["error"])
    figures = pair.figures()
    assert figures["sync_errors_total" + OF_HUB] > before
    assert figures["remote_failures" + OF_HUB] >= 1
    assert figures["websocket_connected" + OF_HUB] == 0
    assert figures['sync_health{state="degraded"}'] == 1
    with pair.follower.client(None) as nobody:
        health = nobody.get("/health/sync")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert {"channel_down", "failing"} <= set(health.json()["reasons"])
    assert "troubles" not in health.json()
    told = pair.admin.get("/health/sync").json()["troubles"]
    assert {trouble["remote"] for trouble in told} == {"hub"}


def test_what_cannot_go_up_waits_is_dead_in_the_end_and_is_tried_again_by_hand(pair: Pair) -> None:
    """The follower of these tests gives up after some seconds."""
    failed = pair.figures()["rating_sync_errors_total" + OF_HUB]
    rate(pair, "acme/pdf-tools")
    uploads = made(pair.admin.get("/v1/admin/sync/uploads?kind=rating"))["items"]
    (rated,) = [one["key"] for one in uploads if one["key"].startswith("acme/pdf-tools#")]
    wait(lambda: pair.figures()["rating_sync_errors_total" + OF_HUB] > failed)
    queue = f'sync_upload_queue{{remote="{LABEL}",state="%s"}}'
    wait(lambda: pair.figures()[queue % "dead"] == 1)
    (dead,) = made(pair.admin.get("/v1/admin/sync/uploads?state=dead"))["items"]
    assert (dead["remote"], dead["kind"], dead["key"]) == ("hub", "rating", rated)
    (ratings,) = made(pair.admin.get("/v1/admin/sync/ratings/status"))["ratings"]
    assert (ratings["waiting"], ratings["dead"]) == (0, 1)
    assert pair.figures()[queue % "waiting"] == 0
    assert made(pair.admin.post(f"/v1/admin/sync/uploads/{dead['id']}/retry"))["retried"] == [dead["id"]]
    assert pair.figures()[queue % "dead"] == 0
