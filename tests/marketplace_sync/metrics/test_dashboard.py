"""The dashboard that is shipped: a real Prometheus scrapes a real follower, and every panel has something to show."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.api.conftest import made
from tests.marketplace_sync.metrics.conftest import Pair, publish, wait
from tests.postgres import free_port

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "deploy" / "grafana" / "skillyard-sync.json"
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
WINDOW = "5m"
"""Longer than the test takes, or what was counted at its beginning lies before the window at its end."""


def queries() -> dict[str, list[str]]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in panels}


@contextmanager
def prometheus(folder: Path, pair: Pair) -> Iterator[httpx.Client]:
    """A Prometheus of our own that scrapes the follower every second, with the shipped rules loaded."""
    port = free_port()
    (folder / "token").write_text(pair.follower.token or "")
    target = httpx.URL(pair.follower.url).netloc.decode()
    config = folder / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(ROOT / "deploy" / "prometheus" / "skillyard-sync.rules.yml")],
                "scrape_configs": [
                    {
                        "job_name": "skillyard",
                        "authorization": {"credentials_file": str(folder / "token")},
                        "static_configs": [{"targets": [target]}],
                    }
                ],
            }
        )
    )
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    log = folder / "log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
                wait(lambda: _answers(client))
                yield client
        finally:
            process.terminate()
            process.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.HTTPError:
        return False


def asked(client: httpx.Client, query: str) -> list[float]:
    """The values of an instant query, as Grafana asks for them."""
    answer = made(client.get("/api/v1/query", params={"query": query.replace("$window", WINDOW)}))
    return [float(series["value"][1]) for series in answer["data"]["result"]]  # type: ignore[index, call-overload]


@pytest.mark.timeout(360)
def test_every_panel_shows_what_a_real_prometheus_scraped_of_a_real_run(pair: Pair, tmp_path: Path) -> None:
    wait(lambda: pair.status()["channel"]["state"] == "open")
    with prometheus(tmp_path, pair) as client:
        wait(lambda: asked(client, 'up{job="skillyard"}') == [1.0])
        wait(lambda: asked(client, "sync_success_total"))
        publish(pair.hub, "seen-by-grafana")
        pair.run("catalogue")
        pair.run("uploads")
        for counter in ("sync_success_total", "rating_sync_success_total"):
            wait(lambda: any(value > 0 for value in asked(client, f"increase({counter}[$window])")))  # noqa: B023
        assert len(queries()) == 12
        for title, expressions in queries().items():
            for expression in expressions:
                values = asked(client, expression)
                assert values, f"{title}: {expression}"
                assert not any(value != value for value in values), f"{title} shows no number: {expression}"  # noqa: PLR0124
        assert asked(client, queries()["Success rate"][0]) == [1.0]
        assert asked(client, queries()["Live channel"][0]) == [1.0]
        assert asked(client, queries()["Skills cached"][0])[0] >= 3
        rules = made(client.get("/api/v1/rules"))["data"]["groups"][0]["rules"]  # type: ignore[index, call-overload]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_every_figure_is_documented_and_every_documented_figure_is_one(pair: Pair) -> None:
    text = pair.admin.get("/metrics", headers={"Accept": "text/plain"}).text
    families = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    shown = {name for name in families if not name.endswith("_created")}
    documented = set(
        re.findall(r"^\| `([a-z_]+)` \| (?:counter|gauge|histogram) ", REFERENCE.read_text(), re.MULTILINE)
    )
    assert shown == documented
