"""Settings as a command uses them: the environment's, with what its options say on top."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from skillyard.cli.exit_codes import UsageProblemError
from skillyard.cli.logs import configure_logs
from skillyard.settings import Settings


def settings_for(*, quiet: bool = True, **options: Any) -> Settings:
    """The settings in force, and logs set up by them. An option that is ``None`` was not given.

    Raises ``UsageProblemError`` naming the setting.
    """
    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        name = name if name.startswith("SKILLYARD_") else f"SKILLYARD_{name}"
        raise UsageProblemError(str(first["msg"]), field=name) from error
    configure_logs(settings, quiet=quiet)
    return settings
