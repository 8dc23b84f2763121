"""The bundled skills are what newcomers meet first: strictly valid, complete, and with the samples they promise."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import skills_ref
from skillyard.skills.imports import undeclared_imports
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import ParseMode, SkillKind

ROOT = Path(__file__).resolve().parents[2]
SKILLS = sorted(path.parent for path in (ROOT / "skills").glob("*/SKILL.md"))


@pytest.mark.parametrize("folder", SKILLS, ids=lambda folder: folder.name)
def test_each_is_strictly_valid_without_a_remark(folder):
    skill = parse_skill(folder, ParseMode.STRICT)
    assert skill.notes == ()
    assert skill.version_declared
    assert undeclared_imports(skill) == ()
    assert skills_ref.validate(folder) == []
    if skill.kind is not SkillKind.INSTRUCTIONS:
        assert skill.entries[0].function == "run"
        assert skill.input_schema is not None


def test_the_five_are_there():
    assert [folder.name for folder in SKILLS] == [
        "csv-report",
        "image-tools",
        "legacy-fetch",
        "pdf-text",
        "writing-guide",
    ]
    assert parse_skill(ROOT / "skills" / "writing-guide").kind is SkillKind.INSTRUCTIONS


def test_the_samples_are_what_their_script_makes():
    script = ROOT / "tests" / "assets" / "skills" / "make_samples.py"
    spec = importlib.util.spec_from_file_location("make_samples", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, content in module.samples().items():
        assert (ROOT / "skills" / name).read_bytes() == content, name
