"""The rules that scanners of ours have, by their names. A policy that names another one would do nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from skillyard.governance import source_builds
from skillyard.governance.engines import agreement
from skillyard.governance.scanners import advisories, declared, names
from skillyard.governance.static.registry import RULES

OURS: Final = frozenset(
    {
        advisories.RULE,
        advisories.UNDETERMINED_RULE,
        advisories.MALICIOUS_RULE,
        declared.RULE,
        declared.UNKNOWN_RULE,
        source_builds.RULE,
        agreement.RULE,
        names.LOOKALIKE,
        names.PRIVATE,
        names.ABOVE,
        *(rule.id for rule in RULES),
    }
)
"""Stable names; those of plug-ins are written ``plug-in:rule``."""


def first_unknown(rules: Iterable[str]) -> tuple[str, str] | None:
    """The first rule that is neither ours nor a plug-in's, and what may be meant; ``None`` where all are known."""
    for rule in rules:
        if ":" not in rule and rule not in OURS:
            near = difflib.get_close_matches(rule, OURS, n=3)
            meant = f"; is {' or '.join(near)} meant?" if near else "; rules of plug-ins are written plug-in:rule"
            return rule, f"is no rule of ours{meant}"
    return None
