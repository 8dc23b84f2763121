"""How people name a skill of a remote: ``hub:acme/csv-report@1.0.0``, ``remote:acme/csv-report``, and the origin that
is written down, ``remote:hub/acme/csv-report@1.0.0``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skillyard.errors import InputError

PREFIX = "remote"

_NAME = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_ADDRESS = re.compile(
    rf"(?P<prefix>{_NAME}):(?:(?P<remote>{_NAME})/)?(?P<publisher>{_NAME})/(?P<name>{_NAME})(?:@(?P<which>[0-9A-Za-z.+-]{{1,128}}))?"
)


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """A skill somewhere else. Without ``remote`` it is whichever one has it; ``which`` is a version or a channel."""

    remote: str | None
    publisher: str
    name: str
    which: str | None

    @property
    def skill(self) -> str:
        return f"{self.publisher}/{self.name}"

    @property
    def text(self) -> str:
        """As every command and route takes it."""
        remote = "" if self.remote is None else f"{self.remote}/"
        return f"{PREFIX}:{remote}{self.skill}{'' if self.which is None else f'@{self.which}'}"


def is_remote_address(text: str) -> bool:
    """Whether a text has the form of one; folders, archives and Git addresses do not."""
    return _read(text) is not None


def parse_remote_address(text: str) -> RemoteAddress:
    """Raises ``InputError``."""
    found = _read(text)
    if found is None:
        raise InputError(
            "a skill of a remote is REMOTE:publisher/name, remote:publisher/name or remote:REMOTE/publisher/name, "
            "each with @version or @channel where one is meant",
            field="source",
        )
    return found


def _read(text: str) -> RemoteAddress | None:
    found = _ADDRESS.fullmatch(text) if len(text) <= 400 else None
    if found is None or (found["prefix"] != PREFIX and found["remote"] is not None):
        return None
    remote = found["remote"] if found["prefix"] == PREFIX else found["prefix"]
    return RemoteAddress(remote, found["publisher"], found["name"], found["which"])
