"""A few kilobytes of TOML cannot take the server's memory, and ordinary files are read as the standard says."""

from __future__ import annotations

import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from skillyard.governance.allow_list import read_allow_list
from skillyard.governance.errors import RuleError
from skillyard.sandbox.builds.system import read_build_system
from skillyard.skills.errors import LockFormatError, SkillError
from skillyard.skills.lock import Target
from skillyard.skills.package_lists import lock_of_pylock
from skillyard.skills.parse import parse_skill
from skillyard.skills.pylock import read_pylock
from skillyard.skills.toml import MAX_DEPTH, MAX_NAMES, MAX_PARTS, loads_toml

HOSTILE = {
    "a dotted key": "a" + ".a" * 4000 + "=1\n",
    "a quoted key": "'a'" + ' . "a"' * 4000 + "=1\n",
    "a key behind strings": 'b = """x""\\""""""\n' + "c = ''''''''\n" + "a" + ".a" * 4000 + "=1\n",
    "a key of an inline table": "b = [{ x = {a" + ".a" * 4000 + " = 1}}]\n",
    "a table": "[a" + ".a" * 4000 + "]\n",
    "an array of tables": "[[a" + ".'a'" * 4000 + "]]\n",
    "a long number": "a = " + "1" * 5000 + "\n",
    "a long hexadecimal number": "a = 0x" + "f" * 5000 + "\n",
    "a long fraction": "a = 1." + "1" * 5000 + "\n",
    "arrays in arrays": "a = " + "[" * 2000 + "\n",
    "tables in tables": "a = " + "{a=" * 2000 + "\n",
    "many tables": "".join(f"[a{n:x}]\n" for n in range(MAX_NAMES + 1)),
    "many arrays": "".join(f"a{n:x}=[]\n" for n in range(MAX_NAMES + 1)),
}

ORDINARY = f"""\
# a.{".".join(["b"] * 100)} = "in a comment
title = "{".".join(["b"] * 100)} = [{{"
url = 'https://host.example/{"a.b/" * 100}?x=[1]&y={{2}}'
text = \"\"\"
[{".".join(["b"] * 100)}]
{".".join(["b"] * 100)} = 1 \\
   "" \\" \"\"\"\"
raw = '''
{".".join(["b"] * 100)} = 1''''
"{"long " * 300}" = "{"x" * 5000}"
at = 1979-05-27T07:32:00.999-07:00
numbers = [1.5, -2e10, 0xff, {", ".join(["3.25"] * 1000)}]
[a."b.c".'d' . e]
x.y.z = {{ k = [ {{ l.m = true }} ], n = "}}]" }}
[[packages]]
name = "a"
[[packages.wheels]]
hashes = {{sha256 = "{"a" * 64}"}}
"""


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_text_that_would_take_the_memory_is_refused_before_it_is_parsed(text: str) -> None:
    with pytest.raises(SkillError, match=r"^list\.toml:\d+: not read: ") as refused:
        loads_toml(text, file="list.toml")
    assert refused.value.line is not None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_ordinary_file_is_read_as_the_standard_says(end: str) -> None:
    text = ORDINARY.replace("\n", end)
    assert loads_toml(text, file="a.toml") == tomllib.loads(text)


def test_keys_and_values_at_the_limits_are_read() -> None:
    text = "a" + ".a" * (MAX_PARTS - 1) + " = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert loads_toml(text, file="a.toml") == tomllib.loads(text)


@pytest.mark.parametrize(("text", "line"), [('a = 1\nb = "', 2), ("a = 1\n\nb = [\n", 3), ("a = '''\n", 1), ("=\n", 1)])
def test_what_is_no_toml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(SkillError, match="not valid TOML") as refused:
        loads_toml(text, file="a.toml")
    assert refused.value.line == line


def test_the_costliest_text_within_the_limits_takes_a_bounded_memory() -> None:
    program = """
from skillyard.skills.toml import loads_toml
key = ".".join("abcdefghijklmnopqrstuvwxyzabcdef")
tables = "".join(f"[t{n:x}.{key[:-2]}]\\n" for n in range(1500))
keys = "".join(f"k{n:x}.{key[:-2]} = []\\n" for n in range(1500))
assert loads_toml(tables + keys + "x = '''" + "y" * 2**22 + "'''", file="a.toml")
"""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, preexec_fn=limited)


@pytest.mark.parametrize("name", ["a dotted key", "a long number", "arrays in arrays"])
def test_everything_that_reads_toml_refuses_it_as_wrong_input(name: str, tmp_path: Path) -> None:
    text = HOSTILE[name]
    with pytest.raises(RuleError, match="not read"):
        read_allow_list(text, file="pylock.toml")
    with pytest.raises(LockFormatError, match="not read"):
        read_pylock(text, file="pylock.toml")
    with pytest.raises(LockFormatError, match="not read"):
        lock_of_pylock(text, Target("3.11", "x86_64-manylinux_2_28"), file="pylock.toml")
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(Exception, match="not read"):
        read_build_system(tmp_path)


@pytest.mark.parametrize("name", ["a dotted key", "a long number", "arrays in arrays"])
def test_a_skill_that_declares_so_is_refused_with_file_and_line(name: str, make_skill) -> None:
    with pytest.raises(SkillError, match=r"^pyproject\.toml:1: not read"):
        parse_skill(make_skill(files={"pyproject.toml": HOSTILE[name]}))
    script = "# /// script\n# " + HOSTILE[name] + "# ///\n"
    with pytest.raises(SkillError, match=r"^scripts/a\.py:2: not read"):
        parse_skill(make_skill(files={"pyproject.toml": "", "scripts/a.py": script}))
