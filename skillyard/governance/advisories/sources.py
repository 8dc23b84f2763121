"""Our own advisory sources: a file or folder, a URL, and the snapshot that ships with this package."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import orjson

from skillyard.governance.advisories.downloads import DownloadLimits, Downloads, checked, parsed, shown
from skillyard.governance.advisories.osv_export import OsvExportSource, exported
from skillyard.governance.advisories.source import (
    Fetched,
    OnProgress,
    RecordKind,
    RecordSet,
    Unchanged,
)
from skillyard.governance.errors import AdvisorySourceError
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem

SNAPSHOT: Final = Path(__file__).parent / "snapshot"
_ECOSYSTEMS: Final = frozenset(Ecosystem)
_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Taken:
    """How a person wants the records of a source to be taken; see ``RecordSet`` for the fields."""

    ecosystems: frozenset[Ecosystem] | None = None
    data_date: datetime | None = None
    changes: bool = False

    def records(self, path: Path) -> RecordSet:
        return RecordSet(path, self.ecosystems, self.data_date, changes=self.changes)

    @property
    def whole(self) -> bool:
        """Whether all that is delivered is taken, so that its validator stands for what the index then has."""
        return self.ecosystems is None and not self.changes


class FileSource:
    """A file or folder of records on this machine; read where it lies."""

    def __init__(self, path: Path, *, taken: Taken | None = None) -> None:
        self._path = path.resolve()
        self._taken = taken or Taken()

    @property
    def name(self) -> str:
        return str(self._path)

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:  # noqa: ARG002  # nothing to stage, and nothing to compare
        if not await asyncio.to_thread(self._path.exists):
            raise AdvisorySourceError("does not exist", source=self.name)
        return Fetched((self._taken.records(self._path),))


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
                    kind=RecordKind(part["kind"]),
                )
                for part in contents["sources"]
            )
        )


class UrlSource:
    """A file of records at an HTTPS address; plain HTTP from this machine alone.

    Asks for what is newer than the last delivery: by its ETag, or by its ``Last-Modified`` where it had none (RFC 9110,
    13.1.2 and 13.1.3).
    """

    def __init__(
        self,
        url: str,
        *,
        proxy: str | None = None,
        ca_bundle: Path | None = None,
        limits: DownloadLimits | None = None,
        taken: Taken | None = None,
    ) -> None:
        self._url = checked(parsed(url), shown(url))
        self._downloads = Downloads(proxy=proxy, ca_bundle=ca_bundle, limits=limits or DownloadLimits())
        self._taken = taken or Taken()

    @property
    def name(self) -> str:
        return shown(str(self._url))

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:
        target = staging / _file_name(self._url)
        headers = _condition(validator) if validator else {}
        async with self._downloads.session(self._url, self.name, on_progress) as session:
            answer = await session.get(self._url, target, headers)
            if answer.status == httpx.codes.NOT_MODIFIED and validator:
                return Unchanged()
            if answer.status != httpx.codes.OK:
                raise AdvisorySourceError(f"answered with status {answer.status}", source=self.name)
        seen = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        return Fetched((self._taken.records(target),), validator=seen if self._taken.whole else None)


Source = FileSource | UrlSource | OsvExportSource


def create_source(settings: Settings) -> UrlSource | OsvExportSource:
    """The source that updates come from by default (entry point ``skillyard.advisories: osv``)."""
    return _url_source(settings.advisories_url, settings, Taken())


def source_for(spec: str, settings: Settings, *, taken: Taken | None = None) -> Source:
    """The source that a person named: an ``https://`` or ``http://`` address, or a path.

    A name list says nothing of its ecosystem: ``npm=ADDRESS`` or ``pypi=PATH`` says it for one of several sources.
    """
    taken = taken or Taken()
    named, separator, rest = spec.partition("=")
    if separator and named in _ECOSYSTEMS:
        spec, taken = rest, replace(taken, ecosystems=frozenset({Ecosystem(named)}))
    if spec.startswith(("https://", "http://")):
        return _url_source(spec, settings, taken)
    return FileSource(Path(spec).expanduser(), taken=taken)


def settings_sources(settings: Settings) -> tuple[Source, ...]:
    """The sources of an update that names none, in order: the first is an ecosystem's base, the others add to it."""
    return tuple(source_for(spec, settings) for spec in (settings.advisories_url, *settings.advisories_more))


def _url_source(url: str, settings: Settings, taken: Taken) -> UrlSource | OsvExportSource:
    proxy = settings.index_proxy.get_secret_value() if settings.index_proxy else None
    ecosystem = exported(url)
    if ecosystem is not None and taken == Taken():
        downloads = Downloads(proxy=proxy, ca_bundle=settings.index_ca_bundle, limits=DownloadLimits())
        return OsvExportSource(url, ecosystem, downloads=downloads)
    return UrlSource(url, proxy=proxy, ca_bundle=settings.index_ca_bundle, taken=taken)


def _condition(validator: str) -> dict[str, str]:
    """An entity tag is quoted (RFC 9110, 8.8.3); anything else is the date of a ``Last-Modified``."""
    is_tag = validator.startswith(('"', 'W/"'))
    return {"If-None-Match" if is_tag else "If-Modified-Since": validator}


def _file_name(url: httpx.URL) -> str:
    """The last part of the path, because the reader goes by file suffixes; nothing of it can leave the folder."""
    return "download-" + _FILE_NAME.sub("_", url.path.rpartition("/")[2])[-100:]
