"""What this home signed last, kept in a file beside the database, and signed like everything else.

Who edits the database alone can delete signed heads from it, but not this: the chain is compared with it, and nothing
is signed that contradicts it.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import asdict
from pathlib import Path

import orjson

from skillyard.governance.audit.keys import AuditKeyError
from skillyard.governance.audit.signed import Checkpoint
from skillyard.ids import WorkspaceId

_MOST_BYTES = 4096


class Witness:
    """One small file a workspace. Everything blocks for a moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self, workspace: WorkspaceId) -> Checkpoint | None:
        """What this home signed last of a workspace's chain. Raises ``AuditKeyError`` for a file that says nothing."""
        path = self._path(workspace)
        try:
            with path.open("rb") as file:
                return Checkpoint(**orjson.loads(file.read(_MOST_BYTES)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise AuditKeyError(f"{path}, which says what was signed last, cannot be read: {error}") from error

    def note(self, checkpoint: Checkpoint) -> None:
        """Remember it durably, unless something further on is remembered already."""
        known = self.last(WorkspaceId(checkpoint.workspace_id))
        if known is not None and known.seq > checkpoint.seq:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(WorkspaceId(checkpoint.workspace_id))
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(asdict(checkpoint), option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(descriptor)
        temporary.rename(path)

    def _path(self, workspace: WorkspaceId) -> Path:
        return self._folder / f"{workspace}.json"
