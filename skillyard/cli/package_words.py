"""What the commands about packages share: options, how a package is written, how a rule is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from skillyard.api.schemas.packages import RuleView
from skillyard.cli.exit_codes import UsageProblemError
from skillyard.governance.decision import RuleScope, RuleState
from skillyard.skills.skill import Ecosystem

Kind = Annotated[Ecosystem, typer.Option("--ecosystem", help="Whose package it is.")]
Global = Annotated[
    bool, typer.Option("--global", help="A rule of the whole instance, for every workspace; needs an operator.")
]
ExpiresDays = Annotated[
    float | None, typer.Option("--expires-days", min=0.001, help="Days until it ends; default: never.")
]


def scope_of(everywhere: bool) -> RuleScope:
    return RuleScope.GLOBAL if everywhere else RuleScope.WORKSPACE


def expiry(days: float | None) -> str | None:
    return None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()


def split_package(text: str, ecosystem: Ecosystem) -> tuple[str, str | None]:
    """Name and version of ``name==1.2.3``, or for npm ``@scope/name@1.2.3``; the version may be left out."""
    mark = "==" if ecosystem is Ecosystem.PYPI else "@"
    name, _, version = text[1:].partition(mark) if text.startswith("@") else text.partition(mark)
    if text.startswith("@"):
        name = f"@{name}"
    if not name:
        raise UsageProblemError(f"{text!r} names no package; write name{mark}1.2.3", field="PACKAGE")
    return name, version or None


def told(rule: RuleView) -> str:
    what = "ban" if rule.state is RuleState.BANNED else f"approval from {rule.min_maturity} on"
    where = "global " if rule.scope is RuleScope.GLOBAL else ""
    versions = f" {rule.specifier}" if rule.specifier[:1].isalnum() else rule.specifier
    return f"{where}rule {rule.id}, {what}, of {rule.ecosystem.value} {rule.name}{versions or ' (every version)'}"
