"""Two thousand calls of every kind, from eight callers at once: each ends once, as it should, and nothing adds up."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest
from tests.acceptance.people import Agent, Json, People, answered, said
from tests.acceptance.skills import made
from tests.long.private_engine import PrivateEngine, until
from tests.long.scene import Scene, field_of, pooled_descriptors

CALLS, CLIENTS, SWAPS = 2000, 8, 5
WARM_UP = 160
SEED = 20_260_101

MIXED = '''
import os
import signal
import subprocess
import sys
import time

MIB = 1024 * 1024


def add(x: int):
    return x + 1


def talk(x: int):
    print("line " * 200)
    print("error " * 200, file=sys.stderr)
    return x


def fails(x: int):
    raise ValueError(f"number {x}")


def sleeps(x: int):
    time.sleep(60)


def eats(x: int):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(MIB)))


def dies(x: int):
    os.kill(os.getpid(), signal.SIGKILL)


def strays(x: int):
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
    return x


def shouts(x: int):
    while True:
        os.write(1, b"x" * 65536)


def breaks(x: int):
    """Costs the whole sandbox: the zygote is the oldest process that is not the first."""
    time.sleep(0.01)
    os.kill(min(int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"), signal.SIGKILL)
    time.sleep(60)
'''
FILES = """
def run(x: int):
    with open("given.txt") as stream:
        given = stream.read()
    for number in range(3):
        with open(f"made-{number}.txt", "w") as stream:
            stream.write(given * x)
    return len(given)
"""
SWAPPED = "def run(x: int):\n    return {version}\n"


@dataclass(frozen=True)
class Kind:
    """A kind of call: how it has to end, and how often it comes among a hundred."""

    name: str
    state: str
    share: float
    skill: str = "acme/mixed"
    entry: str | None = None
    files: bool = False
    timeout: float | None = None
    leaves: bool = False
    """The caller goes away."""


def mixed(name: str, state: str, share: float, **fields: float | bool) -> Kind:
    return Kind(name, state, share, entry=f"scripts/main.py:{name}", **fields)  # type: ignore[arg-type]


KINDS = (
    mixed("add", "succeeded", 40),
    mixed("talk", "succeeded", 10),
    mixed("strays", "succeeded", 4),
    mixed("fails", "failed", 10),
    mixed("sleeps", "timed_out", 2, timeout=1.0),
    mixed("eats", "out_of_memory", 2),
    mixed("dies", "killed", 3),
    mixed("shouts", "output_limit", 2),
    mixed("breaks", "lost", 1),
    Kind("leaves", "cancelled", 2, entry="scripts/main.py:sleeps", leaves=True),
    Kind("files", "succeeded", 12, skill="acme/files", files=True),
    Kind("swapped", "succeeded", 12, skill="acme/swapped"),
)
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass
class Tally:
    """What callers saw. ``wrong`` are answers that are not what they had to be."""

    done: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: Kind, state: str, reason: str | None) -> None:
        with self.lock:
            self.done[kind.name] += 1
            self.states[state] += 1
            if state != kind.state:
                self.wrong.append(f"{kind.name} ended as {state}: {reason}")


def plan(count: int, seed: int) -> list[Kind]:
    """Kinds in the proportions of their shares, mixed the same way every time."""
    total = sum(kind.share for kind in KINDS)
    kinds = [kind for kind in KINDS for _ in range(round(count * kind.share / total))]
    kinds += [BY_NAME["add"]] * (count - len(kinds))
    random.Random(seed).shuffle(kinds)
    return kinds[:count]


def one(agent: Agent, kind: Kind, number: int, tally: Tally) -> None:
    """One call to its end, as far as its caller can see it."""
    fields: dict[str, object] = {} if kind.entry is None else {"entry": kind.entry}
    fields |= {} if kind.timeout is None else {"timeout_seconds": kind.timeout}
    files = {"given.txt": b"some text\n"} if kind.files else {}
    given = {"x": number % 7 + 1}
    if kind.leaves:
        leave(agent, {"skill": kind.skill, "input": given, **fields})
        tally.note(kind, kind.state, "left")
        return
    answer = agent.call(kind.skill, given, files=files, **fields)
    state = answer.json()["outcome"]["state"] if answer.status_code == 200 else str(answer.status_code)
    reason = answer.json()["outcome"]["reason"] if answer.status_code == 200 else said(answer)
    tally.note(kind, state, reason)


def leave(agent: Agent, body: Json) -> None:
    """Go away once the call has surely begun, which an answer would long have shown."""
    with pytest.raises(httpx.ReadTimeout):
        agent.client.post("/v1/invocations", json=body, timeout=httpx.Timeout(10, read=4))


def swap(people: People, version: int) -> None:
    """A new version in the place of the one before, while that is being called."""
    answer = people.upload(
        made("swapped", SWAPPED.format(version=version), version=f"1.{version}.0"), route="/v1/skills/upgrade"
    )
    assert answered(answer)["moved"], said(answer)


def run(
    scene: Scene, agents: list[Agent], kinds: list[Kind], swaps: Iterator[int], say: Callable[[str], None]
) -> Tally:
    """All calls, by as many callers at once as there are agents; versions are swapped at even distances."""
    tally = Tally()
    began = time.monotonic()
    every = max(1, len(kinds) // (SWAPS + 1))
    free = list(agents)
    lock = threading.Lock()

    def work(job: tuple[int, Kind]) -> None:
        number, kind = job
        with lock:
            agent = free.pop()
        try:
            one(agent, kind, number, tally)
        finally:
            with lock:
                free.append(agent)
        if number % every == every - 1 and (version := next(swaps, None)) is not None:
            swap(scene.people, version)
        if number % 200 == 199:
            say(f"{sum(tally.done.values())} calls in {time.monotonic() - began:.0f} s: {dict(tally.states)}")

    with ThreadPoolExecutor(len(agents)) as pool:
        for _ in pool.map(work, enumerate(kinds)):
            pass
    return tally


@pytest.mark.timeout(900)
def test_two_thousand_calls_of_every_kind_add_nothing_up(
    private_engine: PrivateEngine, scene: Callable[..., Scene], capsys: pytest.CaptureFixture[str]
) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\nsoak: {text}", end="", flush=True)  # noqa: T201 - progress, for people

    yard = scene(private_engine, idle_timeout="3", max_sandboxes="10")
    yard.serve()
    functions = tuple(dict.fromkeys(kind.entry.partition(":")[2] for kind in KINDS if kind.entry is not None))
    yard.people.install(made("mixed", MIXED, functions=functions, memory="64MiB", timeout="20s"))
    yard.people.install(made("files", FILES))
    yard.people.install(made("swapped", SWAPPED.format(version=0), version="1.0.0"))
    agents = [yard.robot() for _ in range(CLIENTS)]
    server = yard.server.process.pid

    # Whatever grows to a size and stays there (pools of connections and of threads, caches) has grown by then.
    warm = run(yard, agents, plan(WARM_UP, SEED), iter(()), say)
    assert not warm.wrong, "\n".join(warm.wrong)
    at_rest(yard)
    before = yard.census()
    threads, memory, pooled = field_of(server, "Threads"), field_of(server, "VmRSS"), pooled_descriptors(server)

    kinds = plan(CALLS, SEED + 1)
    tally = run(yard, agents, kinds, iter(range(1, SWAPS + 1)), say)
    assert not tally.wrong, "\n".join(tally.wrong)
    assert tally.done == Counter(kind.name for kind in kinds)
    at_rest(yard)
    ended = yard.check_records()
    assert ended == warm.states + tally.states
    yard.check_nothing_left(before)
    now = {
        "threads": (threads, field_of(server, "Threads")),
        "pooled descriptors": (pooled, pooled_descriptors(server)),
        "resident KiB": (memory, field_of(server, "VmRSS")),
    }
    say(f"before and after: {now}\n")
    assert now["threads"][1] <= threads + 4, now
    assert now["pooled descriptors"][1] <= pooled + 16, now
    assert now["resident KiB"][1] <= memory * 1.5, now


def at_rest(yard: Scene) -> None:
    """No call runs, and every sandbox was idle for long enough to be stopped."""
    until(lambda: not yard.open_calls(), "end of every call", seconds=60)
    until(lambda: not yard.engine.containers(), "end of every sandbox", seconds=60)
