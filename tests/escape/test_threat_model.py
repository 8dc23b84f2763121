"""The threat model names the test of each wall: a wall whose test is gone is only a claim."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "threat-model.md").read_text()


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE))
    assert len(named) > 30
    missing = {f"{file}::{name}" for file, name in named if name not in _tests(HERE / file)}
    assert missing == set()


def test_every_file_of_attacks_is_in_the_threat_model() -> None:
    files = {path.name for path in HERE.glob("test_*.py")} - {Path(__file__).name}
    assert {file for file in files if file not in PAGE} == set()


def _tests(file: Path) -> set[str]:
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, functions)}
