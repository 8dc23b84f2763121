"""HTTP to remotes: only to addresses that were checked, the token only to the origin it is for, everything limited.

For every protocol that remotes speak over HTTP. What a remote does wrong comes back as one kind of ``RemoteError``.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx
import orjson

import skillyard
from skillyard.errors import InputError
from skillyard.marketplace_sync.errors import (
    CursorGoneError,
    RemoteAddressError,
    RemoteAnswerError,
    RemoteError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from skillyard.runtime import addresses
from skillyard.runtime.addresses import Reach, Target
from skillyard.settings import Settings
from skillyard.times import utcnow

MIB: Final = 1024 * 1024
MOST_JSON: Final = 32 * MIB
"""Of one answer, decompressed."""
MOST_REDIRECTS: Final = 3
CONNECT_SECONDS: Final = 10.0
LEAST_RATE: Final = 64 * 1024
"""Bytes a second that a file comes or goes with at least; its time limit grows by its size at this rate."""

_LONGEST_RETRY_AFTER = 3600.0
_MOST_SAID = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHECKED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, read to its end. ``wire_bytes`` is the body as it came, compressed or not."""

    status: int
    headers: httpx.Headers
    content: bytes
    wire_bytes: int

    def json(self) -> object:
        """Raises ``RemoteAnswerError``: a page of HTML, or anything else that is not JSON."""
        try:
            value: object = orjson.loads(self.content)
        except ValueError as error:
            kind = self.headers.get("content-type", "an unnamed type")
            raise RemoteAnswerError(f"it answered with something that is not JSON ({said(kind)})") from error
        return value


class Trust:
    """The certificates that remotes are checked with. One for many clients: reading them takes a moment."""

    def __init__(self, ca_bundle: Path | None) -> None:
        self._ca_bundle = ca_bundle
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """Raises ``RemoteAddressError`` where the setting names a file that is none."""
        if self._context is None:
            try:
                self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle)
            except (OSError, ssl.SSLError) as error:
                raise RemoteAddressError("the setting marketplace_ca_bundle names no CA bundle") from error
        return self._context


def reach_of(settings: Settings) -> Reach:
    """Where the settings let remotes be."""
    return Reach(
        private=settings.marketplace_allow_private,
        plain_loopback=settings.marketplace_allow_private,
        plain=settings.marketplace_allow_http,
        refusal=RemoteAddressError,
        what="tokens are",
    )


def parse_address(text: str) -> httpx.URL:
    """A remote's address, without a slash at its end. Raises ``InputError``."""
    url = addresses.parse_url(text, example="https://skills.example.org", credentials="give the token beside it")
    if url.query:
        raise InputError("an address of a remote has no query", field="url")
    return url.copy_with(path=url.path.rstrip("/")) if url.path != "/" else httpx.URL(str(url).rstrip("/"))


async def check_address(url: httpx.URL, settings: Settings) -> Target:
    """Where it leads. Raises ``RemoteAddressError``."""
    return await addresses.checked(url, reach_of(settings))


class RemoteHttp:
    """Requests to one remote. Close it."""

    def __init__(self, base: str, *, token: str | None, settings: Settings, trust: Trust | None = None) -> None:
        """``base`` is what paths are appended to; ``token`` goes in a header, and to its origin alone."""
        self.base = base.rstrip("/")
        self.seconds = settings.marketplace_timeout
        self._origin = addresses.origin(httpx.URL(self.base))
        self._token = token
        self._reach = reach_of(settings)
        self._trust = trust or Trust(settings.marketplace_ca_bundle)
        self._client: httpx.AsyncClient | None = None
        self._targets: dict[str, tuple[float, Target]] = {}

    @property
    def token(self) -> str | None:
        return self._token

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | float] | None = None,
        body: object | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = MOST_JSON,
        seconds: float | None = None,
    ) -> Received:
        """One answer of at most ``most_bytes``, decompressed, within so many seconds altogether.

        ``path`` begins with a slash, or is a whole address. ``body`` is sent as JSON. Raises a ``RemoteError`` for
        every status but those below 300.
        """
        sent = dict(headers or {})
        if body is not None:
            content = orjson.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        sent.setdefault("Accept", "application/json")
        limit = self.seconds if seconds is None else seconds
        async with self._answer(method, path, params=params, content=content, headers=sent, seconds=limit) as response:
            return await _read(response, most_bytes)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        seconds: float,
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body (``aiter_raw``) the caller reads, not compressed; the time limit is for all of it."""
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        async with self._answer(method, path, params=None, content=content, headers=sent, seconds=seconds) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise RemoteAnswerError("it sent a file compressed, which was not asked for")
            yield response

    async def target(self, url: httpx.URL) -> Target:
        """Where an address leads, checked; kept for a minute."""
        now = asyncio.get_running_loop().time()
        key = addresses.origin(url)
        kept = self._targets.get(key)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = await addresses.checked(url, self._reach)
        self._targets[key] = (now + _CHECKED_SECONDS, found)
        return found

    async def tls(self) -> ssl.SSLContext:
        return await self._trust.context()

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | float] | None,
        content: bytes | AsyncIterator[bytes] | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> AsyncIterator[httpx.Response]:
        """The last answer behind redirects, if it is a good one."""
        try:
            async with asyncio.timeout(seconds):
                url = httpx.URL(path if "://" in path else f"{self.base}{path}")
                if params:
                    url = url.copy_merge_params(dict(params))
                for _ in range(MOST_REDIRECTS + 1):
                    response = await self._send(method, url, content=content, headers=headers)
                    try:
                        if response.status_code not in _REDIRECTS:
                            await _require_good(response)
                            yield response
                            return
                        url = _behind(response, url, method)
                    finally:
                        await response.aclose()
                raise RemoteAnswerError(f"it redirects more than {MOST_REDIRECTS} times")
        except RemoteError:
            raise
        except TimeoutError as error:
            raise RemoteUnavailableError(f"no answer within {seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError, OSError, UnicodeError) as error:
            # The client reads where a redirect leads even where it does not follow, and a host may be none of IDNA.
            raise _foreign(error) from error

    async def _send(
        self, method: str, url: httpx.URL, *, content: bytes | AsyncIterator[bytes] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        target = await self.target(url)
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=await self.tls(),
                # Proxies from the environment would resolve the name themselves, past the check.
                trust_env=False,
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
                follow_redirects=False,
                limits=httpx.Limits(max_connections=16, max_keepalive_connections=4),
            )
        sent = {
            "Accept-Encoding": "gzip",
            "User-Agent": f"skillyard/{skillyard.__version__}",
            **headers,
            "Host": url.netloc.decode("ascii"),
        }
        ours = addresses.origin(url) == self._origin
        if ours and self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        if not ours:
            # A connection of ours to the same IP address was checked for another name.
            sent["Connection"] = "close"
        problem: Exception | None = None
        for ip in target.ips:
            request = self._client.build_request(
                method,
                url.copy_with(host=str(ip)),
                headers=sent,
                content=content,
                extensions={"sni_hostname": url.host} if url.scheme == "https" else None,
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = error
        self._targets.clear()
        raise problem or RemoteUnavailableError("it has no address")


def said(text: str) -> str:
    """What a remote said, fit to be shown: printable, and not long."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:_MOST_SAID])
    return shown if len(text) <= _MOST_SAID else f"{shown}…"


def _behind(response: httpx.Response, url: httpx.URL, method: str) -> httpx.URL:
    """Where a redirect leads. Whether anything is sent there is for the address check to say."""
    if method not in ("GET", "HEAD"):
        raise RemoteAnswerError("it redirects what was sent to it, which is not followed")
    try:
        behind = url.join(response.headers.get("location", ""))
        host = behind.host
    except (httpx.InvalidURL, ValueError) as error:
        raise RemoteAnswerError("it redirects to something that is no address") from error
    if behind.scheme not in ("http", "https") or not host or behind.userinfo or len(str(behind)) > 4000:
        raise RemoteAnswerError("it redirects to something that is no address")
    if url.scheme == "https" and behind.scheme != "https":
        raise RemoteAnswerError("it redirects from https:// to http://, which is not followed")
    return behind


async def _require_good(response: httpx.Response) -> None:
    status = response.status_code
    if 200 <= status < 300:
        return
    detail = await _detail(response)
    if status in (401, 403):
        raise RemoteRefusedError(f"it refused with status {status}{detail}")
    if status == 410:
        raise CursorGoneError(f"it does not go on from there{detail}")
    if status == 429 or status >= 500:
        after = retry_after(response.headers.get("retry-after"))
        raise RemoteUnavailableError(f"it answered with status {status}{detail}", retry_after=after)
    raise RemoteAnswerError(f"it answered with status {status}{detail}")


async def _detail(response: httpx.Response) -> str:
    """What a problem says, behind a colon; nothing for one that says nothing readable."""
    try:
        value = (await _read(response, 64 * 1024)).json()
    except RemoteError:
        return ""
    text = value.get("detail") if isinstance(value, dict) else None
    return f": {said(text)}" if isinstance(text, str) and text else ""


def retry_after(text: str | None) -> float | None:
    """Seconds (RFC 9110, section 10.2.3), within an hour."""
    if text is None:
        return None
    if text.strip().isdecimal() and text.isascii() and len(text) < 12:
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(text) - utcnow()).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


async def _read(response: httpx.Response, most: int) -> Received:
    """The whole body, decompressed here so that a small one cannot become a huge one."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise RemoteAnswerError(f"it sent an encoding that was not asked for ({said(encoding)})")
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
    wire, parts, size = 0, [], 0
    async for raw in response.aiter_raw():
        wire += len(raw)
        try:
            part = raw if inflate is None else inflate.decompress(raw, most + 1 - size)
        except zlib.error as error:
            raise RemoteAnswerError("it sent something as compressed that is not") from error
        size += len(part)
        if size > most or wire > most:
            raise RemoteAnswerError(f"its answer is larger than {most} bytes")
        parts.append(part)
    if inflate is not None and not inflate.eof:
        raise RemoteUnavailableError("its answer ended before it was complete")
    return Received(response.status_code, response.headers, b"".join(parts), wire)


def _foreign(error: Exception) -> RemoteError:
    """In our own words: the client's messages may hold addresses, and what a stranger's server wrote."""
    match error:
        case ssl.SSLError() | httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return RemoteUnavailableError("its certificate is not one that is trusted here")
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return RemoteUnavailableError("it cannot be connected to")
        case httpx.InvalidURL() | UnicodeError():
            return RemoteAnswerError("its address is none")
        case _:
            return RemoteUnavailableError(f"the connection failed ({type(error).__name__})")
