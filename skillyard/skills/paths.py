"""Which file names a bundle may hold, and which folders and files are never part of one.

The rules are the same for a folder on disk, an archive's members and a Git tree, so that a skill has one meaning on
every platform: a name that another file system would merge, rewrite or show differently is refused.
"""

from __future__ import annotations

import re
import unicodedata

from skillyard.skills.errors import UnsafePathError

STATE_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".bzr",
        ".skillyard",
        ".venv",
        "node_modules",
        "__pycache__",
        "__MACOSX",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        ".tox",
        ".nox",
        ".ipynb_checkpoints",
    }
)
"""State of tools, not content: left out of bundles at any depth, whether a folder or a file (a worktree's ``.git``)."""

STATE_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that desktops leave behind: left out of bundles at any depth."""

_EDITOR_FILE = re.compile(r".*~|\.#.*|#.*#|\..*\.sw[a-z]|.*\.kate-swp|\.goutputstream-\w+|.*___jb_(?:tmp|old)___")
"""Backups, swap files and locks that editors keep beside a file that is open: left out of bundles at any depth."""

MAX_PATH_BYTES = 240
"""Longest path in a bundle, in UTF-8 bytes: short enough for a prefix of ours on every file system."""
MAX_PATH_PARTS = 16


def is_state(path: str) -> bool:
    """Whether a relative path with forward slashes lies in tool state, so that it is no part of a bundle."""
    parts = path.split("/")
    return not STATE_FOLDERS.isdisjoint(parts) or is_state_name(parts[-1])


def is_state_name(name: str) -> bool:
    """The same of one name in a folder that is no tool state itself."""
    return name in STATE_FOLDERS or name in STATE_FILES or _EDITOR_FILE.fullmatch(name) is not None


def check_path(path: str) -> str:
    """Return the path if a bundle may hold it; raise ``UnsafePathError`` that says which rule it breaks."""
    problem = _shape_problem(path) or _character_problem(path)
    if problem:
        raise UnsafePathError(problem, file=printable(path))
    return path


def printable(path: str) -> str:
    """A path that is safe to print: control, format and undecodable characters are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in path)


def _shape_problem(path: str) -> str | None:
    if not path:
        return "an empty path"
    if path.startswith("/") or (path[1:2] == ":" and path[0].isalpha()):
        return "an absolute path"
    parts = path.split("/")
    if ".." in parts:
        return "a path that leaves the skill's folder"
    if "." in parts or "" in parts:
        return "a path that is not in its shortest form"
    if len(parts) > MAX_PATH_PARTS:
        return f"more than {MAX_PATH_PARTS} levels of folders"
    return None


def _character_problem(path: str) -> str | None:
    if "\\" in path:
        return "a backslash in a path"
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in path):
        return "a control, formatting or undecodable character in a path"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"a path longer than {MAX_PATH_BYTES} bytes"
    if not unicodedata.is_normalized("NFC", path):
        return "a path that is not in Unicode normal form C"
    if any(part != part.rstrip(" .") or part != part.lstrip(" ") for part in path.split("/")):
        return "a name that starts or ends with a space, or ends with a dot"
    return None


class PathSet:
    """Paths seen so far, on a file system that tells no upper from lower case: a collision is refused."""

    def __init__(self) -> None:
        self._spelling: dict[str, tuple[str, bool]] = {}
        self._files: set[str] = set()

    def add(self, path: str) -> None:
        """Take in a file's path; raise ``UnsafePathError`` for a repeated path or one that differs in case only."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            prefix = "/".join(parts[:depth])
            self._add_one(prefix, is_file=depth == len(parts))

    def _add_one(self, path: str, *, is_file: bool) -> None:
        known, known_is_file = self._spelling.setdefault(path.casefold(), (path, is_file))
        if known != path:
            raise UnsafePathError(f"differs from {printable(known)!r} in case only", file=printable(path))
        if known_is_file != is_file:
            raise UnsafePathError("is both a file and a folder", file=printable(path))
        if is_file and path in self._files:
            raise UnsafePathError("occurs twice", file=printable(path))
        if is_file:
            self._files.add(path)
