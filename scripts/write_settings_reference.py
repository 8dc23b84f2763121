"""Writes ``.env.example`` and ``docs/reference/settings.md`` from ``Settings`` (``make reference``).

Both are committed, because people read them on the web; a test fails when they are not what this writes.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from skillyard.settings import Settings

ROOT = Path(__file__).resolve().parent.parent

_KINDS: dict[object, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
}

_EXAMPLE_HEAD = """\
# Every setting of Skillyard, with its default. Copy this file to `.env` in the folder you start Skillyard from, or
# set the same names in the environment, which wins. What each means: docs/reference/settings.md.
# Written by `make reference` from skillyard/settings.py; do not edit.
"""

_PAGE_HEAD = """\
# Settings

Skillyard reads its settings once, at start, from the environment and from a `.env` file in the folder it is started
from; the environment wins. They do not change afterwards. A value that is not allowed stops the start with a message
that names the setting. Secrets are never logged, printed or stored in a lock.

Lists are written as JSON: `SKILLYARD_CORS_ORIGINS='["https://console.example"]'`. Sizes are in bytes and times in
seconds unless the name says otherwise.

Besides these, `XDG_DATA_HOME` moves the default home, and the usual proxy and certificate variables (`HTTPS_PROXY`,
`NO_PROXY`, `SSL_CERT_FILE` …) are handed to the tools that fetch packages. Nothing else of the environment reaches a
tool, and nothing at all reaches a skill.

This table is written by `make reference` from `skillyard/settings.py`.

| Setting | Takes | Default | Meaning |
| --- | --- | --- | --- |
"""


def example() -> str:
    """The text of ``.env.example``: each setting as a comment, so that a copy changes nothing."""
    lines = (f"\n# {field.description}\n#{variable(name)}={default(field)}\n" for name, field in _fields())
    return _EXAMPLE_HEAD + "".join(lines)


def page() -> str:
    """The text of ``docs/reference/settings.md``."""
    return _PAGE_HEAD + "".join(_row(name, field) for name, field in _fields())


def _row(name: str, field: FieldInfo) -> str:
    value = f"`{default(field)}`" if default(field) else "not set"
    meaning = str(field.description).replace("|", "\\|")
    return f"| `{variable(name)}` | {kind(field.annotation)} | {value} | {meaning} |\n"


def _fields() -> Iterable[tuple[str, FieldInfo]]:
    return Settings.model_fields.items()


def variable(name: str) -> str:
    return f"{Settings.model_config['env_prefix']}{name}".upper()


def default(field: FieldInfo) -> str:
    """As it would be written in the environment; empty for "not set" and for a default that the machine decides."""
    if field.default_factory is not None:
        return ""
    match field.default:
        case None:
            return ""
        case bool(value):
            return str(value).lower()
        case tuple(values):
            return json.dumps(list(values))
        case value:
            return str(value)


def kind(annotation: object) -> str:
    """In words; an optional setting says what it takes when it is set."""
    if get_origin(annotation) in (Union, types.UnionType):
        return kind(next(part for part in get_args(annotation) if part is not type(None)))
    if get_origin(annotation) is tuple:
        return f"list of {kind(get_args(annotation)[0])}"
    return _KINDS[annotation]


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(example(), encoding="utf-8")
    (ROOT / "docs/reference/settings.md").write_text(page(), encoding="utf-8")
