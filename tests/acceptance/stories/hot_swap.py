"""A skill gets new versions while it is called: no call is lost, nobody goes back in time, broken ones stay out."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
from tests.acceptance import engine
from tests.acceptance.people import Agent, Json, People, answered, said
from tests.acceptance.server import SKILLYARD
from tests.acceptance.skills import made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, HarnessError, Story

SKILL = "acme/ticker"
CLIENTS = 4
IN_FLIGHT = "a call that was under way ends where it began"
BROKEN_EDIT = "and the last version that passed goes on serving"


def version(number: str, code: str = "") -> bytes:
    body = f"def run(seconds: float = 0.01):\n    time.sleep(seconds)\n    return {number!r}\n"
    return made("ticker", f"import time\n{code}\n\n{body}", version=number)


@dataclass
class Traffic:
    """What calls in the background got, in order, client by client."""

    answers: list[list[str]] = field(default_factory=lambda: [[] for _ in range(CLIENTS)])
    lost: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(len(one) for one in self.answers)


def tell(stage: Stage) -> None:
    home = stage.home()
    people = People(stage.serve(home))
    people.install(version("1.0.0"))
    robots = [people.agent(f"robot-{number}", "AUTONOMOUS") for number in range(CLIENTS)]
    slow = people.agent("slow", "AUTONOMOUS")

    with _calling(robots) as traffic:
        stage.until("calls are being served", lambda: traffic.count > 2 * CLIENTS)
        long_call = _Background(slow, {"seconds": 8})
        stage.until("one of them takes long", lambda: _is_running(people, slow))
        _wait_for_calls(stage, traffic, 3)
        with stage.timed("upgrade_seconds"):
            swap = answered(people.upload(version("2.0.0"), route="/v1/skills/upgrade"))
        stage.check("the pointer moved", (swap["moved"], swap["new"]) == (True, "2.0.0"), str(swap))
        _wait_for_calls(stage, traffic, 5)
        _check_broken_stays_out(stage, people, traffic)
        ended = long_call.answer()
        stage.check(IN_FLIGHT, ended == ("succeeded", "1.0.0"), str(ended))
        back = answered(people.admin.post(f"/v1/skills/{SKILL}/rollback", json={}))
        stage.check("rolling back is the same move", (back["moved"], back["new"]) == (True, "1.0.0"), str(back))
        _wait_for_calls(stage, traffic, 5)
    _check_traffic(stage, traffic)

    stage.until("the version that was replaced is drained and stopped", lambda: _versions(home) == {"1.0.0"})
    listed = answered(people.admin.get("/v1/skills"))["items"][0]
    stage.check("the pointer is where it was put", listed["active_version"] == "1.0.0", str(listed))
    _check_pins(stage, people, robots[0])
    _edit_a_folder(stage)


def _check_pins(stage: Stage, people: People, robot: Agent) -> None:
    path = f"/v1/agents/{robot.id}/pins/{SKILL}"
    answered(people.admin.put(path, json={"version": "2.0.0"}))
    got = answered(robot.call(SKILL))["outcome"]["result"]
    stage.check("an agent is answered by the version it is pinned to", got == "2.0.0", str(got))
    refused = people.admin.delete(f"/v1/skills/{SKILL}/versions/2.0.0")
    stage.check("what is pinned is not pulled away", refused.status_code == 409, said(refused))


def _edit_a_folder(stage: Stage) -> None:
    """`skillyard dev`, under calls: what is saved takes over, what is broken stays out, and nothing of it stays."""
    home, folder = stage.home(), stage.folder() / "ticker"
    with zipfile.ZipFile(io.BytesIO(version("1.0.0"))) as archive:
        archive.extractall(folder.parent)
    with _developing(stage, home, folder) as told:
        ready = told("ready")
        token = Path(ready["token_file"]).read_text().strip()
        lost: list[str] = []
        with httpx.Client(
            base_url=ready["url"], headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ) as client:

            def call() -> object:
                response = client.post("/v1/invocations", json={"skill": ready["skill"]}, timeout=60)
                outcome: Json = response.json().get("outcome", {})
                if outcome.get("state") != "succeeded":
                    lost.append(said(response))
                return outcome.get("result")

            stage.check("a folder is served while it is edited", call() == "1.0.0")
            _save(folder, "2.0.0")
            stage.until("what is saved by a rename takes over", lambda: call() == "2.0.0")
            stage.figures["edit_to_swap_ms"] = told("swapped")["total_ms"]
            _save(folder, "3.0.0", "raise ImportError('broken on purpose')")
            refused = told("refused")
            where = (refused["file"], bool(refused["line"]))
            stage.check("a broken edit is told with its place", where == ("scripts/main.py", True), str(refused))
            stage.check(BROKEN_EDIT, call() == "2.0.0")
            _save(folder, "4.0.0")
            stage.until("mended, it takes over", lambda: call() == "4.0.0")
            stage.check("and no call was lost", not lost, "; ".join(lost[:3]))
    left = engine.containers(home)
    stage.check("Ctrl-C leaves nothing", not left and not list((home / "leases").iterdir()), str(left))


def _save(folder: Path, number: str, code: str = "") -> None:
    """As editors do it: a new file beside, renamed over the old one."""
    with zipfile.ZipFile(io.BytesIO(version(number, code))) as archive:
        content = archive.read("ticker/scripts/main.py")
    beside = folder / "scripts" / ".main.py.new"
    beside.write_bytes(content)
    beside.replace(folder / "scripts" / "main.py")


@contextmanager
def _developing(stage: Stage, home: Path, folder: Path) -> Iterator[Callable[[str], Json]]:
    """``skillyard dev`` over a folder, and the next event of a kind that it tells."""
    log = home.with_name(f"{home.name}-dev.log")
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [SKILLYARD, "dev", folder, "--json"],
            env=stage.environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=home.parent,
        ) as process,
    ):

        def told(kind: str) -> Json:
            for line in process.stdout or ():
                event: Json = json.loads(line)
                if event["event"] == kind:
                    return event
            raise HarnessError(f"skillyard dev ended without {kind!r}; its log ends:\n{log.read_text()[-2000:]}")

        try:
            # The first content takes over before it says that it is ready.
            told("swapped")
            yield told
            process.send_signal(signal.SIGINT)
            stage.check("dev ends with Ctrl-C", process.wait(60) == 0)
        finally:
            process.kill()


def _check_broken_stays_out(stage: Stage, people: People, traffic: Traffic) -> None:
    for name, code in (
        ("that does not import", "raise ImportError('broken on purpose')"),
        ("that dies while it imports", "import os\nos._exit(3)"),
    ):
        number = f"3.0.{len(stage.checks)}"
        refused = people.upload(version(number, code), route="/v1/skills/upgrade")
        stage.check(f"a version {name} never takes the pointer", refused.status_code == 422, said(refused))
        _wait_for_calls(stage, traffic, 2)
        stage.check("and nobody is served by it", number not in {one[-1] for one in traffic.answers})


def _check_traffic(stage: Stage, traffic: Traffic) -> None:
    stage.check("no call is lost", not traffic.lost, "; ".join(traffic.lost[:5]))
    for answers in traffic.answers:
        moves = [new for old, new in pairwise(answers) if old != new]
        stage.check("nobody goes back in time", moves == ["2.0.0", "1.0.0"], str(moves))
    served = Counter(answer for answers in traffic.answers for answer in answers)
    stage.figures["calls"] = dict[str, float](served)


@contextmanager
def _calling(robots: list[Agent]) -> Iterator[Traffic]:
    traffic, done = Traffic(), threading.Event()

    def client(robot: Agent, answers: list[str]) -> None:
        while not done.is_set():
            try:
                response = robot.call(SKILL)
            except httpx.HTTPError as error:
                traffic.lost.append(repr(error))
                continue
            outcome: Json = response.json().get("outcome", {})
            if outcome.get("state") == "succeeded":
                answers.append(outcome["result"])
            else:
                traffic.lost.append(said(response))

    threads = [threading.Thread(target=client, args=pair) for pair in zip(robots, traffic.answers, strict=True)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        done.set()
        for thread in threads:
            thread.join()


class _Background:
    """One call, made by a thread of its own."""

    def __init__(self, agent: Agent, given: Json) -> None:
        self._answers: list[httpx.Response] = []
        self._thread = threading.Thread(target=self._call, args=(agent, given))
        self._thread.start()

    def _call(self, agent: Agent, given: Json) -> None:
        self._answers.append(agent.call(SKILL, given))

    def answer(self) -> tuple[str, object]:
        self._thread.join()
        if not self._answers:
            return "no answer", None
        outcome: Json = self._answers[0].json().get("outcome", {})
        return str(outcome.get("state")), outcome.get("result")


def _wait_for_calls(stage: Stage, traffic: Traffic, more: int) -> None:
    """So many more answers for each client: one whose call takes long is not passed by the others."""
    wanted = [len(answers) + more for answers in traffic.answers]

    def go_on() -> bool:
        return all(len(answers) >= least for answers, least in zip(traffic.answers, wanted, strict=True))

    stage.until("calls go on", lambda: go_on() or traffic.lost)


def _is_running(people: People, agent: Agent) -> bool:
    items = answered(people.admin.get("/v1/invocations", params={"limit": 50}))["items"]
    return any(item["state"] == "accepted" and item["caller"]["id"] == agent.id for item in items)


def _versions(home: Path) -> set[str]:
    """Versions that have a container."""
    return {label.rpartition("@")[2] for label in engine.labels(home, "skillyard.skill")}


STORY = Story(
    name="hot-swap",
    tell=tell,
    breaks=Break(
        says="a replaced version is stopped without waiting for its calls",
        edits=(Edit("skillyard/runtime/swap.py", "timeout=self._drain_seconds", "timeout=0"),),
        trips=IN_FLIGHT,
    ),
)
