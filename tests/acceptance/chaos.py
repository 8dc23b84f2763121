"""A hub and two followers between whom everything goes wrong, by seed; and what has to hold once nothing does any more.

The same seed does the same things in the same order. How far servers get between two of them is the machine's doing.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.acceptance.market import FOLLOWS, Follower, Hub
from tests.acceptance.people import Agent, Json, People, answered, said
from tests.acceptance.stage import Stage, say
from tests.acceptance.story import CheckName, HarnessError
from tests.fault_proxy import FaultProxy, fault_proxy

CODE = "def run(a: int = 1, b: int = 2) -> int:\n    return a + b + {number}\n"
_ACTS_OF_A_ROUND = 10
_HEAL_SECONDS = 60.0
_DENIED = 403
REST = CheckName("once all is calm, all is sent and read")
RATED = CheckName("every rating that was given below is above, once")


@dataclass
class Ring:
    """``alpha`` and ``beta`` follow ``hub``, each through a proxy of its own. Made by ``ring``."""

    stage: Stage
    hub: Hub
    alpha: Follower
    beta: Follower
    proxies: Proxies
    caller: Agent
    versions: Counter[str] = field(default_factory=Counter)
    """How many versions of a skill were published, by its name; numbers are never given twice."""
    words: dict[str, str] = field(default_factory=dict)
    """What the hub's moderator said last, by version."""
    stars: dict[tuple[str, str], int] = field(default_factory=dict)
    """What was rated last, by follower and skill."""
    deleted: set[str] = field(default_factory=set)
    retried: dict[Path, set[int]] = field(default_factory=dict)
    """Dead uploads that were given another chance, by the home they are of."""
    done: Counter[str] = field(default_factory=Counter)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    """Of each round: acting, and coming to rest."""

    def round(self, seed: int) -> None:
        """One round of trouble, and its end."""
        dice = random.Random(seed)
        began = time.monotonic()
        for side in ("alpha", "beta"):
            self.proxies.storm(side, seed, dice.choice((0.2, 0.5, 0.8)))
        for _ in range(_ACTS_OF_A_ROUND):
            act = dice.choices(*zip(*self._acts(), strict=True))[0]
            act(dice)
            self.done[act.__name__.strip("_")] += 1
        self.proxies.calm()
        acted = time.monotonic()
        self.settle(seed)
        self.seconds.append((round(acted - began, 1), round(time.monotonic() - acted, 1)))

    def _acts(self) -> tuple[tuple[Callable[[random.Random], None], int], ...]:
        return (
            (self._publish, 4),
            (self._rate, 5),
            (self._edit, 4),
            (self._moderate, 2),
            (self._delete, 1),
            (self._sync, 4),
            (self._drop, 4),
            (self._kill, 1),
        )

    # Acts

    def _publish(self, dice: random.Random) -> None:
        name = dice.choice(NAMES)
        if name in self.deleted:
            self.hub.moderate(f"acme/{name}", "visible")
        self.versions[name] += 1
        version = f"1.{self.versions[name]}.0"
        self.hub.published(name, CODE.format(number=self.versions[name]), version=version)
        self.deleted.discard(name)

    def _rate(self, dice: random.Random) -> None:
        side, name, stars = dice.choice(("alpha", "beta")), dice.choice(NAMES), dice.randint(1, 5)
        path = f"/v1/remotes/hub/skills/acme/{name}/rating"
        if dice.random() < 0.5:
            self.proxies.drop(side)
        said = self._follower(side).admin.put(path, json={"stars": stars, "review": f"{stars} of five."})
        if said.status_code == 202:
            self.stars[side, name] = stars

    def _edit(self, dice: random.Random) -> None:
        side, name, number = dice.choice(("alpha", "beta")), dice.choice(NAMES), dice.randrange(10**6)
        path = f"/v1/remotes/hub/skills/acme/{name}/edit"
        self._follower(side).admin.post(path, json={"description": f"Described by {side}, {number}."})

    def _moderate(self, dice: random.Random) -> None:
        name = dice.choice(NAMES)
        if not self.versions[name] or name in self.deleted:
            return
        key = f"acme/{name}@1.{dice.randint(1, self.versions[name])}.0"
        state = dice.choice(("yanked", "quarantined", "revoked", "visible"))
        body = {"key": key, "state": state, "reason": "A seed wants it."}
        if self.hub.admin.post("/v1/marketplace/moderation", json=body).is_success:
            self.words[key] = state

    def _delete(self, dice: random.Random) -> None:
        name = dice.choice(NAMES[2:])
        body = {"key": f"acme/{name}", "state": "deleted", "reason": "A seed wants it."}
        if self.hub.admin.post("/v1/marketplace/moderation", json=body).is_success:
            self.deleted.add(name)
            self.stars = {key: value for key, value in self.stars.items() if key[1] != name}

    def _sync(self, dice: random.Random) -> None:
        self._follower(dice.choice(("alpha", "beta"))).sync(dice.choice(("catalogue", "uploads")))

    def _drop(self, dice: random.Random) -> None:
        self.proxies.drop(dice.choice(("alpha", "beta")))

    def _kill(self, dice: random.Random) -> None:
        """SIGKILL in the middle of whatever it does, and a new start."""
        who = dice.choice(("hub", "alpha", "beta"))
        time.sleep(dice.uniform(0, 0.2))
        self.restart(who)

    def restart(self, who: str) -> None:
        one = self.hub if who == "hub" else self._follower(who)
        server, token = one.people.server, one.people.token
        server.kill()
        port = str(httpx.URL(server.url).port)
        people = People(self.stage.serve(server.home, **{**FOLLOWS, "port": port}), token)
        if who == "hub":
            self.hub = Hub(people)
        elif who == "alpha":
            self.alpha = Follower(people)
            self.caller = Agent(self.caller.id, people.server.client(_token_of(self.caller)))
        else:
            self.beta = Follower(people)

    def _follower(self, side: str) -> Follower:
        return self.alpha if side == "alpha" else self.beta

    # The end of a round

    def settle(self, seed: int) -> None:
        """Let everything come to rest, and see that nothing was lost, doubled, or let run."""
        say(f"  seed {seed}")
        self.stage.until(REST, self._at_rest, seconds=_HEAL_SECONDS)
        held = _entries(self.hub)
        for side in ("alpha", "beta"):
            there = _entries(self._follower(side))
            self.stage.check(f"{side} holds what the hub holds", there == held, _difference(held, there))
        self._ratings()
        self._stopped()
        self._conflicts()

    def _at_rest(self) -> bool:
        rest = True
        for one in (self.alpha, self.beta):
            status = one.status()
            if status["state"] == "distrusted":
                # An operator looks, and finds that it was the line.
                answered(one.admin.post("/v1/remotes/hub/enable"))
                self.done["distrusted"] += 1
            self._retry_dead(one)
            one.sync("uploads")
            one.sync("catalogue")
            queued = one.admin.get("/v1/admin/sync/uploads", params={"state": "waiting"})
            rest = rest and answered(queued)["items"] == [] and status["set_aside"] == 0
            rest = rest and one.mirror()["seq"] == self.hub.head()["seq"]
        if not rest:
            time.sleep(0.3)
        return rest and _entries(self.hub) == _entries(self.alpha) == _entries(self.beta)

    def _retry_dead(self, one: Follower) -> None:
        """What died of the line is tried once more. What dies again was refused, as an edit of what is deleted is."""
        tried = self.retried.setdefault(one.people.server.home, set())
        for upload in _all(one, "/v1/admin/sync/uploads", state="dead"):
            if upload["id"] not in tried:
                tried.add(upload["id"])
                # Refused where a newer word overtook it, which is how it should be.
                again = one.admin.post(f"/v1/admin/sync/uploads/{upload['id']}/retry")
                self.done["retried"] += again.is_success

    def _ratings(self) -> None:
        """Every rating that was given here is up there once, as it was given last."""
        for skill in NAMES:
            wanted = sorted(stars for (_, rated), stars in self.stars.items() if rated == skill)
            shown = self.hub.admin.get(f"/v1/marketplace/skills/acme/{skill}/ratings")
            found = sorted(one["stars"] for one in shown.json()["items"]) if shown.is_success else []
            if skill not in self.deleted and self.versions[skill]:
                self.stage.check(RATED, found == wanted, f"{skill} has {found}, not {wanted}")

    def _stopped(self) -> None:
        """What is revoked at the hub does not run here."""
        for key, state in self.words.items():
            if state in ("revoked", "quarantined") and key in self.installed:
                refused = self.caller.call(key)
                self.stage.check(f"{key} is {state} and does not run", refused.status_code == _DENIED, said(refused))

    def _conflicts(self) -> None:
        """An edit that did not get there is in the log of conflicts, or was overtaken by another of the same hand."""
        for one in (self.alpha, self.beta):
            edits: list[Json] = _all(one, "/v1/admin/sync/uploads", kind="skill")
            logged = {found["key"] for found in _all(one, "/v1/admin/sync/conflicts")}
            last = {edit["key"]: edit["id"] for edit in edits}
            lost = [
                edit["key"]
                for edit in edits
                if edit["state"] == "dropped" and edit["key"] not in logged and last[edit["key"]] == edit["id"]
            ]
            self.stage.check("no edit is lost in silence", lost == [], str(lost))

    @property
    def installed(self) -> set[str]:
        return {f"acme/{name}@1.1.0" for name in NAMES[:2]}


NAMES = ("anvil", "bellows", "chisel", "drill")


@contextmanager
def ring(stage: Stage) -> Iterator[Ring]:
    """Three fresh servers, two skills installed at ``alpha``."""
    hub = Hub(People(stage.serve(stage.home(), port=str(_free_port()))))
    hub.take()
    with proxies() as between:
        sides = {}
        for side in ("alpha", "beta"):
            url = between.open(side, hub.server.url)
            sides[side] = Follower(People(stage.serve(stage.home(), **{**FOLLOWS, "port": str(_free_port())})))
            sides[side].follow(url, hub.token(side, "read", "publish", "rate"))
        caller = sides["alpha"].people.agent("caller", "AUTONOMOUS")
        made = Ring(stage, hub, sides["alpha"], sides["beta"], between, caller)
        for name in NAMES:
            made.versions[name] = 1
            hub.published(name, CODE.format(number=1), version="1.1.0")
        stage.until("both followers have read the hub", made._at_rest, seconds=_HEAL_SECONDS)
        for name in NAMES[:2]:
            answered(made.alpha.install(f"acme/{name}@1.1.0"))
            called = caller.call(f"acme/{name}")
            stage.check(f"{name} runs", called.json().get("outcome", {}).get("result") == 4, said(called))
        yield made


class Proxies:
    """Fault proxies on an event loop of their own. Made by ``proxies``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._made: dict[str, FaultProxy] = {}
        self._over = asyncio.Event()
        self._serving: list[concurrent.futures.Future[None]] = []

    def open(self, name: str, url: str) -> str:
        """A proxy in front of a server; its address."""
        opened: concurrent.futures.Future[str] = concurrent.futures.Future()

        async def serve() -> None:
            try:
                async with fault_proxy(url) as proxy:
                    self._made[name] = proxy
                    opened.set_result(proxy.url)
                    await self._over.wait()
            except Exception as error:  # noqa: BLE001 - whoever opens it has to hear of it
                if not opened.done():
                    opened.set_exception(error)

        self._serving.append(asyncio.run_coroutine_threadsafe(serve(), self._loop))
        return opened.result(10)

    def storm(self, name: str, seed: int, rate: float) -> None:
        self._do(lambda: self._made[name].storm(seed, rate=rate))

    def drop(self, name: str) -> None:
        self._do(self._made[name].drop)

    def calm(self) -> None:
        for proxy in self._made.values():
            self._do(proxy.calm)
            self._do(proxy.drop)

    def close(self) -> None:
        self._do(self._over.set)
        for one in self._serving:
            one.result(10)

    def _do(self, act: Callable[[], None]) -> None:
        async def do() -> None:
            act()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)


@contextmanager
def proxies() -> Iterator[Proxies]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = Proxies(loop)
    try:
        yield made
    finally:
        made.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _entries(one: Hub | Follower) -> dict[tuple[str, str], tuple[int, str]]:
    """The live entries of a server's catalogue (a hub's own, a follower's mirror), read from its database."""
    mirrors = "IS NULL" if isinstance(one, Hub) else "IS NOT NULL"
    file = one.people.server.home / "skillyard.db"
    opened = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    try:
        rows = opened.execute(
            "SELECT e.kind, e.key, e.rev, e.sha256 FROM catalogue_entries e JOIN catalogues c ON c.id = e.catalogue_id "
            f"WHERE NOT e.deleted AND c.workspace_id {mirrors}"
        ).fetchall()
    finally:
        opened.close()
    return {(kind, key): (rev, sha256) for kind, key, rev, sha256 in rows}


def _difference(held: dict[tuple[str, str], tuple[int, str]], there: dict[tuple[str, str], tuple[int, str]]) -> str:
    return str([(key, held.get(key), there.get(key)) for key in {*held, *there} if held.get(key) != there.get(key)][:5])


def _all(one: Follower, path: str, **query: str) -> list[Json]:
    found: list[Json] = []
    cursor: str | None = None
    while True:
        page = answered(one.admin.get(path, params=query | {"limit": "100"} | ({"cursor": cursor} if cursor else {})))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _token_of(agent: Agent) -> str:
    token = agent.client.headers["Authorization"].removeprefix("Bearer ")
    if not token:
        raise HarnessError("the agent has no token")
    return token
