"""Three servers, and everything that can go wrong between them: seed after seed, on one set of servers.

``CHAOS_SEEDS`` says how many, ``CHAOS_FROM`` the first; two hundred are told before a change of the protocol is
released. Every ninth seed has the same special trouble, so fewer than nine leave some out.
"""

from __future__ import annotations

import os

import pytest
from tests.acceptance.bases import BaseOf, SqliteBase, on_postgres
from tests.acceptance.chaos import ring
from tests.acceptance.stage import Stage
from tests.postgres import Cluster

SEEDS = int(os.environ.get("CHAOS_SEEDS", "18"))
FROM = int(os.environ.get("CHAOS_FROM", "1000"))
SEEDS_ON_POSTGRES = -(-SEEDS // 9)


def _told(seeds: range, base: BaseOf) -> None:
    stage = Stage(None)
    try:
        with ring(stage, base=base) as made:
            for seed in seeds:
                made.round(seed)
    finally:
        stage.close()
    assert made.done["kill"] + made.done["publish"] > 0


@pytest.mark.timeout(180 + 60 * SEEDS)
def test_chaos_leaves_all_servers_equal_and_nothing_lost() -> None:
    _told(range(FROM, FROM + SEEDS), SqliteBase)


@pytest.mark.timeout(180 + 60 * SEEDS)
def test_chaos_on_postgresql(postgres: Cluster) -> None:
    """The two in which the database itself is exchanged come first."""
    first = FROM + (4 - FROM) % 9
    _told(range(first, first + SEEDS_ON_POSTGRES), on_postgres(postgres))
