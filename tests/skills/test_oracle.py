"""The reference validator (skills-ref) as an oracle: where it and our strict mode differ, the difference is listed."""

from __future__ import annotations

import pytest
import skills_ref
from skillyard.skills.errors import SkillError
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import ParseMode

BASE = "name: demo\ndescription: d\n"

AGREED = {
    "minimal": (BASE, True),
    "every field": (
        BASE + "license: MIT\ncompatibility: c\nallowed-tools: Read Grep\nmetadata:\n  version: '1.0.0'\n  a: b\n",
        True,
    ),
    "metadata that looks like a number": (BASE + "metadata:\n  a: 1.10\n", True),
    "description of 1024": (f"name: demo\ndescription: {'d' * 1024}\n", True),
    "folded description": ("name: demo\ndescription: >\n  one\n  two\n", True),
    "comment": ("# hello\n" + BASE, True),
    "no name": ("description: d\n", False),
    "no description": ("name: demo\n", False),
    "empty description": ("name: demo\ndescription: ''\n", False),
    "description of 1025": (f"name: demo\ndescription: {'d' * 1025}\n", False),
    "compatibility of 501": (BASE + f"compatibility: {'c' * 501}\n", False),
    "upper-case name": ("name: Demo\ndescription: d\n", False),
    "name with spaces": ("name: de mo\ndescription: d\n", False),
    "name with an underscore": ("name: de_mo\ndescription: d\n", False),
    "name with two hyphens": ("name: de--mo\ndescription: d\n", False),
    "name that starts with a hyphen": ("name: -demo\ndescription: d\n", False),
    "name that ends with a hyphen": ("name: demo-\ndescription: d\n", False),
    "name of 65": (f"name: {'d' * 65}\ndescription: d\n", False),
    "other name than the folder": ("name: other\ndescription: d\n", False),
    "unknown field": (BASE + "author: me\n", False),
    "lenient version": (BASE + "version: 1.0.0\n", False),
    "duplicate key": (BASE + "name: demo\n", False),
    "not a mapping": ("- a\n", False),
    "broken YAML": (BASE + "x: [1\n", False),
    "anchor": ("name: &a demo\ndescription: d\n", False),
    "tag": ("name: !!str demo\ndescription: d\n", False),
}

OURS_IS_STRICTER = {
    "nested metadata is not text to text": BASE + "metadata:\n  a:\n    b: c\n",
    "metadata is not a mapping": BASE + "metadata: text\n",
    "a version must be SemVer": BASE + 'metadata:\n  version: "1.0"\n',
    "a misspelt key of ours": BASE + "metadata:\n  skillyard.memry: 1MiB\n",
    "tools are separated by spaces": BASE + "allowed-tools: Read, Grep\n",
}

OURS_TAKES_MORE = {
    "flow style means the same": BASE + "metadata: {a: b}\n",
    "three dashes within a value": "name: demo\ndescription: one --- two\n",
}


def _ours(folder) -> bool:
    try:
        parse_skill(folder, ParseMode.STRICT)
    except SkillError:
        return False
    return True


def _theirs(folder) -> bool:
    return skills_ref.validate(folder) == []


@pytest.mark.parametrize("case", AGREED)
def test_both_say_the_same(make_skill, case):
    frontmatter, valid = AGREED[case]
    folder = make_skill(frontmatter)
    assert (_ours(folder), _theirs(folder)) == (valid, valid)


@pytest.mark.parametrize("case", OURS_IS_STRICTER)
def test_ours_refuses_what_the_reference_lets_pass(make_skill, case):
    folder = make_skill(OURS_IS_STRICTER[case])
    assert (_ours(folder), _theirs(folder)) == (False, True)


@pytest.mark.parametrize("case", OURS_TAKES_MORE)
def test_ours_takes_what_the_reference_does_not_read_right(make_skill, case):
    folder = make_skill(OURS_TAKES_MORE[case])
    theirs_is_right = (
        _theirs(folder) and skills_ref.read_properties(folder).description == parse_skill(folder).description
    )
    assert (_ours(folder), theirs_is_right) == (True, False)


def test_names_in_other_scripts_are_ours_alone_to_refuse(make_skill):
    folder = make_skill("name: größe\ndescription: d\n", name="größe")
    assert (_ours(folder), _theirs(folder)) == (False, True)
