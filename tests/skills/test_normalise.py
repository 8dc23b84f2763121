"""Publishing rewrites what is lenient into metadata and shows it; nothing that the skill asks for is lost."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import SkillError
from skillyard.skills.normalise import normalise
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import ParseMode

LENIENT = """\
name: demo
description: "Does a thing: yes --- no"
version: 1.0
author: somebody
tags: [a, b]
license: MIT
packages:
  - pandas>=2,<3
  - tomli; python_version < "3.11"
node_packages: [lodash@>=4 <5, "@scope/x@1"]
package_manager: npm
allowed-tools: Read, Grep
metadata:
  count: 3
  openclaw:
    install: [{kind: uv, package: openai}]
"""


def test_the_strict_text_parses_strictly_and_asks_for_the_same(make_skill):
    folder = make_skill(LENIENT)
    before = parse_skill(folder)
    text, differences = normalise(folder)
    assert (folder / "SKILL.md").read_text() != text
    (folder / "SKILL.md").write_text(text)
    after = parse_skill(folder, ParseMode.STRICT)
    assert {(p.ecosystem, p.requirement) for p in after.declared} == {
        (p.ecosystem, p.requirement) for p in before.declared
    }
    for field in ("name", "description", "license", "version", "allowed_tools", "requested", "entries", "kind"):
        assert getattr(after, field) == getattr(before, field)
    assert after.metadata["author"] == "somebody"
    assert after.metadata["tags"] == '["a","b"]'
    assert after.metadata["count"] == "3"
    moved = {note.field for note in differences if note.code == "moved"}
    assert {"version", "author", "tags", "packages[0]", "node_packages[1]", "package_manager"} <= moved
    assert {"metadata.openclaw", "metadata.openclaw.install[0].package"} <= moved
    assert text.endswith("\n---\n\nBody.\n")


def test_a_strict_manifest_stays_as_it_means_and_shows_no_difference(make_skill):
    folder = make_skill('name: demo\ndescription: d\nmetadata:\n  version: "1.0.0"\n  flag: "yes"')
    text, differences = normalise(folder)
    assert differences == ()
    (folder / "SKILL.md").write_text(text)
    assert parse_skill(folder, ParseMode.STRICT).metadata == {"version": "1.0.0", "flag": "yes"}
    assert normalise(folder) == (text, ())


@pytest.mark.parametrize(
    "frontmatter",
    [
        f"name: demo\ndescription: {'d' * 1025}",
        "name: demo\ndescription: d\nauthor: a\nmetadata:\n  author: b",
        "name: demo\ndescription: d\nversion: 1.0.0\nmetadata:\n  version: 2.0.0",
    ],
)
def test_what_only_the_author_can_decide_is_refused(make_skill, frontmatter):
    with pytest.raises(SkillError):
        normalise(make_skill(frontmatter))
