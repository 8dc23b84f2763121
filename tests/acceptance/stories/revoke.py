"""What a hub revokes stops at every follower: what runs, what would come next, what would be installed again."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
from tests.acceptance import engine
from tests.acceptance.market import Follower, Hub, archive_of, equal, follower, hub
from tests.acceptance.people import answered, said
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, CheckName, Edit, Story

NAP = "import time\n\n\ndef run(seconds: float = 0) -> str:\n    time.sleep(seconds)\n    return 'rested'\n"
REASON = "It was found to read what it should not."
STOPPED = CheckName("a call that runs at the follower is stopped")


def tell(stage: Stage) -> None:
    above = hub(stage)
    above.published("nap", NAP)
    above.published("good", NAP.replace("rested", "good"))
    below = follower(stage, above, name="below")
    below.sync()
    stage.until("the follower knows it", lambda: "acme/nap" in below.listed() and equal(above, below))
    for name in ("nap", "good"):
        answered(below.install(f"acme/{name}@1.0.0"))
    caller = below.people.agent("caller", "AUTONOMOUS")
    called = caller.call("acme/nap")
    stage.check("it is called there", called.json().get("outcome", {}).get("result") == "rested", said(called))
    stage.until("the live channel is open", lambda: below.status()["channel"]["state"] == "open")

    home = below.people.server.home
    pool = ThreadPoolExecutor(1)
    napping: Future[httpx.Response] = pool.submit(caller.call, "acme/nap", {"seconds": 90})
    pool.shutdown(wait=False)
    stage.until("a call naps", lambda: _newest(below) == "accepted" and not napping.done())
    time.sleep(0.5)
    asked = time.monotonic()
    above.moderate("acme/nap@1.0.0", "revoked", REASON)
    stage.until(STOPPED, napping.done, seconds=45)
    stage.figures["stopped_seconds_after_asking"] = round(time.monotonic() - asked, 3)
    outcome = napping.result().json().get("outcome", {})
    stage.check("it ended as killed", outcome.get("state") == "killed", said(napping.result()))
    refused = caller.call("acme/nap")
    stage.check("the next call is refused", refused.status_code == 403, said(refused))
    good = caller.call("acme/good")
    stage.check("another skill of the same hub goes on", good.json()["outcome"]["result"] == "good", said(good))
    stage.until("no sandbox of it is left", lambda: len(engine.containers(home)) <= 1)

    code, out, _ = stage.command(home, "audit", "verify", "--json")
    stage.check("all of it is in an unbroken audit chain", code == 0, out)
    above.moderate("acme/nap@1.0.0", "visible", "It was a mistake.")
    stage.until("the hub takes it back, and the follower hears", lambda: equal(above, below))
    still = caller.call("acme/nap")
    stage.check("and yet it does not run before somebody here says so", still.status_code == 403, said(still))
    _not_again(stage, above, below)


def _newest(below: Follower) -> str:
    """How the newest call stands."""
    return str(answered(below.admin.get("/v1/invocations", params={"limit": 1}))["items"][0]["state"])


def _not_again(stage: Stage, above: Hub, below: Follower) -> None:
    """Revoked for good, and removed here: no way leads back to it."""
    above.moderate("acme/nap@1.0.0", "revoked", REASON)
    stage.until("revoked again, and the follower hears", lambda: equal(above, below))
    removed = below.admin.delete("/v1/skills/acme/nap")
    stage.check("an admin removes it here", removed.is_success, said(removed))
    again = below.install("acme/nap@1.0.0")
    stage.check("it cannot be installed again from the hub", not again.is_success and REASON in again.text, said(again))
    file = below.people.upload(archive_of("nap", NAP))
    stage.check("nor as a file with the same content", not file.is_success and REASON in file.text, said(file))


STORY = Story(
    name="revoke",
    tell=tell,
    breaks=Break(
        says="what is revoked stops nothing",
        edits=(Edit("skillyard/marketplace_sync/revocations.py", "if not bundle_digests:", "if bundle_digests:"),),
        trips=STOPPED,
    ),
)
