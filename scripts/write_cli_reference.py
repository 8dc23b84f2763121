"""Writes ``docs/reference/cli.md`` from the commands themselves (``make reference``).

It is committed, because people read it on the web; a test fails when it is not what this writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from skillyard.cli.catalogue import COMMANDS, LOCAL, SERVER, load
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

ROOT = Path(__file__).resolve().parent.parent

_EVERYWHERE = ("--help", "--json", "--server")

_HEAD = """\
# The command line

`skillyard` is in `.venv/bin` of a clone; `python -m skillyard` is the same. This page is written by `make reference`
from the commands themselves.

## For all commands

**Answers and notes.** The answer goes to standard output; progress, logs and notes go to standard error. With `--json`
standard output is exactly one JSON document on one line, also for an error: `{"detail": …, "code": …}` with `file`,
`line`, `field`, `report` or `reasons` where there are any. Nothing asks a question unless it has a terminal to ask on.

**Errors** are one line, `error: FILE:LINE: FIELD: what is wrong`, as far as there is a file, a line and a field.

**Exit codes** are stable:

| code | means |
| --- | --- |
| 0 | done; for `skillyard scan`: PASS or FLAG |
| 1 | refused or failed; for `skillyard scan`: BLOCK; for `skillyard run` and `skillyard invoke`: the skill failed |
| 2 | the command line or a setting is wrong |
| 3 | INDETERMINATE: not enough is known to decide, so nothing runs; for example advisories that are too old |
| 4 | held: packages or a first use wait for an approval |
| 5 | the machine lacks something, or a server does not answer; `skillyard doctor` says what |
| 130, 143 | stopped by SIGINT or SIGTERM, after cleaning up |

**Skills** are named by a folder, an archive (zip; tar, plain or compressed), or a Git address as pip writes them:
`git+https://host/repository.git@REF#subdirectory=FOLDER`.

**State** lives in the folder that `SKILLYARD_HOME` names (see [settings](settings.md)). A `.env` file in the working
directory is read, but not in the folder of a skill: whoever wrote the skill must not say which engine, index or server
is used.

**Input of a call** (`skillyard run`, `skillyard invoke`): `--input` is a JSON object. For a function it holds the
keyword arguments. For a script it may hold `argv` (a list of strings), `stdin` (text) or `stdin_base64`, and `files`,
an object from the name in the call's working directory to a path on your disk, `{"content": TEXT}` or
`{"content_base64": …}`.
`--file NAME=PATH` hands over a file either way. A script's standard output and error come through as they are; a
function's output goes to standard error, because its answer is what it returns. Files that come back are written below
`--output-dir`; one that is there already is replaced.

**Servers.** The server is the one of `--server`, else of `SKILLYARD_SERVER`, else of the last `skillyard login`; the
token is `SKILLYARD_TOKEN`, else the one that `skillyard login` kept for that server in `credentials.json` (mode 0600)
in the home folder. Tokens are sent over `https://` only, but for this machine itself.
"""


def page() -> str:
    """The text of ``docs/reference/cli.md``."""
    lines = [_HEAD]
    for panel in (LOCAL, SERVER):
        lines.append(f"\n## {panel}\n")
        for words, command in commands(panel):
            lines += _section(words, command)
    return "\n".join(lines).rstrip() + "\n"


def commands(panel: str) -> Iterator[tuple[str, TyperCommand]]:
    """The commands of a panel by the words that call them."""
    for name, place in COMMANDS.items():
        if place.panel != panel:
            continue
        found = load(name, place)
        if not isinstance(found, TyperGroup):
            yield name, found
            continue
        for part, command in found.commands.items():
            assert isinstance(command, TyperCommand)  # noqa: S101 - groups hold commands only
            yield f"{name} {part}", command


def _section(words: str, command: TyperCommand) -> Iterator[str]:
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    options = [one for one in command.params if isinstance(one, TyperOption) and one.opts[0] not in _EVERYWHERE]
    named = "".join(f" {_argument(one)}" for one in arguments)
    yield f"### `skillyard {words}{named}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    if options:
        yield "| option | meaning |\n| --- | --- |"
        yield "\n".join(_option(one) for one in options) + "\n"


def _argument(argument: TyperArgument) -> str:
    return str(argument.metavar or argument.name).upper()


def _option(option: TyperOption) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))
    meaning = (option.help or "").replace("|", "\\|")
    needed = " Required." if option.required else ""
    shown = option.show_default if isinstance(option.show_default, str) else None
    default = f" Default: `{shown}`." if shown else ""
    return f"| {names} | {meaning}{needed}{default} |"


if __name__ == "__main__":
    (ROOT / "docs/reference/cli.md").write_text(page(), encoding="utf-8")
