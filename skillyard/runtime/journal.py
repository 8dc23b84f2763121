"""What is written of calls, and the protocol of who writes it: operations, many in one durable transaction.

A call is admitted by the transaction that inserts its invocation and its audit record and finds the rules epoch as
the decision saw it. There is one ``Journal`` for each engine, ``journal_sqlite`` and ``journal_postgres``; both use
their driver directly, as the one exception to the SQLAlchemy door (ADR 0003, 0023). What both write is said here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from skillyard.errors import ConflictError, MachineError, NotFoundError, SkillyardError
from skillyard.governance.audit import Action, AuditRecord, Head
from skillyard.governance.identity import Actor, ActorKind
from skillyard.governance.quotas import CallLimits
from skillyard.ids import Epoch, InvocationId, SkillVersionId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.sandbox.outcome import Outcome, OutputFile

MAX_BATCH = 256
"""Most operations that share one commit."""

_REASON_CHARACTERS = 2000


class AdmissionFailedError(MachineError):
    """What was asked for is not durable: the database could not take it. Nothing of it was kept."""

    code = "admission_failed"


class AlreadyFinishedError(ConflictError):
    """An invocation ended before, and ends only once."""

    code = "already_finished"


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that was allowed under ``epoch``. ``actor`` is the person or agent that calls.

    ``facts`` go into the audit record beside version, entry and epoch: what the decision rested on.
    """

    invocation: InvocationId
    workspace: WorkspaceId
    actor: Actor
    skill_version: SkillVersionId
    entry: str
    epoch: Epoch
    at: datetime
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    limits: CallLimits | None = None
    """What the workspace's quotas let in; ``None`` where they limit no calls. True under ``epoch``."""
    supervised: bool = False
    """Whether the call is recorded in full."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call is admitted, and on disk."""

    invocation: InvocationId


@dataclass(frozen=True, slots=True)
class StaleEpoch:
    """The rules changed after the decision; nothing was written. Decide again from what holds at ``current``."""

    current: Epoch


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an admitted call. ``files_until`` is how long what it left is kept; needed where it left anything."""

    invocation: InvocationId
    outcome: Outcome
    at: datetime
    files_until: datetime | None = None


Operation = Admission | Ending | AuditRecord
Answer = Admitted | StaleEpoch | Head | SkillyardError


class Journal(Protocol):
    """Writes operations durably and then answers them. Used from one event loop, between ``start`` and ``close``."""

    @property
    def waiting(self) -> int:
        """How many operations wait for their answers."""

    async def start(self) -> None:
        """Open what is needed. Raises ``AdmissionFailedError`` where the database cannot be opened for writing."""

    def at_once(self, operation: Operation) -> Answer | None:
        """The answer, durable already, where that is the quickest way to it for an operation with nobody to share a
        commit with; ``None``, with nothing done, where it is one for ``put``."""

    def put(self, operation: Operation) -> asyncio.Future[Any]:
        """The answer as soon as it is durable; a refusal is raised by the future. Waits for nothing itself."""

    async def close(self) -> None:
        """Write and answer what waits, then let go of everything. May be called without ``start``, and twice."""


# What is recorded


def admitted_record(admission: Admission) -> AuditRecord:
    """Raises ``ValueError`` for a caller that nobody is."""
    if admission.actor.kind is ActorKind.SYSTEM:
        raise ValueError("a call is made by a person or an agent")
    facts: dict[str, JsonValue] = {
        **admission.facts,
        "skill_version": admission.skill_version,
        "entry": admission.entry,
        "epoch": admission.epoch,
    }
    subject = _subject(admission.invocation)
    return AuditRecord(admission.workspace, admission.at, admission.actor, Action.INVOCATION_ADMITTED, subject, facts)


def finished_record(ending: Ending, workspace: WorkspaceId, *, agent: int | None, person: int | None) -> AuditRecord:
    """``agent`` or ``person`` made the call."""
    caller = Actor(ActorKind.PERSON, person) if agent is None else Actor(ActorKind.AGENT, agent)
    outcome = ending.outcome
    facts: dict[str, JsonValue] = {
        "state": outcome.state.value,
        "reason": storable(outcome.reason),
        "exit_code": outcome.exit_code,
    }
    if files := kept_files(ending):
        facts["files"] = len(files)
    return AuditRecord(workspace, ending.at, caller, Action.INVOCATION_FINISHED, _subject(ending.invocation), facts)


def kept_files(ending: Ending) -> tuple[OutputFile, ...]:
    """The files that a call left. Raises ``ValueError`` where nobody said how long they are kept."""
    result = ending.outcome.result_file
    files = (*ending.outcome.files, *(() if result is None else (result,)))
    if files and ending.files_until is None:
        raise ValueError("files are kept for a time that has an end")
    return files


def storable(reason: str | None) -> str | None:
    """A skill's own words may be part of a reason: cut to a length, and made text that every database can carry."""
    if reason is None:
        return None
    text = reason.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= _REASON_CHARACTERS else text[: _REASON_CHARACTERS - 1] + "…"


# What is refused


def not_here(admission: Admission) -> NotFoundError:
    """Version and caller are looked for in the workspace alone."""
    actor = admission.actor
    return NotFoundError(f"{actor.kind.value} {actor.id} or skill version {admission.skill_version} is not here")


def no_such_call(invocation: InvocationId) -> NotFoundError:
    return NotFoundError(f"invocation {invocation} does not exist")


def ended_before(invocation: InvocationId, state: str) -> AlreadyFinishedError:
    return AlreadyFinishedError(f"invocation {invocation} ended before: {state}")


def no_such_workspace(workspace: WorkspaceId) -> NotFoundError:
    return NotFoundError(f"workspace {workspace} does not exist")


def failure(error: BaseException) -> AdmissionFailedError:
    """For everybody in a transaction that failed as a whole."""
    failed = AdmissionFailedError(f"nothing was kept: {error}")
    failed.__cause__ = error
    return failed


def refusal(error: Exception, *, contradiction: bool) -> SkillyardError:
    """For the one operation that failed. ``contradiction`` is whether a constraint of the database refused it."""
    if isinstance(error, SkillyardError):
        return error
    refused: SkillyardError = (
        ConflictError(f"contradicts what is stored: {error}")
        if contradiction
        else AdmissionFailedError(f"this cannot be stored: {error}")
    )
    refused.__cause__ = error
    return refused


def _subject(invocation: InvocationId) -> str:
    return f"invocation/{invocation}"
