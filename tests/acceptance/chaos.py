"""A hub and two followers between whom everything goes wrong, by seed; and what has to hold once nothing does any more.

The same seed wants the same acts in the same order, each with dice of its own. What comes of one depends on where
the servers are by then, which is the machine's doing and that of the seeds before.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.acts import ACTS, SPECIALS, Act, storm
from tests.acceptance.bases import BaseOf, SqliteBase
from tests.acceptance.clocks import clock
from tests.acceptance.healing import (
    check_conflicts,
    check_equal,
    check_found,
    check_healthy,
    check_ratings,
    everything,
    open_conflicts,
    own_rating,
    refused_ratings,
)
from tests.acceptance.market import Follower, Hub
from tests.acceptance.people import People, answered, said
from tests.acceptance.proxies import proxies
from tests.acceptance.ring import CODE, DENIED, INSTALLED, NAMES, SERVERS, SIDES, STOPS, Place, Servers, serve
from tests.acceptance.stage import Stage, say
from tests.acceptance.story import CheckFailedError, CheckName
from tests.postgres import free_port

REST = CheckName("once all is calm, all is sent and read")
_ACTS_OF_A_ROUND = 10
_HEAL_SECONDS = 120.0


@dataclass
class Ring(Servers):
    """Made by ``ring``."""

    retried: dict[Path, set[int]] = field(default_factory=dict)
    """Dead uploads that were given another chance, by the home they are of."""
    done: Counter[str] = field(default_factory=Counter)
    waits_for: str = ""
    """What was not at rest yet, when it was looked at last."""
    seconds: list[tuple[float, float]] = field(default_factory=list)
    """Of each round: acting, and coming to rest."""

    def round(self, seed: int) -> None:
        """One round of trouble, and its end."""
        dice = random.Random(seed)
        began = time.monotonic()
        wanted = dice.random() < 0.5
        acts = dice.choices(*zip(*ACTS, strict=True), k=_ACTS_OF_A_ROUND)
        acts.insert(_ACTS_OF_A_ROUND // 2 + 1, SPECIALS[seed % len(SPECIALS)])
        if self.backup is None or wanted:
            self.back_up()
        storm(self, dice)
        for number, act in enumerate(acts):
            # Of its own: how often one act draws depends on what it finds.
            self._do(act, random.Random(f"{seed}/{number}"))
        self.calm()
        acted = time.monotonic()
        self.settle()
        self.seconds.append((round(acted - began, 1), round(time.monotonic() - acted, 1)))
        say(f"  seed {seed}: {self.seconds[-1]}")

    def _do(self, act: Act, dice: random.Random) -> None:
        act(self, dice)
        self.done[act.__name__.strip("_")] += 1

    def settle(self) -> None:
        """Let everything come to rest, and see that nothing was lost, doubled, or let run."""
        try:
            self.stage.until(REST, self._at_rest, seconds=_HEAL_SECONDS)
        except CheckFailedError as error:
            raise CheckFailedError(REST, f"{error.saw}; {self.waits_for}") from error
        held = self.entries("hub")
        for side in SIDES:
            one = self.follower(side)
            check_equal(self.stage, self.hub, held, side, self.entries(side))
            check_found(self.stage, self.hub, side, one)
            check_conflicts(self.stage, one)
        self._check_ratings()
        self._check_stopped()
        for side in SIDES:
            check_healthy(self.stage, self.follower(side))

    def _at_rest(self) -> bool:
        waiting = []
        for side in SIDES:
            one = self.follower(side)
            status = one.status()
            self._mend(one, status["state"], channel_open=status["channel"]["state"] == "open")
            self.poke(side, "uploads")
            self.poke(side, "catalogue")
            queued = one.admin.get("/v1/admin/sync/uploads", params={"state": "waiting"})
            rest = answered(queued)["items"] == [] and status["set_aside"] == 0
            if not rest or one.mirror()["seq"] != self.hub.head()["seq"]:
                aside = one.admin.get("/v1/remotes/hub/set-aside")
                waiting.append(f"{side}: {status} {queued.text[:2000]} {aside.text[:2000]}")
        self.waits_for = "; ".join(waiting) or "entries that are not the same"
        if waiting:
            time.sleep(0.3)
        return not waiting and self.entries("hub") == self.entries("alpha") == self.entries("beta")

    def _mend(self, one: Follower, state: str, *, channel_open: bool) -> None:
        """What an operator does who finds that it was the line."""
        if state == "distrusted":
            answered(one.admin.post("/v1/remotes/hub/enable"))
            self.done["distrusted"] += 1
        if not channel_open:
            one.admin.post("/v1/admin/sync/live/hub/reconnect")
        for conflict in open_conflicts(one):
            settled = one.admin.post(
                f"/v1/admin/sync/conflicts/{conflict['id']}/resolve", json={"strategy": "local_wins"}
            )
            self.done["resolved"] += settled.is_success
        # What died of the line is tried once more. What dies again was refused, as an edit of what is deleted is.
        tried = self.retried.setdefault(one.people.server.home, set())
        for upload in everything(one, state="dead"):
            if upload["id"] not in tried:
                tried.add(upload["id"])
                # Refused where a newer word overtook it, which is how it should be.
                again = one.admin.post(f"/v1/admin/sync/uploads/{upload['id']}/retry")
                self.done["retried"] += again.is_success

    def _check_ratings(self) -> None:
        """Every rating that was given here is up there once, as it was given last."""
        refused = {side: refused_ratings(self.follower(side)) for side in SIDES}
        self.refused = {key.partition("/")[2] for some in refused.values() for key in some}
        for name in NAMES:
            if name in self.deleted:
                continue
            if name in self.unsure:
                # It is calm: from now on it has to stay as it is.
                self._take_ratings(name)
                continue
            for side in SIDES:
                if f"acme/{name}" not in refused[side] and (side, name) in self.stars:
                    self.there[side, name] = self.stars[side, name]
            wanted = [stars for (_, rated), stars in self.there.items() if rated == name]
            check_ratings(self.stage, self.hub, f"acme/{name}", wanted)

    def _take_ratings(self, name: str) -> None:
        self.unsure.discard(name)
        for side in SIDES:
            self.stars.pop((side, name), None)
            self.there.pop((side, name), None)
            stars = own_rating(self.hub, self.follower(side), f"acme/{name}")
            if stars is not None:
                self.stars[side, name] = self.there[side, name] = stars

    def _check_stopped(self) -> None:
        """What is revoked at the hub does not run here, and what was stopped once does not either."""
        for key in INSTALLED:
            state = self.words.get(key)
            if state in STOPS or key in self.stopped:
                refused = self.caller.call(key)
                self.stage.check(f"{key} is stopped and does not run", refused.status_code == DENIED, said(refused))
                self.stopped.add(key)


@contextmanager
def ring(stage: Stage, *, base: BaseOf = SqliteBase) -> Iterator[Ring]:
    """Three fresh servers, two skills installed at ``alpha``."""
    places = {who: _place(stage, base) for who in SERVERS}
    hub = Hub(People(serve(stage, places["hub"])))
    hub.take()
    for side in SIDES:
        # Laying out the embedded advisories takes longer than all the rest of a first start.
        shutil.copy(places["hub"].home / "advisories.db", places[side].home)
    with proxies() as between:
        sides = {}
        for side, strategy in zip(SIDES, ("remote_wins", "merge"), strict=True):
            url = between.open(side, hub.server.url)
            sides[side] = Follower(People(serve(stage, places[side])))
            sides[side].follow(url, hub.token(side, "read", "publish", "rate"), strategy=strategy)
        caller = sides["alpha"].people.agent("caller", "AUTONOMOUS")
        made = Ring(stage, places, hub, sides["alpha"], sides["beta"], between, caller)
        for name in NAMES:
            made.versions[name] = 1
            hub.published(name, CODE.format(name=name, number=1), version="1.1.0")
        stage.until("both followers have read the hub", made._at_rest, seconds=_HEAL_SECONDS)
        for name in NAMES[:2]:
            answered(made.alpha.install(f"acme/{name}@1.1.0"))
            called = caller.call(f"acme/{name}")
            stage.check(f"{name} runs", called.json().get("outcome", {}).get("result") == 4, said(called))
        yield made


def _place(stage: Stage, base: BaseOf) -> Place:
    home = stage.home()
    return Place(home, free_port(), base(home), clock(home.with_name(f"{home.name}.clock")))
