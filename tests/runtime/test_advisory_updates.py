"""A server keeps its advisories young by itself, says loudly when it cannot, and keeps what it has."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from skillyard.governance.advisories.attempts import AttemptState, read_attempts, write_attempt
from skillyard.governance.advisories.index import AdvisoryIndex, index_path
from skillyard.governance.decision import SkillState
from skillyard.governance.errors import AdvisorySourceError
from skillyard.runtime import advisory_updates
from skillyard.runtime.advisory_updates import AdvisoryUpdates
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import SkillRef
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow
from tests.runtime.conftest import Yard, until


class _QuietHandler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (_QuietHandler,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def advisory(package: str) -> str:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
    affected = [{"package": {"ecosystem": "PyPI", "name": package}, "ranges": ranges}]
    modified = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"id": "TEST-2026-1", "modified": modified, "affected": affected}) + "\n"


def of(yard: Yard, url: str, **settings: object) -> AdvisoryUpdates:
    """The yard's own updates, under settings of a test."""
    changed = {"advisories_url": url, "advisories_more": (), "advisories_update_hours": 24.0} | settings
    ours = yard.runtime.settings.model_copy(update=changed)
    return AdvisoryUpdates(settings=ours, rescanner=yard.runtime.rescanner)


async def test_what_is_due_comes_in_and_what_it_says_is_bad_is_quarantined(yard: Yard, tmp_path: Path) -> None:
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "new.jsonl").write_text(advisory("iniconfig"))
    with served(tmp_path / "site") as (url, asked):
        updates = of(yard, f"{url}/new.jsonl")
        await updates.update_if_due()
        hit = await yard.runtime.version(yard.admin.workspace, SkillRef("acme", "hit"))
        assert hit.state is SkillState.QUARANTINED
        await updates.update_if_due()
        assert asked == ["/new.jsonl"], "once a day is once a day"


async def test_a_failure_is_noted_and_raised_and_the_index_stays(yard: Yard, tmp_path: Path) -> None:
    path = index_path(yard.runtime.settings.home)
    before = AdvisoryIndex.open(path).status().fingerprint
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "names.txt").write_text("reqeusts\n")
    with served(tmp_path / "site") as (url, asked):
        updates = of(yard, f"{url}/gone.jsonl", advisories_more=(f"pypi={url}/names.txt",))
        with pytest.raises(AdvisorySourceError, match="status 404"):
            await updates.update_if_due()
        assert {one.source.rpartition("/")[2]: one.state for one in read_attempts(path)} == {
            "gone.jsonl": AttemptState.FAILED,
            "names.txt": AttemptState.UPDATED,
        }
        await updates.update_if_due()  # Neither is due yet, so nobody is asked and nothing fails.
        assert asked == ["/gone.jsonl", "/names.txt"]
    index = AdvisoryIndex.open(path)
    assert index.status().fingerprint != before
    assert index.matches(Ecosystem.PYPI, "reqeusts", "1.0"), "the other source came in"
    assert index.matches(Ecosystem.PYPI, "jinja2", "2.10"), "and what there was stayed"


@pytest.mark.parametrize(
    ("ago", "state", "due"),
    [
        (timedelta(hours=25), AttemptState.UPDATED, True),
        (timedelta(hours=25), AttemptState.UNCHANGED, True),
        (timedelta(hours=23), AttemptState.UNCHANGED, False),
        (timedelta(minutes=61), AttemptState.FAILED, True),
        (timedelta(minutes=59), AttemptState.FAILED, False),
        (-timedelta(hours=1), AttemptState.UPDATED, True),
    ],
)
async def test_a_source_is_asked_once_a_period_and_sooner_after_a_failure(
    yard: Yard, tmp_path: Path, ago: timedelta, state: AttemptState, *, due: bool
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "new.jsonl").write_text(advisory("iniconfig"))
    with served(tmp_path / "site") as (url, asked):
        path = index_path(yard.runtime.settings.home)
        write_attempt(path, f"{url}/new.jsonl", at=utcnow() - ago, state=state)
        await of(yard, f"{url}/new.jsonl").update_if_due()
        assert bool(asked) is due


def test_a_server_has_the_chore_unless_it_is_told_to_have_none(yard: Yard) -> None:
    assert [chore.name for chore in of(yard, "https://example.com/all.zip").chores] == ["updating_advisories"]
    assert of(yard, "https://example.com/all.zip", advisories_update_hours=0).chores == ()
    assert Settings(advisories_update_hours=24).advisories_update_hours == 24


async def test_a_running_server_updates_without_being_asked(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advisory_updates, "LOOK_SECONDS", 0.05)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "new.jsonl").write_text(advisory("iniconfig"))
    with served(tmp_path / "site") as (url, asked):
        ours = {"advisories_url": f"{url}/new.jsonl", "advisories_more": (), "advisories_update_hours": 24.0}
        path = index_path(settings.home)
        async with await create_runtime(settings.model_copy(update=ours)):
            await until(lambda: bool(read_attempts(path)))
    assert asked == ["/new.jsonl"]
    assert AdvisoryIndex.open(path).matches(Ecosystem.PYPI, "iniconfig", "2.1.0")
