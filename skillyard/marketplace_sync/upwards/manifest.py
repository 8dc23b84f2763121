"""What a version consists of and asks for, kept beside its upload: files to send, and facts to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from skillyard.errors import NotFoundError
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.errors import RemoteAnswerError
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.skill import BundleFile, Skill


@dataclass(frozen=True, slots=True)
class Manifest:
    """``bundle`` is the digest under which the files are kept. ``declared`` are requirements by ``ecosystem/name``,
    ``parameters`` what else the manifest says. ``base`` is the number that the version was made from, as the mirror
    had it: where its channel stood."""

    bundle: str
    files: tuple[BundleFile, ...]
    declared: Mapping[str, str]
    parameters: Mapping[str, str]
    base: str | None = None

    @property
    def text(self) -> str:
        return _ADAPTER.dump_json(self).decode()

    @property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 by path."""
        return {file.path: file.sha256 for file in self.files}


_ADAPTER = TypeAdapter(Manifest)


def read_manifest(text: str) -> Manifest:
    """What ``Manifest.text`` wrote."""
    return _ADAPTER.validate_json(text)


def kept_files(outgoing: BundleStore, manifest: Manifest) -> Path:
    """The folder with a version's files. Raises ``RemoteAnswerError``: of several servers on one database, the one
    whose home has them sends them. Blocks on disk."""
    try:
        return outgoing.path(BundleDigest(manifest.bundle))
    except NotFoundError as error:
        raise RemoteAnswerError("the files of this version are in the home of another server") from error


def manifest_of(skill: Skill, *, base: str | None = None) -> Manifest:
    declared: dict[str, list[str]] = {}
    for one in skill.declared:
        declared.setdefault(f"{one.ecosystem.value}/{one.name}", []).append(one.requirement)
    parameters = {
        "license": skill.license,
        "compatibility": skill.compatibility,
        "allowed-tools": " ".join(skill.allowed_tools),
        "network": " ".join(sorted(skill.requested.network_hosts)),
        "memory": skill.requested.memory_bytes,
        "timeout": skill.requested.timeout_seconds,
        "entries": " ".join(str(entry) for entry in skill.entries),
    }
    return Manifest(
        bundle=skill.bundle.digest,
        files=skill.bundle.files,
        declared={name: " ".join(sorted(set(texts))) for name, texts in declared.items()},
        parameters={name: str(value) for name, value in parameters.items() if value not in (None, "")},
        base=base,
    )
