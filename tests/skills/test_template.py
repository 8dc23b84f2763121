"""`skillyard init` must give a newcomer a skill that is valid as it is."""

from __future__ import annotations

import pytest
from skillyard.errors import ConflictError
from skillyard.skills.errors import SkillError
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import ParseMode
from skillyard.skills.template import create_skill


def test_a_new_skill_is_strictly_valid_and_has_a_function(tmp_path):
    skill = parse_skill(create_skill("word-count", tmp_path), ParseMode.STRICT)
    assert (skill.name, skill.version, skill.notes) == ("word-count", "0.1.0", ())
    assert str(skill.entries[0]) == "scripts/main.py:run"
    assert [path.name for path in tmp_path.iterdir()] == ["word-count"]


@pytest.mark.parametrize("name", ["Word Count", "../x", "", "a" * 65, "-a"])
def test_a_name_that_is_not_canonical_writes_nothing(tmp_path, name):
    with pytest.raises(SkillError):
        create_skill(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConflictError):
        create_skill("mine", tmp_path)
    with pytest.raises(SkillError, match="cannot be written"):
        create_skill("mine", tmp_path / "nowhere")
