"""From what people write to a source.

``git+https://host/repository.git@ref#subdirectory=folder`` (also ``https://…``, ``ssh://…`` and ``user@host:path``) is
a Git repository, as pip writes them; anything else is a folder or an archive on this machine, where that is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillyard.skills.errors import SourceSpecError
from skillyard.skills.source import Source
from skillyard.skills.sources.archive import ArchiveSource
from skillyard.skills.sources.folder import FolderSource
from skillyard.skills.sources.git import GitSource, HostCheck, is_scp_address


@dataclass(frozen=True, slots=True)
class GitAddress:
    """A repository, and what of it is meant: a branch, tag or commit, and a folder."""

    url: str
    ref: str | None
    subfolder: str | None


def source_for(
    spec: str, *, environment: Mapping[str, str], allow_local: bool, hosts: HostCheck | None = None
) -> Source:
    """The source a text means; raises ``SourceSpecError``. ``environment`` is what ``git`` starts with, and
    ``hosts`` says which it may be sent to (all of them without)."""
    if (address := git_address(spec)) is not None:
        return GitSource(
            address.url,
            ref=address.ref,
            subfolder=address.subfolder,
            environment=environment,
            allow_local=allow_local,
            hosts=hosts,
        )
    if not allow_local:
        raise SourceSpecError("only Git addresses are allowed here, not paths", field="source")
    path = Path(spec).expanduser()
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return ArchiveSource(path)
    raise SourceSpecError(f"{spec!r} is neither a folder, an archive nor a Git address", field="source")


def git_address(spec: str) -> GitAddress | None:
    """The parts of a Git address as text; ``None`` for what is a path. Raises ``SourceSpecError``."""
    if not (spec.startswith("git+") or "://" in spec or is_scp_address(_split_ref(spec.partition("#")[0])[0])):
        return None
    address, _hash, fragment = spec.removeprefix("git+").partition("#")
    subfolder = None
    if fragment:
        key, _equals, subfolder = fragment.partition("=")
        if key != "subdirectory" or not subfolder:
            raise SourceSpecError("after # only subdirectory=FOLDER is understood", field="source")
    url, ref = _split_ref(address)
    return GitAddress(url, ref, subfolder)


def _split_ref(address: str) -> tuple[str, str | None]:
    """Cut ``@ref`` off: the first ``@`` of the path. One before the path belongs to ``user@host``."""
    scheme, separator, rest = address.rpartition("://")
    host, slash, path = rest.partition("/" if separator else ":")
    path, at, ref = path.partition("@")
    return f"{scheme}{separator}{host}{slash}{path}", (ref or None) if at else None
