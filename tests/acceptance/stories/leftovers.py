"""However a server ends, nothing of it stays: not a container, not an open call, not a half-made environment."""

from __future__ import annotations

import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import httpx
from tests.acceptance import engine
from tests.acceptance.people import Agent, People, answered, said
from tests.acceptance.server import Server
from tests.acceptance.skills import made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

CODE = "import time\n\n\ndef run(seconds: float = 0):\n    time.sleep(seconds)\n    return seconds\n"
SLEEPER = "acme/sleeper"
NEXT_START = "what could not end by itself is gone after the next start"


def tell(stage: Stage) -> None:
    home = stage.home()
    server = stage.serve(home)
    people = People(server)
    people.install(made("sleeper", CODE))
    _caller_leaves(stage, people)
    server = _killed(stage, people)
    server = _killed_with_a_stuck_container(stage, server, people)
    _told_to_end(stage, server)
    _killed_while_building(stage)


def _caller_leaves(stage: Stage, people: People) -> None:
    robot = people.agent("impatient", "AUTONOMOUS")
    with suppress(httpx.ReadTimeout):
        robot.client.post("/v1/invocations", json={"skill": SLEEPER, "input": {"seconds": 50}}, timeout=6)
    _ends_as(stage, "a caller who leaves cancels the call", people, "cancelled")
    again = robot.call(SLEEPER)
    stage.check("and the next one gets an answer", again.status_code == 200, said(again))


def _killed(stage: Stage, people: People) -> Server:
    """SIGKILL while a call runs: the containers see the end of their input, and end."""
    server, home = people.server, people.server.home
    caller = _call_in_the_background(people.agent("first", "AUTONOMOUS"))
    _ends_as(stage, "a call runs", people, "accepted")
    stage.check("in a container", len(engine.containers(home)) >= 1)
    server.kill()
    caller.join()
    with stage.timed("gone_after_sigkill_seconds"):
        stage.until("no container outlives a server that was killed", lambda: engine.containers(home) == ())
    server = stage.serve(home)
    _check_records(stage, People(server, people.token))
    return server


def _killed_with_a_stuck_container(stage: Stage, server: Server, people: People) -> Server:
    """A container that cannot notice anything, as on a machine that was frozen or an engine that was restarted."""
    home = server.home
    now = People(server, people.token)
    caller = _call_in_the_background(now.agent("second", "AUTONOMOUS"))
    _ends_as(stage, "a call runs once more", now, "accepted")
    # It is admitted before its container is started.
    stuck = stage.until("in a container again", lambda: engine.running(home))
    for container in stuck:
        subprocess.run(["docker", "pause", container], check=True, capture_output=True, timeout=30)
    server.kill()
    caller.join()
    stage.check("its container is stuck", set(engine.containers(home)) == set(stuck), str(stuck))
    server = stage.serve(home)
    left = set(stuck) & set(engine.containers(home))
    stage.check(NEXT_START, not left, f"still there: {left}")
    _check_records(stage, People(server, people.token))
    answer = People(server, people.token).agent("third", "AUTONOMOUS").call(SLEEPER)
    stage.check("and calls are served again", answer.status_code == 200, said(answer))
    return server


def _told_to_end(stage: Stage, server: Server) -> None:
    home = server.home
    stage.check("a warm sandbox waits", len(engine.containers(home)) >= 1)
    code = server.stop()
    stage.check("a server that is told to end does so cleanly", code == 0, f"exit code {code}")
    stage.check("and takes its containers with it", engine.containers(home) == (), str(engine.containers(home)))
    leases = list((home / "leases").iterdir())
    stage.check("and its lease", leases == [], str(leases))


def _killed_while_building(stage: Stage) -> None:
    """SIGKILL while packages are fetched: nothing that is there afterwards looks finished and is not."""
    home = stage.home(shared=False)
    server = stage.serve(home)
    people = People(server)
    people.install(
        made("sums", "import numpy\n\n\ndef run():\n    return int(numpy.arange(5).sum())\n", python="numpy==2.1.2")
    )
    rule = {"name": "numpy", "specifier": "==2.1.2", "min_maturity": "AUTONOMOUS"}
    answered(people.admin.post("/v1/packages/approve", json=rule))
    caller = _call_in_the_background(people.agent("robot", "AUTONOMOUS"), "acme/sums", {})
    staging = home / "environments" / "staging"
    stage.until("packages are being fetched", lambda: staging.is_dir() and any(staging.iterdir()), seconds=60)
    server.kill()
    caller.join()
    finished = [path for path in (home / "environments" / "python").glob("[0-9a-f]*") if path.is_dir()]
    stage.check("nothing looks finished that is not", finished == [], str(finished))

    server = stage.serve(home)
    again = People(server, people.token)
    _check_records(stage, again)
    left = _entries(staging)
    stage.check("the next start sweeps what was half made", left == [], str(left))
    answer = answered(again.agent("robot-2", "AUTONOMOUS").call("acme/sums"))
    stage.check("and builds it whole", answer["outcome"]["result"] == 10, str(answer["outcome"]))
    server.close()


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _check_records(stage: Stage, people: People) -> None:
    newest = answered(people.admin.get("/v1/invocations", params={"limit": 100}))["items"]
    open_ = [item for item in newest if item["state"] == "accepted"]
    stage.check("no call is open that nobody runs", open_ == [], str(open_))
    stage.check("a call whose server died is lost", newest[0]["state"] == "lost", str(newest[0]))
    audit = answered(people.admin.get("/v1/audit/verify"))
    stage.check("the audit chain holds", audit["broken"] is None, str(audit))
    leases = list((people.server.home / "leases").glob("[0-9a-f]*"))
    stage.check("only the living hold a lease", len(leases) == 1, str(leases))


def _ends_as(stage: Stage, name: str, people: People, state: str) -> None:
    def newest() -> bool:
        items = answered(people.admin.get("/v1/invocations", params={"limit": 1}))["items"]
        return bool(items) and items[0]["state"] == state

    stage.until(name, newest)


def _call_in_the_background(
    agent: Agent, skill: str = SLEEPER, given: dict[str, float] | None = None
) -> threading.Thread:
    """A call that never gets its answer, because the server dies."""

    def call() -> None:
        with suppress(httpx.HTTPError):
            agent.call(skill, {"seconds": 50} if given is None else given)

    thread = threading.Thread(target=call)
    thread.start()
    return thread


STORY = Story(
    name="leftovers",
    tell=tell,
    breaks=Break(
        says="the owner of every container counts as alive",
        edits=(
            Edit(
                "skillyard/runtime/reconcile.py",
                'if not self._observer.is_alive(one.labels.get(_LEASE, ""))',
                "if not one.labels",
            ),
        ),
        trips=NEXT_START,
    ),
)
