"""Servers that ``login`` remembered, with a token each, in a file that its owner alone can read."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skillyard.errors import MachineError

_FILE = "credentials.json"


class CredentialsError(MachineError):
    """The file of remembered servers cannot be used as it is."""

    code = "credentials"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is remembered. ``default`` is the server of the last login; tokens are by address."""

    default: str | None
    tokens: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, home: Path) -> Credentials:
        """What a home remembers. Raises ``CredentialsError`` for a file that others can read, or that is damaged."""
        path = home / _FILE
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except FileNotFoundError:
            return cls(None, {})
        except OSError as error:
            raise CredentialsError(f"{path} cannot be read: {error.strerror}") from error
        if mode & 0o077:
            raise CredentialsError(f"{path} can be read by others; use: chmod 600 {path}")
        try:
            value = json.loads(text)
            default, tokens = value["default"], dict(value["tokens"])
        except (ValueError, KeyError, TypeError) as error:
            raise CredentialsError(f"{path} is damaged; remove it and use `skillyard login` again") from error
        return cls(default, tokens)

    def token_for(self, address: str) -> str | None:
        return self.tokens.get(address)

    def with_login(self, address: str, token: str) -> Credentials:
        return Credentials(address, {**self.tokens, address: token})

    def save(self, home: Path) -> Path:
        """Write beside and rename; the file is never readable by others, not even for a moment."""
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = home / _FILE
        # mkstemp makes the file with mode 0600.
        descriptor, beside = tempfile.mkstemp(prefix=f".{_FILE}.", dir=home)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"default": self.default, "tokens": dict(self.tokens)}, file)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        return path
