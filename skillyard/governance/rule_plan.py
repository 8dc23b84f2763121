"""What it takes to bring the rules of a scope to what a file says. Pure.

*Merge*: for each (ecosystem, name, specifier, state) that the file mentions, the file is right, and everything else
stays; what an approval made stays too. *Replace*: the file is right for the whole scope.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from skillyard.governance.decision import Maturity, PackageRule, RuleState
from skillyard.governance.rules import RuleDraft
from skillyard.skills.skill import Ecosystem

Identity = tuple[Ecosystem, str, str, RuleState]
Content = tuple[Ecosystem, str, str, RuleState, Maturity | None, datetime | None, str | None, frozenset[str]]
"""All that a rule says. Two rules of one content in one scope are one rule written twice."""


class ImportMode(StrEnum):
    MERGE = "merge"
    REPLACE = "replace"
    ADD = "add"
    """What a list of approvals does: nothing that is in force ends."""


@dataclass(frozen=True, slots=True)
class RulePlan:
    """What is to be added and ended. ``kept`` counts the rules of the file that are in force already, ``expired`` those
    whose expiry has passed by now: they are written as they are, and approve or ban nothing."""

    mode: ImportMode
    added: tuple[RuleDraft, ...]
    ended: tuple[PackageRule, ...]
    kept: int
    expired: int

    @property
    def empty(self) -> bool:
        return not self.added and not self.ended


def plan_import(
    existing: Iterable[PackageRule], drafts: Iterable[RuleDraft], *, mode: ImportMode, now: datetime
) -> RulePlan:
    """From the rules of a scope that are in force to a file's. Their order does not matter."""
    wanted = {content(draft): draft for draft in drafts}
    mentioned = {_identity(draft) for draft in wanted.values()}
    in_force = tuple(existing)
    present = {content(rule) for rule in in_force}
    ended = tuple(rule for rule in in_force if content(rule) not in wanted and _overruled(rule, mentioned, mode))
    return RulePlan(
        mode=mode,
        added=tuple(draft for key, draft in wanted.items() if key not in present),
        ended=ended,
        kept=sum(key in present for key in wanted),
        expired=sum(one.expires_at is not None and one.expires_at <= now for one in wanted.values()),
    )


def _overruled(rule: PackageRule, mentioned: Collection[Identity], mode: ImportMode) -> bool:
    match mode:
        case ImportMode.REPLACE:
            return True
        case ImportMode.MERGE:
            return rule.approval is None and _identity(rule) in mentioned
        case ImportMode.ADD:
            return False
        case _:
            assert_never(mode)


def says(rule: PackageRule, draft: RuleDraft) -> bool:
    """Whether a rule says exactly what a draft says."""
    return content(rule) == content(draft)


def content(rule: PackageRule | RuleDraft) -> Content:
    return (*_identity(rule), rule.min_maturity, rule.expires_at, rule.reason, rule.hashes)


def _identity(rule: PackageRule | RuleDraft) -> Identity:
    return rule.ecosystem, rule.name, rule.specifier, rule.state
