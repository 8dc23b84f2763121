"""Fetching files over HTTP: from safe addresses alone, within limits, whole or not at all.

No message holds an address with its credentials: whoever fails is named by the name that its source has.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Final

import httpx

from skillyard.governance.advisories.source import OnProgress, Progress
from skillyard.governance.errors import AdvisorySourceError
from skillyard.threads import taken

_MOST_REDIRECTS: Final = 5
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds on one delivery: bytes of all its files, seconds without a byte, seconds in all."""

    size: int = 2 * 1024 * 1024 * 1024
    stall: float = 30.0
    total: float = 900.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. The body was stored where ``status`` is 200, and only there."""

    status: int
    headers: Mapping[str, str]


class Downloads:
    """How to reach the world outside: proxies come from ``proxy`` or, without one, from the usual variables that the
    HTTP client honours; none is used towards this machine."""

    def __init__(self, *, proxy: str | None, ca_bundle: Path | None, limits: DownloadLimits) -> None:
        self._proxy = proxy
        self._ca_bundle = ca_bundle
        self._limits = limits

    @asynccontextmanager
    async def session(self, url: httpx.URL, name: str, on_progress: OnProgress) -> AsyncIterator[Session]:
        """For what one source fetches at a time. Raises ``AdvisorySourceError`` for all that goes wrong inside."""
        try:
            async with asyncio.timeout(self._limits.total), await self._client(url) as client:
                yield Session(client, name, self._limits.size, on_progress)
        except TimeoutError as error:
            raise AdvisorySourceError(f"did not deliver within {self._limits.total:g} seconds", source=name) from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise AdvisorySourceError(f"could not be fetched ({type(error).__name__})", source=name) from error
        except OSError as error:
            raise AdvisorySourceError(f"could not be stored: {error.strerror}", source=name) from error

    async def _client(self, url: httpx.URL) -> httpx.AsyncClient:
        local = is_loopback(url)
        return httpx.AsyncClient(
            timeout=self._limits.stall,
            proxy=None if local else self._proxy,
            trust_env=not local,
            verify=await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle),
        )


class Session:
    """One delivery; what it fetches counts together."""

    def __init__(self, client: httpx.AsyncClient, name: str, size: int, on_progress: OnProgress) -> None:
        self._client = client
        self._name = name
        self._size = size
        self._on_progress = on_progress
        self._done = 0

    async def get(self, url: httpx.URL, target: Path, headers: Mapping[str, str] | None = None) -> Answer:
        """Store what is at an address, behind redirects, each of which must be as safe an address as the first."""
        local = is_loopback(url)
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._client.stream("GET", url, headers=headers) as response:
                if not response.has_redirect_location:
                    if response.status_code == httpx.codes.OK:
                        await self._store(response, target)
                    return Answer(response.status_code, response.headers)
                url = checked(url.join(response.headers["Location"]), self._name)
                if is_loopback(url) and not local:
                    raise AdvisorySourceError("redirects to this machine", source=self._name)
        raise AdvisorySourceError(f"redirects more than {_MOST_REDIRECTS} times", source=self._name)

    async def _store(self, response: httpx.Response, target: Path) -> None:
        length = response.headers.get("Content-Length", "")
        known = length.isdecimal() and "Content-Encoding" not in response.headers
        total = self._done + int(length) if known else None
        with await taken(partial(target.open, "wb"), methodcaller("close")) as file:
            async for chunk in response.aiter_bytes(_CHUNK):
                self._done += len(chunk)
                if self._done > self._size:
                    raise AdvisorySourceError(f"is larger than {self._size} bytes", source=self._name)
                await asyncio.to_thread(file.write, chunk)
                self._on_progress(Progress("fetch", self._done, total))


def parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise AdvisorySourceError(f"is not an address: {error}", source="the advisories address") from error


def shown(url: str) -> str:
    """An address without credentials, query and fragment: what may be stored, shown and logged."""
    bare = parsed(url)
    return str(bare.copy_with(username=None, password=None, query=None, fragment=None))


def checked(url: httpx.URL, name: str) -> httpx.URL:
    """The address, where it is one that data may come from: HTTPS, or plain HTTP from this machine."""
    if url.host and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url))):
        return url
    raise AdvisorySourceError("is not an https:// address", source=name)


def is_loopback(url: httpx.URL) -> bool:
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"
