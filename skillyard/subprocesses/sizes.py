"""How much a folder holds while a program writes into it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def folder_size(folder: Path) -> int:
    """Bytes that the files of a folder occupy on disk, links not followed; what vanishes meanwhile does not count."""
    total = 0
    pending = [str(folder)]
    while pending:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total
