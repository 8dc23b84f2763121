"""Three servers, and everything that can go wrong between them: seed after seed, on one set of servers.

``CHAOS_SEEDS`` says how many, ``CHAOS_FROM`` the first; two hundred are told before a change of the protocol is
released.
"""

from __future__ import annotations

import os

import pytest
from tests.acceptance.chaos import ring
from tests.acceptance.stage import Stage

SEEDS = int(os.environ.get("CHAOS_SEEDS", "20"))
FROM = int(os.environ.get("CHAOS_FROM", "1000"))


@pytest.mark.timeout(120 + 30 * SEEDS)
def test_chaos_leaves_all_servers_equal_and_nothing_lost() -> None:
    stage = Stage(None)
    try:
        with ring(stage) as made:
            for seed in range(FROM, FROM + SEEDS):
                made.round(seed)
    finally:
        stage.close()
    assert made.done["kill"] + made.done["publish"] > 0
