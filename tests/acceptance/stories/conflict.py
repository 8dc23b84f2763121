"""Both sides change one skill: nothing is lost in silence. It is settled by a rule or a person, and it is on record."""

from __future__ import annotations

from tests.acceptance.market import Follower, Hub, equal, follower, hub
from tests.acceptance.people import Json, answered, said
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, CheckName, Edit, Story

ADD = "def run(a: int = 1, b: int = 2) -> int:\n    return a + b\n"
FOUND = CheckName("two edits from one base are a conflict, with all three sides")


def tell(stage: Stage) -> None:
    above = hub(stage)
    for name in ("mine", "yours", "both", "many"):
        above.published(name, ADD, description=f"The skill {name}.")
    here = follower(stage, above, name="here", strategy="manual")
    there = follower(stage, above, name="there")
    for one in (here, there):
        stage.until("a follower has it all", lambda one=one: len(one.listed()) == 4 and equal(above, one))

    _by_hand(stage, above, here, there)
    _merged(stage, above, here, there)
    _by_itself(stage, above, here, there)
    _many(stage, above, here, there)
    stage.until("in the end all three say the same", lambda: equal(above, here) and equal(above, there))


def _by_hand(stage: Stage, above: Hub, here: Follower, there: Follower) -> None:
    """Kept until a person decides."""
    _both_edit(stage, above, here, there, "mine", {"description": "As here."}, {"description": "As there."})
    conflict = stage.until(FOUND, lambda: _open(here, "acme/mine"))
    shown = answered(here.admin.get(f"/v1/admin/sync/conflicts/{conflict['id']}"))
    sides = (shown["base"]["description"], shown["local"]["description"], shown["theirs"]["description"])
    stage.check("each side is there to be read", sides == ("The skill mine.", "As here.", "As there."), str(sides))
    stage.check("it is of words, and low", (shown["kind"], shown["severity"]) == ("metadata", "LOW"), str(shown)[:300])
    stage.check("until then the hub's counts", above.skill("mine")["description"] == "As there.", "")
    answered(here.admin.post(f"/v1/admin/sync/conflicts/{conflict['id']}/resolve", json={"strategy": "local_wins"}))
    stage.until("decided for here, the hub has it", lambda: above.skill("mine")["description"] == "As here.")
    again = here.admin.post(f"/v1/admin/sync/conflicts/{conflict['id']}/resolve", json={"strategy": "remote_wins"})
    stage.check("nobody decides it twice", again.status_code == 409, said(again))


def _merged(stage: Stage, above: Hub, here: Follower, there: Follower) -> None:
    """Different fields: merging keeps both."""
    _both_edit(stage, above, here, there, "both", {"topics": ["numbers"]}, {"description": "Adds up."})
    conflict = stage.until("edits of different fields conflict too", lambda: _open(here, "acme/both"))
    answered(here.admin.post(f"/v1/admin/sync/conflicts/{conflict['id']}/resolve", json={"strategy": "merge"}))
    stage.until("merged, the hub has both", lambda: _said(above, "both") == ("Adds up.", ["numbers"]))


def _by_itself(stage: Stage, above: Hub, here: Follower, there: Follower) -> None:
    """The other follower's rule is that the hub wins: settled at once, and on record all the same."""
    _both_edit(stage, above, there, here, "yours", {"description": "Lost."}, {"description": "Kept."})
    settled = stage.until("a rule settles it by itself", lambda: _of(there, "acme/yours", "resolved"))
    stage.check("and says so", (settled["strategy"], settled["resolved_by"]) == ("remote_wins", "system"), str(settled))
    stage.until("the hub's stays", lambda: above.skill("yours")["description"] == "Kept.")
    stage.check("once", len(_all(there, "acme/yours")) == 1, str(_all(there, "acme/yours")))


def _many(stage: Stage, above: Hub, here: Follower, there: Follower) -> None:
    """All of a list are decided together, or none."""
    _both_edit(stage, above, here, there, "many", {"description": "One."}, {"description": "Two."})
    conflict = stage.until("another one waits", lambda: _open(here, "acme/many"))
    wrong = {"ids": [conflict["id"], 999_999], "strategy": "remote_wins"}
    refused = here.admin.post("/v1/admin/sync/conflicts/resolve", json=wrong)
    stage.check("one that is not there fails all", refused.status_code == 404, said(refused))
    stage.check("and none is decided", _open(here, "acme/many") is not None, "")
    right = {"ids": [conflict["id"]], "strategy": "remote_wins"}
    answered(here.admin.post("/v1/admin/sync/conflicts/resolve", json=right))
    stage.check("then all are", _open(here, "acme/many") is None, "")


def _both_edit(
    stage: Stage, above: Hub, first: Follower, second: Follower, name: str, mine: Json, theirs: Json
) -> None:
    """``first`` edits while it cannot send; ``second`` edits the same, and its edit gets there."""
    held = {"remote": "hub", "job": "uploads", "paused": True}
    answered(first.admin.put("/v1/admin/sync/config", json=held))
    # A run that is under way would take the edit along.
    stage.until("nothing is being sent", lambda: not _sending(first))
    path = f"/v1/remotes/hub/skills/acme/{name}/edit"
    answered(first.admin.post(path, json=mine))
    answered(second.admin.post(path, json=theirs))
    stage.until(
        f"the other edit of {name} arrived",
        lambda: all(above.skill(name)[field] == value for field, value in theirs.items()),
    )
    answered(first.admin.put("/v1/admin/sync/config", json=held | {"paused": False}))
    first.sync("uploads")


def _sending(one: Follower) -> bool:
    newest = {"remote": "hub", "job": "uploads", "limit": "1"}
    found: list[Json] = answered(one.admin.get("/v1/admin/sync/runs", params=newest))["items"]
    return any(run["state"] == "running" for run in found)


def _said(above: Hub, name: str) -> tuple[str, list[str]]:
    found = above.skill(name)
    return found["description"], found["topics"]


def _open(one: Follower, key: str) -> Json | None:
    return _of(one, key, "open")


def _of(one: Follower, key: str, state: str) -> Json | None:
    return next((found for found in _all(one, key) if found["state"] == state), None)


def _all(one: Follower, key: str) -> list[Json]:
    return [found for found in answered(one.admin.get("/v1/admin/sync/conflicts"))["items"] if found["key"] == key]


STORY = Story(
    name="conflict",
    tell=tell,
    breaks=Break(
        says="of two edits the remote's is taken, in silence",
        edits=(
            Edit(
                "skillyard/marketplace_sync/conflicts/finding.py",
                "conflict = await _add(session, remote, upload, sides, mark)",
                "await uploads_store.drop(session, upload, at=at, error=THEIRS); return True",
            ),
        ),
        trips=FOUND,
    ),
)
