"""A workspace on a real database, with two admins, a member and an INTERN that wants to call a skill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
from skillyard.database import Database
from skillyard.governance import approvals, audit, epoch, people, rule_changes, rule_store
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import (
    Agent,
    Decision,
    Hold,
    Maturity,
    SkillState,
)
from skillyard.governance.identity import SYSTEM, Person, Role
from skillyard.governance.limits import Limits
from skillyard.governance.policy import Policy, SubjectSkill, decide
from skillyard.governance.report import Evidence, EvidenceState, Report, Verdict
from skillyard.governance.requested import ApprovalRequest
from skillyard.governance.rules import draft_ban
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.ids import ApprovalId, BundleDigest, SkillId, SkillVersionId, WorkspaceId
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.permissions import Requested
from skillyard.skills.skill import Ecosystem, SkillKind
from sqlalchemy.ext.asyncio import AsyncSession

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BUNDLE = BundleDigest("sha256:" + "b" * 64)
VERSION = SkillVersionId(70)
POLICY = Policy(limits=Limits(), scan=ScanPolicy(max_age=None))
EVIDENCE = Evidence("advisories", "1", EvidenceState.RAN, NOW)
T = TypeVar("T")


def acting(person: Person) -> Administrator:
    return Administrator(person.workspace, person.id, person.actor)


def package(name: str, version: str, sha256: str = "a" * 64) -> LockedPackage:
    return LockedPackage(name, version, (LockedArtefact(f"{name}.whl", sha256, None),), (), True)


def lock(*packages: LockedPackage) -> Lock:
    return Lock(Ecosystem.PYPI, Target("3.11", "x86_64-manylinux_2_28"), packages)


PANDAS, NUMPY = package("pandas", "2.2.0"), package("numpy", "1.26.4")
LOCK = lock(PANDAS, NUMPY)


@dataclass
class Yard:
    """A workspace with two admins, a member, and ann's INTERN; ``skill`` is what the intern wants to call."""

    database: Database
    workspace: WorkspaceId
    ann: Person
    bob: Person
    member: Person
    intern: Agent
    skill: SubjectSkill

    async def do(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async with self.database.transaction() as session:
            return await work(session)

    async def decide(
        self, locks: tuple[Lock, ...] = (LOCK,), *, at: datetime = NOW, who: Agent | None = None
    ) -> Decision:
        async with self.database.reading() as session:
            rules = await rule_store.load_rules(session, self.workspace)
        seen = Report(Verdict.PASS, (), (EVIDENCE,), ("Fine.",), BUNDLE, closure_digest(locks), NOW)
        return decide(who or self.intern, self.skill, locks, seen, rules, at, POLICY)

    async def ask(
        self, locks: tuple[Lock, ...] = (LOCK,), *, at: datetime = NOW, who: Agent | None = None
    ) -> ApprovalRequest:
        hold = await self.decide(locks, at=at, who=who)
        assert isinstance(hold, Hold)
        requester = who or self.intern
        return await self.do(
            lambda session: approvals.request(
                session, hold, requester=requester, skill=self.skill, version=VERSION, locks=locks, at=at
            )
        )

    async def approve(self, asked: ApprovalRequest | ApprovalId, by: Person, **more: Any) -> ApprovalRequest:
        request = asked if isinstance(asked, int) else asked.id
        values: dict[str, Any] = {"by": by.id, "locks": (LOCK,), "at": NOW} | more
        return await self.do(lambda session: approvals.approve(session, self.workspace, request, **values))

    async def ban(self, name: str, specifier: str = "", *, by: Person | None = None) -> None:
        draft = draft_ban(ecosystem="pypi", name=name, specifier=specifier, reason="it steals tokens", now=NOW)
        person = by or self.bob
        await self.do(lambda session: rule_changes.add_rule(session, draft, by=acting(person), at=NOW))

    async def epoch(self) -> int:
        async with self.database.reading() as session:
            return await epoch.current(session)

    async def trail(self) -> list[tuple[str, dict[str, Any]]]:
        """Actions and payloads of the audit log, which has to verify."""
        async with self.database.reading() as session:
            assert (await audit.verify(session, self.workspace)).broken is None
            lines = [orjson.loads(line) async for line in audit.export(session, self.workspace)]
        return [(line["action"], orjson.loads(line["payload"])) for line in lines]


async def make_yard(database: Database) -> Yard:
    """A fresh workspace in a migrated database."""
    async with database.transaction() as session:
        workspace = (await people.create_workspace(session, "acme", by=SYSTEM, at=NOW)).id
        add = [
            await people.add_person(session, workspace, name, role, by=SYSTEM, at=NOW)
            for name, role in (("ann", Role.ADMIN), ("bob", Role.ADMIN), ("cleo", Role.MEMBER))
        ]
        intern = await people.add_agent(
            session, workspace, "intern", owner=add[0].id, maturity=Maturity.INTERN, by=SYSTEM, at=NOW
        )
    skill = SubjectSkill(
        id=SkillId(7),
        workspace=workspace,
        publisher="acme",
        name="csv-report",
        version="1.0.0",
        kind=SkillKind.PYTHON,
        state=SkillState.ACTIVE,
        requested=Requested(),
        code=True,
        bundle_digest=BUNDLE,
    )
    return Yard(database, workspace, *add, intern, skill)
