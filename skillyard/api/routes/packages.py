"""Package rules that bind the caller's workspace: its own, and global ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.package_answers import stats_view
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.packages import (
    ApprovePackageRequest,
    BanPackageRequest,
    RuleView,
    StatsView,
    UnbanPackageRequest,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.governance import rule_store
from skillyard.governance.decision import RuleScope, RuleState
from skillyard.governance.rules import draft_approval, draft_ban
from skillyard.ids import ApprovalId, RuleId
from skillyard.runtime.package_stats import package_stats
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow

router = APIRouter(prefix="/v1/packages", tags=["packages"])

Days = Annotated[int, Query(ge=1, le=3650)]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rules are listed; every field narrows."""

    state: RuleState | None = None
    ecosystem: Ecosystem | None = None
    scope: RuleScope | None = None
    name: Annotated[str | None, Query(min_length=1, max_length=214)] = None
    prefix: Annotated[str | None, Query(min_length=1, max_length=214)] = None
    approval: Annotated[int | None, Query(ge=1, le=MAX_KEY)] = None
    expiring_days: Annotated[int | None, Query(ge=1, le=3650)] = None


@router.get("/rules")
async def list_rules(
    runtime: TheRuntime,
    person: AnyPerson,
    wanted: Annotated[Filter, Depends()],
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> Page[RuleView]:
    """Rules that were not revoked, expired ones included, in the order they were made."""
    now = utcnow()
    days = wanted.expiring_days
    async with runtime.database.reading() as session:
        found = await rule_store.list_rules(
            session,
            person.workspace,
            after=key_of(cursor),
            limit=limit + 1,
            state=wanted.state,
            ecosystem=wanted.ecosystem,
            scope=wanted.scope,
            name=wanted.name,
            prefix=wanted.prefix,
            approval=None if wanted.approval is None else ApprovalId(wanted.approval),
            expiring=None if days is None else (now, now + timedelta(days=days)),
        )
    return page_of(found, limit, RuleView.model_validate)


@router.post("/approve", status_code=201)
async def approve_package(runtime: TheRuntime, admin: Admin, body: ApprovePackageRequest) -> RuleView:
    """Approve versions of a package. A ban of any of them is stronger. Needs an operator for the scope `global`."""
    draft = draft_approval(
        ecosystem=body.ecosystem,
        name=body.name,
        now=utcnow(),
        min_maturity=body.min_maturity,
        specifier=body.specifier,
        expires_at=body.expires_at,
        reason=body.reason,
        hashes=body.hashes,
    )
    return RuleView.model_validate(await runtime.packages.add(draft, by=admin, scope=body.scope))


@router.post("/ban", status_code=201)
async def ban_package(runtime: TheRuntime, admin: Admin, body: BanPackageRequest) -> RuleView:
    """Ban versions of a package. Acts now: running sandboxes that hold one are stopped. As for `approve`, `global`
    needs an operator."""
    draft = draft_ban(
        ecosystem=body.ecosystem,
        name=body.name,
        now=utcnow(),
        reason=body.reason,
        specifier=body.specifier,
        expires_at=body.expires_at,
    )
    return RuleView.model_validate(await runtime.packages.add(draft, by=admin, scope=body.scope))


@router.post("/unban")
async def unban_package(runtime: TheRuntime, admin: Admin, body: UnbanPackageRequest) -> tuple[RuleView, ...]:
    """Lift bans of a package in one scope; answers those that were lifted."""
    lifted = await runtime.packages.unban(
        body.ecosystem, body.name, specifier=body.specifier, by=admin, scope=body.scope
    )
    return tuple(RuleView.model_validate(rule) for rule in lifted)


@router.delete("/rules/{rule_id}", status_code=204)
async def revoke_rule(runtime: TheRuntime, admin: Admin, rule_id: Annotated[int, Path(ge=1, le=MAX_KEY)]) -> None:
    """End one rule, an approval or a ban; a global one needs an operator."""
    await runtime.packages.revoke(RuleId(rule_id), by=admin)


@router.get("/stats")
async def stats(runtime: TheRuntime, person: AnyPerson, expiring_days: Days = 30) -> StatsView:
    """Rules by scope, ecosystem and state; requests that wait; what installed versions hold, the most used first."""
    found = await package_stats(
        runtime.database, runtime.views, person.workspace, expiring=timedelta(days=expiring_days)
    )
    return stats_view(found, expiring_days)
