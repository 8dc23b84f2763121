"""Matching stored locks against one state of the advisory data: every package once, however many locks hold it.

Most locks hold nothing that advisories are about, and their reports stay as they are. So locks and reports are looked
at as the JSON they are kept as, and only those are made values of which something has changed. No I/O but the index;
blocking, so not for the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from skillyard.errors import SkillyardError
from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.rematch import PRIMARY, DataState, asked_others, rematched, same_findings, withdrawals
from skillyard.governance.report import Finding, PackageRef, Report
from skillyard.governance.report_json import report_from_json
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanners.advisories import findings_about
from skillyard.ids import LockDigest, SkillVersionId, WorkspaceId
from skillyard.runtime.stored import StoredValueError, locks_from_json
from skillyard.skills.skill import Ecosystem

_Package = tuple[str, str, str]
"""Ecosystem, name and version: half a million of them are looked up, and a tuple of texts is hashed fastest."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A version as it is kept, and the revision of its mark when it was read."""

    id: SkillVersionId
    workspace: WorkspaceId
    revision: int | None
    lock_digest: LockDigest
    report_json: str


@dataclass(frozen=True, slots=True)
class Matched:
    """What the data says of a stored version. ``report`` is the new one where it says something else than before.

    ``ask_again`` is whether an engine that is not quick would have to be asked before less is said than before.
    """

    stored: Stored
    report: Report | None = None
    ask_again: bool = False
    error: SkillyardError | None = None


class Matcher:
    """Keeps what it found for as long as it lives, which is one rescan."""

    def __init__(self, index: AdvisoryIndex, policy: ScanPolicy) -> None:
        status = index.status()
        self.data = DataState(
            status.fingerprint, {one.ecosystem: one.data_date for one in status.datasets if one.is_base}
        )
        self._index = index
        self._policy = policy
        self._found: dict[_Package, tuple[Finding, ...]] = {}
        self._by_lock: dict[LockDigest, tuple[Finding, ...]] = {}

    @property
    def packages(self) -> int:
        """Different package versions that were looked up so far."""
        return len(self._found)

    def knows(self, lock: LockDigest) -> bool:
        return lock in self._by_lock

    def learn(self, lock: LockDigest, lock_json: str) -> None:
        """Look everything up that a lock holds. Raises ``StoredValueError`` and ``AdvisoryIndexError``."""
        found: list[Finding] = []
        for package in _packages(lock_json):
            known = self._found.get(package)
            if known is None:
                ref = PackageRef(Ecosystem(package[0]), package[1], package[2])
                known = self._found[package] = tuple(findings_about(self._index, ref))
            found += known
        self._by_lock[lock] = tuple(found)

    def match(self, stored: Stored, lock_json: str | None, *, now: datetime) -> Matched:
        """What is to be said of a version. ``lock_json`` may be left out where its lock is known.

        Never raises for what is stored: what cannot be read is an ``error``, and its version keeps its report.
        """
        try:
            if not self.knows(stored.lock_digest):
                if lock_json is None:
                    raise StoredValueError(f"the lock of version {stored.id} is not there")
                self.learn(stored.lock_digest, lock_json)
            found = self._by_lock[stored.lock_digest]
            if not found and _says_nothing(stored.report_json):
                return Matched(stored, ask_again=self._lacks(stored))
            return self._compared(stored, lock_json, found, now)
        except SkillyardError as error:
            return Matched(stored, error=error)

    def _compared(self, stored: Stored, lock_json: str | None, found: tuple[Finding, ...], now: datetime) -> Matched:
        if lock_json is None:
            return Matched(stored, error=StoredValueError(f"the lock of version {stored.id} is not there"))
        old, locks = report_from_json(stored.report_json), locks_from_json(lock_json)
        new = rematched(old, locks, found, self.data, policy=self._policy, now=now)
        ask_again = self._lacks(stored) or (asked_others(old) and bool(withdrawals(old, found)))
        return Matched(stored, None if same_findings(old, new) else new, ask_again)

    def _lacks(self, stored: Stored) -> bool:
        """Whether its scanners were not asked what the policy asks of them, which no advisory data can make up for."""
        if f'"asked":"{self._policy.asked}"' in stored.report_json:
            return False
        return not self._policy.asks_nothing or '"asked":"sha256:' in stored.report_json


def _packages(lock_json: str) -> Iterable[_Package]:
    """Every package of the locks, those that only builds need included, each once."""
    found: dict[_Package, None] = {}
    try:
        for lock in orjson.loads(lock_json):
            ecosystem = Ecosystem(lock["ecosystem"]).value
            needed = [one for build in lock["builds"] for one in build["requirements"]]
            for one in (*lock["packages"], *needed):
                found[ecosystem, one["name"], one["version"]] = None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise StoredValueError(f"a stored lock cannot be read: {error}") from error
    return found


def _says_nothing(report_json: str) -> bool:
    """Whether a kept report names no advisory, on the word of an engine that ran."""
    try:
        report: Any = orjson.loads(report_json)["report"]
        ran = any(one["scanner"] == PRIMARY and one["state"] == "ran" for one in report["evidence"])
        return ran and all(one["advisory"] is None for one in report["findings"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise StoredValueError(f"a kept report cannot be read: {error}") from error
