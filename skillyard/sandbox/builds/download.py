"""Fetching an archive by its hash into a file: from what was brought along, else from the index.

uv finds the address, as it knows how to ask an index; it is not asked to fetch, because it builds the source archives
that it fetches. Credentials of a configured index go to that index's own host alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import IO

import httpx

from skillyard.sandbox.builds.archive import refused
from skillyard.sandbox.builds.recipe import BuildLimits, SourceArchive
from skillyard.sandbox.errors import ResolverUnavailableError
from skillyard.sandbox.folders import disk_full_named
from skillyard.sandbox.index import PackageIndex
from skillyard.sandbox.record import hash_file
from skillyard.sandbox.resolvers.compile import Question, Sources, UvCompile
from skillyard.sandbox.wheelhouse import Wheelhouse
from skillyard.settings import Settings
from skillyard.skills.errors import LockFormatError
from skillyard.skills.lock import Target, exact_pin
from skillyard.skills.pylock import read_sources
from skillyard.threads import taken

_CHUNK = 256 * 1024
_STALL = 30.0
_MOST_REDIRECTS = 5


class SourceFetcher:
    """Fetches from one index. ``house`` has what was brought along: that is not asked of the index."""

    def __init__(
        self,
        *,
        index: PackageIndex,
        compiler: UvCompile,
        settings: Settings,
        limits: BuildLimits,
        house: Wheelhouse,
    ) -> None:
        self._index = index
        self._house = house
        self._compiler = compiler
        self._limits = limits
        self._proxy = settings.index_proxy.get_secret_value() if settings.index_proxy else None
        self._ca_bundle = settings.index_ca_bundle
        urls = (*((settings.index_url,) if settings.index_url else ()), *settings.extra_index_urls)
        self._indexes = tuple(httpx.URL(url.get_secret_value()) for url in urls)

    async def bring(self, source: SourceArchive, target: Target, folder: Path, url: str | None = None) -> Path:
        """The source archive as a new file in the empty folder ``folder``, from ``url`` or from where the index has it.

        Raises as ``locate`` and ``fetch``.
        """
        archive = folder / "archive"
        if await self.brought(source, archive):
            return archive
        if url is None:
            question = folder / "locate"
            await asyncio.to_thread(question.mkdir)
            url = await self.locate(source, target, question)
        await self.fetch(source, url, archive)
        return archive

    async def brought(self, source: SourceArchive, into: Path) -> bool:
        """Copy what was brought along to the new file ``into``; false where it was not. Raises ``BuildError``
        (``ARCHIVE``), ``DiskFullError``."""
        kept = await asyncio.to_thread(self._house.find, source.artefact.sha256)
        if kept is None:
            return False
        filename = source.artefact.filename
        if (await asyncio.to_thread(kept.stat)).st_size > self._limits.archive_bytes:
            raise refused(f"{filename} is larger than {self._limits.archive_bytes} bytes")
        with disk_full_named(into.parent):
            await asyncio.to_thread(shutil.copyfile, kept, into)
        if (await asyncio.to_thread(hash_file, into))[0] != source.artefact.sha256:
            raise refused(f"what was brought along as {filename} does not match the hash in the lock")
        return True

    async def locate(self, source: SourceArchive, target: Target, folder: Path) -> str:
        """Where the index has the archive now; ``folder`` is empty and ours. Raises ``ResolverUnavailableError``."""
        ended = await self._compiler.run(
            Question(folder, target, None),
            "source.in",
            f"{exact_pin(source.name, source.version)}\n",
            *("--no-deps", "--generate-hashes", "--format", "pylock.toml"),
            sources=Sources(names=(source.name,)),
        )
        if ended.exit_code != 0:
            raise ResolverUnavailableError(f"{source.artefact.filename} was not found: {ended.stderr}")
        try:
            listed = read_sources(ended.stdout, file="uv's pylock.toml").get((source.name, source.version))
        except LockFormatError as error:
            raise ResolverUnavailableError(f"uv answered with something else than a lock: {error}") from error
        if listed is None or listed.artefact.sha256 != source.artefact.sha256:
            raise refused(f"what the index has as source of {source} is not what the lock names")
        return listed.url

    async def fetch(self, source: SourceArchive, url: str, into: Path) -> None:
        """Download to the new file ``into`` and check the hash.

        Raises ``BuildError`` (``ARCHIVE``), ``DiskFullError`` or ``ResolverUnavailableError``, none with the address.
        """
        filename = source.artefact.filename
        digest = hashlib.sha256()
        try:
            async with asyncio.timeout(self._index.timeout):
                opening = partial(into.open, "xb")
                with disk_full_named(into.parent), await taken(opening, methodcaller("close")) as file:
                    await self._download(url, file, digest, filename)
        except TimeoutError as error:
            raise ResolverUnavailableError(f"{filename} was not delivered in {self._index.timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            # The client's own messages may hold the address with its credentials.
            raise ResolverUnavailableError(f"{filename} could not be fetched ({type(error).__name__})") from error
        if digest.hexdigest() != source.artefact.sha256:
            raise refused(f"what the index has as {filename} does not match the hash in the lock")

    async def _download(self, url: str, file: IO[bytes], digest: hashlib._Hash, filename: str) -> None:
        size = 0
        async with self._responding(httpx.URL(url)) as response:
            if response.status_code != httpx.codes.OK:
                status = response.status_code
                raise ResolverUnavailableError(f"{filename} could not be fetched: the index answered {status}")
            # Bytes as they are: an index that says "Content-Encoding: gzip" of a .tar.gz would have it unpacked.
            async for chunk in response.aiter_raw(_CHUNK):
                size += len(chunk)
                if size > self._limits.archive_bytes:
                    raise refused(f"{filename} is larger than {self._limits.archive_bytes} bytes")
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)

    @asynccontextmanager
    async def _responding(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """The response behind redirects; each hop gets the credentials of its own host or none."""
        secure = url.scheme == "https"
        context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle)
        local = url.host in ("127.0.0.1", "::1", "localhost")
        proxy = None if local else self._proxy
        async with httpx.AsyncClient(timeout=_STALL, proxy=proxy, trust_env=not local, verify=context) as client:
            for _ in range(_MOST_REDIRECTS + 1):
                if url.scheme not in ("http", "https") or (secure and url.scheme != "https"):
                    raise ResolverUnavailableError("the index leads to an address that is not fetched from")
                auth = self._auth(url)
                headers = {"Accept-Encoding": "identity"}
                async with client.stream("GET", url, headers=headers, auth=auth) as response:
                    if not response.has_redirect_location:
                        yield response
                        return
                    url = url.join(response.headers["Location"])
        raise ResolverUnavailableError("the index redirects too often")

    def _auth(self, url: httpx.URL) -> httpx.BasicAuth | None:
        for index in (url, *self._indexes):
            same = (index.scheme, index.host, index.port) == (url.scheme, url.host, url.port)
            if same and index.username:
                return httpx.BasicAuth(index.username, index.password)
        return None
