"""A hub with a synthetic catalogue and a follower, each a process of its own on a database of its own.

A skill has a description of about 200 characters and a body of about 900, a version five packages; names and words are
drawn by a seed. Hub and follower talk over loopback HTTP. ``python -m benchmarks.sync_yard follow …`` is the follower's
process: it runs once for each line it reads, and answers with a line of figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from skillyard.api.server import keep_what_is_loaded
from skillyard.database import Database, Session, migrate, open_database
from skillyard.governance import people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import (
    PackageFact,
    PublisherDocument,
    SkillDocument,
    VersionDocument,
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, entry_hash
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.marketplace import create_marketplace
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remotes import RemoteDraft
from skillyard.runtime.runtime import create_runtime
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem, SkillKind
from skillyard.times import utcnow

from benchmarks.leftovers import prefix
from benchmarks.measure import most_memory
from benchmarks.postgres import postgres

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = (
    *("data", "file", "report", "table", "text", "image", "convert", "csv", "json"),
    *("pdf", "chart", "excel", "query", "review", "deploy", "log", "merge", "plot"),
)
_PAGE = 2000
_SERVE = """
import asyncio, json, sys, structlog
from skillyard.api.server import serve
from skillyard.settings import Settings
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
def ready(serving): print(json.dumps({"url": serving.url}), flush=True)
asyncio.run(serve(Settings(), on_ready=ready))
"""


class Unindexed:
    """The hub's own search is no part of what is measured."""

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Any) -> None:
        """Nothing is kept."""

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        """Nothing was."""

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        """Nothing waits."""


def documents(number: int, made: random.Random, text: str = "") -> tuple[tuple[EntryId, str], tuple[EntryId, str]]:
    """A skill and its version."""
    key = f"publisher-{number % 500}/{made.choice(_WORDS)}-{made.choice(_WORDS)}-{number}"
    skill = SkillDocument(
        description=text or " ".join(made.choices(_WORDS, k=40)),
        topics=tuple(sorted(set(made.choices(_WORDS, k=3)))),
        channels={"latest": "1.0.0"},
        body=" ".join(made.choices(_WORDS, k=180)),
        updated_at=_AT + timedelta(seconds=number),
    )
    digest = f"sha256:{number:064x}"
    version = VersionDocument(
        bundle=digest,
        bundle_bytes=4000,
        files=3,
        lock=digest,
        kind=SkillKind.PYTHON,
        ecosystems=(Ecosystem.PYPI,),
        packages=tuple(PackageFact(ecosystem=Ecosystem.PYPI, name=f"p-{n}", version="1.0.0") for n in range(5)),
        packages_in_all=5,
        verdict="PASS",
        scanned_at=_AT,
        published_at=_AT,
    )
    return (
        (EntryId(EntryKind.SKILL, key), skill.text),
        (EntryId(EntryKind.VERSION, f"{key}@1.0.0"), version.text),
    )


async def fill(url: str, skills: int) -> None:
    """A hub's catalogue, as publishing leaves it: a skill and its version one behind the other."""
    await migrate(url)
    database = await open_database(url)
    made = random.Random(1)
    publishers = (
        (EntryId(EntryKind.PUBLISHER, f"publisher-{n}"), PublisherDocument(display_name="P").text) for n in range(500)
    )
    every = (*publishers, *(one for number in range(skills) for one in documents(number, made)))
    entries = [
        Entry(id_, seq, 1, text, entry_hash(id_, 1, text, deleted=False), False, _AT)
        for seq, (id_, text) in enumerate(every, start=1)
    ]
    async with database.transaction() as session:
        own = await store.own(session, at=utcnow())
    for begin in range(0, len(entries), _PAGE):
        page = entries[begin : begin + _PAGE]
        async with database.transaction() as session:
            own, _ = await store.apply(session, replace(own, seq=page[-1].seq), page, projection=Unindexed())
    await database.close()


async def change(url: str, count: int, *, round_: int) -> None:
    """Other descriptions for some skills, spread over the catalogue."""
    database: Database = await open_database(url)
    async with database.transaction() as session:
        own = await store.own(session, at=utcnow())
        ids = [one.id for one in await store.with_prefix(session, own.id, EntryKind.SKILL, "publisher-", limit=count)]
        held = await store.get_many(session, own.id, ids)
        changes = []
        for id_, entry in held.items():
            skill = SkillDocument.model_validate_json(entry.document or "")
            text = skill.model_copy(update={"description": f"{skill.description[:180]} {round_}"}).text
            changes.append(Change(id_, text))
        assert len(changes) == count, "too few skills"
        await store.write(session, own, changes, projection=Unindexed(), at=utcnow())
    await database.close()


@dataclass(frozen=True)
class Yard:
    """A filled hub that serves, and a follower that waits for orders."""

    hub_database: str
    url: str
    token: str
    follower: subprocess.Popen[str]

    def sync(self, *, anew: bool = False) -> dict[str, Any]:
        """One run of the follower, ``anew`` over everything that it has: ``seconds``, ``bytes``, ``entries``,
        ``rss_mb``."""
        assert self.follower.stdin is not None
        assert self.follower.stdout is not None
        self.follower.stdin.write("anew\n" if anew else "sync\n")
        self.follower.stdin.flush()
        said = self.follower.stdout.readline()
        if not said:
            raise RuntimeError("the follower ended")
        figures: dict[str, Any] = json.loads(said)
        return figures


@contextmanager
def yard(skills: int, engine: str) -> Iterator[Yard]:
    """Both ends, gone after the block."""
    with ExitStack() as last_first:
        folder = Path(last_first.enter_context(tempfile.TemporaryDirectory(prefix=prefix())))
        homes = [folder / "hub", folder / "here"]
        for home in homes:
            home.mkdir()
        if engine == "sqlite":
            urls = [f"sqlite+aiosqlite:///{home / 'skillyard.db'}" for home in homes]
        else:
            urls = [last_first.enter_context(postgres()) for _ in homes]
        asyncio.run(fill(urls[0], skills))
        settings = [_environment(home, url) for home, url in zip(homes, urls, strict=True)]
        log = last_first.enter_context((folder / "log").open("w"))
        hub = last_first.enter_context(_process([sys.executable, "-c", _SERVE], settings[0], log))
        assert hub.stdout is not None
        said = hub.stdout.readline()
        if not said:
            raise RuntimeError(f"the hub did not start:\n{(folder / 'log').read_text()}")
        token = asyncio.run(_token(homes[0], urls[0]))
        url = json.loads(said)["url"]
        command = [sys.executable, "-m", "benchmarks.sync_yard", "follow", url, token]
        yield Yard(urls[0], url, token, last_first.enter_context(_process(command, settings[1], log)))


def _environment(home: Path, url: str) -> dict[str, str]:
    ours = {
        "HOME": str(home),
        "DATABASE_URL": url,
        "PORT": "0",
        "ADVISORIES_MAX_AGE_DAYS": "36500",
        "ADVISORIES_UPDATE_HOURS": "0",
        "MARKETPLACE_ALLOW_PRIVATE": "true",
    }
    return os.environ | {f"SKILLYARD_{name}": value for name, value in ours.items()}


@contextmanager
def _process(command: list[str], environment: dict[str, str], log: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


async def _token(home: Path, url: str) -> str:
    """A person's token of the hub, made in its database."""
    del home
    database = await open_database(url)
    async with database.transaction() as session:
        workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
        person = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
        _, text = await tokens.issue(session, person, "benchmark", by=person.actor, at=utcnow())
    await database.close()
    return text


async def _follow(url: str, token: str) -> None:
    """The follower's process."""
    async with (
        await create_runtime(Settings()) as runtime,
        await create_marketplace(runtime, background=False) as market,
    ):
        async with runtime.database.reading() as session:
            workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
            person = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
        admin = Administrator(workspace.id, person.id, person.actor)
        remote = await market.remotes.add(RemoteDraft(name="hub", url=url, token=token, live=False), by=admin)
        keep_what_is_loaded()  # as a server does
        while said := await asyncio.to_thread(sys.stdin.readline):
            if said == "anew\n":
                async with runtime.database.transaction() as session:
                    await remote_store.trust(session, remote.id, None, resync=True)
            began = time.process_time()
            report = await market.follower.sync(remote)
            if not report.equal:
                raise RuntimeError("the mirror is not what the hub says")
            figures = {
                "seconds": report.seconds,
                "bytes": report.received_bytes,
                "entries": report.entries,
                "applied": report.applied,
                "cpu_seconds": time.process_time() - began,
                "rss_mb": most_memory(),
            }
            sys.stdout.write(json.dumps(figures) + "\n")
            sys.stdout.flush()


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    order, url, token = sys.argv[1:]
    assert order == "follow"
    asyncio.run(_follow(url, token))


if __name__ == "__main__":
    main()
