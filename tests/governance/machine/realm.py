"""The product without its engine: stores, rules, views, decisions and the writer of admissions, on a real database."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from skillyard.database import Database, open_database
from skillyard.governance import approval_lapses, approvals, audit, epoch, people, rule_changes, rule_store
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, Allow, Decision, Hold, Maturity, PackageRule, RuleScope, SkillState
from skillyard.governance.identity import SYSTEM, Actor, ActorKind, Person, Role
from skillyard.governance.limits import Limits
from skillyard.governance.policy import Policy
from skillyard.governance.report import Evidence, EvidenceState, Report, Verdict
from skillyard.governance.requested import ApprovalRequest
from skillyard.governance.rule_groups import NameKey
from skillyard.governance.rules import RuleDraft
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.ids import ApprovalId, Epoch, InvocationId, RuleId, SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.agents import Agents
from skillyard.runtime.decide import Decider, subject_of
from skillyard.runtime.follow import RuleFollower
from skillyard.runtime.journal import Admission, Admitted, StaleEpoch
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.runtime.views import View, Views
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem, Skill
from skillyard.times import utcnow
from tests.governance.machine.model import Package

_NAMES = itertools.count()
_TARGET = Target("3.11", "x86_64-manylinux_2_28")


@dataclass
class Clock:
    """Stands still until it is moved."""

    start: datetime = field(default_factory=utcnow)
    hours: int = 0

    def now(self) -> datetime:
        return self.at(self.hours)

    def at(self, hours: int) -> datetime:
        return self.start + timedelta(hours=hours)


@dataclass
class House:
    """What all workspaces of a test share: the database, what reads it, what writes calls."""

    database: Database
    clock: Clock
    views: Views
    observer: Views
    agents: Agents
    decider: Decider
    follower: RuleFollower
    writer: AdmissionWriter
    python: Skill
    text: Skill

    @classmethod
    async def open(cls, url: str, folder: Path) -> House:
        database = await open_database(url)
        clock = Clock()
        views = Views(database=database)
        policy = Policy(limits=Limits(), scan=ScanPolicy(max_age=None))
        writer = AdmissionWriter(open_journal(database.location, instance="machine"))
        await writer.start()
        return cls(
            database=database,
            clock=clock,
            views=views,
            observer=Views(database=database),
            agents=Agents(database=database, calls=OpenCalls()),
            decider=Decider(policy=policy, clock=clock.now),
            follower=RuleFollower(views=views),
            writer=writer,
            python=parse_skill(_folder(folder, "tool", code="def run() -> int:\n    return 1\n")),
            text=parse_skill(_folder(folder, "guide")),
        )

    async def close(self) -> None:
        await self.writer.close()
        await self.database.close()


@dataclass
class Realm:
    """One workspace: an operator who owns every agent, and a second person who is an admin."""

    house: House
    workspace: WorkspaceId
    owner: Person
    second: Person
    versions: dict[tuple[str, str], SkillVersionId] = field(default_factory=dict)

    @classmethod
    async def found(cls, house: House) -> Realm:
        async with house.database.transaction() as session:
            now = house.clock.now()
            made = await people.create_workspace(session, f"realm-{next(_NAMES)}", by=SYSTEM, at=now)
            owner = await people.add_person(session, made.id, "owner", Role.OPERATOR, by=SYSTEM, at=now)
            second = await people.add_person(session, made.id, "second", Role.ADMIN, by=SYSTEM, at=now)
        return cls(house, made.id, owner, second)

    @property
    def now(self) -> datetime:
        return self.house.clock.now()

    def by(self, person: Person) -> Administrator:
        return Administrator(self.workspace, person.id, person.actor)

    # Agents.

    async def add_agent(self, name: str, maturity: Maturity) -> Agent:
        async with self.house.database.transaction() as session:
            return await people.add_agent(
                session,
                self.workspace,
                name,
                owner=self.owner.id,
                maturity=maturity,
                by=self.owner.actor,
                at=self.now,
            )

    async def trust(self, agent: Agent, maturity: Maturity, *, force: bool) -> None:
        await self.house.agents.change_maturity(
            agent.id, maturity, by=self.by(self.second), reason="Chance.", force=force
        )

    async def suspend(self, agent: Agent, *, suspended: bool) -> None:
        change = self.house.agents.suspend if suspended else self.house.agents.resume
        await change(agent.id, by=self.by(self.second), reason="Chance.")

    # Rules.

    async def add_rule(self, draft: RuleDraft, scope: RuleScope) -> PackageRule:
        async with self.house.database.transaction() as session:
            rule = await rule_changes.add_rule(session, draft, by=self.by(self.owner), at=self.now, scope=scope)
            await self.house.follower.follow(session, self.workspace)
        return rule

    async def revoke_rule(self, rule: RuleId) -> None:
        async with self.house.database.transaction() as session:
            await rule_changes.revoke_rule(session, rule, by=self.by(self.owner), at=self.now)
            await self.house.follower.follow(session, self.workspace)

    async def unban(self, name: str, scope: RuleScope) -> tuple[PackageRule, ...]:
        async with self.house.database.transaction() as session:
            lifted = await rule_changes.unban(
                session, Ecosystem.PYPI, name, by=self.by(self.owner), at=self.now, scope=scope
            )
            await self.house.follower.follow(session, self.workspace)
        return lifted

    # Requests.

    async def request(self, agent: Agent, version: InstalledVersion, hold: Hold) -> ApprovalRequest:
        async with self.house.database.transaction() as session:
            return await approvals.request(
                session,
                hold,
                requester=agent,
                skill=subject_of(version),
                version=version.id,
                locks=version.locks,
                at=self.now,
            )

    async def approve(
        self, request: int, by: Person, minimum: Maturity | None, until: datetime | None
    ) -> tuple[ApprovalRequest, tuple[PackageRule, ...]]:
        """The request as it is then, and the rules that it made."""
        async with self.house.database.transaction() as session:
            asked = await approvals.get(session, self.workspace, ApprovalId(request))
            row = await session.get(SkillVersionRow, asked.skill_version_id)
            assert row is not None
            decided = await approvals.approve(
                session,
                self.workspace,
                asked.id,
                by=by.id,
                locks=store.installed(await session.get_one(SkillRow, row.skill_id), row).locks,
                at=self.now,
                min_maturity=minimum,
                expires_at=until,
            )
            await self.house.follower.follow(session, self.workspace)
            rules = await rule_store.all_of(session, self.workspace)
        return decided, tuple(rule for rule in rules if rule.approval == decided.id)

    async def deny(self, request: int, by: Person) -> None:
        async with self.house.database.transaction() as session:
            await approvals.deny(session, self.workspace, ApprovalId(request), by=by.id, at=self.now)

    async def revoke(self, request: int) -> None:
        async with self.house.database.transaction() as session:
            await approvals.revoke(
                session, self.workspace, ApprovalId(request), by=self.second.id, reason="chance", at=self.now
            )
            await self.house.follower.follow(session, self.workspace)

    # Versions.

    async def install(self, name: str, version: str, packages: frozenset[Package], *, code: bool) -> SkillVersionId:
        """A version, new or removed before, which the pointer names from now on."""
        skill = replace(self.house.python if code else self.house.text, name=name, version=version)
        locks = _locks(packages)
        facts = {
            "skill": skill,
            "locks": locks,
            "report": _clean(skill, locks),
            "origin": "chance",
            "commit": None,
            "actor": self.owner.actor,
        }
        async with self.house.database.transaction() as session:
            parent = await store.find_skill(session, self.workspace, SkillRef("acme", name))
            known = self.versions.get((name, version))
            if known is None:
                parent, row = await store.add_version(
                    session, workspace=self.workspace, publisher="acme", state=SkillState.ACTIVE, **facts
                )
            else:
                row = await session.get_one(SkillVersionRow, known)
                await store.revive(session, row, state=SkillState.ACTIVE, **facts)
            assert parent is not None
            found = self.versions[name, version] = SkillVersionId(row.id)
            await store.move_pointer(session, parent, found, self.owner.actor)
            await epoch.bump(session)
            await self.house.follower.follow(session, self.workspace)
        return found

    async def uninstall(self, name: str) -> None:
        """Every version of a skill."""
        gone = [id_ for (skill, _), id_ in self.versions.items() if skill == name]
        async with self.house.database.transaction() as session:
            parent = await store.find_skill(session, self.workspace, SkillRef("acme", name))
            assert parent is not None
            await store.move_pointer(session, parent, None, self.owner.actor)
            for version in gone:
                await store.set_state(session, version, SkillState.REMOVED)
            await approval_lapses.withdraw(
                session, self.workspace, gone, by=self.owner.actor, reason="Removed.", at=self.now
            )
            await epoch.bump(session)

    # Calls.

    async def latest(self) -> View:
        """What was seen last, current or not."""
        return await self.house.views.latest(self.workspace)

    async def observed(self) -> View:
        """What another process sees that looks at every change."""
        return await self.house.observer.current(self.workspace)

    async def current(self) -> View:
        return await self.house.views.current(self.workspace)

    def decide(self, view: View, agent: Agent, version: InstalledVersion) -> Decision:
        return self.house.decider.decide(view, agent.id, version)

    def admission(self, view: View, agent: Agent, version: InstalledVersion, allow: Allow) -> Admission:
        assert allow.granted
        return Admission(
            invocation=InvocationId(str(uuid.uuid4())),
            workspace=self.workspace,
            actor=Actor(ActorKind.AGENT, agent.id),
            skill_version=version.id,
            entry="scripts/main.py:run",
            epoch=view.epoch,
            at=self.now,
        )

    async def admit(self, admission: Admission) -> Admitted | StaleEpoch:
        """Admitted calls end at once."""
        answer = await self.house.writer.admit(admission)
        if isinstance(answer, Admitted):
            await self.house.writer.finish(admission.invocation, Outcome(OutcomeState.SUCCEEDED))
        return answer

    # What must hold of the books.

    async def epoch(self) -> Epoch:
        async with self.house.database.reading() as session:
            return await epoch.current(session)

    async def rules_at_once(self) -> dict[NameKey, tuple[PackageRule, ...]]:
        """All rules by name, read anew: views read only what changed."""
        async with self.house.database.reading() as session:
            loaded = await rule_store.load_rules(session, self.workspace)
        return {key: group.rules for key, group in loaded.by_name.items()}

    async def check_books(self) -> None:
        async with self.house.database.reading() as session:
            verification = await audit.verify(session, self.workspace)
        assert verification.broken is None, verification.broken


def sha(file: str) -> str:
    """The digest of a package's file, by its name in the model."""
    return hashlib.sha256(file.encode()).hexdigest()


def _locks(packages: frozenset[Package]) -> tuple[Lock, ...]:
    locked = [
        LockedPackage(one.name, one.version, (LockedArtefact(f"{one.file}.whl", sha(one.file), 1),), (), direct=True)
        for one in sorted(packages)
    ]
    return (Lock(Ecosystem.PYPI, _TARGET, tuple(locked)),) if locked else ()


def _clean(skill: Skill, locks: tuple[Lock, ...]) -> Report:
    now = utcnow()
    return Report(
        verdict=Verdict.PASS,
        findings=(),
        evidence=(Evidence("advisories", "1", EvidenceState.RAN, now),),
        reasons=("Nothing was found.",),
        bundle_digest=skill.bundle.digest,
        lock_digest=closure_digest(locks),
        made_at=now,
    )


def _folder(parent: Path, name: str, code: str | None = None) -> Path:
    folder = parent / name
    folder.mkdir()
    entry = '  skillyard.entry: "scripts/main.py:run"\n' if code else ""
    (folder / "SKILL.md").write_text(
        f'---\nname: {name}\ndescription: Made by a test.\nmetadata:\n  version: "1.0.0"\n{entry}---\n# {name}\n'
    )
    if code:
        (folder / "scripts").mkdir()
        (folder / "scripts" / "main.py").write_text(code)
    return folder
