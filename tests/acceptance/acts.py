"""What goes wrong, or is done, in a round of chaos: each by the dice it is given."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.acceptance.people import answered
from tests.acceptance.ring import NAMES, SERVERS, SIDES, STOPS, Servers

Act = Callable[[Servers, random.Random], None]

_HOUR = 3600
_WRITERS = 8


def storm(ring: Servers, dice: random.Random) -> None:
    """Faults on both lines from now on."""
    for side in SIDES:
        ring.proxies.storm(side, dice.randrange(2**32), dice.choice((0.2, 0.5, 0.8)))


def _publish(ring: Servers, dice: random.Random) -> None:
    ring.publish(dice.choice(NAMES))


def _rate(ring: Servers, dice: random.Random) -> None:
    side = dice.choice(SIDES)
    if dice.random() < 0.5:
        ring.proxies.drop(side)
    ring.rate(side, dice.choice(NAMES), dice.randint(1, 5))


def _edit(ring: Servers, dice: random.Random) -> None:
    ring.edit(dice.choice(SIDES), dice.choice(NAMES), dice)


def _moderate(ring: Servers, dice: random.Random) -> None:
    name = dice.choice(NAMES)
    state = dice.choice(("yanked", "quarantined", "revoked", "visible"))
    ring.say(f"acme/{name}@1.{dice.randint(1, max(ring.versions[name], 1))}.0", state)


def _delete(ring: Servers, dice: random.Random) -> None:
    ring.delete(dice.choice(NAMES[2:]))


def _let_back(ring: Servers, dice: random.Random) -> None:
    """A deleted name may be used again; what it had is gone."""
    for name in sorted(ring.deleted):
        if dice.random() < 0.5:
            ring.hub.moderate(f"acme/{name}", "visible")


def _sync(ring: Servers, dice: random.Random) -> None:
    ring.poke(dice.choice(SIDES), dice.choice(("catalogue", "uploads")))


def _drop(ring: Servers, dice: random.Random) -> None:
    ring.proxies.drop(dice.choice(SIDES))


def _set_clock(ring: Servers, dice: random.Random) -> None:
    ring.places[dice.choice(SERVERS)].clock.set(dice.choice((-_HOUR, 0, _HOUR)))


def _kill(ring: Servers, dice: random.Random) -> None:
    """SIGKILL in the middle of whatever it does, and a new start."""
    time.sleep(dice.uniform(0, 0.2))
    ring.restart(dice.choice(SERVERS))


# One of these each round


def _kill_all(ring: Servers, dice: random.Random) -> None:
    """Both ends at once, while all of them write and send."""
    for side in SIDES:
        ring.edit(side, dice.choice(NAMES), dice)
        _rate(ring, dice)
        ring.poke(side, "uploads")
        ring.poke(side, "catalogue")
    time.sleep(dice.uniform(0, 0.2))
    for who in SERVERS:
        ring.server(who).kill()
    _at_once(*(partial(ring.start, who) for who in SERVERS))


def _eight_writers(ring: Servers, dice: random.Random) -> None:
    """At the hub, at once: releases, words and categories."""
    work: list[Callable[[], object]] = [partial(ring.publish, name) for name in NAMES if name not in ring.deleted]
    work += [partial(ring.say, f"acme/{name}@1.1.0", dice.choice(("yanked", "visible"))) for name in NAMES[2:]]
    for number in range(_WRITERS - len(work)):
        body = {"title": f"Title {dice.randrange(100)}", "description": ""}
        work.append(partial(_category, ring, f"c{number}", body))
    _at_once(*work)


def _category(ring: Servers, slug: str, body: dict[str, str]) -> None:
    answered(ring.hub.admin.put(f"/v1/marketplace/categories/{slug}", json=body))


def _both_edit(ring: Servers, dice: random.Random) -> None:
    """Two followers, one skill, one base, and both send at once."""
    name = dice.choice(NAMES)
    _at_once(*(partial(ring.edit, side, name, _own(dice)) for side in SIDES))
    _at_once(*(partial(ring.poke, side, "uploads") for side in SIDES))


def _revoke_while_edited(ring: Servers, dice: random.Random) -> None:
    """The moderator's word, a release and an edit of one skill, in whatever order they come."""
    name = dice.choice(NAMES[:2])
    _at_once(
        partial(ring.say, f"acme/{name}@1.1.0", dice.choice(STOPS)),
        partial(ring.publish, name),
        partial(ring.edit, "alpha", name, _own(dice)),
        partial(ring.poke, "beta", "catalogue"),
    )


def _restore_and_say_so(ring: Servers, dice: random.Random) -> None:
    """A backup is put back, and its operator says so before anybody gets there."""
    ring.put_back()
    answered(ring.hub.admin.post("/v1/marketplace/put-back", json={"reason": "A seed wants it."}))
    storm(ring, dice)


def _restore_in_silence(ring: Servers, dice: random.Random) -> None:
    """A backup is put back, and nobody says so: who knew more stands still until a person has looked."""
    ring.put_back()
    # Nobody gets to the hub any more, and what was on its way has arrived or never will.
    seq = ring.hub.head()["seq"]
    knew = [side for side in SIDES if ring.trusting(side) and (ring.follower(side).mirror()["head_seq"] or 0) > seq]
    if knew != list(SIDES):
        # Who had not read as far as the backup goes cannot tell that it is one, nor that a word of theirs is lost.
        ring.unsure |= set(NAMES)
    before = {side: ring.entries(side) for side in knew}
    ring.calm()
    for side in knew:
        ring.distrusted(side, before[side])
        answered(ring.follower(side).admin.post("/v1/remotes/hub/enable"))
    storm(ring, dice)


def _replace_hub(ring: Servers, dice: random.Random) -> None:
    """Another hub, with another key, answers at the address; a person accepts it after a while."""
    ring.proxies.refuse()
    key = ring.replace_hub()
    for side in SIDES:
        ring.trusting(side)
    before = {side: ring.entries(side) for side in SIDES}
    ring.calm()
    for side in SIDES:
        ring.distrusted(side, before[side])
        remote = answered(ring.follower(side).admin.get("/v1/remotes/hub"))
        ring.stage.check("another hub's key is shown", remote["offered_key"] == key, str(remote))
        answered(ring.follower(side).admin.post("/v1/remotes/hub/accept-key", json={"key": key}))
    storm(ring, dice)


def _jumping_clocks(ring: Servers, dice: random.Random) -> None:
    """An hour on, an hour back, and between two of them something is said."""
    for _ in range(3):
        for who in SERVERS:
            ring.places[who].clock.set(dice.choice((-_HOUR, 0, _HOUR)))
        _rate(ring, dice)
        _edit(ring, dice)
        _sync(ring, dice)
    if dice.random() < 0.5:
        ring.restart(dice.choice(SERVERS))


def _delete_recreate_restore(ring: Servers, dice: random.Random) -> None:
    name = dice.choice(NAMES[2:])
    if name in ring.deleted:
        ring.publish(name)
    ring.rate(dice.choice(SIDES), name, dice.randint(1, 5))
    ring.delete(name)
    if dice.random() < 0.5:
        ring.poke("alpha", "catalogue")
    ring.publish(name)
    ring.delete(name)
    ring.hub.moderate(f"acme/{name}", "visible")
    ring.publish(name)


ACTS: tuple[tuple[Act, int], ...] = (
    (_publish, 4),
    (_rate, 6),
    (_edit, 4),
    (_moderate, 2),
    (_delete, 1),
    (_let_back, 1),
    (_sync, 4),
    (_drop, 3),
    (_set_clock, 2),
    (_kill, 1),
)
"""With their weights."""
SPECIALS: tuple[Act, ...] = (
    _kill_all,
    _eight_writers,
    _both_edit,
    _revoke_while_edited,
    _restore_and_say_so,
    _restore_in_silence,
    _replace_hub,
    _jumping_clocks,
    _delete_recreate_restore,
)


def _at_once(*work: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(work)) as pool:
        for one in [pool.submit(one) for one in work]:
            one.result()


def _own(dice: random.Random) -> random.Random:
    """For one of several at once: what one takes must not change what the others get."""
    return random.Random(dice.randrange(2**32))
