"""One advisory about one package, as the matcher and the index see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from skillyard.governance.advisories.severity import Cvss
from skillyard.governance.report import MALWARE, Severity
from skillyard.skills.skill import Ecosystem


class Applies(StrEnum):
    """Whether an advisory applies to a version. ``cannot_tell`` is never the same as ``not_affected``."""

    AFFECTED = "affected"
    NOT_AFFECTED = "not_affected"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class Interval:
    """Consecutive affected versions; bounds are versions in canonical form, ``None`` is unbounded.

    A version lies inside when ``introduced <= v``, ``v < fixed``, ``v <= last_affected`` and ``v < before`` for each
    bound there is. ``before`` ends an interval without claiming that the bound is a fix.
    """

    introduced: str | None
    fixed: str | None = None
    last_affected: str | None = None
    before: str | None = None


EVERY_VERSION: Final = Interval(None)


@dataclass(frozen=True, slots=True)
class Advisory:
    """What one OSV record says about one package. A record that names several packages gives several of these."""

    id: str
    ecosystem: Ecosystem
    package: str
    """Canonical name (PEP 503 for PyPI; npm names as they are)."""
    aliases: tuple[str, ...]
    """Ids of the same vulnerability in other databases, sorted, without ``id``."""
    intervals: tuple[Interval, ...]
    versions: frozenset[str]
    """Affected versions that are listed one by one, in the form that equal versions share (``1`` for ``1.0``); as
    written where they are no versions."""
    undetermined: tuple[str, ...]
    """Why some version cannot be judged (an unorderable bound, Git ranges alone), in plain words; mostly empty."""
    severity: Severity
    cvss: Cvss | None
    """The worst of the vectors that could be read."""
    modified: datetime
    published: datetime | None
    withdrawn: datetime | None

    @property
    def is_malicious(self) -> bool:
        """Whether the package itself is the attack, by its own id or by that of an alias."""
        return any(name.startswith(MALWARE) for name in (self.id, *self.aliases))
