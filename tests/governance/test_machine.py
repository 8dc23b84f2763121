"""Whatever is done in whatever order: decisions are those of a simple model, and nothing forbidden is admitted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.governance.machine.realm import House
from tests.governance.machine.steps import Governing

BRIEF = settings(max_examples=12, stateful_step_count=35)


@pytest.mark.timeout(600)  # a few seconds of work, and a hundred transactions for each of them
def test_requests_approvals_bans_demotions_installs_and_calls_follow_the_model(
    migrated_url: str, tmp_path: Path
) -> None:
    govern(migrated_url, tmp_path, BRIEF)


def govern(url: str, folder: Path, how: settings) -> None:
    """One database for all runs, a workspace for each."""
    with asyncio.Runner() as runner:
        house = runner.run(House.open(url, folder))
        try:
            machine = type("Governing", (Governing,), {"house": house, "runner": runner})
            run_state_machine_as_test(machine, settings=how)
        finally:
            runner.run(house.close())
