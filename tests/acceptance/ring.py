"""A hub and two followers in processes of their own, what is known of what was done to them, and how each is done."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.bases import Base
from tests.acceptance.clocks import Clock
from tests.acceptance.healing import Entries, difference
from tests.acceptance.market import FOLLOWS, Follower, Hub
from tests.acceptance.people import Agent, People, answered, said
from tests.acceptance.proxies import Proxies
from tests.acceptance.server import Server
from tests.acceptance.stage import Stage
from tests.acceptance.story import HarnessError

CODE = 'def run(a: int = 1, b: int = 2) -> int:\n    """Of {name}."""\n    return a + b + {number}\n'
NAMES = ("anvil", "bellows", "chisel", "drill")
INSTALLED = tuple(f"acme/{name}@1.1.0" for name in NAMES[:2])
SIDES = ("alpha", "beta")
SERVERS = ("hub", *SIDES)
STOPS = ("revoked", "quarantined")
"""Words of moderators after which nothing runs."""
ACCEPTED, DENIED = 202, 403
_REQUEST_SECONDS = "3"
"""What answers more slowly than that has failed, for a follower here."""


@dataclass(frozen=True)
class Place:
    """What stays of a server when it is killed."""

    home: Path
    port: int
    base: Base
    clock: Clock


@dataclass(frozen=True)
class Backup:
    """Of the hub, and what was so then."""

    file: Path
    words: dict[str, str]
    deleted: set[str]


@dataclass
class Servers:
    """``alpha`` and ``beta`` follow ``hub``, each through a proxy of its own."""

    stage: Stage
    places: Mapping[str, Place]
    hub: Hub
    alpha: Follower
    beta: Follower
    proxies: Proxies
    caller: Agent
    versions: Counter[str] = field(default_factory=Counter)
    """How many versions of a skill were published, by its name; numbers are never given twice."""
    words: dict[str, str] = field(default_factory=dict)
    """What the hub's moderator said last, by version."""
    stopped: set[str] = field(default_factory=set)
    """What was seen not to run at ``alpha`` any more: that stays so, whatever the hub forgets."""
    stars: dict[tuple[str, str], int] = field(default_factory=dict)
    """What was rated last, by follower and skill."""
    there: dict[tuple[str, str], int] = field(default_factory=dict)
    """What the hub was seen to have of a follower when all was calm: it stays so where a later rating is refused."""
    rated: set[tuple[str, str]] = field(default_factory=set)
    """Everything that was ever rated, by follower and skill."""
    refused: set[str] = field(default_factory=set)
    """Skills of which a follower's last rating was refused, as of then."""
    unsure: set[str] = field(default_factory=set)
    """Skills that were deleted or brought back since all was calm: which of their ratings are there then depends on who
    heard of it when, and on what was still on its way."""
    deleted: set[str] = field(default_factory=set)
    backup: Backup | None = None

    # Deeds

    def publish(self, name: str) -> None:
        """The next version; of a deleted skill, the first of a new life."""
        if name in self.deleted:
            self.hub.moderate(f"acme/{name}", "visible")
        self.versions[name] += 1
        number = self.versions[name]
        self.hub.published(name, CODE.format(name=name, number=number), version=f"1.{number}.0")
        self.deleted.discard(name)

    def rate(self, side: str, name: str, stars: int) -> None:
        path = f"/v1/remotes/hub/skills/acme/{name}/rating"
        body = {"stars": stars, "review": f"{stars} of five."}
        if self.follower(side).admin.put(path, json=body).status_code == ACCEPTED:
            self.stars[side, name] = stars
            self.rated.add((side, name))

    def edit(self, side: str, name: str, dice: random.Random) -> None:
        """Where the mirror has it."""
        body = {"description": f"Described by {side}, {dice.randrange(10**6)}."}
        if dice.random() < 0.3:
            body = {"license": dice.choice(("MIT", "Apache-2.0", "BSD-3-Clause"))}
        self.follower(side).admin.post(f"/v1/remotes/hub/skills/acme/{name}/edit", json=body)

    def say(self, key: str, state: str) -> None:
        """A moderator's word about a version, where it can be said."""
        body = {"key": key, "state": state, "reason": "A seed wants it."}
        if self.hub.admin.post("/v1/marketplace/moderation", json=body).is_success:
            self.words[key] = state

    def delete(self, name: str) -> None:
        body = {"key": f"acme/{name}", "state": "deleted", "reason": "A seed wants it."}
        if self.hub.admin.post("/v1/marketplace/moderation", json=body).is_success:
            self.deleted.add(name)
            self.unsure.add(name)

    def calm(self) -> None:
        """Lines and clocks are as they should be."""
        for place in self.places.values():
            place.clock.set(0)
        self.proxies.calm()

    # Processes

    def restart(self, who: str) -> None:
        self.server(who).kill()
        self.start(who)

    def start(self, who: str) -> None:
        token = (self.hub if who == "hub" else self.follower(who)).people.token
        people = People(serve(self.stage, self.places[who]), token)
        if who == "hub":
            self.hub = Hub(people)
        elif who == "alpha":
            self.alpha = Follower(people)
            self.caller = Agent(self.caller.id, people.server.client(_token_of(self.caller)))
        else:
            self.beta = Follower(people)

    def server(self, who: str) -> Server:
        return (self.hub if who == "hub" else self.follower(who)).people.server

    def follower(self, side: str) -> Follower:
        return self.alpha if side == "alpha" else self.beta

    def entries(self, who: str) -> Entries:
        return self.places[who].base.entries(own=who == "hub")

    def poke(self, side: str, job: str) -> None:
        """Ask for a run, where it may run at all."""
        asked = self.follower(side).admin.post("/v1/admin/sync/trigger", json={"remote": "hub", "job": job})
        if asked.status_code not in (202, 409):
            raise HarnessError(said(asked))

    # Backups

    def back_up(self) -> None:
        self.backup = Backup(self.places["hub"].base.back_up(), dict(self.words), set(self.deleted))

    def put_back(self) -> None:
        """The hub as it was; nobody gets to it before this returns."""
        assert self.backup is not None
        self.proxies.refuse()
        self.note_stopped()
        self.hub.server.kill()
        self.places["hub"].base.put_back(self.backup.file)
        self.start("hub")
        self.unsure |= self.deleted ^ self.backup.deleted
        self.said_again()
        self.words, self.deleted = dict(self.backup.words), set(self.backup.deleted)

    def said_again(self) -> None:
        """Followers look whether a hub that is put back or another one has all they ever said. Then ratings from before
        a skill was deleted go up again; and of what was refused the hub has what came before, if anything."""
        gone = {name for side, name in self.rated if not {(side, name)} & {*self.stars, *self.there}}
        self.unsure |= gone | self.refused

    def note_stopped(self) -> None:
        """What does not run now will not do so because the hub forgets why."""
        self.stopped |= {key for key in INSTALLED if self.caller.call(key).status_code == DENIED}

    def replace_hub(self) -> str:
        """Another hub at the address, with the same entries; its key."""
        place = self.places["hub"]
        self.hub.server.kill()
        place.base.become_another()
        (place.home / "keys" / "hub.ed25519").unlink()
        self.start("hub")
        self.backup = None
        self.said_again()
        return str(answered(self.hub.admin.get("/v1/marketplace"))["public_key"])

    def trusting(self, side: str) -> bool:
        """Whether a follower believes in its hub; one that does not because of a lie is told to again."""
        if self.follower(side).status()["state"] != "distrusted":
            return True
        answered(self.follower(side).admin.post("/v1/remotes/hub/enable"))
        return False

    def distrusted(self, side: str, before: Entries) -> None:
        """It is noticed, and nothing of what contradicts is applied."""

        def noticed() -> bool:
            one = self.follower(side)
            if one.status()["state"] == "distrusted":
                return True
            self.poke(side, "catalogue")
            return False

        self.stage.until(f"{side} does not believe it", noticed)
        there = self.entries(side)
        self.stage.check(f"{side} keeps what it had", there == before, difference(before, there))


def serve(stage: Stage, place: Place) -> Server:
    """Start it where it was."""
    settings = {
        **FOLLOWS,
        **place.base.settings,
        **place.clock.settings,
        "port": str(place.port),
        "marketplace_timeout": _REQUEST_SECONDS,
    }
    return stage.serve(place.home, also=place.clock.environment, **settings)


def _token_of(agent: Agent) -> str:
    token = agent.client.headers["Authorization"].removeprefix("Bearer ")
    if not token:
        raise HarnessError("the agent has no token")
    return token
