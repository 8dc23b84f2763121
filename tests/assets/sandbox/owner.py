"""A process that owns a sandbox with a call under way, to be killed from outside. Prints the call's output."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from skillyard.ids import BundleDigest
from skillyard.sandbox.docker import DockerSandbox
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.events import Output
from skillyard.sandbox.guest_code import GuestSource
from skillyard.sandbox.outcome import Call
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.skills.permissions import MIB, Granted
from skillyard.skills.skill import Entry, EntryKind, SkillKind


@dataclass
class Image:
    reference: str
    python: str

    async def python_image(self) -> "Image":
        return self


def show(output: Output) -> None:
    sys.stdout.buffer.write(output.data)
    sys.stdout.flush()


async def main() -> None:
    reference, python, bundle, instance = sys.argv[1:]
    sandbox = DockerSandbox(
        engine=Engine(), images=Image(reference, python), guest=GuestSource(), uid=10001, start_timeout=30.0
    )
    granted = Granted(256 * MIB, 60.0, 64, 1024, None, 32 * MIB, MIB, MIB, MIB, 256, MIB)
    spec = SandboxSpec(
        SkillKind.PYTHON, BundleDigest("sha256:0"), Path(bundle), None, (), {"instance": instance, "lease": "x"}
    )
    running = await sandbox.start(spec, granted)
    await running.call(Call(Entry(EntryKind.FUNCTION, "scripts/bombs.py", "stubborn")), show)


asyncio.run(main())
