"""Lengths of time as people write and read them: ``90``, ``90s``, ``10m``, ``2h``, ``3d``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from skillyard.cli.exit_codes import UsageProblemError

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

Wait = Annotated[
    str | None,
    typer.Option(
        "--wait-for-approval", metavar="TIME", help="Where the call is held, wait that long for its approval: 90s, 10m."
    ),
]


def seconds(text: str | None, *, field: str = "--wait-for-approval") -> float | None:
    """A length in seconds; ``None`` for none. Raises ``UsageProblemError``."""
    if text is None:
        return None
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise UsageProblemError(f"{text!r} is no length of time such as 90s, 10m, 2h or 3d", field=field)
    return float(found[1]) * _UNITS[found[2]]


def age(length: float) -> str:
    """Seconds for people: the largest unit of which there are two, or the smallest."""
    for unit in ("d", "h", "m"):
        if length >= 2 * _UNITS[unit]:
            return f"{length / _UNITS[unit]:.0f} {unit}"
    return f"{length:.0f} s"
