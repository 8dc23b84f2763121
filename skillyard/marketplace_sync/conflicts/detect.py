"""What kind of conflict there is, and how bad: pure, the same whoever is called local.

Severity goes by what differs: code, or which code a channel means, is CRITICAL; packages are HIGH; parameters (limits,
permissions, entries, settings) MEDIUM; texts LOW. What cannot be told counts as code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from skillyard.marketplace_sync.catalogue.documents import VersionDocument
from skillyard.marketplace_sync.conflicts.merge import merge_skill, skill_fields
from skillyard.marketplace_sync.conflicts.values import ConflictKind, Severity

_TEXT_FIELDS: Final = frozenset({"description", "license", "topics", "categories", "deprecated"})
_TEXTS: Final = frozenset({".md", ".txt", ".rst", ".png", ".jpg", ".jpeg", ".svg", ".gif", ".csv"})
_PARAMETERS: Final = frozenset({".json", ".yaml", ".yml", ".toml", ".ini", ".cfg"})
_PACKAGE_LISTS: Final = frozenset({"requirements.txt", "pyproject.toml", "package.json", "package-lock.json"})
_PLAIN: Final = frozenset({"LICENSE", "LICENCE", "NOTICE", "COPYING", "CHANGELOG", "README"})


@dataclass(frozen=True, slots=True)
class Difference:
    """``places`` are the fields or files that it is about, sorted."""

    kind: ConflictKind
    severity: Severity
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What there is to compare of a version. What is not known is ``None``.

    ``files`` are SHA-256 by path; ``packages`` are versions (or requirements) by ``ecosystem/name``; ``parameters``
    are what the manifest asks for beside them.
    """

    bundle: str
    packages: Mapping[str, str] | None = None
    files: Mapping[str, str] | None = None
    parameters: Mapping[str, str] | None = None

    @classmethod
    def of(
        cls,
        document: VersionDocument,
        files: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> VersionFacts:
        """From a published document; packages only where it names all of them."""
        complete = len(document.packages) >= document.packages_in_all
        packages = {f"{one.ecosystem.value}/{one.name}": one.version for one in document.packages}
        return cls(document.bundle, packages if complete else None, files, parameters)


def detect_skill(base: str | None, local: str, remote: str) -> Difference | None:
    """Of two documents of one skill; ``None`` where both say the same. Raises ``DocumentError``."""
    ours, theirs = skill_fields(local), skill_fields(remote)
    if ours == theirs:
        return None
    clashes = merge_skill(base, local, remote).clashes
    places = clashes or tuple(
        sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    )
    fields = {place.partition(".")[0] for place in places}
    if any(place.startswith("channels.") for place in clashes):
        return Difference(ConflictKind.VERSION, Severity.CRITICAL, places)
    severity = Severity.LOW if fields <= _TEXT_FIELDS else Severity.MEDIUM
    return Difference(ConflictKind.METADATA, severity, places)


def detect_version(local: VersionFacts, remote: VersionFacts) -> Difference | None:
    """Of two bundles that claim one number; ``None`` where they are the same bundle.

    The kind says what differs: packages alone, files alone, or both, which is also what cannot be told.
    """
    if local.bundle == remote.bundle:
        return None
    found = [Severity.LOW]
    unknown = local.files is None or remote.files is None or local.packages is None or remote.packages is None
    packages = _changed(local.packages, remote.packages)
    if packages or local.packages is None or remote.packages is None:
        found.append(Severity.HIGH)
    parameters = _changed(local.parameters, remote.parameters)
    if parameters or (local.parameters is None) != (remote.parameters is None):
        found.append(Severity.MEDIUM)
    files = _changed(local.files, remote.files)
    found += [severity_of_file(path) for path in files]
    if local.files is None or remote.files is None:
        found.append(Severity.CRITICAL)
    listed = {path for path in files if severity_of_file(path) is Severity.HIGH}
    kind = ConflictKind.VERSION
    if not unknown and (packages or listed) and not parameters and files <= listed:
        kind = ConflictKind.DEPENDENCY
    elif not unknown and not packages and not listed:
        kind = ConflictKind.CONTENT
    return Difference(kind, max(found), tuple(sorted(packages | parameters | files)))


def _changed(one: Mapping[str, str] | None, other: Mapping[str, str] | None) -> set[str]:
    """The keys that differ; none where either side is not known."""
    if one is None or other is None:
        return set()
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def severity_of_file(path: str) -> Severity:
    """By its name: whatever is not known to be anything else is code."""
    name = PurePosixPath(path)
    if name.name in _PACKAGE_LISTS:
        return Severity.HIGH
    if name.suffix.lower() in _PARAMETERS:
        return Severity.MEDIUM
    if name.suffix.lower() in _TEXTS or name.name in _PLAIN:
        return Severity.LOW
    return Severity.CRITICAL
