"""Kind, entries, imports and schema follow from what is in the folder; nothing of it is run to find out."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import orjson
import pytest
from skillyard.skills.errors import SkillError
from skillyard.skills.imports import MAX_ALL_PYTHON_BYTES, MAX_PYTHON_BYTES, UndeclaredImport, undeclared_imports
from skillyard.skills.parse import UNREAD_PYTHON, parse_skill
from skillyard.skills.skill import EntryKind, ParseMode, SkillKind

RUN = "def run(text: str) -> str:\n    return text\n"


def _with_entry(entry: str) -> str:
    return f'name: demo\ndescription: d\nmetadata:\n  skillyard.entry: "{entry}"'


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, SkillKind.INSTRUCTIONS),
        ({"references/a.md": "x", "data.csv": "a"}, SkillKind.INSTRUCTIONS),
        ({"scripts/a.py": ""}, SkillKind.PYTHON),
        ({"core/a.py": ""}, SkillKind.PYTHON),
        ({"requirements.txt": "numpy\n"}, SkillKind.PYTHON),
        ({"scripts/a.mjs": ""}, SkillKind.NODE),
        ({"package.json": '{"dependencies": {"a": "1"}}'}, SkillKind.NODE),
        ({"scripts/a.py": "", "scripts/b.js": ""}, SkillKind.PYTHON),
        ({"scripts/a.sh": "rm -rf /"}, SkillKind.PYTHON),
        ({"bin/tool.exe": b"MZ"}, SkillKind.PYTHON),
    ],
)
def test_the_kind_follows_from_the_files(make_skill, files, kind):
    assert parse_skill(make_skill(files=files)).kind is kind


def test_a_program_without_a_suffix_is_not_taken_for_instructions(make_skill):
    """A skill of the kind 'instructions' is open to every agent: code must not pass for it."""
    folder = make_skill(files={"tool": "#!/bin/sh\nrm -rf /\n"})
    (folder / "tool").chmod(0o755)
    skill = parse_skill(folder)
    assert skill.kind is not SkillKind.INSTRUCTIONS
    assert "other_code" in [note.code for note in skill.notes]
    assert skill.entries == ()


def test_documents_are_no_programs_whatever_their_mode(make_skill):
    folder = make_skill(files={"notes.md": "x"})
    for path in folder.iterdir():
        path.chmod(0o777)
    assert parse_skill(folder).kind is SkillKind.INSTRUCTIONS


def test_named_entries_come_first_then_every_script(make_skill):
    files = {
        "scripts/b.py": RUN,
        "scripts/a.py": "print(1)\n",
        "scripts/lib/__init__.py": "",
        "scripts/lib/c.py": "",
        "scripts/notes.md": "",
        "scripts/d.js": "",
        "outside.py": "",
    }
    skill = parse_skill(make_skill(_with_entry("scripts/b.py:run scripts/lib/c.py scripts/b.py:run"), files))
    assert [str(entry) for entry in skill.entries] == [
        "scripts/b.py:run",
        "scripts/lib/c.py",
        "scripts/a.py",
        "scripts/b.py",
    ]
    assert skill.entries[0].kind is EntryKind.FUNCTION


def test_shell_scripts_can_be_called_and_are_never_the_default_by_chance(make_skill):
    files = {"scripts/a.sh": "echo hello\n", "scripts/b.py": "print(1)\n"}
    assert [str(entry) for entry in parse_skill(make_skill(None, files)).entries] == ["scripts/b.py", "scripts/a.sh"]
    alone = parse_skill(make_skill(_with_entry("scripts/a.sh"), {"scripts/a.sh": "echo hello\n"}, "demo-two"))
    assert [(entry.kind, entry.path) for entry in alone.entries] == [(EntryKind.SCRIPT, "scripts/a.sh")]


def test_the_default_entry_decides_between_two_languages(make_skill):
    files = {"scripts/a.py": "", "scripts/b.mjs": ""}
    skill = parse_skill(make_skill(_with_entry("scripts/b.mjs:run"), files))
    assert skill.kind is SkillKind.NODE
    assert [str(entry) for entry in skill.entries] == ["scripts/b.mjs:run", "scripts/b.mjs"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("scripts/none.py:run", "'scripts/none.py' is not a file of the skill"),
        ("../escape.py:run", "is not a file of the skill"),
        ("/etc/passwd", "is not a file of the skill"),
        ("SKILL.md", "is neither Python nor JavaScript"),
        ("scripts/a.sh:run", "is a shell script, which has no functions"),
        ("scripts/a.py:none", "scripts/a.py has no function 'none'"),
        ("scripts/a.py:os.system", "is not the name of a function"),
        ("scripts/a.py:positional", "cannot be given by name"),
        ("scripts/a.py:run:x", "is neither file:function nor a file"),
        (" ", "is empty"),
    ],
)
def test_an_entry_that_cannot_be_called_is_refused(make_skill, entry, message):
    files = {"scripts/a.py": RUN + "\n\ndef positional(a, /):\n    return a\n", "scripts/a.sh": "echo\n"}
    with pytest.raises(SkillError, match=message) as caught:
        parse_skill(make_skill(_with_entry(entry), files))
    assert (caught.value.line, caught.value.field) == (5, "metadata.skillyard.entry")


@pytest.mark.parametrize(
    "source",
    [
        "from lib import run\n",
        "import x as run\n",
        "run = print\n",
        "if True:\n    def run(): ...\n",
        "async def run(): ...",
    ],
)
def test_an_entry_may_be_bound_in_other_ways(make_skill, source):
    skill = parse_skill(make_skill(_with_entry("scripts/a.py:run"), {"scripts/a.py": source}))
    assert str(skill.entries[0]) == "scripts/a.py:run"


def test_nothing_is_executed_or_imported(make_skill, tmp_path):
    proof = tmp_path / "proof"
    code = f"open({str(proof)!r}, 'w').close()\n{RUN}"
    modules = set(sys.modules)
    files = {"scripts/a.py": code, "json.py": code, "conftest.py": code, "setup.py": code}
    parse_skill(make_skill(_with_entry("scripts/a.py:run"), files))
    assert not proof.exists()
    assert set(sys.modules) == modules


def test_imports_are_found_at_any_depth_and_compared_with_what_is_declared(make_skill):
    source = """\
import os, json.decoder
import numpy as np
import sklearn.cluster
from PIL import Image
from . import own
from helper import x
from google.cloud import storage
try:
    import yaml
except ImportError:
    yaml = None
def f():
    import requests
    import skillyard_call
    from pandas.core import frame
pattern = "\\d"
"""
    files = {
        "scripts/a.py": source,
        "scripts/helper.py": "",
        "lib/deep/b.py": "import deep\nimport lib\nimport a\n",
        "requirements.txt": "pillow\nscikit-learn\nPandas\ngoogle-cloud-storage\n",
    }
    skill = parse_skill(make_skill(files=files))
    expected = ("PIL", "google.cloud.storage", "numpy", "pandas.core", "requests", "sklearn.cluster", "yaml")
    assert skill.imports == expected
    assert undeclared_imports(skill) == (
        UndeclaredImport("numpy", "numpy"),
        UndeclaredImport("requests", "requests"),
        UndeclaredImport("yaml", "pyyaml"),
    )


@pytest.mark.parametrize(
    "content", ["print 'two'\n", "def f(:\n", b"\x00", "(" * 10_000, "-" * 100_000 + "1", b"# coding: none\n\xff\n"]
)
def test_python_that_does_not_parse_is_noted_and_strictly_refused(make_skill, content):
    folder = make_skill(files={"scripts/a.py": content})
    notes = [(note.code, note.file) for note in parse_skill(folder).notes]
    assert ("unreadable_python", "scripts/a.py") in notes
    with pytest.raises(SkillError, match=r"^scripts/a\.py"):
        parse_skill(folder, ParseMode.STRICT)


def test_an_entry_that_does_not_parse_is_refused_in_both_modes(make_skill):
    folder = make_skill(_with_entry("scripts/a.py:run"), {"scripts/a.py": "x\ndef run(:\n"})
    with pytest.raises(SkillError, match=r"^scripts/a\.py:2: not valid Python"):
        parse_skill(folder)


def test_without_a_version_the_digest_makes_one(make_skill):
    skill = parse_skill(make_skill())
    assert skill.version == f"0.0.0+{skill.bundle.digest[7:19]}"
    assert not skill.version_declared


def test_the_schema_follows_from_the_type_hints(make_skill):
    source = '''\
from typing import Any, Literal, Optional
def run(
    a: str, b: "int", c: float = 1.5, *, d: list[str] | None = None, e: Optional[bool] = None, f: dict[str, int] = {},
    g: Literal["x", "y"] = "x", h: Any = ..., i: Other = None, j: tuple[int, str] = (1, "a"), k=object(),
) -> None:
    """Does it.

    More.
    """
'''
    skill = parse_skill(make_skill(_with_entry("scripts/a.py:run"), {"scripts/a.py": source}))
    null = {"type": "null"}
    assert orjson.loads(skill.input_schema) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "Does it.",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer"},
            "c": {"type": "number", "default": 1.5},
            "d": {"anyOf": [{"type": "array", "items": {"type": "string"}}, null], "default": None},
            "e": {"anyOf": [{"type": "boolean"}, null], "default": None},
            "f": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {}},
            "g": {"enum": ["x", "y"], "default": "x"},
            "h": {},
            "i": {"default": None},
            "j": {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
                "default": [1, "a"],
            },
            "k": {},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("hint", ["tuple[" * 150 + "int" + "]" * 150, f"Literal[{10**30}]"], ids=["deep", "large"])
def test_hints_that_json_cannot_hold_say_nothing(make_skill, hint):
    source = f"def run(a: {hint}) -> None: ...\n"
    assert parse_skill(make_skill(_with_entry("scripts/a.py:run"), {"scripts/a.py": source})).input_schema is None


@pytest.mark.parametrize("depth", [100, 900, 1500, 2500, 50_000])
def test_deep_hints_never_exhaust_the_stack(make_skill, depth):
    source = f"def run(a: int{' | int' * depth}) -> None: ...\n"
    with suppress(SkillError):
        parse_skill(make_skill(_with_entry("scripts/a.py:run"), {"scripts/a.py": source}))


def test_a_shipped_schema_wins_and_must_be_one(make_skill):
    files = {"scripts/a.py": RUN, "scripts/a.schema.json": '{"type": "object", "title": "mine"}'}
    skill = parse_skill(make_skill(_with_entry("scripts/a.py:run"), files))
    assert orjson.loads(skill.input_schema) == {"type": "object", "title": "mine"}
    files["scripts/a.schema.json"] = '{"type": "array"}'
    with pytest.raises(SkillError, match=r"^scripts/a\.schema\.json:1: must be a JSON Schema"):
        parse_skill(make_skill(_with_entry("scripts/a.py:run"), files))


def test_python_that_is_too_large_is_noted_strictly_refused_and_never_an_entry(make_skill):
    large = "x = 1\n" * (MAX_PYTHON_BYTES // 6 + 1)
    folder = make_skill(files={"scripts/a.py": large, "scripts/b.py": "import requests\n"})
    skill = parse_skill(folder)
    assert [note.file for note in skill.notes if note.code == UNREAD_PYTHON] == ["scripts/a.py"]
    assert skill.imports == ("requests",)
    with pytest.raises(SkillError, match=r"^scripts/a\.py: a Python file larger than 512 KiB"):
        parse_skill(folder, ParseMode.STRICT)
    with pytest.raises(SkillError, match=r"^scripts/a\.py: a Python file larger than 512 KiB"):
        parse_skill(make_skill(_with_entry("scripts/a.py:run"), {"scripts/a.py": large}))


def test_no_more_python_is_parsed_than_the_limit_and_entries_come_first(make_skill):
    most = MAX_ALL_PYTHON_BYTES // MAX_PYTHON_BYTES
    text = "'" + "x" * (MAX_PYTHON_BYTES - 3) + "'\n"
    files = {f"lib/a{number}.py": text for number in range(most + 1)}
    files["scripts/run.py"] = "import requests\ndef run(a: int):\n    pass\n"
    skill = parse_skill(make_skill(_with_entry("scripts/run.py:run"), files))
    assert [note.file for note in skill.notes if note.code == UNREAD_PYTHON] == ["lib/a3.py", "lib/a4.py"]
    assert skill.imports == ("requests",)
    assert orjson.loads(skill.input_schema or "")["required"] == ["a"]


def test_one_syntax_tree_at_a_time_is_kept(make_skill):
    """One of these files takes 100 MiB while it is parsed, and the trees of all of them 260 MiB."""
    folder = make_skill(files={f"scripts/{name}.py": "a;" * 60_000 for name in "abcdef"})
    program = """
import resource, sys
from pathlib import Path
from skillyard.skills.parse import parse_skill
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
parse_skill(Path(sys.argv[1]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    ended = subprocess.run([sys.executable, "-c", program, folder], check=True, timeout=60, stdout=subprocess.PIPE)
    assert int(ended.stdout) < 180


def test_a_shipped_schema_that_is_nested_too_deep_is_refused_with_its_file(make_skill):
    nested = '{"a":' * 300 + "{}" + "}" * 300
    files = {"scripts/main.py": "print(1)\n", "scripts/main.schema.json": nested}
    with pytest.raises(SkillError, match=r"^scripts/main\.schema\.json: is nested too deep"):
        parse_skill(make_skill(files=files))
