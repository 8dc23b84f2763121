"""Our own advisory sources: a file or folder, a URL, and the snapshot that ships with this package."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import orjson

from skillyard.governance.advisories.source import Fetched, OnProgress, Progress, RecordSet, Unchanged
from skillyard.governance.errors import AdvisorySourceError
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem

SNAPSHOT: Final = Path(__file__).parent / "snapshot"
_MOST_REDIRECTS: Final = 5
_CHUNK: Final = 1024 * 1024
_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")


class FileSource:
    """A file or folder of records on this machine; read where it lies."""

    def __init__(self, path: Path, *, data_date: datetime | None = None) -> None:
        self._path = path.resolve()
        self._data_date = data_date

    @property
    def name(self) -> str:
        return str(self._path)

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:  # noqa: ARG002  # nothing to stage, and nothing to compare
        if not await asyncio.to_thread(self._path.exists):
            raise AdvisorySourceError("does not exist", source=self.name)
        return Fetched((RecordSet(self._path, data_date=self._data_date),))


class EmbeddedSource:
    """The facts-only snapshot of this package. It is old, and its dates say so."""

    name: Final = "embedded snapshot"

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:  # noqa: ARG002  # nothing to stage, and nothing to compare
        contents = orjson.loads(await asyncio.to_thread((SNAPSHOT / "snapshot.json").read_bytes))
        return Fetched(
            tuple(
                RecordSet(
                    path=SNAPSHOT / part["file"],
                    ecosystems=frozenset({Ecosystem(part["ecosystem"])}),
                    data_date=datetime.fromisoformat(part["date"]).replace(tzinfo=UTC),
                )
                for part in contents["sources"]
            )
        )


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds on one download: bytes, seconds without a byte, seconds in all."""

    size: int = 2 * 1024 * 1024 * 1024
    stall: float = 30.0
    total: float = 900.0


class UrlSource:
    """A file of records at an HTTPS address, such as an OSV export; plain HTTP from this machine alone.

    Sends the ETag of the last delivery as ``If-None-Match`` (RFC 9110, 13.1.2). Proxies come from ``proxy`` or, without
    one, from the usual variables that the HTTP client honours; none is used towards this machine.
    """

    def __init__(
        self,
        url: str,
        *,
        proxy: str | None = None,
        ca_bundle: Path | None = None,
        limits: DownloadLimits | None = None,
        data_date: datetime | None = None,
    ) -> None:
        self._url = _checked(_parsed(url), shown(url))
        self._proxy = proxy
        self._ca_bundle = ca_bundle
        self._limits = limits or DownloadLimits()
        self._data_date = data_date

    @property
    def name(self) -> str:
        return shown(str(self._url))

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._fetch(staging, validator, on_progress)
        except TimeoutError as error:
            message = f"did not deliver within {self._limits.total:g} seconds"
            raise AdvisorySourceError(message, source=self.name) from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            # The client's own messages may hold the address with its credentials.
            raise AdvisorySourceError(f"could not be fetched ({type(error).__name__})", source=self.name) from error
        except OSError as error:
            raise AdvisorySourceError(f"could not be stored: {error.strerror}", source=self.name) from error

    async def _fetch(self, staging: Path, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:
        headers = {"If-None-Match": validator} if validator else {}
        async with self._responding(headers) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED and validator:
                return Unchanged()
            if response.status_code != httpx.codes.OK:
                raise AdvisorySourceError(f"answered with status {response.status_code}", source=self.name)
            target = staging / _file_name(self._url)
            await self._store(response, target, on_progress)
        record_set = RecordSet(target, data_date=self._data_date)
        return Fetched((record_set,), validator=response.headers.get("ETag"))

    @asynccontextmanager
    async def _responding(self, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """The response behind redirects, each of which must be as safe an address as the first."""
        url = self._url
        local = _is_loopback(url)
        client = httpx.AsyncClient(
            timeout=self._limits.stall,
            proxy=None if local else self._proxy,
            trust_env=not local,
            verify=await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle),
        )
        async with client:
            for _ in range(_MOST_REDIRECTS + 1):
                async with client.stream("GET", url, headers=headers) as response:
                    if not response.has_redirect_location:
                        yield response
                        return
                    url = _checked(url.join(response.headers["Location"]), self.name)
                    if _is_loopback(url) and not local:
                        raise AdvisorySourceError("redirects to this machine", source=self.name)
            raise AdvisorySourceError(f"redirects more than {_MOST_REDIRECTS} times", source=self.name)

    async def _store(self, response: httpx.Response, target: Path, on_progress: OnProgress) -> None:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None
        done = 0
        with await asyncio.to_thread(target.open, "wb") as file:
            async for chunk in response.aiter_bytes(_CHUNK):
                done += len(chunk)
                if done > self._limits.size:
                    raise AdvisorySourceError(f"is larger than {self._limits.size} bytes", source=self.name)
                await asyncio.to_thread(file.write, chunk)
                on_progress(Progress("fetch", done, total))


def create_source(settings: Settings) -> UrlSource:
    """The source that updates come from by default (entry point ``skillyard.advisories: osv``)."""
    return _url_source(settings.advisories_url, settings, None)


def source_for(spec: str, settings: Settings, *, data_date: datetime | None = None) -> UrlSource | FileSource:
    """The source that a person named: an ``https://`` or ``http://`` address, or a path."""
    if spec.startswith(("https://", "http://")):
        return _url_source(spec, settings, data_date)
    return FileSource(Path(spec).expanduser(), data_date=data_date)


def _url_source(url: str, settings: Settings, data_date: datetime | None) -> UrlSource:
    proxy = settings.index_proxy.get_secret_value() if settings.index_proxy else None
    return UrlSource(url, proxy=proxy, ca_bundle=settings.index_ca_bundle, data_date=data_date)


def shown(url: str) -> str:
    """An address without credentials, query and fragment: what may be stored, shown and logged."""
    bare = _parsed(url)
    return str(bare.copy_with(username=None, password=None, query=None, fragment=None))


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise AdvisorySourceError(f"is not an address: {error}", source="the advisories address") from error


def _checked(url: httpx.URL, name: str) -> httpx.URL:
    if url.host and (url.scheme == "https" or (url.scheme == "http" and _is_loopback(url))):
        return url
    raise AdvisorySourceError("is not an https:// address", source=name)


def _is_loopback(url: httpx.URL) -> bool:
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def _file_name(url: httpx.URL) -> str:
    """The last part of the path, because the reader goes by file suffixes; nothing of it can leave the folder."""
    return "download-" + _FILE_NAME.sub("_", url.path.rpartition("/")[2])[-100:]
