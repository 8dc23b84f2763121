"""A second scanner that misbehaves: a program in the place of pip-audit's interpreter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

FOLDER_NAME = """
from skillyard.governance.engines.environments import engine_environment
from skillyard.settings import Settings
print(engine_environment(Settings(), "pip-audit").folder.name)
"""
"""A program that prints the folder's name of pip-audit's environment for this release."""
TIME_LIMIT = "5"
_CLEAN = json.dumps({"dependencies": [{"name": "six", "version": "1.17.0", "vulns": []}], "fixes": []})
_SKIPPED = json.dumps({"dependencies": [{"name": "six", "skip_reason": "not found"}], "fixes": []})

_OUTPUTS: Mapping[str, str] = {
    "nothing": "",
    "half of its JSON": _CLEAN[:30],
    "a page of HTML": "<html>503</html>",
    "JSON of another shape": '{"vulnerabilities": []}',
    "that it skipped the package": _SKIPPED,
    "that all is well, having asked nothing": _CLEAN,
}
MISBEHAVING: Mapping[str, str | None] = {
    "is not installed": None,
    "cannot be started": "",
    "hangs": "#!/bin/sh\nexec sleep 1000\n",
    "is killed": "#!/bin/sh\nkill -9 $$\n",
    **{
        f"prints {what} and exits {code}": f"#!/bin/sh\nprintf '%s' '{output}'\nexit {code}\n"
        for what, output in _OUTPUTS.items()
        for code in (0, 1, 2, 137)
    },
}
"""How, and the program; ``None`` where there is none."""


def put(folder: Path, program: str | None) -> None:
    """Make the program the interpreter of the environment in this folder."""
    interpreter = folder / "bin" / "python"
    interpreter.parent.mkdir(parents=True, exist_ok=True)
    interpreter.unlink(missing_ok=True)
    if program is not None:
        interpreter.write_text(program)
        interpreter.chmod(0o755)
