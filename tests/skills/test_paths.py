"""Names that mean different things on different systems are refused before anything is written under them."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import UnsafePathError
from skillyard.skills.paths import PathSet, check_path, is_state


@pytest.mark.parametrize("path", ["SKILL.md", "scripts/run.py", "a b/c.txt", "größe.txt", "日本/語.md", ".env", "a..b"])
def test_usual_names_pass(path):
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("C:/windows/x", "absolute"),
        ("../x", "leaves"),
        ("a/../../x", "leaves"),
        ("a//b", "shortest"),
        ("./a", "shortest"),
        ("a\\b", "backslash"),
        ("..\\x", "backslash"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\u202egnp.py", "formatting"),
        ("a\u2028b", "formatting"),
        ("bad\udcff", "undecodable"),
        ("u\u0308.txt", "normal form C"),
        ("a.", "ends with a dot"),
        ("a /b", "space"),
        ("x" * 241, "longer than 240"),
        ("/".join("abcdefghijklmnopq"), "levels"),
    ],
)
def test_unusual_names_are_refused_with_the_rule(path, why):
    with pytest.raises(UnsafePathError, match=why) as caught:
        check_path(path)
    assert str(caught.value).isprintable(), "an error must not carry a terminal's control characters"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("a/Read.md", "a/read.md", "case only"),
        ("Docs/a", "docs/b", "case only"),
        ("straße", "strasse", "case only"),
        ("a", "a/b", "both a file and a folder"),
        ("a/b", "a", "both a file and a folder"),
        ("a/b", "a/b", "twice"),
    ],
)
def test_paths_that_some_file_system_would_merge_collide(first, second, why):
    seen = PathSet()
    seen.add(first)
    with pytest.raises(UnsafePathError, match=why):
        seen.add(second)


@pytest.mark.parametrize(
    "name",
    ["main.py~", ".#main.py", "#main.py#", ".main.py.swp", ".main.py.swx", ".main.py.kate-swp", "main.py___jb_tmp___"],
)
def test_what_an_editor_keeps_beside_an_open_file_is_left_out(name):
    """Emacs's lock is a dangling link, which would otherwise refuse the whole skill while a file is being edited."""
    assert is_state(f"scripts/{name}")


def test_only_tool_state_is_left_out():
    assert is_state("a/.git/config")
    assert is_state(".git")
    assert is_state("__MACOSX/._a")
    assert not is_state(".gitignore")
    assert not is_state("notes#1.md")
    assert not is_state("a~/kept.txt")
    assert not is_state("venv/x")
