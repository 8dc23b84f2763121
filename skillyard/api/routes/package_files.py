"""Package rules as files: out, in, and from a list of what is allowed."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.package_answers import imported_view
from skillyard.api.schemas.packages import AllowListRequest, ExportView, ImportedView, ImportRequest
from skillyard.api.state import TheRuntime
from skillyard.governance import rule_store
from skillyard.governance.allow_list import approvals_of, read_allow_list
from skillyard.governance.decision import RuleScope
from skillyard.governance.rule_plan import ImportMode
from skillyard.governance.rules_file import read_rules_file, write_rules_file
from skillyard.times import utcnow

router = APIRouter(prefix="/v1/packages", tags=["packages"])


@router.get("/export")
async def export_rules(runtime: TheRuntime, person: AnyPerson, scope: RuleScope = RuleScope.WORKSPACE) -> ExportView:
    """Every rule of a scope that was not revoked, as a rules file."""
    owner = person.workspace if scope is RuleScope.WORKSPACE else None
    async with runtime.database.reading() as session:
        rules = await rule_store.all_of(session, owner)
    text = await asyncio.to_thread(write_rules_file, rules)
    return ExportView(scope=scope, rules=len(rules), text=text)


@router.post("/import")
async def import_rules(runtime: TheRuntime, admin: Admin, body: ImportRequest) -> ImportedView:
    """Bring in a rules file, whole or not at all. `merge` leaves alone what the file does not mention; `replace` makes
    the file the whole truth about the scope. A dry run changes nothing and tells what would change, and for whom."""
    drafts = await asyncio.to_thread(read_rules_file, body.text, file=body.file)
    imported = await runtime.packages.take_in(
        drafts, by=admin, mode=body.mode, source=body.file, scope=body.scope, dry_run=body.dry_run
    )
    return imported_view(imported, body.scope, dry_run=body.dry_run)


@router.post("/allow-list")
async def import_allow_list(runtime: TheRuntime, admin: Admin, body: AllowListRequest) -> ImportedView:
    """Approve every package of a requirements list or a lock in exactly its version, bound to its files where the list
    has their hashes. Nothing that is in force ends."""
    packages = await asyncio.to_thread(read_allow_list, body.text, file=body.file)
    drafts = approvals_of(
        packages, min_maturity=body.min_maturity, expires_at=body.expires_at, reason=body.reason, now=utcnow()
    )
    imported = await runtime.packages.take_in(
        drafts, by=admin, mode=ImportMode.ADD, source=body.file, scope=body.scope, dry_run=body.dry_run
    )
    return imported_view(imported, body.scope, dry_run=body.dry_run)
