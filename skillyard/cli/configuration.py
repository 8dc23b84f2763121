"""Settings as a command uses them: the environment's, with what its options say on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from skillyard.cli.exit_codes import UsageProblemError
from skillyard.cli.logs import configure_logs
from skillyard.settings import Settings
from skillyard.skills.frontmatter import FILE


def settings_for(*, quiet: bool = True, **options: Any) -> Settings:
    """The settings in force, and logs set up by them. An option that is ``None`` was not given.

    A ``.env`` file counts unless the working directory is in a skill's folder. Raises ``UsageProblemError`` naming the
    setting.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if _in_a_skill(Path.cwd()):
        # Its author is a stranger, who must not say which engine, index or server we talk to.
        given["_env_file"] = None
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        name = name if name.startswith("SKILLYARD_") else f"SKILLYARD_{name}"
        raise UsageProblemError(str(first["msg"]), field=name) from error
    configure_logs(settings, quiet=quiet)
    return settings


def _in_a_skill(folder: Path) -> bool:
    return any((parent / FILE).is_file() for parent in (folder, *folder.parents))
