"""The follower's end of a live channel's wire: a WebSocket that carries the number of the head, and nothing else."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

import skillyard
from skillyard.marketplace_sync.errors import (
    RemoteAnswerError,
    RemoteError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from skillyard.marketplace_sync.remotes.http import CONNECT_SECONDS, MIB, RemoteHttp, retry_after

MOST_FRAME = MIB
MOST_FRAMES = 100
"""In a second."""
PING_SECONDS = 30.0
PONG_SECONDS = 10.0
_CLOSE_SECONDS = 1.0


class _Connect(connect):
    """Follows no redirect: the token is for the address that was checked."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def heads(http: RemoteHttp, path: str) -> AsyncIterator[int]:
    """The number of the head: at once, and whenever it changes. Ends with a ``RemoteError``."""
    try:
        connection = await _opened(http, path)
    except RemoteError:
        raise
    except InvalidStatus as error:
        raise _refused(error) from error
    except TimeoutError as error:
        raise RemoteUnavailableError("its channel did not open in time") from error
    except (InvalidHandshake, InvalidURI, EOFError) as error:
        raise RemoteAnswerError("what answers opens no channel") from error
    except (OSError, ssl.SSLError) as error:
        raise RemoteUnavailableError("its channel cannot be connected to") from error
    try:
        recent: deque[float] = deque(maxlen=MOST_FRAMES)
        clock = asyncio.get_running_loop().time
        while True:
            frame = await connection.recv()
            now = clock()
            if len(recent) == MOST_FRAMES and now - recent[0] < 1.0:
                raise RemoteAnswerError(f"its channel sends more than {MOST_FRAMES} messages a second")
            recent.append(now)
            yield _head_of(frame)
    except ConnectionClosed as error:
        raise _closed(error) from error
    finally:
        await connection.close()


async def _opened(http: RemoteHttp, path: str) -> ClientConnection:
    url = httpx.URL(f"{http.base}{path}")
    target = await http.target(url)
    secure = url.scheme == "https"
    headers = {"User-Agent": f"skillyard/{skillyard.__version__}"}
    if http.token is not None:
        headers["Authorization"] = f"Bearer {http.token}"
    problem: OSError | None = None
    for ip in target.ips:
        try:
            return await _Connect(
                str(url.copy_with(scheme="wss" if secure else "ws")),
                host=str(ip),
                port=url.port or (443 if secure else 80),
                ssl=await http.tls() if secure else None,
                additional_headers=headers,
                user_agent_header=None,
                proxy=None,
                compression=None,
                max_size=MOST_FRAME,
                max_queue=16,
                open_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=PONG_SECONDS,
                close_timeout=_CLOSE_SECONDS,
            )
        except OSError as error:
            # Whatever it is, a network that cannot be reached or an address that is silent, the next may be better.
            problem = error
    raise problem or RemoteUnavailableError("it has no address")


def _head_of(frame: str | bytes) -> int:
    try:
        value = orjson.loads(frame)
    except ValueError as error:
        raise RemoteAnswerError("its channel sent something that is not JSON") from error
    head = value.get("head") if isinstance(value, dict) else None
    if not isinstance(head, int) or isinstance(head, bool) or not 0 <= head < 2**63:
        raise RemoteAnswerError("its channel sent something that names no head")
    return head


def _refused(error: InvalidStatus) -> RemoteError:
    status = error.response.status_code
    if status in (401, 403):
        return RemoteRefusedError(f"its channel refused with status {status}")
    if status == 429 or status >= 500:
        after = retry_after(error.response.headers.get("Retry-After"))
        return RemoteUnavailableError(f"its channel answered with status {status}", retry_after=after)
    return RemoteAnswerError(f"its channel answered with status {status}")


def _closed(error: ConnectionClosed) -> RemoteError:
    """A message that is too large is closed by our own side, with the code for that (RFC 6455, section 7.4.1)."""
    if error.sent is not None and error.sent.code in (1002, 1007, 1009):
        return RemoteAnswerError(f"its channel sent what cannot be taken (code {error.sent.code})")
    return RemoteUnavailableError("its channel was closed")
