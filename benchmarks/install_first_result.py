"""From a new skill to its first result, with pandas and scikit-learn: parse, resolve, scan, a call that is held, an
approval, the environment, a sandbox, the result.

The server has the packages' wheels already, from some other skill, and nothing else of this one. The peers build an
image and run it, with everything that they can have already: the base image, pip and uv in it, and an index on
loopback.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.effort import FULL, Effort
from benchmarks.image_per_skill import ImagePerSkill, Installer, open_image_per_skill
from benchmarks.leftovers import prefix
from benchmarks.measure import Turn, alternating, typical
from benchmarks.peers import open_peers
from benchmarks.results import Result
from benchmarks.skills import HEAVY
from benchmarks.yard import Yard, open_yard

_ROUNDS = 3
"""At most: an image with pip takes half a minute."""


async def measure(effort: Effort = FULL) -> Result:
    stages: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix=prefix()) as kept:
        wheels = Path(kept, "wheels")
        async with open_yard(HEAVY, wheels=wheels):
            pass

        async def ours() -> list[float]:
            # A home of its own each time, so that nothing but wheels is there.
            async with open_yard(wheels=wheels) as yard:
                await yard.call()  # a server that has served something knows its base image
                stages.append(await _installed(yard))
            return [sum(stages[-1])]

        async with (
            open_yard() as yard,
            open_peers(yard.runtime.settings, yard.text, yard.skill) as peers,
            open_image_per_skill(peers.work.image, yard.index) as images,
        ):
            turns: dict[str, Turn] = {
                "ours": ours,
                "Dockerfile with pip": _building(images, yard, "pip"),
                "Dockerfile with uv": _building(images, yard, "uv"),
            }
            rounds = min(effort.rounds, max(1, round(_ROUNDS * effort.share)))
            taken = await alternating(turns, rounds)
    return Result(
        name="install_first_result",
        unit="s",
        better="lower",
        ours={
            "p50": typical(taken["ours"], 0.5),
            "slowest_round": max(each for times in taken["ours"] for each in times),
            "install": typical([[stage[0]] for stage in stages], 0.5),
            "approve_and_first_result": typical([[stage[1]] for stage in stages], 0.5),
        },
        peers={name: typical(times, 0.5) for name, times in taken.items() if name != "ours"},
        floor=None,
        rounds=rounds,
    )


async def _installed(yard: Yard) -> tuple[float, float]:
    folder = HEAVY.write(yard.folder)
    began = time.perf_counter()
    await yard.install(folder)
    installed = time.perf_counter()
    await yard.first_result(HEAVY)
    return round(installed - began, 3), round(time.perf_counter() - installed, 3)


def _building(images: ImagePerSkill, yard: Yard, installer: Installer) -> Turn:
    folder = HEAVY.at(f"1.0.0+{installer}").write(yard.folder)

    async def turn() -> list[float]:
        began = time.perf_counter()
        image = await images.build(HEAVY, folder, installer)
        await images.call(image, HEAVY)
        taken = time.perf_counter() - began
        await images.builds.remove(image)
        return [taken]

    return turn
