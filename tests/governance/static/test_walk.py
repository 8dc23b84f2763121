"""Every file of a folder is read, whatever anything in it says; what is not read is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from skillyard.governance.static import walk as walking
from skillyard.governance.static.scanner import scan_folder
from skillyard.governance.static.walk import walk

PAYLOAD = "import base64\nexec(base64.b64decode('cHJpbnQoMSk='))\n"
IGNORES = (".gitignore", ".dockerignore", ".skillignore", ".scanignore", ".npmignore", ".bandit", ".semgrepignore")


def test_no_ignore_list_is_honoured(tmp_path: Path) -> None:
    for name in IGNORES:
        (tmp_path / name).write_text("*\nscripts/\n")
    (tmp_path / "pyproject.toml").write_text('[tool.bandit]\nexclude_dirs = ["scripts"]\n')
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / ".hidden.py").write_text("# nosec\n" + PAYLOAD)
    assert [(finding.rule, finding.file) for finding in scan_folder(tmp_path).findings] == [
        ("python_decoded_code", "scripts/.hidden.py")
    ]


def test_files_are_walked_in_a_stable_order_and_folders_of_tools_are_no_part_of_it(tmp_path: Path) -> None:
    for name in ("b.md", "a/c.py", "a/b.py", ".git/config", "__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    assert walk(tmp_path).files == ("a/b.py", "a/c.py", "b.md")


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link.md").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    found = walk(tmp_path)
    assert sorted(map(str, found.gaps)) == ["link.md: a symbolic link", "pipe: a device, socket or pipe"]
    assert found.unfolding.views == []


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff.py")).write_text(PAYLOAD)
    (gap,) = walk(tmp_path).gaps
    assert "not UTF-8" in gap.reason


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (gap,) = walk(tmp_path / "missing").gaps
    assert "cannot be listed" in gap.reason


def test_too_many_files_too_much_and_too_deep_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        (tmp_path / f"{number}.md").write_text("text " * 10)
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    monkeypatch.setattr(walking, "MAX_FILES", 4)
    monkeypatch.setattr(walking, "MAX_FOLDER_DEPTH", 2)
    assert [gap.file for gap in walk(tmp_path).gaps] == ["a/b/c/", "4.md"]
    monkeypatch.setattr(walking, "MAX_FILES", 100)
    monkeypatch.setattr(walking, "MAX_TOTAL_BYTES", 120)
    assert "2.md" in [gap.file for gap in walk(tmp_path).gaps]
    monkeypatch.setattr(walking, "MAX_ENTRIES", 3)
    assert "more than 3 files and folders" in [gap.reason for gap in walk(tmp_path).gaps]
