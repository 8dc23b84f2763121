"""Which version a channel names."""

from __future__ import annotations

from collections.abc import Iterable

from semver import Version

LATEST = "latest"


def latest_of(numbers: Iterable[str]) -> str | None:
    """The highest release by SemVer, or the highest prerelease where there is no release; ``None`` of none.

    Builds have no place in SemVer's order; of two that differ in nothing else, the greater text is taken.
    """
    known = [(Version.parse(number), number) for number in numbers]
    releases = [one for one in known if one[0].prerelease is None]
    chosen = max(releases or known, key=lambda one: (one[0], one[1]), default=None)
    return None if chosen is None else chosen[1]
