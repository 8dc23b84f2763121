"""Whoever edits, deletes, reorders, invents or cuts off audit records, with full access to the file, is found out."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
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
from skillyard.governance.audit import Entry, Head, EMPTY
from skillyard.governance.audit.record import digest
from dataclasses import replace
head = EMPTY
for line in sys.stdin:
    entry = Entry(*json.loads(line))
    seq = head.seq + 1
    entry = replace(entry, seq=seq, prev_hash=head.hash, hash=digest(head.hash, seq, entry))
    head = Head(seq, entry.hash)
    print(json.dumps([getattr(entry, name) for name in Entry.__slots__]))
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """The tables as they are in the file, and how to put them back."""

    file: Path
    records: Rows
    heads: Rows
    signed: Rows

    @classmethod
    def read(cls, file: Path) -> Chain:
        with closing(sqlite3.connect(file, timeout=30)) as database:
            records = database.execute("SELECT * FROM audit_records ORDER BY workspace_id, seq").fetchall()
            heads = database.execute("SELECT * FROM audit_heads").fetchall()
            return cls(file, records, heads, database.execute("SELECT * FROM audit_checkpoints").fetchall())

    def tampered(self, tampering: Tampering) -> None:
        with closing(sqlite3.connect(self.file, timeout=30)) as database, database:
            tampering(database)

    def restore(self) -> None:
        def put_back(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM audit_records")
            database.execute("DELETE FROM audit_heads")
            database.execute("DELETE FROM audit_checkpoints")
            database.executemany(_INSERT, self.records)
            database.executemany("INSERT INTO audit_heads VALUES (?, ?, ?)", self.heads)
            database.executemany("INSERT INTO audit_checkpoints VALUES (?, ?, ?, ?, ?, ?)", self.signed)

        self.tampered(put_back)


def tell(stage: Stage) -> None:
    home = stage.home()
    # Signed when the story says so, and not whenever a minute is over.
    people = People(stage.serve(home, audit_sign_seconds="3600"))
    _live_a_little(people)
    answered(people.admin.post("/v1/audit/head"))
    sound = _verify(people)
    stage.check("an untouched chain holds", sound["broken"] is None, str(sound))
    stage.check("all of it is signed", sound["unsigned"] == 0, str(sound))
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
    _forged(stage, people, chain, head)
    code, out, _ = _with_command_line(stage, home, chain)
    stage.check("the command line says so with its exit code", code == 1, out)
    after = _verify(people)
    stage.check("put back as it was, the chain holds again", after["broken"] is None, str(after))
    stage.figures["records"] = len(chain.records)
    _exported(stage, home)
    _archived(stage, home)


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


def _forged(stage: Stage, people: People, chain: Chain, head: Json) -> None:
    """A forger who has read the source makes the whole chain anew, its head too, and then takes away what is signed."""
    forged = [list(row) for row in chain.records]
    forged[len(forged) // 2][7] = json.dumps({"nothing": "happened"})
    lines = "".join(json.dumps(row) + "\n" for row in forged)
    out = stage.python(people.server.home, _REWRITE, lines).splitlines()
    rows = [tuple(json.loads(line)) for line in out]

    def put(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM audit_records")
        database.executemany(_INSERT, rows)
        database.execute("UPDATE audit_heads SET hash = ?", (rows[-1][-1],))

    def put_unsigned(database: sqlite3.Connection) -> None:
        put(database)
        database.execute("DELETE FROM audit_checkpoints")

    for name, forging in (
        ("a chain made anew is found by what was signed", put),
        ("a chain made anew with its signatures gone is found by what the home noted", put_unsigned),
    ):
        chain.tampered(forging)
        found = _verify(people)
        stage.check(name, (found["broken"] or {}).get("kind") == "signed", str(found))
        refused = people.admin.post("/v1/audit/head")
        stage.check(f"{name}, and not signed again", refused.status_code >= 400, refused.text)
        chain.restore()

    note = people.server.home / "audit" / "heads" / f"{rows[0][0]}.json"
    kept = note.read_bytes()
    note.unlink()
    chain.tampered(put_unsigned)
    found = _verify(people, noted_seq=head["seq"], noted_hash=head["hash"])
    stage.check("even by somebody who has the home, by a head noted elsewhere", found["broken"] is not None, str(found))
    chain.restore()
    note.write_bytes(kept)


def _exported(stage: Stage, home: Path) -> None:
    """An export proves itself on another machine, to somebody who has the key from elsewhere."""
    file, elsewhere = stage.folder() / "audit.jsonl.gz", stage.home()
    code, out, error = stage.command(home, "audit", "export", "--output", str(file), "--json")
    stage.check("the log is exported", code == 0, out + error)
    key = json.loads(stage.command(home, "audit", "keys", "--json")[1])["own"]
    code, out, _ = stage.command(elsewhere, "audit", "verify", "--file", str(file), "--key", key, "--json")
    stage.check("the export verifies elsewhere with the key", code == 0, out)
    code, out, _ = stage.command(elsewhere, "audit", "verify", "--file", str(file), "--json")
    stage.check("without the key it proves nothing, and says so", code == 3, out)
    forged = file.with_name("forged.jsonl.gz")
    forged.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"left-behind", b"left-behinD")))
    code, out, _ = stage.command(elsewhere, "audit", "verify", "--file", str(forged), "--key", key, "--json")
    stage.check("an edited export is found", code == 1, out)


def _archived(stage: Stage, home: Path) -> None:
    """What is moved out of the database is still part of the chain."""
    moment = datetime.now(UTC).isoformat()
    code, out, error = stage.command(home, "audit", "archive", "--before", moment, "--json")
    stage.check("old records are archived", code == 0, out + error)
    (made,) = json.loads(out)["archived"]
    code, out, _ = stage.command(home, "audit", "verify", "--json")
    stage.check("the chain holds across its archive", code == 0, out)
    file = next((home / "audit" / "archives").glob(f"*/{made['file']}"))
    content = file.read_bytes()
    file.write_bytes(gzip.compress(gzip.decompress(content).replace(b"left-behind", b"left-behinD")))
    code, out, _ = stage.command(home, "audit", "verify", "--json")
    stage.check("an edited archive is found", code == 1 and made["file"] in out, out)
    file.unlink()
    code, out, _ = stage.command(home, "audit", "verify", "--json")
    stage.check("a missing archive is named and not passed over", code == 3 and made["file"] in out, out)
    file.write_bytes(content)
    code, out, _ = stage.command(home, "audit", "verify", "--json")
    stage.check("put back, it holds", code == 0, out)


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
    return {json.loads(line).get("action") for line in response.text.splitlines()}


STORY = Story(
    name="audit-tamper",
    tell=tell,
    breaks=Break(
        says="verifying follows the links and no longer reads the records",
        edits=(
            Edit(
                "skillyard/governance/audit/check.py",
                "                and is_own_hash(entry, entry.seq)\n",
                "                and True\n",
            ),
        ),
        trips=EDITED,
    ),
)
