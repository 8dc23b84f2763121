"""A remote that speaks a third party's protocol, by a plug-in that is installed where a real server runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import uv
from tests.api.conftest import made, serving
from tests.marketplace_sync.metrics.conftest import wait
from tests.test_plugins import ASSETS, build_wheel

SHELF = {"name": "shelf", "url": "http://127.0.0.1:9", "kind": "acme_shelf"}


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("plugins")
    wheel = build_wheel(ASSETS / "acme_shelf", "1.2.3", folder)
    install = [uv.find_uv_bin(), "pip", "install", "--no-config", "--offline", "--no-index", "--no-deps"]
    site = folder / "site"
    subprocess.run([*install, "--python", sys.executable, "--target", str(site), str(wheel)], check=True, timeout=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        with (
            serving(folder / "home", marketplace_allow_private="true") as server,
            server.client(server.token) as client,
        ):
            yield client


def test_it_is_followed_like_any_other(admin: httpx.Client) -> None:
    added = made(admin.post("/v1/remotes", json=SHELF))
    assert (added["kind"], added["state"]) == ("acme_shelf", "enabled")

    def status() -> dict[str, object]:
        (remote,) = made(admin.get("/v1/admin/sync/status"))["remotes"]  # type: ignore[misc]
        return dict(remote)  # type: ignore[call-overload]

    wait(lambda: status()["succeeded_at"])
    assert (status()["kind"], status()["skills"], status()["failures"]) == ("acme_shelf", 1, 0)
    assert [job["job"] for job in status()["jobs"]] == ["catalogue"], "it is read, and that is all"  # type: ignore[attr-defined]
    mirror = made(admin.get("/v1/remotes/shelf/mirror"))
    assert (mirror["seq"], mirror["set_aside"]) == (1, 0)


def test_nothing_goes_up_to_it(admin: httpx.Client) -> None:
    refused = admin.put("/v1/remotes/shelf/skills/shelf/at-127-0-0-1/rating", json={"stars": 5})
    assert refused.status_code == 422
    assert "nothing can be sent" in refused.json()["detail"]


@pytest.mark.parametrize("kind", ["acme_shelves", "skillyards"])
def test_a_kind_that_nobody_speaks_is_refused_with_those_that_are_there(admin: httpx.Client, kind: str) -> None:
    refused = admin.post("/v1/remotes", json=SHELF | {"name": "other", "kind": kind})
    assert refused.status_code == 422
    assert "there are: acme_shelf, claude, skillyard, well_known" in refused.text
    assert kind in refused.text


@pytest.mark.parametrize("kind", ["", "Acme", "a b", "a" * 65, 7])
def test_a_kind_that_is_none_is_refused(admin: httpx.Client, kind: object) -> None:
    assert admin.post("/v1/remotes", json=SHELF | {"name": "other", "kind": kind}).status_code == 422
