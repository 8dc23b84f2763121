"""The resolved closure of a skill's packages, as values. See ``pylock`` for the standard text form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import orjson

from skillyard.ids import LockDigest
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True)
class Target:
    """The interpreter and platform a lock is resolved for, in uv's words (``3.11``, ``x86_64-manylinux_2_28``)."""

    python: str
    platform: str


@dataclass(frozen=True, slots=True)
class LockedArtefact:
    """One file of a package on an index. ``size`` in bytes where the index gives it."""

    filename: str
    sha256: str
    size: int | None


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One exact version. ``direct`` is true where the skill itself declares it; ``required_by`` names the packages
    (canonical names) that ask for it, sorted."""

    name: str
    version: str
    artefacts: tuple[LockedArtefact, ...]
    required_by: tuple[str, ...]
    direct: bool


@dataclass(frozen=True)
class Lock:
    """A closure of one ecosystem, packages sorted by name. No addresses, no credentials, no times."""

    ecosystem: Ecosystem
    target: Target
    packages: tuple[LockedPackage, ...]

    @cached_property
    def digest(self) -> LockDigest:
        """Over ecosystem, target, and (name, version, sorted sha256) only: the same through any mirror."""
        facts = [
            self.ecosystem.value,
            [self.target.python, self.target.platform],
            [[p.name, p.version, sorted(a.sha256 for a in p.artefacts)] for p in self.packages],
        ]
        return LockDigest("sha256:" + hashlib.sha256(orjson.dumps(facts)).hexdigest())


def closure_digest(locks: Iterable[Lock]) -> LockDigest:
    """One digest for all locks of a skill version: a single lock's own, otherwise over the sorted digests.

    A report and an approval name it, so that neither can be used for another closure. No lock at all has a digest too.
    """
    digests = sorted(lock.digest for lock in locks)
    if len(digests) == 1:
        return digests[0]
    return LockDigest("sha256:" + hashlib.sha256(orjson.dumps(["closure", *digests])).hexdigest())
