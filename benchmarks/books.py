"""The books of an instance at its full size: rules, agents and installed versions in a database, and no engine.

What is kept here goes through the product's own stores; the packages are invented, because no index is asked for them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from skillyard.database import Database, migrate, open_database
from skillyard.governance import people, rule_changes, rule_store, tokens
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, Maturity, SkillState
from skillyard.governance.identity import Person
from skillyard.governance.policy import Policy
from skillyard.governance.report import Evidence, EvidenceState, Report, Verdict
from skillyard.governance.rules import RuleDraft, draft_approval, draft_ban
from skillyard.ids import SkillVersionId
from skillyard.runtime import store
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.decide import Decider
from skillyard.runtime.views import Views
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem, Skill
from skillyard.times import utcnow

from benchmarks.leftovers import prefix
from benchmarks.skills import ADDER

PACKAGES, RULES, AGENTS = 200, 10_000, 1_000
RULES_A_PACKAGE = 5
"""Of each locked package: an approval of its files, two earlier ones, a range, and a ban of old versions."""
VERSIONS = 20
_TARGET = Target("3.11", "x86_64-manylinux_2_28")


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that decisions and admissions need. ``versions`` all hold the same packages, and are all allowed."""

    database: Database
    url: str
    admin: Person
    agents: tuple[Agent, ...]
    versions: tuple[SkillVersionId, ...]
    views: Views
    decider: Decider

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[AdmissionWriter]:
        """The writer of admissions, as a server has one."""
        writer = AdmissionWriter(open_journal(self.database.location, instance="bench"))
        await writer.start()
        try:
            yield writer
        finally:
            await writer.close()

    async def ban(self, name: str) -> None:
        """Forbid a package, as an admin does."""
        async with self.database.transaction() as session:
            draft = draft_ban(ecosystem="pypi", name=name, reason="A benchmark forbids it.", now=utcnow())
            admin = Administrator(self.admin.workspace, self.admin.id, self.admin.actor)
            await rule_changes.add_rule(session, draft, by=admin, at=utcnow())


@asynccontextmanager
async def open_books(
    url: str | None = None, *, rules: int = RULES, agents: int = AGENTS, versions: int = VERSIONS
) -> AsyncIterator[Books]:
    """Books in a database of their own: a new SQLite file, or an empty database at ``url``."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix())))
        address = url or f"sqlite+aiosqlite:///{folder / 'books.db'}"
        await migrate(address)
        database = await open_database(address)
        stack.push_async_callback(database.close)
        settings = Settings(home=folder / "home", advisories_max_age_days=100_000)
        admin = await _first_person(database)
        await _write_rules(database, admin, rules)
        yield Books(
            database=database,
            url=address,
            admin=admin,
            agents=await _add_agents(database, admin, agents),
            versions=await _add_versions(database, admin, parse_skill(ADDER.write(folder)), versions),
            views=Views(database=database),
            decider=Decider(policy=Policy.from_settings(settings)),
        )


def package_name(number: int) -> str:
    return f"package-{number:03}"


def lock() -> Lock:
    """A new value each time, so that nothing that was worked out of another is found again."""
    packages = tuple(
        LockedPackage(package_name(number), _version(number), (_artefact(number),), (), number < 10)
        for number in range(PACKAGES)
    )
    return Lock(Ecosystem.PYPI, _TARGET, packages)


async def _first_person(database: Database) -> Person:
    async with database.transaction() as session:
        await tokens.first_start(session, utcnow())
        workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
        return await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)


async def _write_rules(database: Database, admin: Person, count: int) -> None:
    now = utcnow()
    drafts = [draft for number in range(PACKAGES) for draft in _about(number)]
    for number in range(count - len(drafts)):
        exact = f"=={number % 5}.{number}"
        name = f"other-{number // 5}"
        drafts.append(
            draft_approval(ecosystem="pypi", name=name, specifier=exact, min_maturity=Maturity.INTERN, now=now)
        )
    async with database.transaction() as session:
        await rule_store.write_rules(session, admin.workspace, drafts, approval=None, by=admin.id, at=now)


def _about(number: int) -> tuple[RuleDraft, ...]:
    name, now = package_name(number), utcnow()

    def approval(specifier: str, minimum: Maturity, *hashes: str) -> RuleDraft:
        return draft_approval(
            ecosystem="pypi", name=name, specifier=specifier, min_maturity=minimum, hashes=hashes, now=now
        )

    return (
        approval(f"=={_version(number)}", Maturity.INTERN, _artefact(number).sha256),
        approval(f"==1.{number}.1", Maturity.INTERN, _sha(f"{name}-1")),
        approval(f"==1.{number}.2", Maturity.INTERN, _sha(f"{name}-2")),
        approval(">=1,<2", Maturity.SUPERVISED),
        draft_ban(ecosystem="pypi", name=name, specifier="<1", reason="Too old.", now=now),
    )


async def _add_agents(database: Database, admin: Person, count: int) -> tuple[Agent, ...]:
    async with database.transaction() as session:
        return tuple(
            [
                await people.add_agent(
                    session,
                    admin.workspace,
                    f"agent-{number}",
                    owner=admin.id,
                    maturity=Maturity.SUPERVISED if number % 2 else Maturity.AUTONOMOUS,
                    by=admin.actor,
                    at=utcnow(),
                )
                for number in range(count)
            ]
        )


async def _add_versions(database: Database, admin: Person, skill: Skill, count: int) -> tuple[SkillVersionId, ...]:
    locks = (lock(),)
    made = []
    async with database.transaction() as session:
        for number in range(count):
            parent, row = await store.add_version(
                session,
                workspace=admin.workspace,
                publisher="bench",
                skill=replace(skill, name=f"skill-{number}"),
                locks=locks,
                report=_clean(skill, locks),
                state=SkillState.ACTIVE,
                origin="a benchmark",
                commit=None,
                actor=admin.actor,
            )
            await store.move_pointer(session, parent, SkillVersionId(row.id), admin.actor)
            made.append(SkillVersionId(row.id))
    return tuple(made)


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


def _version(number: int) -> str:
    return f"1.{number}.3"


def _artefact(number: int) -> LockedArtefact:
    filename = f"{package_name(number).replace('-', '_')}-{_version(number)}-py3-none-any.whl"
    return LockedArtefact(filename, _sha(filename), 10_000)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
