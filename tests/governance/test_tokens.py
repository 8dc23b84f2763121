"""Bearer tokens: they open exactly what they were issued for, until they expire or are revoked."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from skillyard.database import Database, Kind, open_database
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, people, tokens
from skillyard.governance.decision import Agent
from skillyard.governance.identity import SYSTEM, AgentPrincipal, Person, PersonPrincipal, Principal, Role, TokenId
from skillyard.times import utcnow

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def issued(database: Database, holder: Person | Agent, expires_at: datetime | None = None) -> tuple[TokenId, str]:
    async with database.transaction() as session:
        return await tokens.issue(session, holder, "laptop", by=SYSTEM, at=NOON, expires_at=expires_at)


async def speaks_for(database: Database, token: str, now: datetime = NOON) -> Principal | None:
    async with database.reading() as session:
        return await tokens.authenticate(session, token, now)


async def test_a_persons_token_speaks_for_the_person(database: Database, admin: Person) -> None:
    token, text = await issued(database, admin)
    assert await speaks_for(database, text) == PersonPrincipal(token, admin)


async def test_an_agents_token_speaks_for_the_agent(database: Database, agent: Agent) -> None:
    token, text = await issued(database, agent)
    principal = await speaks_for(database, text)
    assert principal == AgentPrincipal(token, agent)
    assert principal is not None
    assert principal.workspace == agent.workspace


async def test_a_suspended_agent_is_still_known_by_its_token(database: Database, admin: Person, agent: Agent) -> None:
    """So that the answer can say "suspended" instead of sending somebody to look for a wrong token."""
    _, text = await issued(database, agent)
    async with database.transaction() as session:
        suspended = await people.suspend(session, admin.workspace, agent.id, reason="odd", by=admin.actor, at=NOON)
    principal = await speaks_for(database, text)
    assert isinstance(principal, AgentPrincipal)
    assert principal.agent == suspended


@pytest.mark.database(Kind.SQLITE)
async def test_the_text_is_kept_nowhere(database: Database, admin: Person) -> None:
    _, text = await issued(database, admin)
    assert re.fullmatch(r"sky_\d+_[A-Za-z0-9_-]{43}", text)
    secret = text.split("_", 2)[2]
    async with database.transaction() as session:
        await audit.verify(session, admin.workspace)
    kept = b"".join(await asyncio.to_thread(lambda: [p.read_bytes() for p in database.path.parent.iterdir()]))
    assert b"laptop" in kept
    assert secret.encode() not in kept


async def test_two_tokens_are_never_the_same(database: Database, admin: Person) -> None:
    texts = {(await issued(database, admin))[1].split("_", 2)[2] for _ in range(20)}
    assert len(texts) == 20


async def test_only_the_whole_text_opens_anything(database: Database, admin: Person, agent: Agent) -> None:
    first, text = await issued(database, admin)
    second, other = await issued(database, agent)
    secret = text.split("_", 2)[2]
    flipped = text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1]
    wrong = [
        "",
        "sky_",
        text[:-1],
        text + "A",
        text + "\n",
        " " + text,
        text.upper(),
        flipped,
        f"sky_{second}_{secret}",
        f"sky_{first}_{other.split('_', 2)[2]}",
        f"sky_0{first}_{secret}",
        f"sky_404_{secret}",
        f"sky_{'9' * 18}_{secret}",
        f"sky_{'9' * 40}_{secret}",
        f"sky_-1_{secret}",
        f"sky_{first}_{secret}' OR '1'='1",
        f"sky_{first}_{'é' * 43}",
        "x" * 1_000_000,
    ]
    for attempt in wrong:
        assert await speaks_for(database, attempt) is None, attempt[:60]
    assert await speaks_for(database, text) is not None


async def test_an_expired_token_opens_nothing(database: Database, admin: Person) -> None:
    expiry = NOON + timedelta(hours=1)
    _, text = await issued(database, admin, expires_at=expiry)
    assert await speaks_for(database, text, expiry - timedelta(microseconds=1)) is not None
    assert await speaks_for(database, text, expiry) is None
    assert await speaks_for(database, text, expiry + timedelta(days=1)) is None


async def test_a_revoked_token_opens_nothing(database: Database, admin: Person) -> None:
    token, text = await issued(database, admin)
    for _ in range(2):  # revoking twice is the same as once
        async with database.transaction() as session:
            await tokens.revoke(session, admin.workspace, token, by=admin.actor, at=NOON)
    assert await speaks_for(database, text) is None
    async with database.reading() as session:
        lines = b"".join([line async for line in audit.export(session, admin.workspace)])
        assert (await audit.verify(session, admin.workspace)).broken is None
    assert lines.count(b"token.revoked") == 1


async def test_another_workspace_cannot_revoke_or_see_a_token(database: Database, admin: Person) -> None:
    token, text = await issued(database, admin)
    async with database.transaction() as session:
        other = await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
        assert await tokens.tokens(session, other.id) == ()
        with pytest.raises(NotFoundError):
            await tokens.revoke(session, other.id, token, by=SYSTEM, at=NOON)
    assert await speaks_for(database, text) is not None


async def test_a_token_that_would_be_dead_at_birth_is_refused(database: Database, admin: Person) -> None:
    with pytest.raises(InputError, match="past"):
        await issued(database, admin, expires_at=NOON)


async def test_the_list_shows_who_holds_what_until_when(database: Database, admin: Person, agent: Agent) -> None:
    expiry = NOON + timedelta(days=1)
    first, _ = await issued(database, agent, expires_at=expiry)
    async with database.transaction() as session:
        await tokens.revoke(session, admin.workspace, first, by=admin.actor, at=NOON)
    async with database.reading() as session:
        listed = await tokens.tokens(session, admin.workspace)
        page = await tokens.tokens(session, admin.workspace, after=listed[0].id, limit=1)
    assert [(token.name, token.holder) for token in listed] == [
        ("first-start", f"person/{admin.id}"),
        ("laptop", f"agent/{agent.id}"),
    ]
    assert page == (listed[1],)
    assert (page[0].expires_at, page[0].revoked_at) == (expiry, NOON)


async def test_the_first_start_makes_an_admin_once(database: Database, database_url: str) -> None:
    """Two servers that start at once, and every restart later: one token is shown, ever."""
    second = await open_database(database_url)

    async def start(handle: Database) -> str | None:
        async with handle.transaction() as session:
            return await tokens.first_start(session, utcnow())

    shown = [text for text in await asyncio.gather(start(database), start(second), start(database)) if text]
    await second.close()
    assert len(shown) == 1
    principal = await speaks_for(database, shown[0], utcnow())
    assert isinstance(principal, PersonPrincipal)
    assert (principal.person.name, principal.person.role) == ("admin", Role.OPERATOR)
    async with database.reading() as session:
        assert (await audit.verify(session, principal.workspace)).broken is None


async def test_revoking_the_first_token_does_not_bring_a_second_first_start(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        await tokens.revoke(session, admin.workspace, TokenId(1), by=admin.actor, at=NOON)
        assert await tokens.first_start(session, utcnow()) is None
