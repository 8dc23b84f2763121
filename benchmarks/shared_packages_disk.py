"""What a second skill costs that shares ten of its eleven packages with one that is installed: disk and time.

Disk is counted as the file system does, in blocks of inodes, over the whole home: folders, locks, the database and
records included. The peer is an image for each skill, of which the layers below the packages are
shared.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from benchmarks.effort import FULL, Effort
from benchmarks.image_per_skill import open_image_per_skill
from benchmarks.peers import open_peers
from benchmarks.results import Result
from benchmarks.skills import HEAVY, HEAVY_AND_MORE
from benchmarks.yard import Yard, open_yard

_MIB = 1024 * 1024
_ROUNDS = 3


async def measure(effort: Effort = FULL) -> Result:
    rounds = min(effort.rounds, max(1, round(_ROUNDS * effort.share)))
    found = []
    for _ in range(rounds):
        async with open_yard(HEAVY) as yard:
            found.append(await _second(yard))
    async with (
        open_yard() as yard,
        open_peers(yard.runtime.settings, yard.text, yard.skill) as peers,
        open_image_per_skill(peers.work.image, yard.index) as images,
    ):
        folder = HEAVY_AND_MORE.write(yard.folder)
        began = time.perf_counter()
        image = await images.build(HEAVY_AND_MORE, folder, "uv")
        peer_seconds = time.perf_counter() - began
        peer_bytes = await images.size(image)
    first, added, ready, result = (statistics.median(values) for values in zip(*found, strict=True))
    return Result(
        name="shared_packages_disk",
        unit="MiB",
        better="lower",
        ours={
            "p50": round(added / _MIB, 2),
            "first_skill": round(first / _MIB, 2),
            "share_percent": round(100 * added / first, 2),
            "environment_ready_s": round(ready, 3),
            "first_result_s": round(result, 3),
        },
        peers={"image per skill, with uv": round(peer_bytes / _MIB, 2)},
        peer_figures={"image per skill, with uv": {"build_s": round(peer_seconds, 3)}},
        floor=None,
        rounds=rounds,
    )


async def _second(yard: Yard) -> tuple[int, int, float, float]:
    """Bytes of the first skill and of the second, seconds until its packages are there, and until its first result."""
    home = yard.runtime.settings.home
    first = _blocks(home)
    folder = HEAVY_AND_MORE.write(yard.folder)
    began = time.perf_counter()
    await yard.install(folder)
    held = await yard.runtime.invoke(yard.request_of(HEAVY_AND_MORE))
    if held.approval is None:
        raise RuntimeError(f"the first call of a skill with a new package ended as {held.outcome.state}")
    await yard.runtime.approver.approve(held.approval, person=yard.admin, fetch_ahead=False)
    version = await yard.runtime.version(yard.agent.workspace, yard.request_of(HEAVY_AND_MORE).skill)
    await yard.runtime.starter.materialise(version)
    ready = time.perf_counter() - began
    await yard.call_of(HEAVY_AND_MORE)
    result = time.perf_counter() - began
    return first, _blocks(home) - first, ready, result


def _blocks(folder: Path) -> int:
    """Bytes on disk of every file and folder, once each however many names it has."""
    found: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(folder):
        for path in (parent, *(os.path.join(parent, name) for name in names)):  # noqa: PTH118 - tens of thousands
            status = os.lstat(path)
            found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())
