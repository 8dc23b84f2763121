"""What decisions rest on is kept in memory, and read again only as far as it changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from skillyard.governance.administrators import Administrator
from skillyard.governance.rules import draft_ban
from skillyard.times import utcnow
from sqlalchemy import event
from tests.runtime.conftest import Yard


async def test_a_change_of_rules_reads_no_lock_and_no_report_again(yard: Yard) -> None:
    """Every change of rules made every server read all locks and reports of a workspace."""
    await yard.install(yard.skill(name="one", python="iniconfig==2.1.0"))
    await yard.runtime.views.current(yard.admin.workspace)
    with statements(yard) as said:
        ban = draft_ban(ecosystem="pypi", name="six", specifier="", reason="A test.", now=utcnow())
        await yard.runtime.packages.add(ban, by=Administrator.of(yard.admin))
        await yard.runtime.views.current(yard.admin.workspace)
    assert not [one for one in said if "report_json" in one and "FROM skills JOIN" in one], said
    assert any("version_marks" in one for one in said)


@contextmanager
def statements(yard: Yard) -> Iterator[list[str]]:
    """What is asked of the database while the block lasts."""
    said: list[str] = []

    def listen(_c: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    engine = yard.runtime.database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield said
    finally:
        event.remove(engine, "before_cursor_execute", listen)
