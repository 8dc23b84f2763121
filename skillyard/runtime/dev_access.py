"""A token for calling what is being edited: in a file that only its owner reads, ended with the process it is for.

The file is locked by its process, so the next one knows which tokens a process that was killed has left.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from skillyard.database import Database
from skillyard.errors import NotFoundError
from skillyard.governance import tokens
from skillyard.governance.identity import TokenId
from skillyard.runtime.local import Operator
from skillyard.times import utcnow

_FILE = re.compile(r"([0-9]+)\.token")
_LIFE = timedelta(days=30)
"""A token that nobody comes to revoke ends by itself."""


@asynccontextmanager
async def agent_token(database: Database, operator: Operator, folder: Path) -> AsyncIterator[Path]:
    """A file with a token of the operator's agent, for as long as the block lasts."""
    await asyncio.to_thread(_make_folder, folder)
    await _revoke_left(database, operator, folder)
    async with database.transaction() as session:
        now = utcnow()
        actor = operator.person.actor
        token, text = await tokens.issue(session, operator.agent, "dev", by=actor, at=now, expires_at=now + _LIFE)
    path, descriptor = await asyncio.to_thread(_write, folder, token, text)
    try:
        yield path
    finally:
        await asyncio.shield(_revoke(database, operator, token))
        path.unlink(missing_ok=True)
        os.close(descriptor)


async def _revoke_left(database: Database, operator: Operator, folder: Path) -> None:
    for path in await asyncio.to_thread(_left, folder):
        matched = _FILE.fullmatch(path.name)
        if matched is not None:
            await _revoke(database, operator, TokenId(int(matched[1])))
        path.unlink(missing_ok=True)


async def _revoke(database: Database, operator: Operator, token: TokenId) -> None:
    async with database.transaction() as session:
        try:
            await tokens.revoke(session, operator.person.workspace, token, by=operator.person.actor, at=utcnow())
        except NotFoundError:
            # The database was replaced meanwhile, and the token went with it.
            return


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write(folder: Path, token: TokenId, text: str) -> tuple[Path, int]:
    """The file and the descriptor that holds its lock, which is taken before the file has its name."""
    hidden, path = folder / f".{token}.token", folder / f"{token}.token"
    descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"{text}\n".encode())
    hidden.rename(path)
    return path, descriptor


def _left(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.token") if not _is_held(path)]


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
