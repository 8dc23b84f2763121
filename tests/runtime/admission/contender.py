"""One of several processes that call and govern at once: ``python -m tests.runtime.admission.contender ROLE JSON``.

Everything goes through what a server uses: views, decisions, the durable writer, governance's own transactions. It
writes ``ready`` and waits for a line on standard input before it begins; those that call go on until input ends, those
that govern do what they were told to, and then say ``done``.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import orjson
from skillyard.database import Database, DatabaseUnavailableError, open_database
from skillyard.errors import NotFoundError, SkillyardError
from skillyard.governance import approvals, epoch, rule_changes
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Allow, ApprovalState, Hold, Maturity
from skillyard.governance.errors import AlreadyDecidedError, BannedPackageError
from skillyard.governance.identity import Actor, ActorKind
from skillyard.governance.policy import Policy
from skillyard.governance.rules import RuleDraft, draft_ban
from skillyard.ids import AgentId, ApprovalId, InvocationId, PersonId, SkillVersionId, WorkspaceId
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.agents import Agents
from skillyard.runtime.decide import Decider, subject_of
from skillyard.runtime.journal import Admission, AdmissionFailedError, Admitted
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.tables import InvocationRow
from skillyard.runtime.views import View, Views
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow
from sqlalchemy import func, select

T = TypeVar("T")
_LOOKS = 50


@dataclass(frozen=True)
class Contest:
    """What there is to fight over. ``pairs`` are an agent and a version each that it calls."""

    url: str
    workspace: int
    pairs: tuple[tuple[int, int], ...]
    packages: tuple[str, ...]
    admins: tuple[int, ...]
    times: int

    def admin(self, place: int) -> Administrator:
        person = PersonId(self.admins[place % len(self.admins)])
        return Administrator(WorkspaceId(self.workspace), person, Actor(ActorKind.PERSON, person))


class Contender:
    def __init__(self, contest: Contest, database: Database, place: int) -> None:
        self._contest = contest
        self._database = database
        self._workspace = WorkspaceId(contest.workspace)
        self._admin = contest.admin(place)
        self._views = Views(database=database)
        self._decider = Decider(policy=Policy.from_settings(Settings(advisories_max_age_days=100_000)))

    # Calling

    async def call(self, instance: str) -> None:
        """Four callers in one process, whose calls share commits, until standard input ends."""
        writer = AdmissionWriter(open_journal(self._database.location, instance=instance))
        await writer.start()
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        pairs = self._contest.pairs
        await asyncio.gather(*(self._caller(writer, *pairs[n % len(pairs)], over) for n in range(4)))
        await writer.close()

    async def _caller(self, writer: AdmissionWriter, agent: int, version: int, over: asyncio.Task[str]) -> None:
        while not over.done():
            view = await self._views.latest(self._workspace)
            decision = self._decider.decide(view, AgentId(agent), view.versions[SkillVersionId(version)])
            if isinstance(decision, Allow):
                call = Admission(
                    invocation=InvocationId(str(uuid.uuid4())),
                    workspace=self._workspace,
                    actor=Actor(ActorKind.AGENT, agent),
                    skill_version=SkillVersionId(version),
                    entry="scripts/main.py:run",
                    epoch=view.epoch,
                    at=utcnow(),
                )
                if isinstance(await patiently(partial(writer.admit, call)), Admitted):
                    done = Outcome(OutcomeState.SUCCEEDED)
                    await patiently(partial(writer.finish, call.invocation, done))
                    continue
            elif isinstance(decision, Hold) and not decision.first_use:
                await patiently(partial(self._ask, view, AgentId(agent), SkillVersionId(version), decision))
            await self._views.current(self._workspace)

    async def _ask(self, view: View, agent: AgentId, version: SkillVersionId, hold: Hold) -> None:
        found = view.versions[version]
        async with self._database.transaction() as session:
            if await epoch.current(session) != view.epoch:
                return
            await approvals.request(
                session,
                hold,
                requester=view.agents[agent],
                skill=subject_of(found),
                version=version,
                locks=found.locks,
                at=utcnow(),
            )

    # Governing

    async def ban(self) -> None:
        """Ban each package in turn, and lift the ban again."""
        for turn in range(self._contest.times):
            name = self._contest.packages[turn % len(self._contest.packages)]
            draft = draft_ban(ecosystem="pypi", name=name, reason="it is contested", now=utcnow())
            await patiently(partial(self._forbid, draft))
            await patiently(partial(self._allow, name))

    async def _forbid(self, draft: RuleDraft) -> None:
        async with self._database.transaction() as session:
            await rule_changes.add_rule(session, draft, by=self._admin, at=utcnow())

    async def _allow(self, name: str) -> None:
        async with self._database.transaction() as session:
            await rule_changes.unban(session, Ecosystem.PYPI, name, by=self._admin, at=utcnow())

    async def demote(self) -> None:
        """Take the first agent's maturity away, and give it back."""
        agents = Agents(database=self._database, calls=OpenCalls())
        agent = AgentId(self._contest.pairs[0][0])
        for _ in range(self._contest.times):
            for maturity in (Maturity.INTERN, Maturity.SUPERVISED):
                change = partial(agents.change_maturity, agent, maturity, by=self._admin, reason="it is contested")
                await patiently(change)

    async def approve(self) -> None:
        """Approve whatever waits, as another admin does at the same time, and revoke what was approved."""
        version = SkillVersionId(self._contest.pairs[-1][1])
        granted = 0
        while granted < self._contest.times:
            async with self._database.reading() as session:
                waiting = await approvals.list_requests(session, self._workspace, state=ApprovalState.PENDING)
            for asked in waiting:
                locks = (await self._views.current(self._workspace)).versions[version].locks
                try:
                    await patiently(partial(self._approve, asked.id, locks))
                except (AlreadyDecidedError, BannedPackageError, NotFoundError) as error:
                    say({"approval": asked.id, "refused": error.code})
                    granted += isinstance(error, AlreadyDecidedError)
                    continue
                say({"approval": asked.id, "granted": True})
                granted += 1
                await self._called(version)
                await patiently(partial(self._revoke, asked.id))
            await asyncio.sleep(0)

    async def _approve(self, approval: ApprovalId, locks: tuple[Lock, ...]) -> None:
        async with self._database.transaction() as session:
            await approvals.approve(session, self._workspace, approval, by=self._admin.person, locks=locks, at=utcnow())

    async def _called(self, version: SkillVersionId) -> None:
        """Until a call more was admitted, or it becomes clear that something else forbids it."""
        before = None
        for _ in range(_LOOKS):
            async with self._database.reading() as session:
                calls = select(func.count()).select_from(InvocationRow).where(InvocationRow.skill_version_id == version)
                now = await session.scalar(calls)
            before = now if before is None else before
            if now != before:
                return

    async def _revoke(self, approval: ApprovalId) -> None:
        async with self._database.transaction() as session:
            await approvals.revoke(
                session, self._workspace, approval, by=self._admin.person, reason="it is contested", at=utcnow()
            )


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Again while the machine says that it cannot now: a busy disk may keep everybody waiting for a quarter minute."""
    while True:
        try:
            return await work()
        except (DatabaseUnavailableError, AdmissionFailedError):
            continue


def say(document: dict[str, object]) -> None:
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


async def main(role: str, place: int, contest: Contest) -> None:
    database = await open_database(contest.url)
    contender = Contender(contest, database, place)
    try:
        say({"ready": role})
        await asyncio.to_thread(sys.stdin.readline)
        match role:
            case "caller":
                await contender.call(f"process-{place}")
            case "banner":
                await contender.ban()
            case "demoter":
                await contender.demote()
            case "approver":
                await contender.approve()
            case _:
                raise SystemExit(f"no such role: {role}")
        say({"done": role})
    except SkillyardError as error:
        say({"failed": role, "code": error.code, "message": str(error)})
        raise
    finally:
        await database.close()


if __name__ == "__main__":
    fields = orjson.loads(sys.argv[3])
    fields["pairs"] = tuple(tuple(pair) for pair in fields["pairs"])
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Contest(**fields)))
