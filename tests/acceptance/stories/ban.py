"""A ban holds everywhere from its commit on: what runs is stopped, what comes next is refused. Lifted, it runs."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
from tests.acceptance import engine
from tests.acceptance.people import Agent, Json, People, answered, said
from tests.acceptance.skills import made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, CheckName, Edit, Story

SKILL, PACKAGE, REASON = "acme/nap", "six", "Its maintainer's account was taken over."
CODE = (
    "import time\n\nimport six\n\n\ndef run(seconds: float = 0):\n    time.sleep(seconds)\n    return six.__version__\n"
)
NAP_SECONDS = 90.0
STOPPED = CheckName("a call that runs in another process is stopped")


def tell(stage: Stage) -> None:
    home = stage.home()
    here = People(stage.serve(home))
    there = People(stage.serve(home), here.token)
    here.install(made("nap", CODE, python="six==1.17.0"))
    rule = {"name": PACKAGE, "specifier": "==1.17.0", "min_maturity": "SUPERVISED"}
    answered(here.admin.post("/v1/packages/approve", json=rule))
    caller = here.agent("caller", "AUTONOMOUS")
    elsewhere = Agent(caller.id, there.server.client(_token_of(caller)))

    _runs(stage, "approved, it runs in one process", caller)
    _runs(stage, "and in another on the same database", elsewhere)
    _stopped(stage, home_of=here, there=there, caller=caller)
    for name, agent in (("the process that heard of it", caller), ("the process that was told", elsewhere)):
        _refused(stage, f"the next call is refused by {name}", agent)
    code, out, _ = stage.command(home, "audit", "verify", "--json")
    stage.check("all of it is in an unbroken audit chain", code == 0, out)

    answered(here.admin.post("/v1/packages/unban", json={"name": PACKAGE}))
    _runs(stage, "lifted here, it runs there again", elsewhere)
    _runs(stage, "and here", caller)
    _under_load(stage, here, there, (caller, elsewhere))


def _stopped(stage: Stage, *, home_of: People, there: People, caller: Agent) -> None:
    """A call naps in one process while the ban is posted to another."""
    home = home_of.server.home
    pool = ThreadPoolExecutor(1)
    napping: Future[httpx.Response] = pool.submit(caller.call, SKILL, {"seconds": NAP_SECONDS})
    pool.shutdown(wait=False)
    stage.until("a call naps", lambda: _newest(home_of)["state"] == "accepted" and not napping.done())
    stage.until("in a container", lambda: engine.containers(home) != ())
    asked_at = time.monotonic()  # before the commit: the server answers when it has stopped what it runs itself
    _ban(there)
    stage.until(STOPPED, napping.done, seconds=45)
    stage.figures["stopped_seconds_after_asking"] = round(time.monotonic() - asked_at, 3)
    ended = napping.result()
    outcome: Json = ended.json().get("outcome", {})
    stage.check("it ended as killed", outcome.get("state") == "killed", said(ended))
    stage.check("and says which package is banned", f"{PACKAGE}==1.17.0" in str(outcome.get("reason")), said(ended))
    stage.until("no sandbox that holds it is left in any process", lambda: engine.containers(home) == ())
    stage.figures["no_sandbox_seconds_after_asking"] = round(time.monotonic() - asked_at, 3)


def _under_load(stage: Stage, here: People, there: People, agents: tuple[Agent, ...]) -> None:
    """Calls without a pause in both processes, and a ban among them: the audit chain tells the order."""
    enough = threading.Event()
    codes: list[int] = []

    def calls(agent: Agent) -> None:
        while not enough.is_set():
            codes.append(agent.call(SKILL).status_code)

    callers = [threading.Thread(target=calls, args=(agent,)) for agent in agents for _ in range(3)]
    for one in callers:
        one.start()
    try:
        stage.until("calls run in both processes", lambda: codes.count(200) >= 40)
        _ban(there)
        stage.until("until they are refused", lambda: len(codes) > 0 and codes[-6:] == [403] * 6)
    finally:
        enough.set()
        for one in callers:
            one.join()
    exported = here.admin.get("/v1/audit/export")
    exported.raise_for_status()
    records = [json.loads(line) for line in exported.text.splitlines()]
    order = [record["action"] for record in records if "action" in record]
    last_ban = max(place for place, action in enumerate(order) if action == "package.banned")
    late = order[last_ban:].count("invocation.admitted")
    stage.check("no call was admitted behind the ban, in any process", late == 0, f"{late} were")
    stage.figures["calls_around_the_ban"] = len(codes)


def _ban(people: People) -> None:
    answered(people.admin.post("/v1/packages/ban", json={"name": PACKAGE, "reason": REASON}))


def _runs(stage: Stage, name: str, agent: Agent) -> None:
    response = agent.call(SKILL)
    outcome: Json = response.json().get("outcome", {})
    stage.check(name, response.status_code == 200 and outcome.get("result") == "1.17.0", said(response))


def _refused(stage: Stage, name: str, agent: Agent) -> None:
    response = agent.call(SKILL)
    reasons = response.json()["decision"]["reasons"] if response.status_code == 403 else []
    told = [one for one in reasons if one["code"] == "banned_package" and REASON in one["message"]]
    stage.check(name, len(told) == 1, said(response))


def _newest(people: People) -> Json:
    items: list[Json] = answered(people.admin.get("/v1/invocations", params={"limit": 1}))["items"]
    return items[0]


def _token_of(agent: Agent) -> str:
    return agent.client.headers["Authorization"].removeprefix("Bearer ")


STORY = Story(
    name="ban",
    tell=tell,
    breaks=Break(
        says="a process that hears of a ban lets run what runs",
        edits=(
            Edit(
                "skillyard/runtime/enforce.py",
                "stops = (self._stop(view.versions[id_], reason) for id_, reason in refused.items())",
                "stops = (self._stop(view.versions[id_], reason) for id_, reason in list(refused.items())[:0])",
            ),
        ),
        trips=STOPPED,
    ),
)
