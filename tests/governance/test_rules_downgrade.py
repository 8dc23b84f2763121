"""Going back to a schema without global rules must not let anything in."""

from __future__ import annotations

from datetime import UTC, datetime

from alembic import command
from skillyard.database import Database, alembic_config, change_schema, migrate
from skillyard.governance import people, rule_changes, rule_store
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Maturity, RuleScope
from skillyard.governance.identity import SYSTEM, Person
from skillyard.governance.rules import draft_approval, draft_ban

NOW = datetime(2026, 6, 1, tzinfo=UTC)


async def test_global_bans_become_bans_of_every_workspace_and_global_approvals_end(
    database: Database, admin: Person, database_url: str
) -> None:
    by = Administrator(admin.workspace, admin.id, admin.actor)
    drafts = (
        draft_ban(ecosystem="pypi", name="evil", reason="it steals", now=NOW),
        draft_approval(ecosystem="pypi", name="good", min_maturity=Maturity.INTERN, now=NOW),
    )
    async with database.transaction() as session:
        other = await people.create_workspace(session, "next-door", by=SYSTEM, at=NOW)
        for draft in drafts:
            await rule_changes.add_rule(session, draft, by=by, at=NOW, scope=RuleScope.GLOBAL)
    await change_schema(database_url, lambda connection: command.downgrade(alembic_config(connection), "0005"))
    await migrate(database_url)
    async with database.reading() as session:
        for workspace in (admin.workspace, other.id):
            rules = await rule_store.list_rules(session, workspace)
            assert [(rule.name, rule.scope, rule.reason) for rule in rules] == [
                ("evil", RuleScope.WORKSPACE, "it steals")
            ]
