"""What a report is about, as the formats name it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packageurl import PackageURL

from skillyard.governance.report import PackageRef, Report
from skillyard.skills.lock import Lock, LockedPackage
from skillyard.skills.skill import Ecosystem, Origin, Skill


@dataclass(frozen=True, slots=True)
class Inventory:
    """A report with the skill and the locks that were scanned for it. A skill without a version was not read as one."""

    skill: Skill
    locks: tuple[Lock, ...]
    report: Report

    def packages(self) -> Iterator[tuple[Ecosystem, LockedPackage]]:
        """Every package of every lock, what only builds need included."""
        for lock in self.locks:
            for package in lock.all_packages:
                yield lock.ecosystem, package

    def declared_at(self, package: PackageRef) -> tuple[Origin, ...]:
        """Where the skill declares a package, or the packages that brought it along; in the order declared."""
        lock = next((one for one in self.locks if one.ecosystem is package.ecosystem), None)
        names = {package.name} if lock is None else _askers(lock, package.name)
        found = [one.origin for one in self.skill.declared if one.ecosystem is package.ecosystem and one.name in names]
        return tuple(dict.fromkeys(found))


def purl(package: PackageRef) -> PackageURL:
    """The package's address in the purl standard; an npm scope is its namespace."""
    namespace, _, name = package.name.rpartition("/")
    return PackageURL(package.ecosystem.value, namespace or None, name, package.version)


def _askers(lock: Lock, name: str) -> set[str]:
    """The package and every package that needs it, at any distance."""
    asked_by = {package.name: package.required_by for package in lock.packages}
    found, waiting = {name}, [name]
    while waiting:
        more = [one for one in asked_by.get(waiting.pop(), ()) if one not in found]
        found.update(more)
        waiting += more
    return found
