"""Strict takes the specification alone; lenient goes on where the meaning is clear, and says what it took."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import SkillError
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import ParseMode

FULL = """\
name: demo
description: Does a thing --- and another.
license: MIT
compatibility: Needs Python.
metadata:
  author: somebody
  version: "1.2.3"
allowed-tools: Bash(git:*, ls) Read
"""


@pytest.mark.parametrize("mode", ParseMode)
def test_every_field_of_the_specification_is_read(make_skill, mode):
    skill = parse_skill(make_skill(FULL), mode)
    assert (skill.name, skill.description) == ("demo", "Does a thing --- and another.")
    assert (skill.license, skill.compatibility) == ("MIT", "Needs Python.")
    assert skill.allowed_tools == ("Bash(git:*, ls)", "Read")
    assert skill.metadata == {"author": "somebody", "version": "1.2.3"}
    assert (skill.version, skill.version_declared) == ("1.2.3", True)
    assert skill.notes == ()


@pytest.mark.parametrize(
    ("frontmatter", "code", "line", "field"),
    [
        ("name: demo\ndescription: d\nversion: 1.0.0", "extension_field", 4, "version"),
        ("name: demo\ndescription: d\nauthor: me", "unknown_field", 4, "author"),
        ("name: other\ndescription: d", "name_not_folder", 2, "name"),
        ("description: d", "name_missing", 2, "name"),
        (f"name: demo\ndescription: {'d' * 1025}", "description_long", 3, "description"),
        (f"name: demo\ndescription: d\ncompatibility: {'d' * 501}", "compatibility_long", 4, "compatibility"),
        ("name: demo\ndescription: d\nallowed-tools: [Read, Grep]", "tools_list", 4, "allowed-tools"),
        ("name: demo\ndescription: d\nallowed-tools: Read, Grep", "tools_commas", 4, "allowed-tools"),
        ("name: demo\ndescription: d\nmetadata:\n  a: [b]", "nested_metadata", 5, "metadata.a"),
        ('name: demo\ndescription: d\nmetadata:\n  version: "1.0"', "version_short", 5, "metadata.version"),
        (
            "name: demo\ndescription: d\nmetadata:\n  skillyard.memry: 1MiB",
            "unknown_key",
            5,
            "metadata.skillyard.memry",
        ),
    ],
)
def test_what_lenient_notes_strict_refuses_at_the_same_place(make_skill, frontmatter, code, line, field):
    folder = make_skill(frontmatter)
    notes = parse_skill(folder).notes
    assert (code, line, field) in [(note.code, note.line, note.field) for note in notes]
    with pytest.raises(SkillError) as caught:
        parse_skill(folder, ParseMode.STRICT)
    assert (caught.value.file, caught.value.line, caught.value.field) == ("SKILL.md", line, field)


@pytest.mark.parametrize("mode", ParseMode)
@pytest.mark.parametrize(
    ("frontmatter", "message"),
    [
        ("name: Demo Skill\ndescription: d", "SKILL.md:2: name: 'Demo Skill' is not canonical.*write 'demo-skill'"),
        ("name: -demo\ndescription: d", "SKILL.md:2: name: .*not canonical"),
        ("name: a--b\ndescription: d", "SKILL.md:2: name: .*not canonical"),
        ("name: größe\ndescription: d", "SKILL.md:2: name: .*not canonical"),
        ("name: ../../etc\ndescription: d", "SKILL.md:2: name: .*not canonical"),
        (f"name: {'a' * 65}\ndescription: d", "SKILL.md:2: name: longer than 64"),
        ("name: demo", "SKILL.md:2: description: is missing or empty"),
        ("name: demo\ndescription: ''", "SKILL.md:3: description: is missing or empty"),
        ("name: demo\ndescription: [a]", "SKILL.md:3: description: must be text"),
        ("name: demo\ndescription: d\nmetadata: text", "SKILL.md:4: metadata: must be a mapping"),
        ("name: demo\ndescription: d\nallowed-tools: Bash(git", "SKILL.md:4: allowed-tools: has parentheses"),
        ("name: demo\ndescription: d\nmetadata:\n  version: soon", "SKILL.md:5: metadata.version: 'soon' is not a"),
        ("name: demo\ndescription: d\nmetadata:\n  version: 1.2.3.4", "SKILL.md:5: metadata.version"),
        ("name: demo\ndescription: d\nmetadata:\n  version: 01.2.3", "SKILL.md:5: metadata.version"),
    ],
)
def test_what_is_unclear_is_refused_in_both_modes(make_skill, frontmatter, message, mode):
    with pytest.raises(SkillError, match=f"^{message}"):
        parse_skill(make_skill(frontmatter), mode)


def test_two_different_versions_are_refused(make_skill):
    folder = make_skill('name: demo\ndescription: d\nversion: 1.0.0\nmetadata:\n  version: "2.0.0"')
    with pytest.raises(SkillError, match=r"^SKILL.md:6: version: two versions: 2\.0\.0 and 1\.0\.0"):
        parse_skill(folder)


def test_short_versions_are_completed(make_skill):
    for written, meant in (("v1", "1.0.0"), ("1.2", "1.2.0"), ("v1.2.3", "1.2.3"), ("1.0-rc.1", "1.0.0-rc.1")):
        skill = parse_skill(make_skill(f"name: demo\ndescription: d\nversion: {written}"))
        assert skill.version == meant


def test_nested_metadata_becomes_json_not_the_repr_of_a_language(make_skill):
    skill = parse_skill(make_skill("name: demo\ndescription: d\nmetadata:\n  a: {b: [1, yes]}\n  c: d"))
    assert skill.metadata == {"a": '{"b":["1","yes"]}', "c": "d"}


def test_a_manifest_in_lower_case_is_read_leniently(make_skill):
    folder = make_skill()
    (folder / "SKILL.md").rename(folder / "skill.md")
    assert [note.code for note in parse_skill(folder).notes] == ["file_name"]
    with pytest.raises(SkillError, match=r"should be named SKILL\.md"):
        parse_skill(folder, ParseMode.STRICT)


def test_a_folder_without_a_manifest_says_so(tmp_path):
    (tmp_path / "README.md").write_text("hi")
    with pytest.raises(SkillError, match=r"^SKILL\.md: is missing; a skill is a folder with a SKILL\.md"):
        parse_skill(tmp_path)
    with pytest.raises(SkillError, match="not a folder"):
        parse_skill(tmp_path / "nowhere")
