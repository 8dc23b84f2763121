"""What is published at a hub is found, installed and called at a follower; what is deleted there is gone here."""

from __future__ import annotations

import time

from tests.acceptance.market import FOLLOWS, Follower, Hub, equal, follower, hub
from tests.acceptance.people import People, answered, said
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, CheckName, Edit, Story

ADD = "def run(a: int = 1, b: int = 2) -> int:\n    return a + b\n"
HEARD = CheckName("a new version is heard of by itself")


def tell(stage: Stage) -> None:
    above = hub(stage)
    for number in range(5):
        above.published(f"tool-{number}", ADD, description=f"Tool number {number} adds two numbers.")
    below = follower(stage, above, name="below")
    below.sync()
    stage.until("the first sync brings all of it", lambda: len(below.listed()) == 5)
    stage.until("and the mirror is what the hub signs", lambda: equal(above, below))

    _called(stage, below)
    _live(stage, above, below)
    _deleted(stage, above, below)
    _refused(stage, above)
    _restarted(stage, above, below)


def _called(stage: Stage, below: Follower) -> None:
    installed = below.install("acme/tool-1@1.0.0")
    stage.check("a skill of the hub is installed", installed.status_code == 201, said(installed))
    caller = below.people.agent("caller", "AUTONOMOUS")
    called = caller.call("acme/tool-1", {"a": 20, "b": 22})
    stage.check("and called here", called.json().get("outcome", {}).get("result") == 42, said(called))


def _live(stage: Stage, above: Hub, below: Follower) -> None:
    stage.until("the live channel is open", lambda: below.status()["channel"]["state"] == "open")
    began = time.monotonic()
    above.published("tool-1", ADD + "\n# New.\n", version="1.1.0")
    published = time.monotonic()
    stage.until(HEARD, lambda: below.listed()["acme/tool-1"]["version"] == "1.1.0")
    stage.figures["publish_seconds"] = round(published - began, 3)
    stage.figures["heard_of_seconds_after"] = round(time.monotonic() - published, 3)
    moved = below.install("acme/tool-1", route="/v1/skills/upgrade")
    stage.check("the installed skill is upgraded to it", moved.json().get("new") == "1.1.0", said(moved))


def _deleted(stage: Stage, above: Hub, below: Follower) -> None:
    above.moderate("acme/tool-4", "deleted")
    stage.until("what the hub deleted is listed no more", lambda: "acme/tool-4" not in below.listed())
    refused = below.install("acme/tool-4@1.0.0")
    stage.check("and cannot be installed", refused.status_code in (404, 409, 410, 422), said(refused))
    again = above.publish("tool-4", ADD)
    stage.check("its number is not given again", again["status"] == "refused", str(again))
    above.moderate("acme/tool-3@1.0.0", "yanked")
    stage.until("what is yanked is listed no more", lambda: "acme/tool-3" not in below.listed())
    exact = below.install("acme/tool-3@1.0.0")
    stage.check("and is still had by its exact version", exact.status_code == 201, said(exact))


def _refused(stage: Stage, above: Hub) -> None:
    bad = above.publish("evil", "import os\n\n\ndef run() -> int:\n    return 1\n", python="idna==2.7")
    stage.check("a version with a known hole is not published", bad["status"] == "refused", str(bad)[:600])
    shown = above.admin.get("/v1/marketplace/skills/acme/evil")
    stage.check("and nobody sees anything of it", shown.status_code == 404, said(shown))
    other = above.publish("tool-1", ADD + "\n# Other.\n", version="1.0.0")
    stage.check("the same number never stands for something else", other["status"] == "refused", str(other)[:600])


def _restarted(stage: Stage, above: Hub, below: Follower) -> None:
    """The follower dies in the middle of whatever it does, and goes on from where it was."""
    below.people.server.kill()
    above.published("tool-5", ADD)
    again = Follower(People(stage.serve(below.people.server.home, **FOLLOWS), below.people.token))
    stage.until("after kill -9 it goes on by itself", lambda: "acme/tool-5" in again.listed(), seconds=60)
    stage.until("and is equal again", lambda: equal(above, again))
    runs = answered(again.admin.get("/v1/admin/sync/runs"))["items"]
    stage.check("every run is on record", len(runs) > 0, str(runs)[:300])


STORY = Story(
    name="sync",
    tell=tell,
    breaks=Break(
        says="the live channel is deaf",
        edits=(Edit("skillyard/marketplace_sync/live/client.py", "self._on_news(remote, head)", "_ = (remote, head)"),),
        trips=HEARD,
    ),
)
