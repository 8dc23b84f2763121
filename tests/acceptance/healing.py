"""What has to hold between a hub and its followers once nothing disturbs them any more.

The digest is computed here, from the page that describes it (``docs/reference/marketplace-protocol.md``), so that a
product that computes it wrongly on both ends is found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from tests.acceptance.bases import Row
from tests.acceptance.market import Follower, Hub
from tests.acceptance.people import Json, answered, said
from tests.acceptance.stage import Stage
from tests.acceptance.story import CheckName

RATED = CheckName("every rating that was given below is above, once")
HEALTHY = CheckName("its health says that it keeps up")

_LANES = 1024
_EXPECTED_TROUBLES = {"dead_uploads"}
"""What was refused for good stays on show."""

Entries = Mapping[tuple[str, str], Row]


def check_equal(stage: Stage, hub: Hub, held: Entries, side: str, there: Entries) -> None:
    """Row by row, and by the digest that the hub signs."""
    stage.check(f"{side} holds what the hub holds", there == held, difference(held, there))
    signed = hub.head()
    found = (digest(there.values()), len(there))
    stage.check(f"{side}'s digest is the one that is signed", found == (signed["digest"], signed["live"]), str(signed))


def check_found(stage: Stage, hub: Hub, side: str, one: Follower) -> None:
    """A search of the mirror finds what one of the hub finds."""
    above = _listed(answered(hub.admin.get("/v1/marketplace/skills", params={"limit": "100"}))["items"])
    below = _listed(one.listed().values())
    stage.check(f"a search at {side} finds what one at the hub does", below == above, f"{below}, not {above}")


def check_healthy(stage: Stage, one: Follower) -> None:
    def healthy() -> bool:
        shown = one.admin.get("/health/sync")
        return shown.is_success and {trouble["code"] for trouble in shown.json()["troubles"]} <= _EXPECTED_TROUBLES

    stage.until(HEALTHY, healthy)


def check_ratings(stage: Stage, hub: Hub, skill: str, wanted: Iterable[int]) -> None:
    """Those of one skill, each as it was given last."""
    shown = hub.admin.get(f"/v1/marketplace/skills/{skill}/ratings", params={"limit": "100"})
    found = sorted(one["stars"] for one in shown.json()["items"]) if shown.is_success else []
    stage.check(RATED, found == sorted(wanted), f"{skill} has {found}, not {sorted(wanted)}; {said(shown)}")


def refused_ratings(one: Follower) -> set[str]:
    """Skills whose rating the hub refused, and that were not rated since: on show, and not lost in silence."""
    last = {upload["key"].partition("#")[0]: upload["state"] for upload in everything(one, kind="rating")}
    return {skill for skill, state in last.items() if state == "dead"}


def own_rating(hub: Hub, one: Follower, skill: str) -> int | None:
    """What the hub shows of a follower's first person; ``None`` where nothing of theirs is there."""
    keys = {upload["key"] for upload in everything(one, kind="rating") if upload["key"].startswith(f"{skill}#")}
    shown = answered(hub.admin.get(f"/v1/marketplace/skills/{skill}/ratings", params={"limit": "100"}))["items"]
    found = [rating["stars"] for rating in shown if f"{skill}#{rating['origin']}/{rating['rater']}" in keys]
    return found[0] if found else None


def check_conflicts(stage: Stage, one: Follower) -> None:
    """Each edit that made way for the hub's is in the log of conflicts."""
    edits = everything(one, kind="skill")
    dropped = Counter(edit["key"] for edit in edits if edit["dropped"] == "theirs")
    logged = Counter(found["key"] for found in _pages(one, "/v1/admin/sync/conflicts"))
    lost = {key: count for key, count in dropped.items() if count > logged[key]}
    stage.check("no edit is lost in silence", not lost, f"{lost} of {dropped}, logged {logged}")


def open_conflicts(one: Follower) -> list[Json]:
    return _pages(one, "/v1/admin/sync/conflicts", state="open")


def everything(one: Follower, **narrowed: str) -> list[Json]:
    """The whole outbox, in its order."""
    return _pages(one, "/v1/admin/sync/uploads", **narrowed)


def digest(rows: Collection[Row]) -> str:
    """LtHash over live entries: lanes of 16 bits from SHAKE-256, added up."""
    lanes = [0] * _LANES
    for row in rows:
        text = f"{row.kind}\0{row.key}\0{row.sha256}"
        stream = hashlib.shake_256(text.encode()).digest(2 * _LANES)
        for lane in range(_LANES):
            lanes[lane] += int.from_bytes(stream[2 * lane : 2 * lane + 2])
    state = b"".join((lane % 2**16).to_bytes(2) for lane in lanes)
    return hashlib.sha256(state).hexdigest()


def _listed(items: Iterable[Json]) -> dict[str, tuple[str, str]]:
    return {f"{one['publisher']}/{one['name']}": (one["description"], str(one["version"])) for one in items}


def difference(held: Entries, there: Entries) -> str:
    return str([(key, held.get(key), there.get(key)) for key in {*held, *there} if held.get(key) != there.get(key)][:5])


def _pages(one: Follower, path: str, **query: str) -> list[Json]:
    found: list[Json] = []
    cursor: str | None = None
    while True:
        page = answered(one.admin.get(path, params=query | {"limit": "100"} | ({"cursor": cursor} if cursor else {})))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
