"""What an application holds while it runs. The lifespan puts it in; requests find it in their scope."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

from skillyard.governance.advisories.index import IndexFile
from skillyard.marketplace_sync.marketplace import Marketplace
from skillyard.runtime.runtime import Runtime

RUNTIME = "runtime"
ADVISORIES = "advisories"
MARKETPLACE = "marketplace"


def runtime_of(scope: Scope) -> Runtime:
    """The runtime that the lifespan started."""
    runtime: Runtime = scope["state"][RUNTIME]
    return runtime


def marketplace_of(scope: Scope) -> Marketplace:
    """The marketplace that the lifespan started over the runtime."""
    marketplace: Marketplace = scope["state"][MARKETPLACE]
    return marketplace


def advisories_of(request: Request) -> IndexFile:
    """The advisory index on disk; another process may replace it at any time."""
    index: IndexFile = request.scope["state"][ADVISORIES]
    return index


def _runtime(request: Request) -> Runtime:
    return runtime_of(request.scope)


def _marketplace(request: Request) -> Marketplace:
    return marketplace_of(request.scope)


TheRuntime = Annotated[Runtime, Depends(_runtime)]
Advisories = Annotated[IndexFile, Depends(advisories_of)]
TheMarketplace = Annotated[Marketplace, Depends(_marketplace)]
