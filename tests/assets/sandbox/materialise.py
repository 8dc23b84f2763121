"""Materialise a lock in a process of its own: argument, a pylock.toml; prints one JSON line at the end."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from skillyard.errors import SkillyardError
from skillyard.sandbox.environments import create_store
from skillyard.settings import Settings
from skillyard.skills.pylock import read_pylock


async def main() -> int:
    settings = Settings()
    store = create_store(settings)
    try:
        environment = await store.materialise(read_pylock(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except SkillyardError as error:
        staging = settings.home / "environments" / "staging"
        left = [path.name for path in staging.iterdir()] if staging.is_dir() else []
        print(json.dumps({"error": type(error).__name__, "message": str(error), "left": left}))
        return 1
    finally:
        await store.close()
    print(json.dumps({"path": str(environment.path)}))
    return 0


sys.exit(asyncio.run(main()))
