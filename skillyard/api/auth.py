"""Who is asking: bearer tokens (RFC 6750), looked at before anything else of a request.

Authentication is a middleware and not a dependency of each route, so that a route that forgot to ask for it does not
exist, and so that a stranger's body is not read. What the holder may do is said by each route with one of the
dependencies below. Ids of another workspace are not found rather than forbidden: every query names the workspace.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, assert_never

import structlog
from fastapi import Depends, Request, Security
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from skillyard.api.problems import ForbiddenError, plain
from skillyard.api.state import marketplace_of, runtime_of
from skillyard.api.throttle import FailedAttempts
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import AgentState, Maturity
from skillyard.governance.identity import AgentPrincipal, PersonPrincipal, Principal, Role, TokenScope
from skillyard.governance.tokens import authenticate
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.hub.token_store import PREFIX
from skillyard.marketplace_sync.hub.values import InstancePrincipal, InstanceScope, Sender
from skillyard.times import utcnow

PUBLIC_PATHS = frozenset({"/health", "/openapi.json"})
"""Everything else needs a token, also paths that do not exist."""

OPEN_PATHS = frozenset({"/health/sync"})
"""Where a token is looked at if one is shown, and none is asked for."""

OPEN_CATALOGUE = ("/.well-known/agent-skills/", "/publishers/", "/marketplace.json", "/.claude-plugin/marketplace.json")
"""What begins so is open where the setting ``marketplace_public`` says so."""

METRICS = "/metrics"
"""Where a setting says whether one is asked for."""

MAX_TOKEN_LENGTH = 512

MARKETPLACE = "/v1/marketplace"
"""Below it, and nowhere else, tokens of other instances are tokens."""

_PRINCIPAL = "skillyard.principal"
_INSTANCE = "skillyard.instance"
_STILL = "skillyard.token_holds"
_log = structlog.get_logger("skillyard.api")


class Authentication:
    """ASGI middleware. Answers 401 or 429 itself; otherwise the principal travels in the scope."""

    def __init__(self, app: ASGIApp, *, attempts: FailedAttempts, only: WorkspaceId | None = None) -> None:
        """``only`` is the workspace whose tokens are let in; ``None`` lets in those of all."""
        self._app = app
        self._attempts = attempts
        self._only = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_open(scope)):
            await self._app(scope, receive, send)
            return
        answer = await self._authenticate(scope)
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        scope[_INSTANCE if isinstance(answer, InstancePrincipal) else _PRINCIPAL] = answer
        if scope["type"] == "websocket":
            scope[_STILL] = partial(self._holds, scope)
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Principal | InstancePrincipal | Response:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if not token:
            return _unauthenticated("a bearer token is needed", None)
        address = scope["client"][0] if scope.get("client") else ""
        if wait := self._attempts.wait_seconds(address, token):
            detail = "too many failed attempts to authenticate from this address"
            return plain(429, detail, headers={"Retry-After": str(wait)})
        principal = await self._look_up(scope, scheme, token.strip())
        if principal is None:
            self._attempts.failed(address)
            self._attempts.revoked(token)
            _log.warning("authentication_failed", address=address, path=scope["path"])
            return _unauthenticated("the token is unknown, expired or revoked", "invalid_token")
        self._attempts.succeeded(token)
        return principal

    async def _holds(self, scope: Scope) -> bool:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        return await self._look_up(scope, scheme, token.strip()) is not None

    async def _look_up(self, scope: Scope, scheme: str, token: str) -> Principal | InstancePrincipal | None:
        if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_LENGTH:
            return None
        found: Principal | InstancePrincipal | None
        if token.startswith(PREFIX):
            inside = scope["path"] == MARKETPLACE or scope["path"].startswith(f"{MARKETPLACE}/")
            found = await marketplace_of(scope).hub.tokens.authenticate(token) if inside else None
        else:
            async with runtime_of(scope).database.reading() as session:
                found = await authenticate(session, token, now=utcnow())
        return None if found is not None and self._only not in (None, found.workspace) else found


async def still_holds(scope: Scope) -> bool:
    """Whether the token that a WebSocket was opened with counts still: it may outlive the token by days."""
    holds: Callable[[], Awaitable[bool]] = scope[_STILL]
    return await holds()


def _is_open(scope: Scope) -> bool:
    """Whether nobody is asked who they are."""
    if scope["path"] in PUBLIC_PATHS:
        return True
    if "authorization" in Headers(scope=scope):
        return False
    if scope["path"].startswith(OPEN_CATALOGUE):
        return runtime_of(scope).settings.marketplace_public
    return scope["path"] in OPEN_PATHS or (scope["path"] == METRICS and runtime_of(scope).settings.metrics_public)


def _unauthenticated(detail: str, error: str | None) -> Response:
    challenge = 'Bearer realm="skillyard"' + (f', error="{error}"' if error else "")
    return plain(401, detail, headers={"WWW-Authenticate": challenge})


def principal_of(scope: Scope) -> Principal | InstancePrincipal | None:
    """Whose request it is, behind ``Authentication``; ``None`` on the public paths."""
    principal: Principal | InstancePrincipal | None = scope.get(_PRINCIPAL) or scope.get(_INSTANCE)
    return principal


def _principal(request: Request) -> Principal:
    principal: Principal | None = request.scope.get(_PRINCIPAL)
    if principal is None:
        raise ForbiddenError("this needs a person's or an agent's token; an instance's is not enough")
    return principal


def market_reader(scope: Scope) -> Principal | InstancePrincipal:
    """Who reads the marketplace, behind ``Authentication``. Raises ``NotAllowedError``."""
    principal: Principal | InstancePrincipal = scope.get(_INSTANCE) or scope[_PRINCIPAL]
    if isinstance(principal, InstancePrincipal):
        Sender(principal).require(InstanceScope.READ)
    return principal


def _person(principal: Anyone) -> PersonPrincipal:
    match principal:
        case PersonPrincipal():
            return principal
        case AgentPrincipal():
            raise ForbiddenError("this needs a person's token; an agent's is not enough")
        case _:
            assert_never(principal)


def _admin(principal: Anyone) -> Administrator:
    """Who may administer as things stood when the request came; what changes anything checks it again as it does."""
    match principal:
        case PersonPrincipal():
            _admin_person(principal)
        case AgentPrincipal(agent=agent, scopes=scopes):
            if TokenScope.ADMIN not in scopes:
                raise ForbiddenError("this needs a person's token, or an agent's that carries the scope admin")
            if agent.maturity is not Maturity.AUTONOMOUS or agent.state is not AgentState.ACTIVE:
                raise ForbiddenError("the scope admin counts for AUTONOMOUS agents that are active")
        case _:
            assert_never(principal)
    return Administrator.of(principal)


def _admin_person(person: AnyPerson) -> PersonPrincipal:
    """For what no agent may do, whatever its token carries: approving, giving tokens, trusting agents."""
    if not person.person.role.administers:
        raise ForbiddenError("this needs the role admin")
    return person


def _operator(person: AnyPerson) -> Administrator:
    if person.person.role is not Role.OPERATOR:
        raise ForbiddenError("this needs the role operator")
    return Administrator.of(person)


def _agent(principal: Anyone) -> AgentPrincipal:
    match principal:
        case AgentPrincipal():
            return principal
        case PersonPrincipal():
            raise ForbiddenError("this needs an agent's token: calls are made, decided and recorded as an agent")
        case _:
            assert_never(principal)


# The security scheme makes OpenAPI say that a token is needed; the middleware is what asks for it.
_BEARER = Security(HTTPBearer(auto_error=False, description="The token of a person or of an agent."))


def _scraper(request: Request, _credentials: Annotated[object, _BEARER]) -> None:
    """Figures name the remotes of every workspace."""
    if not runtime_of(request.scope).settings.metrics_public:
        _operator(_person(_principal(request)))


def _declared(request: Request, _credentials: Annotated[object, _BEARER]) -> Principal:
    return _principal(request)


def _reader(request: Request, _credentials: Annotated[object, _BEARER]) -> Principal | InstancePrincipal:
    return market_reader(request.scope)


def _sender(request: Request, _credentials: Annotated[object, _BEARER]) -> Sender:
    instance: InstancePrincipal | None = request.scope.get(_INSTANCE)
    return Sender(_person(_principal(request)) if instance is None else instance)


def _instance(sender: MarketSender) -> InstancePrincipal:
    if not isinstance(sender.principal, InstancePrincipal):
        raise ForbiddenError("this is for the token of an instance; a person's is issued anew")
    return sender.principal


Anyone = Annotated[Principal, Depends(_declared)]
AnyPerson = Annotated[PersonPrincipal, Depends(_person)]
Admin = Annotated[Administrator, Depends(_admin)]
"""A person with the role admin, or an AUTONOMOUS agent whose token carries the scope."""
AdminPerson = Annotated[PersonPrincipal, Depends(_admin_person)]
Operator = Annotated[Administrator, Depends(_operator)]
Caller = Annotated[AgentPrincipal, Depends(_agent)]
MarketReader = Annotated[Principal | InstancePrincipal, Depends(_reader)]
"""Whoever may read the marketplace: persons, agents, and instances whose token carries the scope ``read``."""
MarketSender = Annotated[Sender, Depends(_sender)]
"""A person, or an instance: what it may send is for the hub to say."""
Instance = Annotated[InstancePrincipal, Depends(_instance)]
Scraper = Depends(_scraper)
"""An operator, or anybody where the settings say so."""
