"""What should happen, written from the documentation and not from the code. Slow and literal on purpose.

Times are hours since the beginning, versions of packages and of skills plain text, maturities the numbers 0 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

STUDENT, INTERN, SUPERVISED, AUTONOMOUS = range(4)
REQUEST_HOURS, DENIAL_HOURS = 30 * 24, 24

MEANS = {"": {"1.0", "2.0"}, "==1.0": {"1.0"}, "==2.0": {"2.0"}, "<2.0": {"1.0"}, ">=2.0,<3": {"2.0"}}
"""The specifiers that are used, and which of the two versions that exist each means."""


class Package(NamedTuple):
    """A locked package: its name, its version, and the one file it has."""

    name: str
    version: str
    file: str


class Verdict(Enum):
    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


@dataclass
class Rule:
    """``minimum`` is ``None`` for a ban, ``files`` empty where any file is meant, ``until`` the hour it ends."""

    name: str
    specifier: str
    minimum: int | None
    until: int | None
    everywhere: bool = False
    files: frozenset[str] = frozenset()
    approval: int | None = None
    revoked: bool = False

    def about(self, package: Package) -> bool:
        return not self.revoked and self.name == package.name and package.version in MEANS[self.specifier]

    def ended(self, now: int) -> bool:
        return self.until is not None and self.until <= now


@dataclass
class Agent:
    maturity: int
    suspended: bool = False


@dataclass
class Version:
    """A version of a skill: what is locked for it, whether it executes, whether it is there."""

    skill: str
    packages: frozenset[Package]
    code: bool
    installed: bool = True


@dataclass
class Request:
    """``state`` is pending, approved, denied, revoked or gone (withdrawn, replaced, or nobody answered)."""

    agent: int
    version: int
    packages: frozenset[Package]
    first_use: bool
    asked_at: int
    locked: frozenset[Package]
    state: str = "pending"
    decided_at: int = 0


class Wanted(NamedTuple):
    """What a call gets, and where it is held, what is lacking."""

    verdict: Verdict
    packages: frozenset[Package] = frozenset()
    first_use: bool = False


@dataclass
class Model:
    now: int = 0
    rules: dict[int, Rule] = field(default_factory=dict)
    agents: dict[int, Agent] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    first_uses: dict[tuple[int, str], int] = field(default_factory=dict)
    """Agent and skill, and the approval that permitted it."""
    changes: int = 0
    """How often something changed that decisions depend on."""

    def call(self, agent: int, version: int) -> Wanted:
        caller, called = self.agents[agent], self.versions[version]
        executes = called.code or bool(called.packages)
        if caller.suspended or any(self.banned(package) for package in called.packages):
            return Wanted(Verdict.DENY)
        if caller.maturity == STUDENT and executes:
            return Wanted(Verdict.DENY)
        first = caller.maturity == INTERN and executes and (agent, called.skill) not in self.first_uses
        lacking = frozenset(package for package in called.packages if self.minimum(package) is None)
        if lacking:
            return Wanted(Verdict.HOLD, lacking, first)
        if any(caller.maturity < (self.minimum(package) or 0) for package in called.packages):
            return Wanted(Verdict.DENY)
        return Wanted(Verdict.HOLD, frozenset(), first_use=True) if first else Wanted(Verdict.ALLOW)

    def banned(self, package: Package) -> bool:
        return any(
            rule.minimum is None and rule.about(package) and not rule.ended(self.now) for rule in self.rules.values()
        )

    def minimum(self, package: Package) -> int | None:
        """Who may use it at the least; ``None`` where no approval is in force."""
        about = [rule for rule in self.rules.values() if rule.minimum is not None and rule.about(package)]
        mine = [rule for rule in about if not rule.files or package.file in rule.files]
        if all(rule.ended(self.now) for rule in mine):
            return None
        asked = [
            self._asked([rule for rule in mine if not rule.everywhere]),
            self._asked([rule for rule in about if rule.everywhere]),
        ]
        return max(minimum for minimum in asked if minimum is not None)

    def _asked(self, rules: list[Rule]) -> int | None:
        """What one scope asks for: the least of what is in force, else the most of what ran out."""
        live = [rule.minimum for rule in rules if not rule.ended(self.now) and rule.minimum is not None]
        over = [rule.minimum for rule in rules if rule.ended(self.now) and rule.minimum is not None]
        return min(live) if live else max(over, default=None)

    def waits(self, request: int) -> bool:
        asked = self.requests[request]
        return asked.state == "pending" and self.now < asked.asked_at + REQUEST_HOURS

    def answer_to(self, agent: int, version: int, wanted: Wanted) -> int | None:
        """The request that already asks for all of this, or was denied of late; ``None`` where a new one is due."""
        mine = [id_ for id_, one in self.requests.items() if (one.agent, one.version) == (agent, version)]
        if not mine:
            return None
        latest = self.requests[max(mine)]
        denied = latest.state == "denied" and self.now < latest.decided_at + DENIAL_HOURS
        covers = wanted.packages <= latest.packages and (latest.first_use or not wanted.first_use)
        same = latest.locked == self.versions[version].packages
        return max(mine) if (self.waits(max(mine)) or denied) and covers and same else None
