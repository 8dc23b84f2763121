"""One transaction of the durable writer on SQLite: each operation by its own statements, inside a savepoint."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import assert_never

from skillyard.database import is_machine_error, stored_time
from skillyard.errors import SkillyardError
from skillyard.governance.audit import COLUMN_NAMES, AuditRecord, Head, as_columns, seal
from skillyard.governance.identity import ActorKind
from skillyard.governance.quotas import CallLimits
from skillyard.ids import Epoch, WorkspaceId
from skillyard.runtime.call_limits import CALLS_COUNTED, COUNT_CALL, OPEN_CALLS, countings, require_open_room
from skillyard.runtime.journal import (
    Admission,
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

EPOCH = "SELECT epoch FROM rules_epoch WHERE id = 1"
"""Read by every transaction; refused by a file that is none of ours."""

_HEAD = "SELECT seq, hash FROM audit_heads WHERE workspace_id = ?"
_MOVE_HEAD = "UPDATE audit_heads SET seq = ?, hash = ? WHERE workspace_id = ?"
_APPEND = f"INSERT INTO audit_records ({', '.join(COLUMN_NAMES)}) VALUES ({', '.join('?' * len(COLUMN_NAMES))})"  # noqa: S608 - constants only

# Version and caller are found by their workspace, so a call cannot be admitted across tenants.
_ADMIT_AGENT = """
INSERT INTO invocations
    (id, workspace_id, agent_id, skill_version_id, entry, epoch, instance_id, state, started_at, supervised)
SELECT ?, v.workspace_id, caller.id, v.id, ?, ?, ?, 'accepted', ?, ?
FROM skill_versions AS v JOIN agents AS caller ON caller.workspace_id = v.workspace_id
WHERE v.id = ? AND v.workspace_id = ? AND caller.id = ?
"""
_ADMIT = {
    ActorKind.AGENT: _ADMIT_AGENT,
    ActorKind.PERSON: _ADMIT_AGENT.replace("agent_id", "person_id").replace("agents", "persons"),
}
_COUNT_CALL, _CALLS_COUNTED, _OPEN_CALLS = (
    statement.replace("$", "?") for statement in (COUNT_CALL, CALLS_COUNTED, OPEN_CALLS)
)
_CALLER = "SELECT workspace_id, agent_id, person_id, state FROM invocations WHERE id = ?"
_FINISH = """
UPDATE invocations SET state = ?, reason = ?, ended_at = ?, wall_seconds = ?, cpu_seconds = ?, peak_memory_bytes = ?,
exit_code = ? WHERE id = ?
"""
_KEEP_FILE = """
INSERT INTO invocation_files (workspace_id, invocation_id, path, sha256, size, media_type, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class SqliteBatch:
    """One open transaction: the epoch as it stands in it, and the chains' heads as they grow."""

    def __init__(self, connection: sqlite3.Connection, instance: str) -> None:
        self._connection = connection
        self._instance = instance
        self._heads: dict[int, Head] = {}
        (self._epoch,) = connection.execute(EPOCH).fetchone()

    def apply(self, operations: Sequence[Operation]) -> list[Answer]:
        """Raises only for what concerns the whole transaction; then roll it back."""
        answers = [self._one(operation) for operation in operations]
        for workspace, head in self._heads.items():
            self._connection.execute(_MOVE_HEAD, (head.seq, head.hash, workspace))
        return answers

    def _one(self, operation: Operation) -> Answer:
        self._connection.execute("SAVEPOINT operation")
        try:
            answer = self._write(operation)
        except (SkillyardError, sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, sqlite3.Error) and is_machine_error(error):
                raise
            self._connection.execute("ROLLBACK TO operation")
            answer = refusal(error, contradiction=isinstance(error, sqlite3.IntegrityError))
        self._connection.execute("RELEASE operation")
        return answer

    def _write(self, operation: Operation) -> Answer:
        match operation:
            case Admission():
                return self._admit(operation)
            case Ending():
                return self._finish(operation)
            case AuditRecord():
                return self._append(operation)
            case _:
                assert_never(operation)

    def _admit(self, admission: Admission) -> Admitted | StaleEpoch:
        if admission.epoch != self._epoch:
            return StaleEpoch(Epoch(self._epoch))
        record, actor, at = admitted_record(admission), admission.actor, stored_time(admission.at)
        if admission.limits is not None:
            self._count(admission, admission.limits)
        placed = (admission.supervised, admission.skill_version, admission.workspace, actor.id)
        row = (admission.invocation, admission.entry, admission.epoch, self._instance, at, *placed)
        if self._connection.execute(_ADMIT[actor.kind], row).rowcount != 1:
            raise not_here(admission)
        self._append(record)
        return Admitted(admission.invocation)

    def _count(self, admission: Admission, limits: CallLimits) -> None:
        """Raises ``CallQuotaExceededError``; the savepoint takes back what was counted until then."""
        workspace = admission.workspace
        for counting in countings(workspace, limits, admission.at):
            if self._connection.execute(_COUNT_CALL, counting.parameters).fetchone() is None:
                counted = self._connection.execute(_CALLS_COUNTED, (workspace, counting.span.value)).fetchone()
                raise counting.refusal(counted, admission.at)
        if limits.at_once is not None:
            (opened,) = self._connection.execute(_OPEN_CALLS, (workspace,)).fetchone()
            require_open_room(limits, opened)

    def _finish(self, ending: Ending) -> Head:
        found = self._connection.execute(_CALLER, (ending.invocation,)).fetchone()
        if found is None:
            raise no_such_call(ending.invocation)
        workspace, agent, person, state = found
        if state != "accepted":
            raise ended_before(ending.invocation, state)
        outcome, usage = ending.outcome, ending.outcome.usage
        measured = (usage.wall_seconds, usage.cpu_seconds, usage.peak_memory_bytes, outcome.exit_code)
        ended = (outcome.state.value, storable(outcome.reason), stored_time(ending.at))
        self._connection.execute(_FINISH, (*ended, *measured, ending.invocation))
        record = finished_record(ending, workspace, agent=agent, person=person)
        self._keep_files(ending, workspace)
        return self._append(record)

    def _keep_files(self, ending: Ending, workspace: WorkspaceId) -> None:
        """A row for each file that the call left."""
        if (files := kept_files(ending)) and ending.files_until is not None:
            until = stored_time(ending.files_until)
            rows = [
                (workspace, ending.invocation, file.path, file.sha256, file.size, file.media_type, until)
                for file in files
            ]
            self._connection.executemany(_KEEP_FILE, rows)

    def _append(self, record: AuditRecord) -> Head:
        entry = seal(record, self._head(record.workspace))
        self._connection.execute(_APPEND, as_columns(entry))
        # The last write of every operation: if it fails, the head kept here has not moved either.
        head = self._heads[record.workspace] = Head(entry.seq, entry.hash)
        return head

    def _head(self, workspace: WorkspaceId) -> Head:
        if workspace not in self._heads:
            found = self._connection.execute(_HEAD, (workspace,)).fetchone()
            if found is None:
                raise no_such_workspace(workspace)
            self._heads[workspace] = Head(*found)
        return self._heads[workspace]
