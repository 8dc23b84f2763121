"""Lies, cut lines, kills, backups and moderation between three servers, by seed; after each round all of them agree.

``tests/long`` tells many more seeds.
"""

from __future__ import annotations

from tests.acceptance.chaos import ring
from tests.acceptance.healing import RATED
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

SEEDS = (7, 3, 4, 6, 1, 2)
"""Clocks that jump, a revoke while somebody edits, a backup, another hub, eight writers, two who edit one skill; see
``tests.acceptance.acts``."""


def tell(stage: Stage) -> None:
    with ring(stage) as made:
        for seed in SEEDS:
            made.round(seed)
        stage.figures["seconds_to_rest"] = max(rest for _, rest in made.seconds)
        stage.figures["seeds"] = len(SEEDS)
        stage.figures["acts"] = {name: float(count) for name, count in sorted(made.done.items())}


STORY = Story(
    name="sync-chaos",
    tell=tell,
    breaks=Break(
        says="an upload that failed once counts as sent",
        edits=(
            Edit(
                "skillyard/marketplace_sync/upwards/sender.py",
                "await store.again(\n                        session, upload.id, by=self._lease, next_at=next_at, "
                "not_before=not_before, error=str(error)\n                    )",
                "await store.arrived(session, {upload.id: None}, by=self._lease, at=at)",
            ),
        ),
        trips=RATED,
    ),
)
