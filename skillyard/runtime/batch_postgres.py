"""One transaction of the durable writer on PostgreSQL: statements that take all operations of a batch at once.

Every statement is a way to the server and back, so a batch of many costs what a batch of one does. A statement that
fails takes its whole transaction with it and does not say whose fault it was; then the batch is made again one by one,
each operation inside a savepoint. What people do wrong (an old epoch, a call that is not there) fails no statement.

The transaction holds the shared turn (``database.postgres``), so no rule changes under it, and from the beginning the
heads of the chains it extends, locked in one order by everybody: transactions of several processes that admit to one
workspace follow one another, those to others run side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg

from skillyard.database import is_machine_error
from skillyard.database.postgres import TAKE_SHARED_TURN
from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance.audit import COLUMN_NAMES, AuditRecord, Entry, Head, as_columns, seal
from skillyard.governance.identity import ActorKind
from skillyard.governance.quotas import CallLimits
from skillyard.ids import Epoch, InvocationId, WorkspaceId
from skillyard.runtime.call_limits import CALLS_COUNTED, COUNT_CALL, OPEN_CALLS, countings, require_open_room
from skillyard.runtime.journal import (
    Admission,
    AdmissionFailedError,
    Admitted,
    Answer,
    Ending,
    Operation,
    StaleEpoch,
    admitted_record,
    ended_before,
    finished_record,
    kept_files,
    no_such_call,
    no_such_workspace,
    not_here,
    refusal,
    storable,
)
from skillyard.times import in_utc

# Asking for the transaction's number assigns it: whoever loses the answer to the commit can ask how it ended.
_BEGIN: Final = """
SELECT h.workspace_id, h.seq, h.hash, pg_current_xact_id()::text AS transaction,
       (SELECT epoch FROM rules_epoch WHERE id = 1) AS epoch
FROM audit_heads AS h
WHERE h.workspace_id IN (
    SELECT unnest($1::bigint[]) UNION SELECT i.workspace_id FROM invocations AS i WHERE i.id = ANY($2::text[])
)
ORDER BY h.workspace_id
FOR UPDATE OF h
"""

# Version and caller are found by their workspace, so a call cannot be admitted across tenants.
_ADMIT: Final = """
INSERT INTO invocations
    (id, workspace_id, agent_id, person_id, skill_version_id, entry, epoch, instance_id, state, started_at, supervised)
SELECT c.id, v.workspace_id, a.id, p.id, v.id, c.entry, c.epoch, $1, 'accepted', c.at, c.supervised
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[],
            $9::timestamptz[], $10::boolean[])
    AS c (id, workspace, version, agent, person, entry, epoch, at, supervised)
JOIN skill_versions AS v ON v.id = c.version AND v.workspace_id = c.workspace
LEFT JOIN agents AS a ON a.id = c.agent AND a.workspace_id = c.workspace
LEFT JOIN persons AS p ON p.id = c.person AND p.workspace_id = c.workspace
WHERE a.id IS NOT NULL OR p.id IS NOT NULL
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
_STATES: Final = "SELECT id, state FROM invocations WHERE id = ANY($1::text[])"
_FINISH: Final = """
UPDATE invocations AS i SET state = e.state, reason = e.reason, ended_at = e.at, wall_seconds = e.wall,
    cpu_seconds = e.cpu, peak_memory_bytes = e.memory, exit_code = e.exit_code
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::float8[], $6::float8[], $7::bigint[],
            $8::integer[]) AS e (id, state, reason, at, wall, cpu, memory, exit_code)
WHERE i.id = e.id AND i.state = 'accepted'
RETURNING i.id, i.workspace_id, i.agent_id, i.person_id
"""
_KEEP_FILES: Final = """
INSERT INTO invocation_files (workspace_id, invocation_id, path, sha256, size, media_type, expires_at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::timestamptz[])
"""

_ENTRY_TYPES: Final = {"workspace_id": "bigint", "seq": "bigint", "actor_id": "bigint"}
_ENTRIES: Final = ", ".join(
    f"${number}::{_ENTRY_TYPES.get(name, 'text')}[]" for number, name in enumerate(COLUMN_NAMES, 1)
)
_HEADS: Final = ", ".join(
    f"${len(COLUMN_NAMES) + n}::{type_}[]" for n, type_ in enumerate(("bigint", "bigint", "text"), 1)
)
_APPEND: Final = f"""
WITH appended AS (INSERT INTO audit_records ({", ".join(COLUMN_NAMES)}) SELECT * FROM unnest({_ENTRIES}))
UPDATE audit_heads AS h SET seq = m.seq, hash = m.hash FROM unnest({_HEADS}) AS m (workspace, seq, hash)
WHERE h.workspace_id = m.workspace
"""  # noqa: S608 - constants only


class PostgresBatch:
    """One open transaction: the epoch as it stands in it, and the chains' heads as they grow. Made by ``begin``."""

    def __init__(self, connection: Any, instance: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection = connection
        self._instance = instance
        self._heads: dict[WorkspaceId, Head] = {
            WorkspaceId(row["workspace_id"]): Head(row["seq"], row["hash"]) for row in rows
        }
        self._epoch: int | None = rows[0]["epoch"] if rows else None
        self.transaction: str | None = rows[0]["transaction"] if rows else None
        """Its number in the database; ``None`` where there is nothing it could write."""
        if rows and self._epoch is None:
            raise AdmissionFailedError("the rules epoch is gone from the database")

    @classmethod
    async def begin(cls, connection: Any, instance: str, operations: Sequence[Operation]) -> PostgresBatch:
        """Raises what the driver raises."""
        await connection.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {TAKE_SHARED_TURN}")
        workspaces = {operation.workspace for operation in operations if not isinstance(operation, Ending)}
        ended = [operation.invocation for operation in operations if isinstance(operation, Ending)]
        # An id that no column could hold is one that nothing has; it must not keep the others from beginning.
        known = [workspace for workspace in workspaces if 0 <= workspace < 2**63]
        return cls(connection, instance, await connection.fetch(_BEGIN, known, [_text(id_) for id_ in ended]))

    async def together(self, operations: Sequence[Operation]) -> list[Answer]:
        """Whatever can be written at once is; raises what fails a statement: then nothing of it stands."""
        alone = _alone(operations)
        rest = [number for number in range(len(operations)) if number not in alone]
        answers = dict(zip(rest, await self._write([operations[number] for number in rest]), strict=True))
        for number in alone:
            answers[number] = await self._one(operations[number])
        return [answers[number] for number in range(len(operations))]

    async def one_by_one(self, operations: Sequence[Operation]) -> list[Answer]:
        """Raises only for what concerns the whole transaction."""
        return [await self._one(operation) for operation in operations]

    async def _one(self, operation: Operation) -> Answer:
        heads = dict(self._heads)
        await self._connection.execute("SAVEPOINT operation")
        try:
            if isinstance(operation, Admission) and operation.limits is not None and operation.epoch == self._epoch:
                await self._count(operation, operation.limits)
            (answer,) = await self._write([operation])
            if isinstance(answer, SkillyardError):
                raise answer
        except (SkillyardError, asyncpg.PostgresError, TypeError, ValueError, OverflowError) as error:
            if is_machine_error(error):
                raise
            await self._connection.execute("ROLLBACK TO operation")
            self._heads = heads
            answer = refusal(error, contradiction=isinstance(error, asyncpg.IntegrityConstraintViolationError))
        await self._connection.execute("RELEASE operation")
        return answer

    async def _count(self, admission: Admission, limits: CallLimits) -> None:
        """Raises ``CallQuotaExceededError``. Exact: whoever admits to this workspace holds the head of its chain."""
        workspace = admission.workspace
        for counting in countings(workspace, limits, admission.at):
            if await self._connection.fetchrow(COUNT_CALL, *counting.parameters) is None:
                counted = await self._connection.fetchrow(CALLS_COUNTED, workspace, counting.span.value)
                raise counting.refusal(None if counted is None else tuple(counted), admission.at)
        if limits.at_once is not None:
            require_open_room(limits, await self._connection.fetchval(OPEN_CALLS, workspace))

    async def _write(self, operations: Sequence[Operation]) -> list[Answer]:
        """Operations about as many different calls."""
        answers: dict[int, Answer] = {}
        admissions = {n: o for n, o in enumerate(operations) if isinstance(o, Admission)}
        endings = {n: o for n, o in enumerate(operations) if isinstance(o, Ending)}
        records = {n: o for n, o in enumerate(operations) if isinstance(o, AuditRecord)}
        records |= {n: admitted_record(admission) for n, admission in admissions.items()}
        if admissions:
            answers |= await self._admit(admissions)
        if endings:
            finished = await self._finish(endings)
            records |= finished
            if missing := {n: ending for n, ending in endings.items() if n not in finished}:
                answers |= await self._not_open(missing)
        refused = {n for n, answer in answers.items() if not isinstance(answer, Admitted)}
        for number, record in records.items():
            if record.workspace not in self._heads:
                answers[number] = no_such_workspace(record.workspace)
                refused.add(number)
        wanted = {number: records[number] for number in sorted(records.keys() - refused)}
        heads = await self._append(wanted) if wanted else {}
        return [answers[number] if number in answers else heads[number] for number in range(len(operations))]

    async def _admit(self, admissions: Mapping[int, Admission]) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        calls: dict[int, Admission] = {}
        for number, admission in admissions.items():
            if admission.workspace not in self._heads:
                answers[number] = no_such_workspace(admission.workspace)
            elif admission.epoch != self._epoch:
                answers[number] = StaleEpoch(Epoch(self._epoch or 0))
            else:
                calls[number] = admission
        if not calls:
            return answers
        rows = [_admission_row(admission) for admission in calls.values()]
        inserted = {row["id"] for row in await self._connection.fetch(_ADMIT, self._instance, *_columns(rows))}
        missing = [admission.invocation for admission in calls.values() if admission.invocation not in inserted]
        taken = await self._states(missing) if missing else {}
        for number, admission in calls.items():
            if admission.invocation in inserted:
                answers[number] = Admitted(admission.invocation)
            elif admission.invocation in taken:
                answers[number] = ConflictError(f"contradicts what is stored: invocation {admission.invocation}")
            else:
                answers[number] = not_here(admission)
        return answers

    async def _finish(self, endings: Mapping[int, Ending]) -> dict[int, AuditRecord]:
        """What is recorded of the calls that were open until now."""
        rows = await self._connection.fetch(_FINISH, *_columns([_ending_row(ending) for ending in endings.values()]))
        ended = {row["id"]: row for row in rows}
        records: dict[int, AuditRecord] = {}
        files: list[tuple[object, ...]] = []
        for number, ending in endings.items():
            if (row := ended.get(ending.invocation)) is None:
                continue
            workspace = WorkspaceId(row["workspace_id"])
            records[number] = finished_record(ending, workspace, agent=row["agent_id"], person=row["person_id"])
            files += _file_rows(ending, workspace)
        if files:
            await self._connection.execute(_KEEP_FILES, *_columns(files))
        return records

    async def _not_open(self, endings: Mapping[int, Ending]) -> dict[int, Answer]:
        states = await self._states(ending.invocation for ending in endings.values())
        return {
            number: ended_before(ending.invocation, states[ending.invocation])
            if ending.invocation in states
            else no_such_call(ending.invocation)
            for number, ending in endings.items()
        }

    async def _states(self, invocations: Iterable[InvocationId]) -> dict[InvocationId, str]:
        rows = await self._connection.fetch(_STATES, list(invocations))
        return {InvocationId(row["id"]): row["state"] for row in rows}

    async def _append(self, records: Mapping[int, AuditRecord]) -> dict[int, Head]:
        heads, moved, entries = {}, dict(self._heads), list[Entry]()
        for number, record in records.items():
            entry = seal(record, moved[record.workspace])
            heads[number] = moved[record.workspace] = Head(entry.seq, entry.hash)
            entries.append(entry)
        changed = [
            (workspace, head.seq, head.hash) for workspace, head in moved.items() if head != self._heads[workspace]
        ]
        await self._connection.execute(_APPEND, *_columns([as_columns(entry) for entry in entries]), *_columns(changed))
        self._heads = moved
        return heads


def _alone(operations: Sequence[Operation]) -> dict[int, None]:
    """Those that cannot share a statement with the others: counted ones, and the second and further of one call."""
    seen: set[InvocationId] = set()
    alone: dict[int, None] = {}
    for number, operation in enumerate(operations):
        if isinstance(operation, AuditRecord):
            continue
        counted = isinstance(operation, Admission) and operation.limits is not None
        if counted or operation.invocation in seen:
            alone[number] = None
        seen.add(operation.invocation)
    return alone


def _admission_row(call: Admission) -> tuple[object, ...]:
    agent = call.actor.id if call.actor.kind is ActorKind.AGENT else None
    person = call.actor.id if call.actor.kind is ActorKind.PERSON else None
    placed = (call.invocation, call.workspace, call.skill_version, agent, person)
    return (*placed, call.entry, call.epoch, in_utc(call.at), call.supervised)


def _ending_row(ending: Ending) -> tuple[object, ...]:
    outcome, usage = ending.outcome, ending.outcome.usage
    ended = (ending.invocation, outcome.state.value, storable(outcome.reason), in_utc(ending.at))
    return (*ended, usage.wall_seconds, usage.cpu_seconds, usage.peak_memory_bytes, outcome.exit_code)


def _file_rows(ending: Ending, workspace: WorkspaceId) -> list[tuple[object, ...]]:
    files = kept_files(ending)
    if not files or ending.files_until is None:
        return []
    until = in_utc(ending.files_until)
    return [(workspace, ending.invocation, file.path, file.sha256, file.size, file.media_type, until) for file in files]


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows as the arrays that ``unnest`` makes rows of again."""
    return [list(column) for column in zip(*rows, strict=True)]


def _text(value: str) -> str:
    """The same, or what nothing is called where no text of the database could be it."""
    return value if value.isprintable() and value.isascii() else ""
