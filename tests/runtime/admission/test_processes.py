"""Eight processes on one database: whatever the order, no call is admitted after the commit of what forbids it.

The audit chain is the order of the commits. It is read back and followed: what was banned, who was demoted, what was
approved at each record, and every admission has to have been allowed by what stood before it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from skillyard.database import Database, Kind
from skillyard.governance import people, rule_changes
from skillyard.governance.administrators import Administrator
from skillyard.governance.audit import Entry
from skillyard.governance.decision import Maturity, SkillState
from skillyard.governance.identity import Person, Role
from skillyard.governance.report import Evidence, EvidenceState, Report, Verdict
from skillyard.governance.rules import draft_approval
from skillyard.ids import SkillVersionId
from skillyard.runtime import store
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow
from tests.runtime.admission.books import entries, verified
from tests.runtime.admission.contender import Contest

TIMES = 8
PACKAGES = ("contested", "approved")
TARGET = Target("3.11", "x86_64-manylinux_2_28")
ROLES = ("caller", "caller", "caller", "caller", "banner", "demoter", "approver", "approver")


@pytest.fixture
def database_url(database_kind: Kind, database_url: str) -> Iterator[str]:
    """The file is in memory where there is such a place: this is about order, and a disk takes most of the time."""
    memory = Path("/dev/shm")
    if database_kind is not Kind.SQLITE or not memory.is_dir():
        yield database_url
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="skillyard-test-") as folder:
        yield f"sqlite+aiosqlite:///{folder}/state/skillyard.db"


@pytest.fixture
async def contest(database: Database, admin: Person, tmp_path: Path) -> Contest:
    """A SUPERVISED agent that calls what is approved from SUPERVISED on, and an AUTONOMOUS one whose skill is not."""
    workspace, now = admin.workspace, utcnow()
    by = Administrator(workspace, admin.id, admin.actor)
    async with database.transaction() as session:
        others = [
            await people.add_person(session, workspace, name, Role.ADMIN, by=admin.actor, at=now)
            for name in ("second", "third")
        ]
        agents = [
            await people.add_agent(session, workspace, name, owner=admin.id, maturity=maturity, by=admin.actor, at=now)
            for name, maturity in (("demoted", Maturity.SUPERVISED), ("held", Maturity.AUTONOMOUS))
        ]
        allowed = draft_approval(
            ecosystem="pypi", name=PACKAGES[0], specifier="", min_maturity=Maturity.SUPERVISED, now=now
        )
        await rule_changes.add_rule(session, allowed, by=by, at=now)
    versions = [await add_skill(database, admin, tmp_path, package) for package in PACKAGES]
    pairs = tuple((int(agent.id), int(version)) for agent, version in zip(agents, versions, strict=True))
    return Contest(database.url, workspace, pairs, PACKAGES, tuple(int(one.id) for one in others), TIMES)


async def add_skill(database: Database, admin: Person, folder: Path, package: str) -> SkillVersionId:
    """A version with one package, as installing it leaves it."""
    source = folder / package
    (source / "scripts").mkdir(parents=True)
    (source / "SKILL.md").write_text(
        f'---\nname: {package}\ndescription: Contested.\nmetadata:\n  version: "1.0.0"\n'
        f'  skillyard.entry: "scripts/main.py:run"\n---\n# {package}\n'
    )
    (source / "scripts" / "main.py").write_text("def run() -> int:\n    return 1\n")
    wheel = f"{package}-1.0-py3-none-any.whl"
    artefact = LockedArtefact(wheel, hashlib.sha256(wheel.encode()).hexdigest(), 1000)
    locks = (Lock(Ecosystem.PYPI, TARGET, (LockedPackage(package, "1.0", (artefact,), (), True),)),)
    skill, now = replace(parse_skill(source), name=package), utcnow()
    report = Report(
        verdict=Verdict.PASS,
        findings=(),
        evidence=(Evidence("advisories", "1", EvidenceState.RAN, now),),
        reasons=("Nothing was found.",),
        bundle_digest=skill.bundle.digest,
        lock_digest=closure_digest(locks),
        made_at=now,
    )
    async with database.transaction() as session:
        parent, row = await store.add_version(
            session,
            workspace=admin.workspace,
            publisher="acme",
            skill=skill,
            locks=locks,
            report=report,
            state=SkillState.ACTIVE,
            origin=str(source),
            commit=None,
            actor=admin.actor,
        )
        await store.move_pointer(session, parent, SkillVersionId(row.id), admin.actor)
        return SkillVersionId(row.id)


async def contend(contest: Contest, roles: Sequence[str]) -> list[dict[str, Any]]:
    """All at once, until those that govern are done; what they said."""
    given = json.dumps(asdict(contest))
    started: list[Process] = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.runtime.admission.contender", role, str(place), given),
            stdin=PIPE,
            stdout=PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[3],
        )
        for place, role in enumerate(roles)
    ]
    try:
        for process in started:
            assert process.stdin is not None
            assert process.stdout is not None
            ready = await process.stdout.readline()
            assert ready.startswith(b'{"ready"'), ready + await process.stdout.read()
        for process in started:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        governing = [p for p, role in zip(started, roles, strict=True) if role != "caller"]
        said = await asyncio.gather(*(heard(process) for process in governing))
        said += await asyncio.gather(*(heard(process) for process in started if process not in governing))
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return [line for lines in said for line in lines]


async def heard(process: Process) -> list[dict[str, Any]]:
    """What a process says to its end, which it comes to by itself or because its input ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    text = (await process.stdout.read()).decode()
    assert await process.wait() == 0, text
    return [orjson.loads(line) for line in text.splitlines()]


class Follower:
    """What holds at a record of the chain, from the records before it."""

    def __init__(self, contest: Contest) -> None:
        (self._demoted, self._contested), (_, self._asked) = contest.pairs
        self._contest = contest
        self.banned: set[str] = set()
        self.maturity = "SUPERVISED"
        self.approved: set[str] = set()
        self.last_epoch = 0
        self.admitted: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()

    def follow(self, entry: Entry) -> None:
        payload = orjson.loads(entry.payload)
        match entry.action:
            case "package.banned":
                self.banned.add(entry.subject.removeprefix("pypi/"))
            case "package.rule_revoked" if payload.get("state", "banned") == "banned":
                self.banned.discard(entry.subject.removeprefix("pypi/"))
            case "agent.maturity_changed":
                self.maturity = payload["to"]
            case "approval.granted":
                assert PACKAGES[1] not in self.banned, f"record {entry.seq}: approved while it was banned"
                assert not self.approved, f"record {entry.seq}: approved while it was approved"
                self.approved.add(entry.subject)
            case "approval.revoked":
                self.approved.remove(entry.subject)
            case "invocation.admitted":
                self._check(entry, payload)
                return
            case _:
                return
        self.changes[entry.action] += 1
        self._changed = True

    _changed = False

    def _check(self, entry: Entry, payload: dict[str, Any]) -> None:
        where = f"record {entry.seq}, epoch {payload['epoch']}"
        if payload["skill_version"] == self._contested:
            assert self.maturity == "SUPERVISED", f"{where}: the agent was demoted before"
            package = PACKAGES[0]
        else:
            assert self.approved, f"{where}: what it calls is not approved"
            package = PACKAGES[1]
        assert package not in self.banned, f"{where}: {package} was banned before"
        if self._changed:
            assert payload["epoch"] > self.last_epoch, f"{where}: an epoch from before the change"
        assert payload["epoch"] >= self.last_epoch, f"{where}: epochs go back"
        self.last_epoch, self._changed = payload["epoch"], False
        self.admitted[package] += 1


@pytest.mark.timeout(300)
async def test_no_call_of_any_process_is_admitted_after_the_commit_of_what_forbids_it(
    database: Database, admin: Person, contest: Contest
) -> None:
    said = await contend(contest, ROLES)
    await verified(database, admin.workspace)
    follower = Follower(contest)
    for entry in await entries(database, admin.workspace):
        follower.follow(entry)
    assert follower.changes["package.banned"] == TIMES
    assert follower.changes["agent.maturity_changed"] == 2 * TIMES
    assert follower.admitted[PACKAGES[0]] > 0
    granted = Counter(line["approval"] for line in said if line.get("granted"))
    assert granted, "nothing was approved"
    assert max(granted.values()) == 1, "two admins both approved one request"
    assert follower.changes["approval.granted"] == len(granted)
