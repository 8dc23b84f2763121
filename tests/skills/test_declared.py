"""Packages count wherever they are declared, each with where it was said, so that nothing is installed unexplained."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import RequirementError, SkillError
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem, Origin, ParseMode

EVERYWHERE = """\
name: demo
description: d
metadata:
  skillyard.python: "pandas>=2,<3 matplotlib"
  skillyard.npm: "docx@^9"
  openclaw:
    dependencies:
      - {name: httpx, type: pip, version: 0.27.0}
      - {name: chalk, type: npm}
      - {name: jq, type: brew}
    install:
      - {id: a, kind: uv, package: "openai stripe"}
      - {id: b, kind: node, package: "@scope/tool"}
      - {id: c, kind: download, url: "https://host.example/x.tar.gz"}
packages: [numpy==1.26.4, pandas>=2]
node_packages:
  - lodash@4.17.21
package_manager: yarn
"""

SCRIPT = """\
#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "rich>=13",
#   "pandas",
# ]
# ///
import rich
"""

FILES = {
    "scripts/a.py": SCRIPT,
    "requirements.txt": "# tools\nclick>=8  # newest\n\nattrs \\\n  >=23\n",
    "scripts/requirements.txt": "pytz\n",
    "pyproject.toml": '[project]\nname = "demo"\ndependencies = [\n  "pydantic>=2",\n]\n',
    "package.json": '{\n  "dependencies": {\n    "express": "^4"\n  },\n  "devDependencies": {"jest": "^29"}\n}\n',
}


def test_all_places_are_merged_with_their_provenance(make_skill):
    skill = parse_skill(make_skill(EVERYWHERE, FILES))
    said = {(p.ecosystem.value, p.requirement): (p.origin.file, p.origin.line, p.origin.field) for p in skill.declared}
    claw = "metadata.openclaw"
    assert said == {
        ("pypi", "pandas<3,>=2"): ("SKILL.md", 5, "metadata.skillyard.python"),
        ("pypi", "matplotlib"): ("SKILL.md", 5, "metadata.skillyard.python"),
        ("npm", "docx@^9"): ("SKILL.md", 6, "metadata.skillyard.npm"),
        ("pypi", "numpy==1.26.4"): ("SKILL.md", 16, "packages[0]"),
        ("pypi", "pandas>=2"): ("SKILL.md", 16, "packages[1]"),
        ("npm", "lodash@4.17.21"): ("SKILL.md", 18, "node_packages[0]"),
        ("pypi", "httpx==0.27.0"): ("SKILL.md", 9, f"{claw}.dependencies[0].name"),
        ("npm", "chalk@*"): ("SKILL.md", 10, f"{claw}.dependencies[1].name"),
        ("pypi", "openai"): ("SKILL.md", 13, f"{claw}.install[0].package"),
        ("pypi", "stripe"): ("SKILL.md", 13, f"{claw}.install[0].package"),
        ("npm", "@scope/tool@*"): ("SKILL.md", 14, f"{claw}.install[1].package"),
        ("npm", "express@^4"): ("package.json", 3, "dependencies.express"),
        ("pypi", "pydantic>=2"): ("pyproject.toml", 4, "project.dependencies[0]"),
        ("pypi", "click>=8"): ("requirements.txt", 2, None),
        ("pypi", "attrs>=23"): ("requirements.txt", 4, None),
        ("pypi", "rich>=13"): ("scripts/a.py", 5, "dependencies[0]"),
        ("pypi", "pandas"): ("scripts/a.py", 6, "dependencies[1]"),
        ("pypi", "pytz"): ("scripts/requirements.txt", 1, None),
    }
    unsupported = [note.field for note in skill.notes if note.code == "unsupported_kind"]
    assert unsupported == [f"{claw}.dependencies[2]", f"{claw}.install[2]"]
    assert "package_manager" in [note.code for note in skill.notes]


def test_strict_reads_metadata_and_files_but_no_extension(make_skill):
    frontmatter = 'name: demo\ndescription: d\nmetadata:\n  skillyard.python: "pandas"\n'
    skill = parse_skill(make_skill(frontmatter, FILES), ParseMode.STRICT)
    assert {p.name for p in skill.declared} == {"pandas", "click", "attrs", "pytz", "pydantic", "express", "rich"}


def test_markers_take_a_line_of_their_own(make_skill):
    frontmatter = (
        "name: demo\ndescription: d\nmetadata:\n  skillyard.python: |\n    a b\n    tomli; python_version < '3.11'\n"
    )
    requirements = [p.requirement for p in parse_skill(make_skill(frontmatter)).declared]
    assert requirements == ["a", "b", 'tomli; python_version < "3.11"']


@pytest.mark.parametrize(
    ("text", "requirements"),
    [
        ("a@^9 b", ["a@^9", "b@*"]),
        ("a@>=1 <2 @s/b@1.x || 2.x c", ["a@>=1 <2", "@s/b@1.x || 2.x", "c@*"]),
        ("a@1.0.0 - 2.0.0 b@~1", ["a@1.0.0 - 2.0.0", "b@~1"]),
        ("a@>= 1.2 b", ["a@>= 1.2", "b@*"]),
    ],
)
def test_npm_ranges_may_contain_spaces(make_skill, text, requirements):
    frontmatter = f'name: demo\ndescription: d\nmetadata:\n  skillyard.npm: "{text}"'
    declared = parse_skill(make_skill(frontmatter)).declared
    assert [p.requirement for p in declared if p.ecosystem is Ecosystem.NPM] == requirements


@pytest.mark.parametrize(
    ("frontmatter", "origin"),
    [
        (
            "metadata:\n  skillyard.python: 'a @ https://h.example/a.whl'",
            Origin("SKILL.md", 5, "metadata.skillyard.python"),
        ),
        ("packages: ['git+https://h.example/a']", Origin("SKILL.md", 4, "packages[0]")),
        ("packages:\n  - a\n  - --index-url=https://h.example", Origin("SKILL.md", 6, "packages[1]")),
        ("node_packages: [x@file:y]", Origin("SKILL.md", 4, "node_packages[0]")),
        (
            "metadata:\n  openclaw:\n    install: [{kind: uv, package: 'git+https://h.example/a'}]",
            Origin("SKILL.md", 6, "metadata.openclaw.install[0].package"),
        ),
    ],
)
def test_refused_requirements_in_the_manifest_name_line_and_field(make_skill, frontmatter, origin):
    with pytest.raises(RequirementError) as caught:
        parse_skill(make_skill(f"name: demo\ndescription: d\n{frontmatter}"))
    assert Origin(caught.value.file, caught.value.line, caught.value.field) == origin


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        ("requirements.txt", "a\n--index-url https://h.example/simple\n", 2),
        ("requirements.txt", "\n\n-e .\n", 3),
        ("requirements.txt", "a\n-r other.txt\n", 2),
        ("requirements.txt", "a @ git+https://h.example/a\n", 1),
        ("requirements.txt", "./local\n", 1),
        ("requirements.txt", "a\\\n\\\n @ https://h.example/a\n", 1),
        ("scripts/a.py", "# /// script\n# dependencies = ['a @ https://h.example/a']\n# ///\n", 2),
        ("scripts/a.py", "# /// script\n# [tool.uv]\n# index-url = 'https://h.example'\n# ///\n", None),
        ("scripts/deep/a.py", "\n# /// script\n# dependencies = [\n#  '-e .']\n# ///\n", 4),
        ("pyproject.toml", "[project]\ndependencies = ['a @ file:///x']\n", 2),
        ("pyproject.toml", "[tool.uv.sources]\na = {path = '../a'}\n", None),
        ("pyproject.toml", "[[tool.uv.index]]\nurl = 'https://h.example'\n", None),
        ("package.json", '{"dependencies": {\n"a": "git+ssh://h.example/a"}}', 2),
        ("package.json", '{"dependencies": {"a": "file:../a"}}', 1),
        ("package.json", '{"overrides": {"a": "1"}}', None),
    ],
)
def test_refused_requirements_in_files_name_file_and_line(make_skill, path, content, line):
    with pytest.raises(RequirementError) as caught:
        parse_skill(make_skill(files={path: content}))
    assert (caught.value.file, caught.value.line) == (path, line)


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        ("pyproject.toml", "[project]\nx = = 1\n", 2),
        ("package.json", '{"dependencies": \n}', 2),
        ("package.json", "[]", 1),
        ("package.json", "[" * 100_000, 1),
        ("pyproject.toml", "a = " + "[" * 100_000, None),
        ("requirements.txt", b"a\n\xff\n", 2),
        ("scripts/a.py", "# /// script\n# a = [\n# ///\n", 2),
        ("scripts/a.py", "# /// script\n# a = 1\n# ///\n\n# /// script\n# b = 1\n# ///\n", 5),
    ],
)
def test_broken_declarations_are_an_error_not_an_empty_list(make_skill, path, content, line):
    with pytest.raises(SkillError) as caught:
        parse_skill(make_skill(files={path: content}))
    assert caught.value.file == path
    assert line is None or caught.value.line == line


def test_hashes_of_requirements_txt_are_kept_for_the_resolver(make_skill):
    one, two = "a" * 64, "b" * 64
    text = f"a==1 \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\n"
    skill = parse_skill(make_skill(files={"requirements.txt": text}))
    assert [p.requirement for p in skill.declared] == [f"a==1 --hash=sha256:{one} --hash=sha256:{two}"]


@pytest.mark.parametrize("given", ["sha256:00", "md5:" + "0" * 32, "sha512:" + "0" * 128])
def test_a_hash_that_cannot_be_checked_is_refused_not_dropped(make_skill, given):
    with pytest.raises(RequirementError, match="sha256"):
        parse_skill(make_skill(files={"requirements.txt": f"b\na==1 --hash={given}\n"}))


def test_other_tools_tables_are_noted(make_skill):
    files = {
        "requirements.txt": "a==1\n",
        "pyproject.toml": '[project]\ndynamic = ["dependencies"]\n[tool.poetry.dependencies]\nb = "^1"\n',
        ".npmrc": "registry=https://h.example\n",
    }
    skill = parse_skill(make_skill(files=files))
    assert [p.requirement for p in skill.declared] == ["a==1"]
    assert {note.code for note in skill.notes} == {"poetry", "dynamic_dependencies", "index_settings"}


def test_an_unclosed_block_of_script_metadata_is_ignored_as_its_standard_says(make_skill):
    files = {"scripts/a.py": "# /// script\n# dependencies = ['a']\nimport os\n# ///\n"}
    assert parse_skill(make_skill(files=files)).declared == ()


def test_a_script_of_nothing_but_block_starts_is_read_in_linear_time(make_skill):
    files = {"scripts/a.py": "# /// x\n" * 100_000}
    assert parse_skill(make_skill(files=files)).declared == ()


def test_too_many_packages_are_refused(make_skill):
    with pytest.raises(RequirementError, match="more than 256"):
        parse_skill(make_skill(files={"requirements.txt": "\n".join(f"p{n}" for n in range(257))}))
