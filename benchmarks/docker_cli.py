"""The ``docker`` command, as people use it."""

from __future__ import annotations

import asyncio
import contextlib


class DockerFailedError(RuntimeError):
    """A ``docker`` command ended with an error; the message has its last words."""


async def docker(*arguments: str, stdin: bytes = b"", seconds: float = 60) -> bytes:
    """What the command wrote to standard output. Raises ``DockerFailedError`` or ``TimeoutError``."""
    process = await asyncio.create_subprocess_exec(
        "docker",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(stdin)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        said = (err or out).decode(errors="replace").strip()[-2000:]
        raise DockerFailedError(f"docker {arguments[0]} ended with {process.returncode}: {said}")
    return out
