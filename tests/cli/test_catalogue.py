"""The list of commands, the modules that have them, the reference page, the exit codes: all agree."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import skillyard
from skillyard.cli.agent_names import MaturityName
from skillyard.cli.catalogue import COMMANDS, load
from skillyard.cli.client import refusal
from skillyard.cli.exit_codes import ExitCode, RefusedByServerError, exit_code_of
from skillyard.errors import SkillyardError
from skillyard.governance.decision import Maturity
from skillyard.runtime.errors import DecisionRefusedError, ReportRefusedError
from tests.cli.conftest import Cli
from typer.core import TyperCommand, TyperGroup

ROOT = Path(__file__).parents[2]


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """Every command by the words that call it."""
    for name, place in COMMANDS.items():
        found = load(name, place)
        if isinstance(found, TyperGroup):
            for part, command in found.commands.items():
                assert isinstance(command, TyperCommand)
                yield f"{name} {part}", command
        else:
            yield name, found


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_command_takes_json_and_explains_itself(name: str) -> None:
    command = ALL[name]
    assert command.help
    assert any("--json" in parameter.opts for parameter in command.params)


def test_the_reference_is_what_the_commands_say() -> None:
    spec = importlib.util.spec_from_file_location("write_cli_reference", ROOT / "scripts/write_cli_reference.py")
    assert spec is not None
    assert spec.loader is not None
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    assert (ROOT / "docs/reference/cli.md").read_text() == writer.page(), "run `make reference`"


@pytest.mark.parametrize("name", ALL)
def test_the_reference_has_every_command(name: str) -> None:
    text = (ROOT / "docs/reference/cli.md").read_text()
    assert re.search(rf"^### `skillyard {name}[ `]", text, re.MULTILINE), f"no section about `skillyard {name}`"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_what_the_command_says_of_itself(name: str) -> None:
    """The list is shown without importing the commands, so it could drift from them."""
    said = load(name, COMMANDS[name]).help or ""
    assert COMMANDS[name].summary == said.partition("\n")[0]


def test_help_lists_every_command(cli: Cli) -> None:
    shown = cli("--help")
    assert {name for name in COMMANDS if not re.search(rf"\b{name}\b", shown.out)} == set()


def test_no_command_is_the_same_as_help(cli: Cli) -> None:
    assert cli().code == 0
    assert "doctor" in cli().out


def test_an_option_has_the_names_of_every_maturity() -> None:
    assert {item.value for item in MaturityName} == {item.name for item in Maturity}


def errors() -> set[type[SkillyardError]]:
    """Every error of the package, wherever it is defined."""
    for module in pkgutil.walk_packages(skillyard.__path__, "skillyard."):
        if ".migrations" not in module.name and ".guest" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    found: set[type[SkillyardError]] = set()
    waiting = [SkillyardError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return found


def test_every_error_has_an_exit_code_that_says_failure() -> None:
    by_what_they_carry = {ReportRefusedError, DecisionRefusedError, RefusedByServerError}
    for kind in errors() - by_what_they_carry:
        assert exit_code_of(kind.__new__(kind)) is not ExitCode.DONE, kind


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal(422, {"code": "report_refused", "report": {"verdict": "BLOCK"}}), ExitCode.REFUSED),
        (refusal(422, {"code": "report_refused", "report": {"verdict": "INDETERMINATE"}}), ExitCode.INDETERMINATE),
        (refusal(403, {"code": "decision_refused", "held": True}), ExitCode.HELD),
        (refusal(503, {"code": "advisory_index_missing"}), ExitCode.INDETERMINATE),
        (refusal(503, {"code": "engine_unavailable"}), ExitCode.MACHINE),
        (refusal(507, {"code": "disk_full"}), ExitCode.MACHINE),
        (refusal(500, None), ExitCode.REFUSED),
    ],
)
def test_a_problem_of_a_server_has_the_exit_code_of_the_same_error_here(error: SkillyardError, code: ExitCode) -> None:
    assert exit_code_of(error) is code
