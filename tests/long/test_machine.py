"""The state machine of ``tests/governance`` for longer: many workspaces, and more done in each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from tests.governance.test_machine import govern

LONG = settings(max_examples=150, stateful_step_count=80)


@pytest.mark.timeout(1800)
def test_governing_for_longer_follows_the_model(migrated_url: str, tmp_path: Path) -> None:
    govern(migrated_url, tmp_path, LONG)
