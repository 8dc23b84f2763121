"""Lists of packages that other tools write, read whole or refused: a package that is not read is not looked up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from skillyard.skills.declared_files import requirements_txt
from skillyard.skills.errors import LockFormatError
from skillyard.skills.lock import Lock, Target
from skillyard.skills.package_lists import is_closure, lock_of_package_lock, lock_of_pylock, pinned

TARGET = Target("3.11", "x86_64-manylinux_2_28")
HASH = "a" * 64


def listed(lock: Lock) -> list[tuple[str, str, bool]]:
    return [(one.name, one.version, one.direct) for one in lock.packages]


def package_lock(packages: Any, version: int = 3) -> str:
    return json.dumps({"name": "app", "lockfileVersion": version, "packages": packages})


def test_every_package_of_a_package_lock_is_read_nested_scoped_and_for_development_too() -> None:
    lock = lock_of_package_lock(
        package_lock(
            {
                "": {"name": "app", "dependencies": {"a": "^1"}, "devDependencies": {"@s/b": "2"}},
                "node_modules/a": {"version": "1.2.0", "integrity": "sha512-x"},
                "node_modules/a/node_modules/c": {"version": "3.0.0"},
                "node_modules/c": {"version": "4.0.0", "dev": True},
                "node_modules/@s/b": {"version": "2.0.0", "dev": True},
                "node_modules/alias": {"name": "real", "version": "5.0.0"},
                "node_modules/inner": {"link": True, "resolved": "packages/inner"},
                "packages/inner": {"version": "0.0.1"},
            }
        ),
        TARGET,
        file="package-lock.json",
    )
    assert listed(lock) == [
        ("@s/b", "2.0.0", True),
        ("a", "1.2.0", True),
        ("c", "3.0.0", False),
        ("c", "4.0.0", False),
        ("real", "5.0.0", False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0"}}}',
        package_lock([]),
        package_lock({"node_modules/a": "1.0.0"}),
        package_lock({"node_modules/a": {}}),
        package_lock({"node_modules/a": {"version": 1}}),
        "[" * 100_000,
    ],
)
def test_a_package_lock_that_cannot_be_read_whole_is_refused(text: str) -> None:
    with pytest.raises(LockFormatError):
        lock_of_package_lock(text, TARGET, file="package-lock.json")


def test_any_tools_pylock_is_read() -> None:
    text = f"""
lock-version = "1.0"
created-by = "another tool"
[[packages]]
name = "six"
version = "1.17.0"
index = "https://index/simple"
[[packages.wheels]]
name = "six-1.17.0-py2.py3-none-any.whl"
url = "https://files/six-1.17.0-py2.py3-none-any.whl"
hashes = {{sha256 = "{HASH}"}}
[[packages]]
name = "attrs"
version = "25.1.0"
marker = "sys_platform == 'win32'"
sdist = {{name = "attrs-25.1.0.tar.gz", url = "https://files/attrs-25.1.0.tar.gz", hashes = {{sha256 = "{HASH}"}}}}
"""
    lock = lock_of_pylock(text, TARGET, file="pylock.toml")
    assert [(one.name, one.version, [file.sha256 for file in one.artefacts]) for one in lock.packages] == [
        ("attrs", "25.1.0", [HASH]),
        ("six", "1.17.0", [HASH]),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "not toml [",
        'lock-version = "1.0"',
        'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "six"\ndirectory = {path = "six"}',
    ],
)
def test_a_pylock_without_an_exact_version_for_everything_is_refused(text: str) -> None:
    with pytest.raises(LockFormatError):
        lock_of_pylock(text, TARGET, file="pylock.toml")


@pytest.mark.parametrize(
    ("text", "found", "closure"),
    [
        (f"six==1.17.0 --hash=sha256:{HASH}\n", [("six", "1.17.0", True)], True),
        (
            f"six==1.17.0 --hash=sha256:{HASH}\nattrs==25.1.0\n",
            [("attrs", "25.1.0", True), ("six", "1.17.0", True)],
            False,
        ),
        ("Six===1.17.0", [("six", "1.17.0", True)], False),
        ("six==1.*", [], False),
        ("six>=1", [], False),
        ("six", [], False),
        ("six==1.17.0\nattrs", [("six", "1.17.0", True)], False),
        (f"six==1.17.0 --hash=sha256:{HASH}\nattrs", [("six", "1.17.0", True)], False),
        ("six>=1,==1.17.0", [], False),
        ("", [], False),
    ],
)
def test_only_exact_pins_are_looked_up_unresolved(text: str, found: Any, closure: bool) -> None:
    declared = tuple(requirements_txt(text, "requirements.txt"))
    lock = pinned(declared, TARGET)
    assert listed(lock) == found
    assert is_closure(lock, declared) is closure
