"""What an operator sees of the server's sandboxes, and what nobody else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.api.conftest import House, made, serving, skill_zip, upload

CALL = {"skill": "echo", "entry": "scripts/copy.py", "argv": ["in", "a"], "files": {"in": "YQ=="}}


def test_the_status_counts_what_calls_did_of_the_own_workspace_and_for_admins_of_all(house: House) -> None:
    before = made(house.admin.get("/v1/status"))
    made(house.agent.post("/v1/invocations", json=CALL))
    after = made(house.admin.get("/v1/status"))
    for part in ("workspace", "instance"):
        assert after[part]["since_start"]["calls"] == before[part]["since_start"]["calls"] + 1
    now = after["workspace"]["now"]
    assert now["idle"] >= 1
    assert now["memory_bytes"] >= now["idle"] * 64 * 2**20

    member = made(house.member.get("/v1/status"))
    assert member["instance"] is None
    assert member["workspace"]["since_start"] == after["workspace"]["since_start"]


def test_an_admin_of_another_workspace_sees_nothing_of_this_one(house: House) -> None:
    """Not even in sums: those of the whole instance are an operator's."""
    made(house.agent.post("/v1/invocations", json=CALL))
    status = made(house.stranger.get("/v1/status"))
    assert not any(status["workspace"]["now"].values())
    assert not any(status["workspace"]["since_start"].values())
    assert status["instance"] is None


def test_a_skill_that_is_granted_more_than_all_may_have_is_refused_in_words(tmp_path: Path) -> None:
    limits = {"max_sandbox_memory_mib": "64"}
    with serving(tmp_path / "home", **limits) as server, server.client(server.token) as admin:
        made(upload(admin, skill_zip("echo")))
        agent = made(admin.post("/v1/agents", json={"name": "robot", "maturity": "AUTONOMOUS"}))["id"]
        token = made(admin.post("/v1/tokens", json={"name": "x", "agent": agent}))["token"]
        with server.client(str(token)) as robot:
            refused = robot.post("/v1/invocations", json=CALL)
        assert (refused.status_code, refused.json()["code"]) == (409, "sandbox_too_large")
        assert "512 MiB" in refused.json()["detail"]
        assert made(admin.get("/v1/status"))["instance"]["since_start"]["calls"] == 0


@pytest.mark.parametrize("limit", ["max_calls", "max_sandboxes_per_workspace"])
def test_a_cap_of_nothing_is_refused_when_the_settings_are_read(tmp_path: Path, limit: str) -> None:
    with pytest.raises(AssertionError, match="did not start"), serving(tmp_path / "home", **{limit: "0"}):
        pass
