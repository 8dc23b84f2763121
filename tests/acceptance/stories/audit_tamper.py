"""Whoever edits, deletes, reorders, invents or cuts off audit records, with full access to the file, is found out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.people import Json, People, answered
from tests.acceptance.skills import made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

EDITED = "a changed payload is found"
Rows = list[tuple[object, ...]]
Tampering = Callable[[sqlite3.Connection], object]

_INSERT = "INSERT INTO audit_records VALUES ({})".format(", ".join("?" * 10))

# Seals records as the product does, for a forger who has read its source: the chain from a record on, made anew.
_REWRITE = """
import json, sys
from skillyard.governance.audit import Entry, Head, EMPTY, _digest
from dataclasses import replace
head = EMPTY
for line in sys.stdin:
    entry = Entry(*json.loads(line))
    seq = head.seq + 1
    entry = replace(entry, seq=seq, prev_hash=head.hash, hash=_digest(head.hash, seq, entry))
    head = Head(seq, entry.hash)
    print(json.dumps([getattr(entry, name) for name in Entry.__slots__]))
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """The tables as they are in the file, and how to put them back."""

    file: Path
    records: Rows
    heads: Rows

    @classmethod
    def read(cls, file: Path) -> Chain:
        with closing(sqlite3.connect(file, timeout=30)) as database:
            records = database.execute("SELECT * FROM audit_records ORDER BY workspace_id, seq").fetchall()
            return cls(file, records, database.execute("SELECT * FROM audit_heads").fetchall())

    def tampered(self, tampering: Tampering) -> None:
        with closing(sqlite3.connect(self.file, timeout=30)) as database, database:
            tampering(database)

    def restore(self) -> None:
        def put_back(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM audit_records")
            database.execute("DELETE FROM audit_heads")
            database.executemany(_INSERT, self.records)
            database.executemany("INSERT INTO audit_heads VALUES (?, ?, ?)", self.heads)

        self.tampered(put_back)


def tell(stage: Stage) -> None:
    home = stage.home()
    people = People(stage.serve(home))
    _live_a_little(people)
    sound = _verify(people)
    stage.check("an untouched chain holds", sound["broken"] is None, str(sound))
    actions = _exported_actions(people)
    lived = {"skill.installed", "invocation.admitted", "invocation.finished", "invocation.denied", "package.banned"}
    stage.check("everything that happened is in it", lived <= actions, f"missing: {lived - actions}")
    code, out, _ = stage.command(home, "audit", "verify", "--json")
    stage.check("the command line agrees", code == 0, out)

    chain = Chain.read(home / "skillyard.db")
    head = sound["head"]
    for name, tampering in _tamperings(len(chain.records)).items():
        chain.tampered(tampering)
        found = _verify(people)
        stage.check(f"{name} is found", found["broken"] is not None, str(found))
        chain.restore()
    _found_only_by_a_noted_head(stage, people, chain, head)
    code, out, _ = _with_command_line(stage, home, chain)
    stage.check("the command line says so with its exit code", code == 1, out)
    after = _verify(people)
    stage.check("put back as it was, the chain holds again", after["broken"] is None, str(after))
    stage.figures["records"] = len(chain.records)


def _live_a_little(people: People) -> None:
    people.install(made("adder", "def run(x: int):\n    return x + 1\n"))
    robot, student = people.agent("robot", "AUTONOMOUS"), people.agent("student", "STUDENT")
    for x in range(5):
        answered(robot.call("acme/adder", {"x": x}))
    student.call("acme/adder", {"x": 1})
    answered(people.admin.post("/v1/packages/ban", json={"name": "left-behind", "reason": "For the record."}))


def _tamperings(length: int) -> dict[str, Tampering]:
    middle, last = length // 2, length

    def swap(database: sqlite3.Connection) -> None:
        for old, new in ((middle, -1), (middle + 1, middle), (-1, middle + 1)):
            database.execute("UPDATE audit_records SET seq = ? WHERE seq = ?", (new, old))

    def close_the_gap(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM audit_records WHERE seq = ?", (middle,))
        for seq in range(middle + 1, last + 1):
            database.execute("UPDATE audit_records SET seq = ? WHERE seq = ?", (seq - 1, seq))
        database.execute("UPDATE audit_heads SET seq = seq - 1")

    def invent(database: sqlite3.Connection) -> None:
        columns = "workspace_id, ?, at, actor_kind, actor_id, action, subject, payload, hash, hash"
        database.execute(
            f"INSERT INTO audit_records SELECT {columns} FROM audit_records WHERE seq = ?", (last + 1, last)
        )

    def update(column: str, value: str) -> Tampering:
        return lambda database: database.execute(
            f"UPDATE audit_records SET {column} = {value} WHERE seq = ?", (middle,)
        )

    return {
        EDITED.removesuffix(" is found"): update("payload", "replace(payload, '{', '{\"x\":1,')"),
        "another actor": update("actor_id", "coalesce(actor_id, 0) + 1"),
        "another time": update("at", "replace(at, '2', '3')"),
        "another action": update("action", "'agent.added'"),
        "a hash that was changed": update("hash", "replace(hash, substr(hash, 1, 1), 'x')"),
        "a record that was deleted": lambda database: database.execute(
            "DELETE FROM audit_records WHERE seq = ?", (middle,)
        ),
        "a record that was deleted and its gap closed": close_the_gap,
        "two records in another order": swap,
        "a record that was invented": invent,
        "a last record that was cut off": lambda database: database.execute(
            "DELETE FROM audit_records WHERE seq = ?", (last,)
        ),
        "a log that was emptied": lambda database: database.execute("DELETE FROM audit_records"),
    }


def _found_only_by_a_noted_head(stage: Stage, people: People, chain: Chain, head: Json) -> None:
    """A forger who makes the whole chain anew, its head too, leaves no trace in the file; a noted head tells."""
    forged = [list(row) for row in chain.records]
    forged[len(forged) // 2][7] = json.dumps({"nothing": "happened"})
    lines = "".join(json.dumps(row) + "\n" for row in forged)
    out = stage.python(people.server.home, _REWRITE, lines).splitlines()
    rows = [tuple(json.loads(line)) for line in out]

    def put(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM audit_records")
        database.executemany(_INSERT, rows)
        database.execute("UPDATE audit_heads SET hash = ?", (rows[-1][-1],))

    chain.tampered(put)
    found = _verify(people, noted_seq=head["seq"], noted_hash=head["hash"])
    stage.check("a chain made anew is found by a head noted elsewhere", found["broken"] is not None, str(found))
    chain.restore()


def _with_command_line(stage: Stage, home: Path, chain: Chain) -> tuple[int, str, str]:
    chain.tampered(lambda database: database.execute("UPDATE audit_records SET subject = 'x' WHERE seq = 2"))
    try:
        return stage.command(home, "audit", "verify", "--json")
    finally:
        chain.restore()


def _verify(people: People, **noted: object) -> Json:
    params = {name: str(value) for name, value in noted.items()}
    return answered(people.admin.get("/v1/audit/verify", params=params))


def _exported_actions(people: People) -> set[str]:
    response = people.admin.get("/v1/audit/export")
    response.raise_for_status()
    return {json.loads(line)["action"] for line in response.text.splitlines()}


STORY = Story(
    name="audit-tamper",
    tell=tell,
    breaks=Break(
        says="verifying follows the links and no longer reads the records",
        edits=(
            Edit(
                "skillyard/governance/audit.py",
                "            and _is_own_hash(entry, entry.seq)\n",
                "            and True\n",
            ),
        ),
        trips=EDITED,
    ),
)
