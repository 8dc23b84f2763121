"""Processes of their own that start on a database, and some that end by killing themselves."""

from __future__ import annotations

import signal
import subprocess
import sys

START = """
import asyncio, os, signal, sys
from skillyard.database import migrate, open_database
from skillyard.governance import epoch

async def main(url):
    await migrate(url)
    database = await open_database(url)
    async with database.transaction() as session:
        await epoch.bump(session)
    await database.close()

sys.stdin.readline()  # both are told to go at once, their imports done
asyncio.run(main(sys.argv[1]))
"""


def run_to_its_kill(script: str, *arguments: str) -> None:
    """Runs a process that ends by killing itself the hard way."""
    command_line = [sys.executable, "-c", script + "\nos.kill(os.getpid(), signal.SIGKILL)", *arguments]
    killed = subprocess.run(command_line, input=b"\n", check=False, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
