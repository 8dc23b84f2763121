"""The documented matrix of maturities says what ``decide`` says, cell by cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from skillyard.governance.decision import AgentState, Allow, Maturity
from skillyard.governance.policy import decide
from skillyard.governance.report import Verdict
from tests.governance.worlds import (
    BOTH,
    CODE,
    ELSEWHERE,
    NOW,
    PANDAS_NUMPY,
    POLICY,
    TEXT,
    agent,
    approval,
    ban,
    report,
    rules,
)

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "maturity.md"


def world(
    *found: Any, skill: Any = CODE, locks: Any = (PANDAS_NUMPY,), used: bool = True, **more: Any
) -> dict[str, Any]:
    return {"skill": skill, "locks": locks, "rules": rules(*found, used=used), "report": report(*locks), **more}


SUPERVISED, AUTONOMOUS = Maturity.SUPERVISED, Maturity.AUTONOMOUS
WORLDS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "instructions only": (world(skill=TEXT, locks=()), world(skill=TEXT, locks=(), used=False)),
    "code without packages, used before": (world(locks=()),),
    "code without packages, never used before": (world(locks=(), used=False),),
    "packages approved for INTERN, used before": (world(*BOTH),),
    "packages approved for INTERN, never used before": (world(*BOTH, used=False),),
    "a package approved for SUPERVISED": (
        world(approval("pandas"), approval("numpy", minimum=SUPERVISED)),
        world(approval("pandas", minimum=SUPERVISED), approval("numpy"), used=False),
    ),
    "a package approved for AUTONOMOUS": (
        world(approval("pandas"), approval("numpy", minimum=AUTONOMOUS)),
        world(approval("pandas", minimum=AUTONOMOUS), approval("numpy"), used=False),
    ),
    "a package that nobody approved": (world(), world(approval("pandas")), world(approval("numpy"), used=False)),
    "instructions with a package that nobody approved": (world(skill=TEXT), world(skill=TEXT, used=False)),
    "a banned package, also one that another package asked for": (
        world(*BOTH, ban("pandas")),
        world(*BOTH, ban("numpy"), used=False),
    ),
    "a report that blocks, or cannot tell": tuple(
        world(*BOTH) | {"report": report(PANDAS_NUMPY, verdict=verdict)}
        for verdict in (Verdict.BLOCK, Verdict.INDETERMINATE)
    ),
    "anything, by a suspended agent": (
        world(*BOTH, who={"state": AgentState.SUSPENDED}),
        world(skill=TEXT, locks=(), who={"state": AgentState.SUSPENDED}),
    ),
    "anything, by an agent that is unknown here": (
        world(*BOTH, who={"workspace": ELSEWHERE}),
        world(skill=TEXT, locks=(), who={"workspace": ELSEWHERE}),
        world(skill=TEXT, locks=(), who=None),
    ),
}


def cell(given: dict[str, Any], maturity: Maturity) -> str:
    who = given.get("who", {})
    caller = None if who is None else agent(maturity, **who)
    arguments = (caller, given["skill"], given["locks"], given["report"], given["rules"], NOW, POLICY)
    decision = decide(*arguments)
    watched = isinstance(decision, Allow) and decision.supervised
    return type(decision).__name__ + (", supervised" if watched else "")


def documented() -> dict[str, list[str]]:
    text = PAGE.read_text().partition("## The matrix")[2].partition("\n## ")[0]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)]
    assert rows[0][1:] == [maturity.name for maturity in Maturity]
    return {row[0]: row[1:] for row in rows[2:]}


def test_every_row_is_tested() -> None:
    assert list(documented()) == list(WORLDS)


@pytest.mark.parametrize("row", WORLDS)
def test_every_cell_is_what_is_decided(row: str) -> None:
    for given in WORLDS[row]:
        assert [cell(given, maturity) for maturity in Maturity] == documented()[row]
