"""What a hub that lies, or a line that changes what passes, does to a page of the feed. Everything else is let be."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Rows = list[Row]

_TOO_LARGE = 80_000


def poisoned(dice: random.Random) -> Callable[[bytes], bytes]:
    """A change of an answer's body. It has dice of its own: how many pages come does not change what others meet."""
    own = random.Random(dice.randrange(2**32))

    def change(body: bytes) -> bytes:
        try:
            page = json.loads(body)
        except ValueError:
            return body
        if not isinstance(page, dict) or not isinstance(page.get("entries"), list) or not page["entries"]:
            return body
        own.choice(_SORTS)(page["entries"], own)
        return json.dumps(page, ensure_ascii=False).encode()

    return change


def _another_text(rows: Rows, dice: random.Random) -> None:
    """Its hash is of something else."""
    row = dice.choice(rows)
    row["document"] = json.dumps({"description": "Something else."})
    row["deleted"] = False


def _hostile_key(rows: Rows, dice: random.Random) -> None:
    dice.choice(rows)["key"] = dice.choice(("../../etc/passwd", "acme/\u202eexe", "", "a" * 5000))


def _of_no_kind(rows: Rows, dice: random.Random) -> None:
    dice.choice(rows)["kind"] = dice.choice(("virus", None, 7))


def _too_large(rows: Rows, dice: random.Random) -> None:
    _forge(dice.choice(rows), json.dumps({"description": "x" * _TOO_LARGE}))


def _no_document(rows: Rows, dice: random.Random) -> None:
    """Rightly hashed, and of another schema."""
    _forge(dice.choice(rows), '{"stars":"many"}')


def _far_away(rows: Rows, dice: random.Random) -> None:
    dice.choice(rows)["seq"] = dice.choice((0, -1, 10**17, 10**30))


def _twice(rows: Rows, dice: random.Random) -> None:
    rows.insert(dice.randrange(len(rows) + 1), dict(dice.choice(rows)))


def _twice_and_not_alike(rows: Rows, dice: random.Random) -> None:
    """The same key at the same number twice, the lie first, and rightly hashed: only the head's digest tells."""
    skills = [row for row in rows if row.get("kind") == "skill" and row.get("document")]
    if not skills:
        return _twice(rows, dice)
    row = dice.choice(skills)
    lie = dict(row)
    _forge(lie, json.dumps({**json.loads(row["document"]), "description": "A lie."}, sort_keys=True))
    rows.insert(0, lie)
    return None


def _withheld(rows: Rows, dice: random.Random) -> None:
    rows.remove(dice.choice(rows))


def _shuffled(rows: Rows, dice: random.Random) -> None:
    dice.shuffle(rows)


def _forge(row: Row, document: str) -> None:
    row["document"], row["deleted"] = document, False
    text = "\0".join((str(row["kind"]), str(row["key"]), str(row["rev"]), "live", document))
    row["sha256"] = hashlib.sha256(text.encode()).hexdigest()


_SORTS: tuple[Callable[[Rows, random.Random], None], ...] = (
    _another_text,
    _hostile_key,
    _of_no_kind,
    _too_large,
    _no_document,
    _far_away,
    _twice,
    _twice_and_not_alike,
    _withheld,
    _shuffled,
)
