"""The console script: from arguments to a command, from whatever it raises to one line and an exit code.

Modules of commands are imported when one of theirs is called, because the runtime behind some takes a second to import.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

import skillyard
from skillyard.cli.catalogue import CommandCatalogue
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.failures import Failure, failure_of, report

PROGRAM = "skillyard"
_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""

app = typer.Typer(
    name=PROGRAM,
    cls=CommandCatalogue,
    help="Skills for AI agents: resolved, scanned, governed, run in a sandbox.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 usage, 3 indeterminate, 4 held for approval, 5 machine.",
    no_args_is_help=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{PROGRAM} {skillyard.__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: bool = typer.Option(  # noqa: ARG001 - the callback is what acts
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def main() -> None:
    """The console script's entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises nothing but ``SystemExit``."""
    try:
        command = typer.main.get_command(app)
        assert isinstance(command, TyperGroup)  # noqa: S101 - an application with a callback is a group
        code = command.main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit:
        raise
    except TyperException as error:
        return _fail(Failure.of_usage(error), arguments)
    except typer.Abort:
        return _INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the edge: everything ends in one line and an exit code
        return _fail(failure_of(error), arguments)
    return code if isinstance(code, int) else ExitCode.DONE


def _fail(failure: Failure, arguments: Sequence[str]) -> int:
    report(failure, json="--json" in arguments)
    return failure.exit_code
