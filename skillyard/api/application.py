"""The composition root of the server: one application over one runtime, which starts and ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

import skillyard
from skillyard.api.auth import Authentication
from skillyard.api.body_limit import BodyLimit
from skillyard.api.openapi import describe
from skillyard.api.problems import install_handlers
from skillyard.api.routes import (
    advisories,
    agents,
    approvals,
    audit,
    conflicts,
    invocations,
    mirrors,
    package_checks,
    package_files,
    packages,
    parcels,
    people,
    pins,
    quarantine,
    remotes,
    reports,
    skills,
    supervision,
    sync,
    sync_health,
    system,
    upwards,
    waivers,
    webhooks,
    well_known,
    workspaces,
)
from skillyard.api.routes.marketplace import edits as market_edits
from skillyard.api.routes.marketplace import feed
from skillyard.api.routes.marketplace import files as market_files
from skillyard.api.routes.marketplace import publishers as market_publishers
from skillyard.api.routes.marketplace import push as market_push
from skillyard.api.routes.marketplace import search as market_search
from skillyard.api.routes.marketplace import tokens as market_tokens
from skillyard.api.safe_headers import SafeHeaders
from skillyard.api.state import ADVISORIES, MARKETPLACE, RUNTIME
from skillyard.api.suspended import SuspendedWorkspaces
from skillyard.api.throttle import FailedAttempts
from skillyard.governance.advisories.index import IndexFile, index_path
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.marketplace import Marketplace, create_marketplace
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.settings import Settings


def create_app(settings: Settings, *, runtime: Runtime | None = None, only: WorkspaceId | None = None) -> FastAPI:
    """An application over a runtime.

    Without ``runtime`` it makes one when it starts and closes it when it stops; a given one stays its owner's. With
    ``only``, no token of another workspace is a token here: for a runtime whose policy is not meant for the others.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Runtime | Marketplace | IndexFile]]:
        advisories = IndexFile(index_path(settings.home))
        async with AsyncExitStack() as last_first:
            serving = runtime
            if serving is None:
                serving = await last_first.enter_async_context(await create_runtime(settings))
            # A server for one workspace alone (an author's loop) answers, and keeps up with nobody.
            market = await create_marketplace(serving, background=only is None)
            await last_first.enter_async_context(market)
            setattr(app.state, MARKETPLACE, market)
            yield {RUNTIME: serving, MARKETPLACE: market, ADVISORIES: advisories}

    app = FastAPI(
        title="Skillyard",
        version=skillyard.__version__,
        description="Skills for AI agents: installed, governed, called.",
        lifespan=lifespan,
        # The interactive pages load scripts from other hosts; the document itself is enough for tools.
        docs_url=None,
        redoc_url=None,
        # Spans, metrics and their cost belong to the runtime's own instrumentation.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    install_handlers(app)
    # Not `include_router`, which makes each route anew: that is half a second of processor time for every application.
    for router in (system.public, sync_health.public, *versioned(), well_known.router):
        app.routes.extend(router.routes)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    # The last one added is the outermost: browsers' preflight requests carry no token.
    app.add_middleware(BodyLimit)
    app.add_middleware(SuspendedWorkspaces)
    app.add_middleware(Authentication, attempts=FailedAttempts(), only=only)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Accept"],
        )
    app.add_middleware(SafeHeaders)
    return app


def versioned() -> Iterator[APIRouter]:
    """Every route of version 1, under its whole path."""
    modules = (
        system,
        skills,
        parcels,
        reports,
        invocations,
        packages,
        package_checks,
        package_files,
        waivers,
        approvals,
        people,
        agents,
        pins,
        quarantine,
        supervision,
        audit,
        advisories,
        webhooks,
        workspaces,
        feed,
        market_publishers,
        market_tokens,
        market_files,
        market_push,
        market_edits,
        market_search,
        remotes,
        mirrors,
        upwards,
        conflicts,
        sync,
    )
    return (module.router for module in modules)
