"""Calls whose files do not fit on the disk that is given, told as one JSON line: ``full_disk.py FOLDER INSTANCE``."""

import asyncio
import json
import sys
from pathlib import Path

import orjson
from skillyard.ids import BundleDigest
from skillyard.sandbox.docker import create_sandbox
from skillyard.sandbox.outcome import Call
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB, Granted
from skillyard.skills.skill import Entry, EntryKind, SkillKind

DISK = Path(sys.argv[1])
SPEC = SandboxSpec(
    SkillKind.PYTHON,
    BundleDigest("sha256:" + "0" * 64),
    Path(__file__).parent / "skill",
    None,
    (),
    {"instance": sys.argv[2], "lease": "1"},
)
GRANTED = Granted(256 * MIB, 30.0, 64, 1024, None, 32 * MIB, MIB, MIB, 16 * MIB, 256, 16 * MIB)
WRITES = Entry(EntryKind.FUNCTION, "scripts/saying.py", "writes")


async def main() -> None:
    sandbox = create_sandbox(Settings())
    running = await sandbox.start(SPEC, GRANTED)

    async def call(name: str, size: int, *, fail: bool = False):
        given = orjson.dumps({"size": size, "fail": fail})
        return await running.call(Call(WRITES, given, artefacts_to=DISK / name, staged_as=DISK / "lease"))

    try:
        too_much = await call("too_much", 8 * MIB)
        failed = await call("failed", 8 * MIB, fail=True)
        left = [str(path) for path in DISK.rglob("*")]
        little = await call("little", MIB)
    finally:
        await running.stop()
        await sandbox.close()
    told = {
        "too_much": [too_much.state, too_much.reason, len(too_much.files)],
        "failed": [failed.state, b"left out every file" in failed.stderr, len(failed.files)],
        "left": left,
        "little": [little.state, little.reason, len(little.files)],
    }
    print(json.dumps(told))


asyncio.run(main())
