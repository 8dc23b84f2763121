"""Packages of a lock that are built from their source archives: code of theirs ran before anybody used them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from skillyard.governance.report import Finding, PackageRef, Severity, Verdict
from skillyard.skills.lock import Lock

RULE: Final = "source_build"


def built_from_source(locks: Iterable[Lock], *, allowed: bool) -> tuple[Finding, ...]:
    """A finding for each: a FLAG where the operator allows building from source, else a BLOCK."""
    return tuple(
        Finding(
            rule=RULE,
            level=Verdict.FLAG if allowed else Verdict.BLOCK,
            severity=Severity.LOW,
            message=_message(lock, build.package, tuple(one.name for one in build.requirements), allowed=allowed),
            package=_ref(lock, build.package),
        )
        for lock in locks
        for build in lock.builds
    )


def _ref(lock: Lock, name: str) -> PackageRef | None:
    return next(
        (PackageRef(lock.ecosystem, one.name, one.version) for one in lock.packages if one.name == name),
        None,
    )


def _message(lock: Lock, name: str, needed: tuple[str, ...], *, allowed: bool) -> str:
    tools = f" with {', '.join(needed)}" if needed else ""
    built = f"{_ref(lock, name) or name} has no wheel; its own code builds one from its source archive{tools}"
    if allowed:
        return f"{built}, in a container without a network."
    return f"{built}. The setting SKILLYARD_SOURCE_BUILDS is refuse, so it is not built and does not run."
