"""Asking about packages, and asking for them. Agents may: they get an answer at once, with a reason to act on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from skillyard.api.auth import AdminPerson, Anyone
from skillyard.api.package_answers import answer_view, asked_view, request_view
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.packages import (
    MOST_PACKAGES,
    ApprovePackageRequestBody,
    AskedView,
    CheckedView,
    CheckRequest,
    DenyPackageRequestBody,
    Hash,
    PackageRequestBody,
    PackageRequestView,
    Version,
)
from skillyard.api.schemas.values import MAX_KEY, PackageName, Page
from skillyard.api.state import TheRuntime
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import package_requests, people
from skillyard.governance.administrators import Administrator
from skillyard.governance.allow_list import read_allow_list
from skillyard.governance.check import WantedPackage, wanted_package
from skillyard.governance.decision import Agent, Maturity, RequestState
from skillyard.governance.identity import AgentPrincipal, Principal
from skillyard.ids import AgentId, PackageRequestId
from skillyard.runtime.runtime import Runtime
from skillyard.skills.skill import Ecosystem

router = APIRouter(prefix="/v1/packages", tags=["packages"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]


@dataclass(frozen=True, slots=True)
class Question:
    """One exact version, and the agent that it is asked for."""

    name: Annotated[PackageName, Query()]
    version: Annotated[Version, Query()]
    ecosystem: Ecosystem = Ecosystem.PYPI
    hash: Annotated[tuple[Hash, ...], Query(max_length=64)] = ()
    agent: Annotated[int | None, Query(ge=1, le=MAX_KEY)] = None


@router.get("/check")
async def check_one(runtime: TheRuntime, principal: Anyone, asked: Annotated[Question, Depends()]) -> CheckedView:
    """Where one exact version stands, why, and what that means to agents of each maturity."""
    wanted = wanted_package(ecosystem=asked.ecosystem, name=asked.name, version=asked.version, hashes=asked.hash)
    return await _checked(runtime, principal, (wanted,), asked.agent)


@router.post("/check")
async def check_many(runtime: TheRuntime, principal: Anyone, body: CheckRequest) -> CheckedView:
    """The same for many packages, or for a requirements list or a lock."""
    if (body.text is None) == (not body.packages):
        raise InputError("give either packages or the text of a list", field="packages")
    if body.text is not None:
        wanted = await asyncio.to_thread(read_allow_list, body.text, file=body.file)
        if len(wanted) > MOST_PACKAGES:
            raise InputError(f"more than {MOST_PACKAGES} packages", field="text")
    else:
        wanted = tuple(
            wanted_package(
                ecosystem=one.ecosystem,
                name=one.name,
                version=one.version,
                hashes=one.hashes,
                place=f"packages.{place}.",
            )
            for place, one in enumerate(body.packages)
        )
    return await _checked(runtime, principal, wanted, body.agent)


@router.post("/request")
async def request_package(
    runtime: TheRuntime, principal: Anyone, body: PackageRequestBody, response: Response
) -> AskedView:
    """Ask for a package. 201 where that made a request; 200 where one waits already, or was denied of late, or there
    is nothing to ask for: what is banned stays banned, what is approved is there."""
    wanted = wanted_package(ecosystem=body.ecosystem, name=body.name, version=body.version, hashes=body.hashes)
    requester = principal.agent if isinstance(principal, AgentPrincipal) else principal.person
    asked = await runtime.packages.request(wanted, requester=requester, reason=body.reason)
    response.status_code = 201 if asked.created else 200
    return asked_view(asked, requester.maturity if isinstance(requester, Agent) else None)


@router.get("/requests")
async def list_requests(
    runtime: TheRuntime,
    principal: Anyone,
    state: RequestState | None = None,
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> Page[PackageRequestView]:
    """Requests for packages, the longest waiting first. An agent sees its own."""
    async with runtime.database.reading() as session:
        found = await package_requests.list_requests(
            session, principal.workspace, state=state, agent=_own(principal), after=key_of(cursor), limit=limit + 1
        )
    return page_of(found, limit, request_view)


@router.get("/requests/{request_id}")
async def get_request(runtime: TheRuntime, principal: Anyone, request_id: Key) -> PackageRequestView:
    """One request. An agent sees its own."""
    async with runtime.database.reading() as session:
        found = await package_requests.get(session, principal.workspace, PackageRequestId(request_id))
    if _own(principal) not in (None, found.requested_by_agent):
        raise NotFoundError(f"there is no package request {request_id}")
    return request_view(found)


@router.post("/requests/{request_id}/approve")
async def approve_request(
    runtime: TheRuntime, admin: AdminPerson, request_id: Key, body: ApprovePackageRequestBody | None = None
) -> PackageRequestView:
    """Approve what was asked for. Needs a second person: not who asked, nor the owner of the agent that asked."""
    wanted = body or ApprovePackageRequestBody()
    decided = await runtime.packages.approve_request(
        PackageRequestId(request_id),
        by=Administrator.of(admin),
        min_maturity=None if wanted.min_maturity is None else Maturity[wanted.min_maturity],
        specifier=wanted.specifier,
        expires_at=wanted.expires_at,
        comment=wanted.comment,
    )
    return request_view(decided)


@router.post("/requests/{request_id}/deny")
async def deny_request(
    runtime: TheRuntime, admin: AdminPerson, request_id: Key, body: DenyPackageRequestBody | None = None
) -> PackageRequestView:
    """Say no."""
    comment = body.comment if body else None
    by = Administrator.of(admin)
    return request_view(await runtime.packages.deny_request(PackageRequestId(request_id), by=by, comment=comment))


async def _checked(
    runtime: Runtime, principal: Principal, wanted: tuple[WantedPackage, ...], agent: int | None
) -> CheckedView:
    about = await _about(runtime, principal, agent)
    answers = await runtime.packages.check(principal.workspace, wanted)
    maturity = None if about is None else about.maturity
    views = tuple(answer_view(one, maturity) for one in answers)
    return CheckedView(packages=views, agent=None if about is None else about.id)


async def _about(runtime: Runtime, principal: Principal, agent: int | None) -> Agent | None:
    """The agent that is asked about: an agent asks about itself."""
    if isinstance(principal, AgentPrincipal):
        if agent not in (None, principal.agent.id):
            raise NotFoundError(f"agent {agent} does not exist")
        return principal.agent
    if agent is None:
        return None
    async with runtime.database.reading() as session:
        return await people.get_agent(session, principal.workspace, AgentId(agent))


def _own(principal: Principal) -> AgentId | None:
    return principal.agent.id if isinstance(principal, AgentPrincipal) else None
